/* Proves: what is posted to a job is checked strictly and says why it is refused; a command that
 * reaches the core changes what is wanted; a worker that is drained gets no more slots. */
#include "ps/scheduler_commands.h"

#include "common/proto_alloc.h"
#include "proto/weft.pb-c.h"
#include "ps/scheduler.h"
#include "sim/sim_model.h"

#include <check.h>
#include <string.h>

/* ---- What is posted ---- */

static const struct {
    const char *path, *body;
    uint32_t n;
    uint64_t token[2];
} accepted[] = {
#define TOKEN(command, n) (UINT64_C(1) << 63 | (uint64_t)(command) << 32 | (n))
    {"/api/v1/scale", "{\"workers\": 3}", 1, {TOKEN(COMMAND_SCALE_WORKERS, 3), 0}},
    {"/api/v1/scale", "{\"servers\":1024}", 1, {TOKEN(COMMAND_SCALE_SERVERS, 1024), 0}},
    {"/api/v1/scale",
     "{\"servers\": 2, \"workers\": 1}",
     2,
     {TOKEN(COMMAND_SCALE_WORKERS, 1), TOKEN(COMMAND_SCALE_SERVERS, 2)}},
    {"/api/v1/drain", "{\"id\": \"worker-12\"}", 1, {TOKEN(COMMAND_DRAIN, 12), 0}},
    {"/api/v1/checkpoint", "", 1, {TOKEN(COMMAND_CHECKPOINT, 0), 0}},
    {"/api/v1/checkpoint", "{}", 1, {TOKEN(COMMAND_CHECKPOINT, 0), 0}},
};

START_TEST(a_command_becomes_tokens)
{
    scheduler_post p = scheduler_post_parse(accepted[_i].path, accepted[_i].body);
    ck_assert_msg(p.status == 202, "%s", p.answer);
    ck_assert_uint_eq(p.tokens, accepted[_i].n);
    for (uint32_t i = 0; i < p.tokens; i++) ck_assert(p.token[i] == accepted[_i].token[i]);
}
END_TEST

static const struct {
    const char *path, *body;
    unsigned status;
    const char *says;
} refused[] = {
    {"/api/v1/scale", "", 400, "neither \"workers\" nor \"servers\""},
    {"/api/v1/scale", "{", 400, "not a JSON object: "},
    {"/api/v1/scale", "{} x", 400, "not a JSON object: "},
    {"/api/v1/scale", "[3]", 400, "not a JSON object"},
    {"/api/v1/scale", "{\"workers\": 0}", 400, "\"workers\" is not a whole number from 1 to 1024"},
    {"/api/v1/scale", "{\"workers\": -1}", 400, "\"workers\""},
    {"/api/v1/scale", "{\"workers\": 1025}", 400, "\"workers\""},
    {"/api/v1/scale", "{\"workers\": 4294967297}", 400, "\"workers\""},
    {"/api/v1/scale", "{\"workers\": 2.0}", 400, "\"workers\""},
    {"/api/v1/scale", "{\"workers\": \"2\"}", 400, "\"workers\""},
    {"/api/v1/scale", "{\"workers\": 2, \"servers\": null}", 400, "\"servers\""},
    {"/api/v1/scale", "{\"workers\": 2, \"workers\": 3}", 400, "duplicate"},
    {"/api/v1/scale", "{\"workers\": 2, \"samplers\": 3}", 400, "unknown key \"samplers\""},
    {"/api/v1/drain", "{}", 400, "\"id\" is not that of a worker"},
    {"/api/v1/drain", "{\"id\": 2}", 400, "\"id\""},
    {"/api/v1/drain", "{\"id\": \"ps-0\"}", 400, "\"id\""},
    {"/api/v1/drain", "{\"id\": \"worker-\"}", 400, "\"id\""},
    {"/api/v1/drain", "{\"id\": \"worker-02\"}", 400, "\"id\""},
    {"/api/v1/drain", "{\"id\": \"worker-2 \"}", 400, "\"id\""},
    {"/api/v1/drain", "{\"id\": \"worker-1024\"}", 400, "\"id\""},
    {"/api/v1/drain", "{\"id\": \"worker-18446744073709551618\"}", 400, "\"id\""},
    {"/api/v1/checkpoint", "{\"now\": true}", 400, "unknown key \"now\""},
    {"/api/v1/other", "{}", 404, "nothing to post here"},
};

START_TEST(anything_else_is_refused_with_the_reason)
{
    scheduler_post p = scheduler_post_parse(refused[_i].path, refused[_i].body);
    ck_assert_uint_eq(p.status, refused[_i].status);
    ck_assert_uint_eq(p.tokens, 0);
    ck_assert_msg(strstr(p.answer, refused[_i].says) != NULL, "%s", p.answer);
    ck_assert_int_eq(p.answer[strlen(p.answer) - 1], '\n');
}
END_TEST

/* ---- What the core does ---- */

static scheduler *s;
static core_actions out;
static uint64_t now_us, tags;

static void step(core_event *e)
{
    core_actions_reset(&out);
    e->now_us = now_us;
    scheduler_step(s, e, &out);
    for (size_t i = 0; i < out.n; i++) {
        if (out.items[i].type != CORE_PERSIST) continue;
        core_event result = {.type = CORE_RESULT};
        result.result.token = out.items[i].persist.token;
        step(&result);
        return;
    }
}

static void command(scheduler_command what, uint32_t n)
{
    core_event e = {.type = CORE_RESULT};
    e.result.token = scheduler_command_token(what, n);
    step(&e);
}

static void deliver(wire_header *h, blob *body)
{
    core_event e = {.type = CORE_MESSAGE};
    h->body_bytes = blob_size(body);
    e.message.route = 1;
    e.message.header = h;
    e.message.body = body;
    step(&e);
    blob_unref(body);
}

static wire_header from(wire_role role, uint32_t index, wire_op op)
{
    wire_header h = wire_request(op);
    h.role = (uint8_t)role;
    h.index = index;
    h.incarnation = role * 100 + index + 1;
    h.tag = ++tags;
    h.term = 1;
    h.generation = 1;
    return h;
}

static void hello(wire_role role, uint32_t index)
{
    Weft__Hello x = WEFT__HELLO__INIT;
    Weft__ServerState state = WEFT__SERVER_STATE__INIT;
    x.version = 1;
    x.plan_hash = SIM_PLAN_HASH;
    x.numerics = (char *)(uintptr_t) "right";
    if (role == WIRE_SERVER) x.server = &state;
    wire_header h = from(role, index, WIRE_HELLO);
    deliver(&h, proto_pack(&x.base));
}

/* Asks for work as worker `index`; what the answer grants, or -1 without one.  *leave: is to go. */
static int work(uint32_t index, uint32_t sequence, bool leaving, bool *leave)
{
    Weft__Work x = WEFT__WORK__INIT;
    x.version = 1;
    x.sequence = sequence;
    x.wanted = leaving ? 0 : 2;
    x.leaving = leaving;
    wire_header h = from(WIRE_WORKER, index, WIRE_WORK);
    h.budget_ms = leaving ? 0 : 1000;
    deliver(&h, proto_pack(&x.base));
    for (size_t i = 0; i < out.n; i++) {
        const core_action *a = &out.items[i];
        if (a->type != CORE_SEND || a->send.header.op != WIRE_WORK) continue;
        Weft__Grants *g =
            weft__grants__unpack(NULL, blob_size(a->send.body), blob_data(a->send.body));
        int granted = (int)g->n_grant;
        *leave = g->leave;
        weft__grants__free_unpacked(g, NULL);
        return granted;
    }
    return -1;
}

/* A job that runs, with one server, one sampler and the workers 0, 1 and 70. */
static void set_up(void)
{
    scheduler_config c = {.incarnation = 1,
                          .job = "j",
                          .servers = 1,
                          .samplers = 1,
                          .workers = 2,
                          .virtual_shards = 8,
                          .numerics = "right"};
    core_event e = {.type = CORE_START};
    core_actions_init(&out);
    now_us = 1000000;
    ck_assert_int_eq(scheduler_new(&c, sim_plan(), SIM_PLAN_HASH, NULL, &s), ERR_OK);
    step(&e);
    hello(WIRE_SAMPLER, 0);
    hello(WIRE_WORKER, 0);
    hello(WIRE_WORKER, 1);
    hello(WIRE_WORKER, 70);
    hello(WIRE_SERVER, 0);
    for (size_t i = 0; i < out.n; i++) {
        if (out.items[i].type != CORE_SEND || out.items[i].send.header.op != WIRE_STAGE) continue;
        wire_header h = wire_answer(&out.items[i].send.header, WIRE_OK);
        h.role = WIRE_SERVER;
        h.incarnation = WIRE_SERVER * 100 + 1;
        deliver(&h, NULL);
        return;
    }
    ck_abort_msg("no STAGE was ordered");
}

static void tear_down(void)
{
    scheduler_free(s);
    core_actions_fini(&out);
}

static void expect_wanted(uint32_t workers, uint32_t servers)
{
    scheduler_status st;
    scheduler_status_get(s, now_us, &st);
    ck_assert_uint_eq(st.workers_wanted, workers);
    ck_assert_uint_eq(st.servers_wanted, servers);
    scheduler_status_fini(&st);
}

START_TEST(wanted_is_what_was_configured_until_it_is_changed)
{
    expect_wanted(2, 1);
    command(COMMAND_SCALE_WORKERS, 5);
    expect_wanted(5, 1);
    command(COMMAND_SCALE_SERVERS, 3);
    expect_wanted(5, 3);
}
END_TEST

START_TEST(a_drained_worker_gets_nothing_more_and_is_told_to_leave)
{
    bool leave = false;
    command(COMMAND_DRAIN, 0);
    expect_wanted(1, 1);
    ck_assert_int_eq(work(0, 1, false, &leave), 0);
    ck_assert(leave);
    ck_assert_int_eq(work(0, 2, true, &leave), 0); /* It has heard. */
    ck_assert(!leave);
    ck_assert_int_gt(work(1, 1, false, &leave), 0);
    ck_assert(!leave);
}
END_TEST

START_TEST(a_drained_worker_is_shown_and_counted_once)
{
    scheduler_status st;
    command(COMMAND_DRAIN, 1);
    command(COMMAND_DRAIN, 1);
    expect_wanted(1, 1);
    scheduler_status_get(s, now_us, &st);
    for (uint32_t i = 0; i < st.workers; i++)
        ck_assert(st.worker[i].draining == (st.worker[i].peer.index == 1));
    scheduler_status_fini(&st);
}
END_TEST

/* It was never counted: nobody starts it on this machine. */
START_TEST(a_drained_worker_that_joined_by_itself_changes_no_number)
{
    bool leave = false;
    command(COMMAND_DRAIN, 70);
    expect_wanted(2, 1);
    ck_assert_int_eq(work(70, 1, false, &leave), 0);
    ck_assert(leave);
}
END_TEST

START_TEST(draining_nobody_is_noted)
{
    scheduler_status st;
    command(COMMAND_DRAIN, 7);
    expect_wanted(2, 1);
    scheduler_status_get(s, now_us, &st);
    ck_assert_str_eq(st.event[st.events_n - 1].why, "there is no such worker");
    scheduler_status_fini(&st);
}
END_TEST

#define COUNT(array) (int)(sizeof array / sizeof *array)

int main(void)
{
    Suite *suite = suite_create("scheduler_commands");
    TCase *post = tcase_create("post"), *core = tcase_create("core");
    tcase_add_loop_test(post, a_command_becomes_tokens, 0, COUNT(accepted));
    tcase_add_loop_test(post, anything_else_is_refused_with_the_reason, 0, COUNT(refused));
    suite_add_tcase(suite, post);
    tcase_add_checked_fixture(core, set_up, tear_down);
    tcase_add_test(core, wanted_is_what_was_configured_until_it_is_changed);
    tcase_add_test(core, a_drained_worker_gets_nothing_more_and_is_told_to_leave);
    tcase_add_test(core, a_drained_worker_is_shown_and_counted_once);
    tcase_add_test(core, a_drained_worker_that_joined_by_itself_changes_no_number);
    tcase_add_test(core, draining_nobody_is_noted);
    suite_add_tcase(suite, core);
    SRunner *r = srunner_create(suite);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
