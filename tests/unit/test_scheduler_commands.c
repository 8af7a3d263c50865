/* Proves: what is posted to a job is checked strictly and says why it is refused; a command that
 * reaches the core changes what is wanted; a worker that is drained gets no more slots. */
#include "ps/scheduler_commands.h"

#include "testing_scheduler.h"

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
    {"/api/v1/stop", "", 1, {TOKEN(COMMAND_STOP, 0), 0}},
};

START_TEST(a_command_becomes_tokens)
{
    scheduler_post p = scheduler_post_parse(accepted[_i].path, accepted[_i].body, 1);
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
    {"/api/v1/scale", "{\"servers\": 1}", 400, "checkpoint.copies: 2 needs as many servers, not 1"},
    {"/api/v1/drain", "{}", 400, "\"id\" is not that of a worker"},
    {"/api/v1/drain", "{\"id\": 2}", 400, "\"id\""},
    {"/api/v1/drain", "{\"id\": \"ps-0\"}", 400, "\"id\""},
    {"/api/v1/drain", "{\"id\": \"worker-\"}", 400, "\"id\""},
    {"/api/v1/drain", "{\"id\": \"worker-02\"}", 400, "\"id\""},
    {"/api/v1/drain", "{\"id\": \"worker-2 \"}", 400, "\"id\""},
    {"/api/v1/drain", "{\"id\": \"worker-1024\"}", 400, "\"id\""},
    {"/api/v1/drain", "{\"id\": \"worker-18446744073709551618\"}", 400, "\"id\""},
    {"/api/v1/checkpoint", "{\"now\": true}", 400, "unknown key \"now\""},
    {"/api/v1/stop", "{\"now\": true}", 400, "unknown key \"now\""},
    {"/api/v1/other", "{}", 404, "nothing to post here"},
};

START_TEST(anything_else_is_refused_with_the_reason)
{
    scheduler_post p = scheduler_post_parse(refused[_i].path, refused[_i].body, 2);
    ck_assert_uint_eq(p.status, refused[_i].status);
    ck_assert_uint_eq(p.tokens, 0);
    ck_assert_msg(strstr(p.answer, refused[_i].says) != NULL, "%s", p.answer);
    ck_assert_int_eq(p.answer[strlen(p.answer) - 1], '\n');
}
END_TEST

/* ---- What the core does ---- */

static testing_scheduler t;

/* A job that runs, with one server, one sampler and the workers 0, 1 and 70. */
static void set_up(void)
{
    testing_scheduler_start(&t, 0);
    testing_scheduler_hello(&t, WIRE_SAMPLER, 0);
    testing_scheduler_hello(&t, WIRE_WORKER, 0);
    testing_scheduler_hello(&t, WIRE_WORKER, 1);
    testing_scheduler_hello(&t, WIRE_WORKER, 70);
    testing_scheduler_hello(&t, WIRE_SERVER, 0);
    testing_scheduler_staged(&t);
}

static void tear_down(void)
{
    testing_scheduler_fini(&t);
}

static void command(scheduler_command what, uint32_t n)
{
    testing_scheduler_command(&t, what, n);
}

static int work(uint32_t index, uint32_t sequence, bool leaving, bool *leave)
{
    testing_work w = {.sequence = sequence, .leaving = leaving};
    return testing_scheduler_work(&t, index, w, leave);
}

static void expect_wanted(uint32_t workers, uint32_t servers)
{
    scheduler_status st;
    scheduler_status_get(t.core, t.now_us, &st);
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
    scheduler_status_get(t.core, t.now_us, &st);
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
    scheduler_status_get(t.core, t.now_us, &st);
    ck_assert_str_eq(st.event[st.events_n - 1].why, "there is no such worker");
    scheduler_status_fini(&st);
}
END_TEST

/* The worker's row of the status; NULL: it has none. */
static const status_peer *row_of(const scheduler_status *st, uint32_t index)
{
    for (uint32_t i = 0; i < st->workers; i++) {
        if (st->worker[i].peer.index == index) return &st->worker[i];
    }
    return NULL;
}

/* Says HELLO for everybody but worker 0, and lets time pass: ten minutes at most. */
static void pass(uint32_t seconds)
{
    for (uint32_t i = 0; i < seconds; i++) {
        testing_scheduler_hello(&t, WIRE_SAMPLER, 0);
        testing_scheduler_hello(&t, WIRE_SERVER, 0);
        testing_scheduler_hello(&t, WIRE_WORKER, 1);
        testing_scheduler_timer(&t, 1000000);
    }
}

static void expect_left(const char *why)
{
    scheduler_status st;
    scheduler_status_get(t.core, t.now_us, &st);
    ck_assert_ptr_null(row_of(&st, 0));
    ck_assert_uint_eq(st.workers_here, 1);
    uint32_t leaves = 0;
    for (uint32_t i = 0; i < st.events_n; i++) {
        if (st.event[i].who.role != WIRE_WORKER || st.event[i].who.index) continue;
        ck_assert_str_ne(st.event[i].event, "death");
        if (strcmp(st.event[i].event, "leave") != 0) continue;
        leaves++;
        ck_assert_str_eq(st.event[i].why, why);
    }
    ck_assert_uint_eq(leaves, 1);
    scheduler_status_fini(&st);
}

START_TEST(who_was_drained_has_left_and_is_not_lost)
{
    command(COMMAND_DRAIN, 0);
    work(0, 1, false, NULL);
    ck_assert_int_eq(work(0, 2, true, NULL), 0); /* Answered: it may go. */
    ck_assert_int_eq(work(0, 2, true, NULL), 0); /* The answer was lost. */
    testing_scheduler_hello(&t, WIRE_WORKER, 0);
    pass(10);
    expect_left("drained");
}
END_TEST

START_TEST(who_was_told_to_stop_has_left_and_is_not_lost)
{
    ck_assert_int_gt(work(0, 1, false, NULL), 0);
    ck_assert_int_eq(work(0, 2, true, NULL), 0);
    pass(10);
    expect_left("told to stop");
    ck_assert_int_gt(work(1, 1, false, NULL), 0);
}
END_TEST

START_TEST(who_went_silent_is_lost_until_it_is_no_news)
{
    scheduler_status st;
    pass(10);
    scheduler_status_get(t.core, t.now_us, &st);
    ck_assert_ptr_nonnull(row_of(&st, 0));
    ck_assert_int_eq(row_of(&st, 0)->state, PEER_LOST);
    scheduler_status_fini(&st);
    pass(600);
    scheduler_status_get(t.core, t.now_us, &st);
    ck_assert_ptr_null(row_of(&st, 0));
    scheduler_status_fini(&st);
}
END_TEST

START_TEST(a_stop_is_no_failure_and_says_who_asked)
{
    scheduler_status st;
    command(COMMAND_STOP, 0);
    scheduler_status_get(t.core, t.now_us, &st);
    ck_assert_int_eq(st.state, JOB_STOPPING);
    ck_assert_str_eq(st.stopped_by, "weft stop");
    ck_assert_str_eq(st.failure, "");
    ck_assert_str_eq(st.event[st.events_n - 1].event, "stop");
    ck_assert_str_eq(st.event[st.events_n - 1].why, "weft stop");
    scheduler_status_fini(&st);
    command(COMMAND_STOP, 0); /* Asked again: nothing more. */
    for (int i = 0; i < 20 && t.exit_code < 0; i++) testing_scheduler_timer(&t, 250000);
    ck_assert_int_eq(t.exit_code, 0);
    ck_assert_str_eq(t.exit_why, "stopped by weft stop");
}
END_TEST

/* ---- A scheduler in a new life ---- */

static void restart(void)
{
    testing_scheduler_restart(&t);
    testing_scheduler_hello(&t, WIRE_WORKER, 0);
    testing_scheduler_hello(&t, WIRE_WORKER, 1);
}

START_TEST(what_is_wanted_is_durable)
{
    command(COMMAND_SCALE_WORKERS, 5);
    command(COMMAND_SCALE_SERVERS, 3);
    restart();
    expect_wanted(5, 3);
}
END_TEST

/* Who edits the file means it, whatever was commanded before. */
START_TEST(another_number_in_the_configuration_wins)
{
    command(COMMAND_SCALE_WORKERS, 5);
    t.config.workers = 3;
    restart();
    expect_wanted(3, 1);
}
END_TEST

START_TEST(who_was_to_leave_still_is)
{
    bool leave = false;
    command(COMMAND_DRAIN, 0);
    restart();
    expect_wanted(1, 1);
    work(0, 1, false, &leave);
    ck_assert(leave);
    leave = false;
    work(1, 1, false, &leave);
    ck_assert(!leave);
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
    tcase_add_test(core, who_was_drained_has_left_and_is_not_lost);
    tcase_add_test(core, who_was_told_to_stop_has_left_and_is_not_lost);
    tcase_add_test(core, who_went_silent_is_lost_until_it_is_no_news);
    tcase_add_test(core, a_stop_is_no_failure_and_says_who_asked);
    tcase_add_test(core, what_is_wanted_is_durable);
    tcase_add_test(core, another_number_in_the_configuration_wins);
    tcase_add_test(core, who_was_to_leave_still_is);
    suite_add_tcase(suite, core);
    SRunner *r = srunner_create(suite);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
