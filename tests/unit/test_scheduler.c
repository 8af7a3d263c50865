/* Proves what the simulation cannot easily reach: who is refused and why, the limits that stop a
 * job, and that the status says what is waited for. */
#include "common/proto_alloc.h"
#include "proto/weft.pb-c.h"
#include "ps/scheduler.h"
#include "ps/scheduler_commands.h"
#include "sim/sim_model.h"

#include <check.h>
#include <string.h>

static scheduler *s;
static core_actions out;
static uint64_t now_us, tags;
static uint8_t durable[8192];
static size_t durable_bytes;
static int exit_code;
static uint32_t key_role;         /* of who sends */
static uint32_t their_generation; /* that they are in */
static uint32_t their_term;       /* that they have heard of */
static char exit_why[CORE_TEXT_MAX], refused[CORE_TEXT_MAX];

static void step(core_event *e);

static void take(const core_action *a)
{
    if (a->type == CORE_EXIT) {
        exit_code = a->exit.code;
        memcpy(exit_why, a->exit.why, sizeof exit_why);
    }
    if (a->type != CORE_SEND || a->send.header.status != WIRE_REFUSED) return;
    memcpy(refused, blob_data(a->send.body), blob_size(a->send.body));
    refused[blob_size(a->send.body)] = 0;
}

/* Steps, and makes durable what is to be. */
static void step(core_event *e)
{
    uint64_t persisted = 0;
    core_actions_reset(&out);
    e->now_us = now_us;
    scheduler_step(s, e, &out);
    for (size_t i = 0; i < out.n; i++) {
        take(&out.items[i]);
        if (out.items[i].type != CORE_PERSIST) continue;
        persisted = out.items[i].persist.token;
        durable_bytes = blob_size(out.items[i].persist.bytes);
        memcpy(durable, blob_data(out.items[i].persist.bytes), durable_bytes);
    }
    if (!persisted) return;
    core_event result = {.type = CORE_RESULT};
    result.result.token = persisted;
    step(&result);
}

static void timer(uint64_t at_us)
{
    core_event e = {.type = CORE_TIMER};
    now_us = at_us;
    step(&e);
}

/* Lets time pass in the scheduler's own steps, while nobody says anything. */
static void pass(uint64_t us)
{
    for (uint64_t end = now_us + us; now_us < end;) timer(now_us + 250000);
}

static void deliver(wire_header *h, blob *body)
{
    core_event e = {.type = CORE_MESSAGE};
    h->body_bytes = blob_size(body);
    e.message.route = 1;
    e.message.header = h;
    e.message.body = body;
    e.message.key_role = key_role;
    step(&e);
    blob_unref(body);
}

static wire_header from(wire_role role, uint32_t index, uint64_t incarnation, wire_op op)
{
    wire_header h = wire_request(op);
    h.role = (uint8_t)role;
    h.index = index;
    h.incarnation = incarnation;
    h.tag = ++tags;
    h.term = their_term;
    h.generation = their_generation;
    return h;
}

typedef struct peer {
    wire_role role;
    uint32_t index;
    uint64_t incarnation, plan_hash;
    const char *numerics;
    uint32_t key_role;
    uint32_t pid, view; /* view: the newest that it has */
    const char *address;
} peer;

static void hello(peer p)
{
    Weft__Hello x = WEFT__HELLO__INIT;
    Weft__ServerState state = WEFT__SERVER_STATE__INIT;
    x.version = 1;
    x.plan_hash = p.plan_hash ? p.plan_hash : SIM_PLAN_HASH;
    x.numerics = (char *)(uintptr_t)(p.numerics ? p.numerics : "right");
    x.pid = p.pid;
    x.view = p.view;
    x.term = 1;
    if (p.address) x.address = (char *)(uintptr_t)p.address;
    if (p.role == WIRE_SERVER) x.server = &state;
    wire_header h = from(p.role, p.index, p.incarnation, WIRE_HELLO);
    *refused = 0;
    key_role = p.key_role;
    deliver(&h, proto_pack(&x.base));
    key_role = WIRE_NONE;
}

static void work(uint32_t index, uint64_t incarnation, uint32_t sequence)
{
    Weft__Work x = WEFT__WORK__INIT;
    x.version = 1;
    x.sequence = sequence;
    x.wanted = 2;
    wire_header h = from(WIRE_WORKER, index, incarnation, WIRE_WORK);
    h.budget_ms = 1000;
    deliver(&h, proto_pack(&x.base));
}

static void done_in(slot_name round, uint32_t version, uint32_t slot, bool is_void)
{
    Weft__Done x = WEFT__DONE__INIT;
    x.version = 1;
    x.examples = is_void ? 0 : 4;
    x.loss = 8;
    x.is_void = is_void;
    wire_header h = from(WIRE_WORKER, 0, 100, WIRE_DONE);
    round.slot = slot;
    wire_set_slot(&h, round);
    h.version = version;
    deliver(&h, proto_pack(&x.base));
}

static void done(uint32_t slot, bool is_void)
{
    done_in((slot_name){STAGE_HGNN, 1, 1, 0}, 0, slot, is_void);
}

static scheduler_config config(void)
{
    return (scheduler_config){.incarnation = 1,
                              .job = "j",
                              .servers = 1,
                              .samplers = 1,
                              .virtual_shards = 8,
                              .numerics = "right",
                              .numerics_strict = true,
                              .max_void_slots = 1};
}

static void start(const scheduler_config *c)
{
    core_event e = {.type = CORE_START};
    err_code rc = scheduler_new(c, sim_plan(), SIM_PLAN_HASH, NULL, &s);
    ck_assert_int_eq(rc, ERR_OK);
    step(&e);
}

static void restart(const scheduler_config *c)
{
    scheduler_free(s);
    start(c);
}

static void set_up(void)
{
    scheduler_config c = config();
    core_actions_init(&out);
    now_us = 1000000;
    exit_code = -1;
    their_generation = their_term = 1;
    start(&c);
}

static void tear_down(void)
{
    scheduler_free(s);
    core_actions_fini(&out);
}

/* The server's life `incarnation` answers the STAGE it was sent; returns whom that was for. */
static uint64_t answer_stage(uint64_t incarnation, wire_status status)
{
    for (size_t i = 0; i < out.n; i++) {
        if (out.items[i].type != CORE_SEND || out.items[i].send.header.op != WIRE_STAGE) continue;
        uint64_t target = out.items[i].send.header.target;
        wire_header h = wire_answer(&out.items[i].send.header, status);
        h.role = WIRE_SERVER;
        h.incarnation = incarnation;
        deliver(&h, NULL);
        return target;
    }
    ck_abort_msg("no STAGE was ordered");
    return 0;
}

static void acknowledge_stage(void)
{
    answer_stage(10, WIRE_OK);
}

static void run(void)
{
    hello((peer){.role = WIRE_SAMPLER, .incarnation = 20});
    hello((peer){.role = WIRE_SERVER, .incarnation = 10});
    acknowledge_stage();
    hello((peer){.role = WIRE_WORKER, .incarnation = 100});
    work(0, 100, 1);
}

/* Server 0 was killed, and is started again: the life before is silent by then. */
static void server_again(uint64_t incarnation)
{
    pass(1500000);
    hello((peer){.role = WIRE_SERVER, .incarnation = incarnation});
}

static scheduler_view view(void)
{
    scheduler_view v;
    scheduler_view_get(s, &v);
    return v;
}

START_TEST(another_plan_is_refused_by_its_hash)
{
    hello((peer){.role = WIRE_WORKER, .incarnation = 3, .plan_hash = 0xabc});
    ck_assert_msg(strstr(refused, "0000000000000abc") != NULL, "%s", refused);
}
END_TEST

START_TEST(other_numerics_are_refused_naming_both)
{
    hello((peer){.role = WIRE_WORKER, .incarnation = 3, .numerics = "wrong"});
    ck_assert_msg(strstr(refused, "wrong") && strstr(refused, "right"), "%s", refused);
}
END_TEST

START_TEST(other_numerics_are_admitted_with_any_and_the_status_says_so)
{
    scheduler_config c = config();
    scheduler_status st;
    c.numerics_strict = false;
    restart(&c);
    hello((peer){.role = WIRE_WORKER, .incarnation = 3, .numerics = "wrong"});
    ck_assert_str_eq(refused, "");
    scheduler_status_get(s, now_us, &st);
    ck_assert(!st.bits_guaranteed);
    scheduler_status_fini(&st);
}
END_TEST

/* Under a driver a scheduler in a new life has its metrics before it has the plan. */
START_TEST(the_status_of_a_restarted_scheduler_needs_no_plan)
{
    scheduler_config c = config();
    core_metric metric[] = {{.index = 0, .kind = METRIC_VALID, .stage = STAGE_HGNN, .value = 0.5},
                            {.index = 1, .kind = METRIC_STAGE, .stage = STAGE_HGNN}};
    scheduler_durable d = {.metric = metric, .metrics = 2};
    scheduler_status st;
    scheduler_free(s);
    ck_assert_int_eq(scheduler_new(&c, NULL, 0, &d, &s), ERR_OK);
    scheduler_status_get(s, now_us, &st);
    ck_assert_uint_eq(st.results_n, 0);
    scheduler_status_fini(&st);
    ck_assert_int_eq(scheduler_set_plan(s, sim_plan(), SIM_PLAN_HASH, NULL), ERR_OK);
    scheduler_status_get(s, now_us, &st);
    ck_assert_uint_eq(st.results_n, 1);
    ck_assert_str_ne(st.result[0].metric, "");
    scheduler_status_fini(&st);
}
END_TEST

START_TEST(an_index_outside_the_job_is_refused)
{
    hello((peer){.role = WIRE_SERVER, .index = 1, .incarnation = 3});
    ck_assert_msg(strstr(refused, "no ps-1") != NULL, "%s", refused);
}
END_TEST

START_TEST(a_key_of_another_role_is_refused)
{
    hello((peer){.role = WIRE_SERVER, .incarnation = 3, .key_role = WIRE_WORKER});
    ck_assert_msg(strstr(refused, "worker") != NULL, "%s", refused);
}
END_TEST

/* Two workers in one index would displace each other. */
START_TEST(a_worker_without_an_index_gets_a_free_one)
{
    scheduler_config c = config();
    uint32_t first = 0, last = 0;
    c.config = blob_copy("c", 1);
    restart(&c);
    for (uint32_t i = 0; i < 2000; i++) {
        wire_header h = from(WIRE_WORKER, (uint32_t)WIRE_ANY_INDEX, 5, WIRE_CONFIG);
        deliver(&h, NULL);
        ck_assert_uint_eq(out.items[0].send.header.op, WIRE_CONFIG);
        last = out.items[0].send.header.part;
        ck_assert(last >= WIRE_FREE_INDEX_FIRST && last < SCHEDULER_PEERS_MAX);
        if (i) ck_assert_uint_ne(last, first);
        if (i) continue;
        first = last;
        hello((peer){.role = WIRE_WORKER, .index = first, .incarnation = 100});
    }
    blob_unref((blob *)(uintptr_t)c.config);
}
END_TEST

START_TEST(a_generation_is_durable_before_its_stage_is_ordered)
{
    uint32_t generation;
    hello((peer){.role = WIRE_SAMPLER, .incarnation = 20});
    hello((peer){.role = WIRE_SERVER, .incarnation = 10});
    memcpy(&generation, durable + 8, sizeof generation);
    ck_assert_uint_eq(generation, 1);
    acknowledge_stage();
    ck_assert(view().running);
}
END_TEST

START_TEST(no_slot_is_leased_before_the_servers_have_their_tables)
{
    hello((peer){.role = WIRE_WORKER, .incarnation = 100});
    work(0, 100, 1);
    hello((peer){.role = WIRE_SAMPLER, .incarnation = 20});
    hello((peer){.role = WIRE_SERVER, .incarnation = 10});
    ck_assert_uint_eq(view().leases, 0);
    acknowledge_stage();
    ck_assert_uint_gt(view().leases, 0);
}
END_TEST

START_TEST(leases_ahead_do_not_count_against_the_open_step)
{
    run();
    ck_assert_uint_eq(view().leases, 4); /* two wanted, and as many ahead */
}
END_TEST

START_TEST(slots_are_shared_between_workers)
{
    hello((peer){.role = WIRE_SAMPLER, .incarnation = 20});
    hello((peer){.role = WIRE_WORKER, .index = 0, .incarnation = 100});
    hello((peer){.role = WIRE_WORKER, .index = 1, .incarnation = 101});
    hello((peer){.role = WIRE_WORKER, .index = 2, .incarnation = 102});
    work(0, 100, 1);
    work(1, 101, 1);
    work(2, 102, 1);
    hello((peer){.role = WIRE_SERVER, .incarnation = 10});
    acknowledge_stage();
    ck_assert_uint_eq(view().leases, 6); /* one of three slots each, of this step and the next */
}
END_TEST

START_TEST(a_slot_is_done_once)
{
    run();
    done(0, false);
    done(0, false);
    ck_assert_uint_eq(view().done, 1);
}
END_TEST

START_TEST(what_is_not_listed_any_more_is_free)
{
    run();
    uint32_t before = view().leases;
    hello((peer){.role = WIRE_WORKER, .index = 0, .incarnation = 100});
    Weft__Work x = WEFT__WORK__INIT;
    x.version = 1;
    x.sequence = 2; /* lists nothing and wants nothing */
    wire_header h = from(WIRE_WORKER, 0, 100, WIRE_WORK);
    deliver(&h, proto_pack(&x.base));
    ck_assert_uint_gt(before, 0);
    ck_assert_uint_eq(view().leases, 0);
}
END_TEST

START_TEST(a_repeated_work_is_answered_with_the_same_leases)
{
    run();
    uint32_t before = view().leases;
    work(0, 100, 1);
    ck_assert_uint_eq(view().leases, before);
    bool granted = false;
    for (size_t i = 0; i < out.n; i++) {
        if (out.items[i].type != CORE_SEND || out.items[i].send.header.op != WIRE_WORK) continue;
        Weft__Grants *g = weft__grants__unpack(NULL, blob_size(out.items[i].send.body),
                                               blob_data(out.items[i].send.body));
        granted = g->n_grant == before;
        weft__grants__free_unpacked(g, NULL);
    }
    ck_assert(granted);
}
END_TEST

START_TEST(void_slots_in_a_row_stop_the_job_and_name_the_slot)
{
    run();
    done(0, true);
    done(1, true);
    done(2, false);
    pass(4000000);
    ck_assert_int_eq(exit_code, 1);
    ck_assert_msg(strstr(exit_why, "hgnn/1/1/1") != NULL, "%s", exit_why);
}
END_TEST

/* Every slot of the open round is done, and the server commits it. */
static void commit_round(void)
{
    scheduler_view v = view();
    slot_name round = {v.round.stage, v.round.epoch, v.round.step, 0};
    for (uint32_t j = 0; j < v.round.slots; j++) done_in(round, v.version, j, false);
    for (size_t i = 0; i < out.n; i++) {
        if (out.items[i].type != CORE_SEND || out.items[i].send.header.op != WIRE_COMMIT) continue;
        wire_header h = wire_answer(&out.items[i].send.header, WIRE_OK);
        h.role = WIRE_SERVER;
        h.incarnation = 10;
        h.version = v.version + 1;
        deliver(&h, NULL);
        return;
    }
    ck_abort_msg("no COMMIT was ordered");
}

START_TEST(rows_that_are_not_finite_stop_the_job_and_name_the_slot)
{
    run();
    while (view().round.kind == ROUND_TRAIN) commit_round();
    ck_assert_int_eq(view().round.kind, ROUND_PUT); /* of a validation */
    scheduler_view v = view();
    slot_name round = {v.round.stage, v.round.epoch, v.round.step, 0};
    done_in(round, v.version, 0, false);
    done_in(round, v.version, 1, true);
    pass(4000000);
    ck_assert_int_eq(exit_code, 1);
    ck_assert_msg(strstr(exit_why, "hgnn_valid/2/1/1") != NULL, "%s", exit_why);
}
END_TEST

START_TEST(three_dead_holders_stop_the_job_and_name_the_slot)
{
    run();
    for (uint64_t life = 101; life < 104; life++) {
        hello((peer){.role = WIRE_WORKER, .incarnation = life});
        work(0, life, 1);
    }
    pass(4000000);
    ck_assert_int_eq(exit_code, 1);
    ck_assert_msg(strstr(exit_why, "hgnn/1/1/") != NULL, "%s", exit_why);
}
END_TEST

/* The orders of this op that the last step sent. */
static uint32_t ordered(wire_op op, wire_header *last)
{
    uint32_t n = 0;
    for (size_t i = 0; i < out.n; i++) {
        if (out.items[i].type != CORE_SEND || out.items[i].send.header.op != op) continue;
        *last = out.items[i].send.header;
        n++;
    }
    return n;
}

/* The server says how far it is with the rollback to generation 2. */
static void rolling_hello(bool loading, bool failed)
{
    Weft__Hello x = WEFT__HELLO__INIT;
    Weft__ServerState state = WEFT__SERVER_STATE__INIT;
    char numerics[] = "right", why[] = "a part is damaged";
    x.version = 1;
    x.plan_hash = SIM_PLAN_HASH;
    x.numerics = numerics;
    x.server = &state;
    state.generation = 2;
    state.loading = loading;
    state.load_failed = failed;
    state.load_why = why;
    wire_header h = from(WIRE_SERVER, 0, 11, WIRE_HELLO);
    deliver(&h, proto_pack(&x.base));
}

/* The server has written the snapshot; `copy`: and its copy of part 3, with this hash. */
static void saved_hello(uint64_t copy)
{
    Weft__Hello x = WEFT__HELLO__INIT;
    Weft__ServerState state = WEFT__SERVER_STATE__INIT;
    Weft__Saved saved = WEFT__SAVED__INIT;
    Weft__SnapshotName name = WEFT__SNAPSHOT_NAME__INIT;
    Weft__SavedPart part[2] = {WEFT__SAVED_PART__INIT, WEFT__SAVED_PART__INIT};
    Weft__SavedPart *parts[2] = {&part[0], &part[1]};
    char numerics[] = "right";
    x.version = 1;
    x.plan_hash = SIM_PLAN_HASH;
    x.numerics = numerics;
    x.server = &state;
    state.generation = name.generation = 1;
    state.stage = name.stage = STAGE_HGNN;
    state.version = name.version = 1;
    state.saved = &saved;
    saved.name = &name;
    saved.done = true;
    part[0].shard = part[1].shard = 3;
    part[0].bytes = part[1].bytes = 100;
    part[0].hash = 7;
    part[1].hash = copy;
    saved.part = &parts[0];
    saved.copy = &parts[1];
    saved.n_part = 1;
    saved.n_copy = saved.copied = copy != 0;
    wire_header h = from(WIRE_SERVER, 0, 10, WIRE_HELLO);
    deliver(&h, proto_pack(&x.base));
}

/* Which attempt the SNAPSHOT is that comes within ten seconds. */
static uint32_t next_attempt(void)
{
    wire_header h;
    for (uint32_t i = 0; i < 40 && !ordered(WIRE_SNAPSHOT, &h); i++) pass(250000);
    for (size_t i = 0; i < out.n; i++) {
        const core_action *a = &out.items[i];
        if (a->type != CORE_SEND || a->send.header.op != WIRE_SNAPSHOT) continue;
        Weft__Snapshot *x =
            weft__snapshot__unpack(NULL, blob_size(a->send.body), blob_data(a->send.body));
        uint32_t n = x->attempt;
        weft__snapshot__free_unpacked(x, NULL);
        return n;
    }
    ck_abort_msg("no SNAPSHOT");
    return 0;
}

START_TEST(with_two_copies_a_checkpoint_counts_when_both_are_there_and_the_same)
{
    scheduler_config c = config();
    c.copies = 2;
    restart(&c);
    run();
    commit_round();
    scheduler_want_checkpoint(s);
    ck_assert_uint_eq(next_attempt(), 1);
    saved_hello(0);
    ck_assert_uint_eq(view().records, 0);
    saved_hello(8); /* of something else */
    ck_assert_uint_eq(view().records, 0);
    scheduler_status st;
    scheduler_status_get(s, now_us, &st);
    ck_assert_uint_eq(st.checkpoint.failed, 1);
    scheduler_status_fini(&st);
    scheduler_want_checkpoint(s);
    ck_assert_uint_eq(next_attempt(), 2);
    saved_hello(7);
    ck_assert_uint_eq(view().records, 1);
}
END_TEST

START_TEST(with_two_copies_a_generation_is_above_what_an_earlier_run_has_left)
{
    for (uint32_t copies = 1; copies <= 2; copies++) {
        Weft__Hello x = WEFT__HELLO__INIT;
        Weft__ServerState state = WEFT__SERVER_STATE__INIT;
        char numerics[] = "right";
        wire_header order;
        scheduler_config c = config();
        c.copies = copies;
        restart(&c);
        x.version = 1;
        x.plan_hash = SIM_PLAN_HASH;
        x.numerics = numerics;
        x.server = &state;
        state.found_generation = 7;
        hello((peer){.role = WIRE_SAMPLER, .incarnation = 20});
        wire_header h = from(WIRE_SERVER, 0, 10, WIRE_HELLO);
        deliver(&h, proto_pack(&x.base));
        ck_assert_uint_eq(ordered(WIRE_STAGE, &order), 1);
        ck_assert_uint_eq(order.generation, copies == 2 ? 8 : 1);
    }
}
END_TEST

START_TEST(servers_are_told_what_is_pinned)
{
    part_id pinned = {.stage = STAGE_EMBED, .generation = 3, .version = 4, .final = true};
    run();
    commit_round();
    scheduler_set_pinned(s, &pinned, 1);
    scheduler_want_checkpoint(s);
    core_event e = {.type = CORE_TIMER};
    step(&e);
    for (size_t i = 0; i < out.n; i++) {
        const core_action *a = &out.items[i];
        if (a->type != CORE_SEND || a->send.header.op != WIRE_SNAPSHOT) continue;
        Weft__Snapshot *order =
            weft__snapshot__unpack(NULL, blob_size(a->send.body), blob_data(a->send.body));
        ck_assert_uint_eq(order->n_keep, 1);
        ck_assert_uint_eq(order->keep[0]->stage, STAGE_EMBED);
        ck_assert_uint_eq(order->keep[0]->generation, 3);
        ck_assert_uint_eq(order->keep[0]->version, 4);
        ck_assert(order->keep[0]->final);
        weft__snapshot__free_unpacked(order, NULL);
        return;
    }
    ck_abort_msg("no SNAPSHOT was ordered");
}
END_TEST

START_TEST(with_two_copies_there_are_never_fewer_servers)
{
    scheduler_config c = config();
    scheduler_status st;
    c.copies = c.servers = 2;
    restart(&c);
    scheduler_want_servers(s, 1);
    scheduler_status_get(s, now_us, &st);
    ck_assert_uint_eq(st.servers_wanted, 2);
    scheduler_status_fini(&st);
}
END_TEST

START_TEST(a_server_that_comes_back_empty_sends_the_job_back_under_a_new_generation)
{
    wire_header order;
    scheduler_status st;
    run();
    commit_round();
    server_again(11);
    ck_assert(view().rolling);
    ck_assert_uint_eq(ordered(WIRE_ROLLBACK, &order), 1);
    ck_assert_uint_eq(order.generation, 2);
    ck_assert_uint_eq(order.target, 11);
    rolling_hello(true, false);
    scheduler_status_get(s, now_us, &st);
    ck_assert_str_eq(job_state_name(st.state), "ROLLING");
    scheduler_status_fini(&st);
    ck_assert(!view().running);
    rolling_hello(false, false);
    ck_assert(view().running);
    ck_assert_uint_eq(view().version, 0); /* there was no checkpoint: from the start */
    ck_assert_uint_eq(view().generation, 2);
}
END_TEST

START_TEST(a_server_that_cannot_start_anew_ends_the_job_and_is_named)
{
    run();
    server_again(11);
    rolling_hello(false, true);
    pass(4000000);
    ck_assert_int_eq(exit_code, 1);
    ck_assert_msg(strstr(exit_why, "ps-0") && strstr(exit_why, "a part is damaged"), "%s",
                  exit_why);
}
END_TEST

START_TEST(rollbacks_without_a_committed_step_between_stop_the_job)
{
    run();
    for (uint64_t life = 11; life < 20 && exit_code < 0; life++) {
        Weft__Hello x = WEFT__HELLO__INIT;
        Weft__ServerState state = WEFT__SERVER_STATE__INIT;
        char numerics[] = "right";
        server_again(life);
        x.version = 1;
        x.plan_hash = SIM_PLAN_HASH;
        x.numerics = numerics;
        x.server = &state;
        state.generation = view().generation;
        wire_header h = from(WIRE_SERVER, 0, life, WIRE_HELLO);
        deliver(&h, proto_pack(&x.base));
        pass(10000);
    }
    pass(4000000);
    ck_assert_int_eq(exit_code, 1);
    ck_assert_msg(strstr(exit_why, "3 rollbacks") != NULL, "%s", exit_why);
}
END_TEST

START_TEST(what_is_waited_for_is_on_the_status)
{
    scheduler_status st;
    hello((peer){.role = WIRE_SAMPLER, .incarnation = 20});
    for (uint32_t i = 1; i <= 31; i++) {
        timer(now_us + 1000000);
        hello((peer){.role = WIRE_SAMPLER, .incarnation = 20});
    }
    scheduler_status_get(s, now_us, &st);
    ck_assert_str_eq(job_state_name(st.state), "STALLED");
    ck_assert(st.is_waiting);
    ck_assert_str_eq(st.waiting_whom, "ps-0");
    ck_assert(st.waiting_since_s >= 30);
    scheduler_status_fini(&st);
}
END_TEST

START_TEST(a_stall_timeout_ends_the_job)
{
    scheduler_config c = config();
    c.stall_timeout_us = 5000000;
    restart(&c);
    hello((peer){.role = WIRE_SAMPLER, .incarnation = 20});
    pass(4000000);
    ck_assert_int_eq(exit_code, -1);
    pass(6000000);
    ck_assert_int_eq(exit_code, 1);
    ck_assert_msg(strstr(exit_why, "ps-0") != NULL, "%s", exit_why);
}
END_TEST

START_TEST(a_silent_server_is_waited_for_and_named)
{
    scheduler_status st;
    run();
    pass(36000000);
    ck_assert_int_eq(exit_code, -1);
    scheduler_status_get(s, now_us, &st);
    ck_assert_str_eq(job_state_name(st.state), "STALLED");
    ck_assert_int_eq(st.server[0].state, PEER_LOST);
    ck_assert_str_eq(st.waiting_whom, "ps-0");
    scheduler_status_fini(&st);
}
END_TEST

/* A stopped scheduler hears nobody: what is in its queue is heard before anybody is judged. */
START_TEST(a_pause_of_the_scheduler_is_nobodys_silence)
{
    scheduler_status st;
    run();
    uint32_t leases = view().leases;
    timer(now_us + 100000000);
    ck_assert_int_eq(exit_code, -1);
    ck_assert_uint_eq(view().leases, leases);
    scheduler_status_get(s, now_us, &st);
    ck_assert_str_eq(job_state_name(st.state), "RUNNING");
    ck_assert_int_ne(st.worker[0].state, PEER_LOST);
    scheduler_status_fini(&st);
    pass(31000000);
    scheduler_status_get(s, now_us, &st);
    ck_assert_int_eq(st.server[0].state, PEER_LOST); /* but the server has stayed silent since */
    scheduler_status_fini(&st);
}
END_TEST

START_TEST(a_server_in_a_new_life_is_staged_again)
{
    hello((peer){.role = WIRE_SAMPLER, .incarnation = 20});
    hello((peer){.role = WIRE_SERVER, .incarnation = 10});
    server_again(11);
    ck_assert_uint_eq(answer_stage(11, WIRE_INCARNATION), 10); /* an order for its past life */
    ck_assert(!view().running);
    ck_assert_uint_eq(answer_stage(11, WIRE_OK), 11);
    ck_assert(view().running);
}
END_TEST

/* ---- A server that is told to stop ---- */

enum { SHARDS = 8 };

/* Server 0 says that it is at version 1 and leaves; saved: and has written its parts. */
static void leaving_hello(bool saved)
{
    Weft__Hello x = WEFT__HELLO__INIT;
    x.term = their_term;
    Weft__ServerState state = WEFT__SERVER_STATE__INIT;
    Weft__Saved report = WEFT__SAVED__INIT;
    Weft__SnapshotName name = WEFT__SNAPSHOT_NAME__INIT;
    char numerics[] = "right";
    name.stage = STAGE_HGNN;
    name.generation = name.version = 1;
    report.name = &name;
    report.done = true;
    state.generation = 1;
    state.stage = STAGE_HGNN;
    state.version = 1;
    state.leaving = true;
    if (saved) state.saved = &report;
    x.version = 1;
    x.plan_hash = SIM_PLAN_HASH;
    x.numerics = numerics;
    x.server = &state;
    wire_header h = from(WIRE_SERVER, 0, 10, WIRE_HELLO);
    deliver(&h, proto_pack(&x.base));
}

static bool may_go(void)
{
    for (size_t i = 0; i < out.n; i++) {
        const core_action *a = &out.items[i];
        if (a->type != CORE_SEND || a->send.header.op != WIRE_HELLO) continue;
        Weft__View *v = weft__view__unpack(NULL, blob_size(a->send.body), blob_data(a->send.body));
        bool stop = v->stop;
        weft__view__free_unpacked(v, NULL);
        return stop;
    }
    ck_abort_msg("no answer to HELLO");
    return false;
}

/* All slots of the open round are DONE; true: its COMMIT is ordered. */
static bool finish_round(void)
{
    wire_header h;
    uint32_t commits = 0;
    scheduler_view v = view();
    slot_name round = {v.round.stage, v.round.epoch, v.round.step, 0};
    for (uint32_t j = 0; j < v.round.slots; j++) {
        done_in(round, v.version, j, false);
        commits += ordered(WIRE_COMMIT, &h);
    }
    return commits > 0;
}

/* It takes its copy, writes it, and the record and its manifest are written. */
static void save(void)
{
    wire_header h;
    ck_assert_uint_eq(ordered(WIRE_SNAPSHOT, &h), 1);
    ck_assert_uint_eq(h.version, 1);
    wire_header answer = wire_answer(&h, WIRE_OK);
    answer.role = WIRE_SERVER;
    answer.incarnation = 10;
    deliver(&answer, NULL);
    leaving_hello(true);
    for (size_t i = 0; i < out.n; i++) {
        if (out.items[i].type != CORE_COMPUTE) continue;
        core_event e = {.type = CORE_RESULT};
        e.result.token = out.items[i].compute.token;
        step(&e);
        return;
    }
    ck_abort_msg("no manifest is to be written");
}

START_TEST(a_server_that_is_told_to_stop_goes_after_a_checkpoint_of_where_we_are)
{
    run();
    commit_round();
    leaving_hello(false);
    ck_assert(!may_go());
    save();
    ck_assert(!finish_round()); /* it would be computed again */
    leaving_hello(true);
    ck_assert(may_go());
    ck_assert(!finish_round());
    hello((peer){.role = WIRE_SERVER, .incarnation = 11}); /* at once: the first has gone */
    ck_assert(view().rolling);
    rolling_hello(false, false);
    ck_assert(view().running);
    ck_assert_uint_eq(view().version, 1);
    their_generation = 2;
    ck_assert(finish_round());
}
END_TEST

START_TEST(a_scheduler_in_a_new_life_lets_no_server_go_before_it_knows_what_there_is)
{
    run();
    commit_round();
    scheduler_config c = config();
    scheduler_durable d = {durable, durable_bytes, NULL, 0};
    scheduler_free(s);
    ck_assert_int_eq(scheduler_new(&c, sim_plan(), SIM_PLAN_HASH, &d, &s), ERR_OK);
    core_event e = {.type = CORE_START};
    step(&e);
    their_term = 2;
    leaving_hello(false);
    ck_assert(!may_go());
    hello((peer){.role = WIRE_SAMPLER, .incarnation = 20}); /* now all are here */
    save();
    leaving_hello(true);
    ck_assert(may_go());
}
END_TEST

START_TEST(a_server_that_is_told_to_stop_before_a_step_goes_at_once)
{
    hello((peer){.role = WIRE_SAMPLER, .incarnation = 20});
    hello((peer){.role = WIRE_SERVER, .incarnation = 10});
    leaving_hello(false);
    leaving_hello(false);
    ck_assert(may_go());
}
END_TEST

/* ---- Two servers of one index ---- */

static const peer first = {
    .role = WIRE_SERVER, .incarnation = 10, .pid = 1, .address = "tcp://a:1"};
static const peer second = {
    .role = WIRE_SERVER, .incarnation = 11, .pid = 2, .address = "tcp://b:2"};

static peer with_view(peer p, uint32_t view)
{
    p.view = view;
    return p;
}

/* The view of the answer in `out`; 0: it is not complete. */
static uint32_t answered_view(void)
{
    for (size_t i = 0; i < out.n; i++) {
        const core_action *a = &out.items[i];
        if (a->type != CORE_SEND || a->send.header.op != WIRE_HELLO) continue;
        Weft__View *v = weft__view__unpack(NULL, blob_size(a->send.body), blob_data(a->send.body));
        uint32_t number = v->complete ? v->view : 0;
        weft__view__free_unpacked(v, NULL);
        return number;
    }
    ck_abort_msg("no answer to HELLO");
    return 0;
}

/* The job runs with the first; the second comes, and is neither admitted nor refused yet. */
static void second_comes(void)
{
    hello((peer){.role = WIRE_SAMPLER, .incarnation = 20});
    hello(first);
    acknowledge_stage();
    pass(250000);
    hello(second);
    ck_assert_str_eq(refused, "");
    ck_assert_uint_eq(answered_view(), 0);
    ck_assert(view().running);
}

START_TEST(a_second_server_is_refused_while_the_first_lives)
{
    second_comes();
    hello(first);
    uint32_t seen = answered_view();
    ck_assert_uint_gt(seen, 0);
    pass(1000000);
    hello(with_view(first, seen)); /* it has heard of us since the second came */
    hello(second);
    ck_assert_str_eq(refused, "ps-0 is here already: process 1 at tcp://a:1; this is process 2 at "
                              "tcp://b:2: end one, or give another --index");
    hello(with_view(first, seen));
    ck_assert_str_eq(refused, "");
    ck_assert(view().running);
}
END_TEST

START_TEST(a_second_server_is_taken_once_the_first_is_silent)
{
    second_comes();
    pass(1000000);
    hello(second);
    ck_assert(view().running);
    pass(500000);
    hello(second);
    ck_assert_str_eq(refused, "");
    ck_assert(view().rolling);
}
END_TEST

START_TEST(an_old_message_of_a_dead_server_refuses_nobody)
{
    second_comes();
    hello(first); /* it was on its way */
    pass(1500000);
    hello(second);
    ck_assert_str_eq(refused, "");
    ck_assert(view().rolling);
}
END_TEST

START_TEST(a_second_server_does_not_wait_for_ever_for_one_that_hears_nothing)
{
    second_comes();
    for (uint32_t i = 0; i < 5; i++) {
        ck_assert(view().running);
        pass(1000000);
        hello(first); /* with the view from before the second came */
        hello(second);
        ck_assert_str_eq(refused, "");
    }
    ck_assert(view().rolling);
}
END_TEST

/* A restarted scheduler that finds every stage done waits for the driver's evaluation. */
START_TEST(a_driver_may_take_its_time)
{
    scheduler_config c = config();
    c.driver = true;
    c.stall_timeout_us = 5000000;
    uint32_t all = sim_plan()->stages;
    hello((peer){.role = WIRE_SAMPLER, .incarnation = 20});
    hello((peer){.role = WIRE_SERVER, .incarnation = 10}); /* durable: generation 1 */
    uint8_t trained[sizeof durable];
    memcpy(trained, durable, durable_bytes);
    memcpy(trained + 12, &all, sizeof all);
    scheduler_durable d = {trained, durable_bytes, NULL, 0};
    scheduler_free(s);
    ck_assert_int_eq(scheduler_new(&c, sim_plan(), SIM_PLAN_HASH, &d, &s), ERR_OK);
    core_event e = {.type = CORE_START};
    step(&e);
    for (int i = 0; i < 20; i++) {
        wire_header h = from(WIRE_SERVER, 0, 10, WIRE_HELLO);
        h.term = 2;
        Weft__Hello x = WEFT__HELLO__INIT;
        char numerics[] = "right";
        x.version = 1;
        x.plan_hash = SIM_PLAN_HASH;
        x.numerics = numerics;
        Weft__ServerState state = WEFT__SERVER_STATE__INIT;
        state.generation = 1;
        x.server = &state;
        deliver(&h, proto_pack(&x.base));
        x.server = NULL;
        h = from(WIRE_SAMPLER, 0, 20, WIRE_HELLO);
        h.term = 2;
        deliver(&h, proto_pack(&x.base));
        pass(1000000);
    }
    ck_assert(view().finished);
    ck_assert_int_eq(exit_code, -1);
}
END_TEST

START_TEST(the_durable_state_of_another_plan_is_a_mismatch)
{
    hello((peer){.role = WIRE_SAMPLER, .incarnation = 20});
    hello((peer){.role = WIRE_SERVER, .incarnation = 10});
    scheduler_config c = config();
    scheduler_durable d = {durable, durable_bytes, NULL, 0};
    scheduler *x;
    ck_assert_int_eq(scheduler_new(&c, sim_plan(), SIM_PLAN_HASH + 1, &d, &x), ERR_MISMATCH);
    d.state_bytes--;
    ck_assert_int_eq(scheduler_new(&c, sim_plan(), SIM_PLAN_HASH, &d, &x), ERR_CORRUPT);
}
END_TEST

START_TEST(results_of_finished_stages_are_on_the_status_of_the_next_life)
{
    const uint32_t stage = sim_plan()->stage[0];
    core_metric m[] = {
        {.index = 0, .kind = METRIC_STEP, .stage = stage, .step = 1},
        {.index = 1, .kind = METRIC_VALID, .stage = stage, .step = 1, .value = 2, .best = true},
        {.index = 2, .kind = METRIC_STEP, .stage = stage, .step = 2},
        {.index = 3, .kind = METRIC_VALID, .stage = stage, .step = 2, .value = 1},
        {.index = 4, .kind = METRIC_STAGE, .stage = stage, .step = 2}};
    scheduler_config c = config();
    scheduler_durable d = {durable, durable_bytes, m, 4};
    for (uint32_t finished = 0; finished < 2; finished++, d.metrics++) {
        scheduler_status st;
        scheduler *x;
        ck_assert_int_eq(scheduler_new(&c, sim_plan(), SIM_PLAN_HASH, &d, &x), ERR_OK);
        scheduler_status_get(x, now_us, &st);
        ck_assert_uint_eq(st.results_n, finished);
        ck_assert_uint_eq(st.result[0].stage, finished ? stage : 0);
        ck_assert_uint_eq(st.result[0].best_step, finished);
        ck_assert_double_eq(st.result[0].best, 2.0 * finished);
        scheduler_status_fini(&st);
        scheduler_free(x);
    }
}
END_TEST

START_TEST(a_signal_tells_everybody_and_ends_with_0)
{
    run();
    core_event e = {.type = CORE_STOP};
    e.signal = 15;
    step(&e);
    bool told = false;
    for (size_t i = 0; i < out.n; i++)
        told = told || (out.items[i].type == CORE_SEND && out.items[i].send.header.op == WIRE_STOP);
    ck_assert(told);
    pass(4000000);
    ck_assert_int_eq(exit_code, 0);
    ck_assert_str_eq(exit_why, "stopped by SIGTERM");
}
END_TEST

/* The state that the answer to PROGRESS says the job has ended in; 0: it runs. */
static uint32_t progress(Weft__Progress *x, char why[CORE_TEXT_MAX])
{
    static proto_alloc arena;
    wire_header h = from(WIRE_DRIVER, 0, 50, WIRE_PROGRESS);
    if (!arena.block) proto_alloc_init(&arena, 65536);
    static char job[] = "j";
    x->version = 1;
    x->attached = true;
    if (!*x->job) x->job = job;
    *refused = 0;
    deliver(&h, proto_pack(&x->base));
    for (size_t i = 0; i < out.n; i++) {
        const core_action *a = &out.items[i];
        if (a->type != CORE_SEND || a->send.header.op != WIRE_PROGRESS) continue;
        if (a->send.header.status != WIRE_OK) return 0;
        if (!blob_size(a->send.body)) return 0;
        const Weft__JobEnd *end =
            proto_unpack(&arena, &weft__job_end__descriptor, a->send.body, WIRE_CONTROL_MAX);
        ck_assert_ptr_nonnull(end);
        strcpy(why, end->why);
        return end->state;
    }
    ck_abort_msg("PROGRESS was not answered");
}

/* Everybody else has had the time to hear of it. */
static void stop_with_driver(void)
{
    char why[CORE_TEXT_MAX] = "";
    Weft__Progress x = WEFT__PROGRESS__INIT;
    run();
    ck_assert_uint_eq(progress(&x, why), 0);
    core_event e = {.type = CORE_RESULT};
    e.result.token = scheduler_command_token(COMMAND_STOP, 0);
    step(&e);
    pass(4000000);
    ck_assert_int_eq(exit_code, -1);
}

START_TEST(a_driver_that_sees_nobody_exit_is_told_of_the_end)
{
    char why[CORE_TEXT_MAX] = "";
    Weft__Progress x = WEFT__PROGRESS__INIT;
    stop_with_driver();
    ck_assert_uint_eq(progress(&x, why), JOB_STOPPING);
    ck_assert_str_eq(why, "weft stop");
    ck_assert_int_eq(exit_code, 0);
}
END_TEST

START_TEST(a_driver_waits_for_a_scheduler_that_got_a_signal)
{
    char why[CORE_TEXT_MAX] = "";
    Weft__Progress x = WEFT__PROGRESS__INIT;
    run();
    ck_assert_uint_eq(progress(&x, why), 0);
    core_event e = {.type = CORE_STOP};
    e.signal = 15;
    step(&e);
    ck_assert_uint_eq(progress(&x, why), 0);
    pass(4000000);
    ck_assert_int_eq(exit_code, 0);
    ck_assert_str_eq(exit_why, "stopped by SIGTERM");
}
END_TEST

START_TEST(the_driver_of_another_job_is_refused_by_its_name)
{
    char why[CORE_TEXT_MAX], other[] = "k";
    Weft__Progress x = WEFT__PROGRESS__INIT;
    run();
    x.job = other;
    x.finished = true;
    progress(&x, why);
    ck_assert_str_eq(refused, "the job here is \"j\", not \"k\"");
    x = (Weft__Progress)WEFT__PROGRESS__INIT;
    x.plan_hash = SIM_PLAN_HASH + 1;
    progress(&x, why);
    ck_assert_ptr_nonnull(strstr(refused, "the job here has the plan "));
    x.plan_hash = SIM_PLAN_HASH;
    progress(&x, why);
    ck_assert_str_eq(refused, "");
}
END_TEST

START_TEST(a_driver_that_is_silent_is_not_waited_for)
{
    stop_with_driver();
    pass(2000000);
    ck_assert_int_eq(exit_code, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("scheduler");
    TCase *t = tcase_create("scheduler");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, another_plan_is_refused_by_its_hash);
    tcase_add_test(t, other_numerics_are_refused_naming_both);
    tcase_add_test(t, other_numerics_are_admitted_with_any_and_the_status_says_so);
    tcase_add_test(t, the_status_of_a_restarted_scheduler_needs_no_plan);
    tcase_add_test(t, an_index_outside_the_job_is_refused);
    tcase_add_test(t, a_key_of_another_role_is_refused);
    tcase_add_test(t, a_worker_without_an_index_gets_a_free_one);
    tcase_add_test(t, a_generation_is_durable_before_its_stage_is_ordered);
    tcase_add_test(t, no_slot_is_leased_before_the_servers_have_their_tables);
    tcase_add_test(t, leases_ahead_do_not_count_against_the_open_step);
    tcase_add_test(t, slots_are_shared_between_workers);
    tcase_add_test(t, a_slot_is_done_once);
    tcase_add_test(t, what_is_not_listed_any_more_is_free);
    tcase_add_test(t, a_repeated_work_is_answered_with_the_same_leases);
    tcase_add_test(t, void_slots_in_a_row_stop_the_job_and_name_the_slot);
    tcase_add_test(t, rows_that_are_not_finite_stop_the_job_and_name_the_slot);
    tcase_add_test(t, three_dead_holders_stop_the_job_and_name_the_slot);
    tcase_add_test(t, with_two_copies_a_checkpoint_counts_when_both_are_there_and_the_same);
    tcase_add_test(t, servers_are_told_what_is_pinned);
    tcase_add_test(t, with_two_copies_there_are_never_fewer_servers);
    tcase_add_test(t, with_two_copies_a_generation_is_above_what_an_earlier_run_has_left);
    tcase_add_test(t, a_server_that_comes_back_empty_sends_the_job_back_under_a_new_generation);
    tcase_add_test(t, a_server_that_cannot_start_anew_ends_the_job_and_is_named);
    tcase_add_test(t, rollbacks_without_a_committed_step_between_stop_the_job);
    tcase_add_test(t, what_is_waited_for_is_on_the_status);
    tcase_add_test(t, a_stall_timeout_ends_the_job);
    tcase_add_test(t, a_silent_server_is_waited_for_and_named);
    tcase_add_test(t, a_pause_of_the_scheduler_is_nobodys_silence);
    tcase_add_test(t, a_server_in_a_new_life_is_staged_again);
    tcase_add_test(t, a_server_that_is_told_to_stop_goes_after_a_checkpoint_of_where_we_are);
    tcase_add_test(t, a_scheduler_in_a_new_life_lets_no_server_go_before_it_knows_what_there_is);
    tcase_add_test(t, a_server_that_is_told_to_stop_before_a_step_goes_at_once);
    tcase_add_test(t, a_second_server_is_refused_while_the_first_lives);
    tcase_add_test(t, a_second_server_is_taken_once_the_first_is_silent);
    tcase_add_test(t, a_second_server_does_not_wait_for_ever_for_one_that_hears_nothing);
    tcase_add_test(t, an_old_message_of_a_dead_server_refuses_nobody);
    tcase_add_test(t, a_driver_may_take_its_time);
    tcase_add_test(t, the_durable_state_of_another_plan_is_a_mismatch);
    tcase_add_test(t, results_of_finished_stages_are_on_the_status_of_the_next_life);
    tcase_add_test(t, a_signal_tells_everybody_and_ends_with_0);
    tcase_add_test(t, a_driver_that_sees_nobody_exit_is_told_of_the_end);
    tcase_add_test(t, a_driver_waits_for_a_scheduler_that_got_a_signal);
    tcase_add_test(t, a_driver_that_is_silent_is_not_waited_for);
    tcase_add_test(t, the_driver_of_another_job_is_refused_by_its_name);
    suite_add_tcase(suite, t);
    SRunner *r = srunner_create(suite);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
