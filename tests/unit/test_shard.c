/* Proves: a server's tables change only by COMMIT, its pulls are of exactly the version they name,
 * and what is old, foreign, damaged or meant for somebody else is refused by name. */
#include "common/hash.h"
#include "common/mem.h"
#include "common/proto_alloc.h"
#include "proto/weft.pb-c.h"
#include "ps/shard.h"
#include "sim/sim_model.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TABLE_ID = 1, TABLE_VALID = 32 };

static shard *s;
static core_actions out;
static uint64_t now_us;
static uint64_t tags;

static void step(core_event *e)
{
    core_actions_reset(&out);
    e->now_us = now_us;
    shard_step(s, e, &out);
}

static void deliver(const wire_header *h, blob *body)
{
    core_event e = {.type = CORE_MESSAGE};
    wire_header x = *h;
    x.body_bytes = blob_size(body);
    e.message.route = 9;
    e.message.header = &x;
    e.message.body = body;
    step(&e);
    blob_unref(body);
}

static void timer(uint64_t at_us)
{
    core_event e = {.type = CORE_TIMER};
    now_us = at_us;
    step(&e);
}

/* The one answer among the actions; NULL: none. */
static const core_action *answered(void)
{
    for (size_t i = 0; i < out.n; i++) {
        if (out.items[i].type == CORE_SEND && wire_is_answer(&out.items[i].send.header))
            return &out.items[i];
    }
    return NULL;
}

static int status(void)
{
    const core_action *a = answered();
    return a ? a->send.header.status : -1;
}

static bool has_event(const char *name)
{
    for (size_t i = 0; i < out.n; i++) {
        if (out.items[i].type == CORE_EVENT && strcmp(out.items[i].event.name, name) == 0)
            return true;
    }
    return false;
}

static wire_header from(wire_role role, uint32_t index, wire_op op)
{
    wire_header h = wire_request(op);
    h.role = (uint8_t)role;
    h.index = index;
    h.incarnation = 100 + index;
    h.tag = ++tags;
    h.term = 1;
    h.generation = 1;
    return h;
}

static void give_view(void)
{
    Weft__View v = WEFT__VIEW__INIT;
    v.version = 1;
    v.view = 1;
    v.shards = 16;
    v.servers = 1;
    v.samplers = 1;
    v.complete = true;
    wire_header h = out.items[0].send.header;
    h.flags = WIRE_ANSWER;
    h.role = WIRE_SCHEDULER;
    h.term = 1;
    h.map = 1;
    deliver(&h, proto_pack(&v.base));
}

static void order_stage(uint32_t generation, uint32_t stage)
{
    wire_header h = from(WIRE_SCHEDULER, 0, WIRE_STAGE);
    h.generation = generation;
    h.stage = (uint8_t)stage;
    h.target = 5;
    deliver(&h, NULL);
}

static void set_up(void)
{
    shard_config c = {.incarnation = 5,
                      .plan_hash = SIM_PLAN_HASH,
                      .numerics = "n",
                      .address = "a",
                      .model = sim_shard_model()};
    core_event e = {.type = CORE_START};
    core_actions_init(&out);
    s = shard_new(&c);
    now_us = 1000000;
    step(&e);
    give_view();
    order_stage(1, STAGE_HGNN);
    ck_assert_int_eq(status(), WIRE_OK);
}

static void tear_down(void)
{
    shard_free(s);
    core_actions_fini(&out);
}

static const uint64_t keys[2] = {11, 22};
static const float rows[6] = {1, 2, 3, 4, 5, 6};

static uint32_t push_part = 2;

static void push(uint32_t slot, uint32_t version, uint32_t worker, float value)
{
    size_t n = sim_shard_model()->dense_floats(NULL, STAGE_HGNN);
    float *g = xmalloc(n * sizeof *g);
    for (size_t i = 0; i < n; i++) g[i] = value;
    push_section section = {.table = TABLE_ID, .dim = 3, .n = 2, .keys = keys, .rows = rows};
    push_result r = {.examples = 2,
                     .loss = 1,
                     .stage = STAGE_HGNN,
                     .dense = g,
                     .dense_floats = n,
                     .section = &section,
                     .sections = 1};
    shard_map m;
    shard_map_init(&m, 1, 16, 1);
    blob *b = push_encode(&r, &m, 0);
    wire_header h = from(WIRE_WORKER, worker, WIRE_PUSH);
    wire_set_slot(&h, (slot_name){STAGE_HGNN, 1, 1, slot});
    h.version = version;
    h.part = push_part;
    h.body_hash = hash64(blob_data(b), blob_size(b), 0);
    deliver(&h, b);
    free(g);
}

static void commit(uint32_t version, uint32_t flags)
{
    wire_header h = from(WIRE_SCHEDULER, 0, WIRE_COMMIT);
    wire_set_slot(&h, (slot_name){STAGE_HGNN, 1, version + 1, 0});
    h.version = version;
    h.part = 2;
    h.table = ROUND_TRAIN;
    h.flags = flags;
    h.target = 5;
    deliver(&h, NULL);
}

static void pull_dense(uint32_t version, uint32_t budget_ms)
{
    wire_header h = from(WIRE_WORKER, 0, WIRE_PULL);
    h.stage = STAGE_HGNN;
    h.version = version;
    h.budget_ms = budget_ms;
    deliver(&h, NULL);
}

static void pull_rows(uint32_t table, uint32_t dim, uint64_t key)
{
    wire_header h = from(WIRE_WORKER, 0, WIRE_PULL);
    h.stage = STAGE_HGNN;
    h.table = (uint16_t)table;
    h.part = dim;
    deliver(&h, blob_copy(&key, sizeof key));
}

static float first_weight(void)
{
    float w;
    memcpy(&w, blob_data(shard_dense(s, STAGE_HGNN, false)), sizeof w);
    return w;
}

START_TEST(tables_change_only_on_commit)
{
    float before = first_weight();
    push(0, 0, 0, 4.0f);
    push(1, 0, 0, 4.0f);
    ck_assert(first_weight() == before);
    commit(0, 0);
    ck_assert_int_eq(status(), WIRE_OK);
    ck_assert_uint_eq(answered()->send.header.version, 1);
    /* (4 + 4) / 4 examples, times lr 0.1 */
    ck_assert_float_eq_tol(first_weight(), before - 0.2f, 1e-6);
}
END_TEST

static const char *refusal_event(void)
{
    for (size_t i = 0; i < out.n; i++) {
        if (out.items[i].type != CORE_EVENT) continue;
        ck_assert_str_eq(out.items[i].event.name, "push_refused");
        ck_assert_uint_eq(out.items[i].event.who.role, WIRE_WORKER);
        ck_assert_uint_eq(out.items[i].event.who.index, 3);
        return out.items[i].event.why;
    }
    return "";
}

static void expect_push_refused(const char *says)
{
    shard_stats st;
    ck_assert_int_eq(status(), WIRE_REFUSED);
    ck_assert_msg(strstr(refusal_event(), says), "\"%s\" is not in \"%s\"", says, refusal_event());
    shard_stats_get(s, &st);
    ck_assert_uint_eq(st.held, 0);
}

START_TEST(values_that_are_not_finite_are_refused_by_slot)
{
    const float bad[] = {NAN, INFINITY, -INFINITY};
    for (size_t i = 0; i < 3; i++) {
        push(1, 0, 3, bad[i]);
        expect_push_refused("slot hgnn/1/1/1: a value that is not finite");
    }
    shard_stats st;
    shard_stats_get(s, &st);
    ck_assert_uint_eq(st.refused, 3);
    push(1, 0, 3, 1e30f); /* Large, and no cap is set. */
    ck_assert_int_eq(status(), WIRE_OK);
}
END_TEST

static shard_model arrival_model;

/* The server anew, as ssp wants it. */
static void on_arrival(void)
{
    arrival_model = sim_shard_model_of((staleness){1, true});
    shard_config c = {.incarnation = 5,
                      .plan_hash = SIM_PLAN_HASH,
                      .numerics = "n",
                      .address = "a",
                      .model = &arrival_model};
    core_event e = {.type = CORE_START};
    shard_free(s);
    s = shard_new(&c);
    step(&e);
    give_view();
    order_stage(1, STAGE_HGNN);
}

START_TEST(on_arrival_a_push_changes_the_tables_once)
{
    on_arrival();
    push(0, 0, 0, 4.0f); /* 4 / 2 examples, a quarter of the step's rate, which is 8 */
    ck_assert_float_eq(first_weight(), 4);
    push(0, 0, 1, 9.0f); /* the same slot, of another worker */
    ck_assert_int_eq(status(), WIRE_OK);
    ck_assert(!has_event("hash_mismatch"));
    ck_assert_float_eq(first_weight(), 4);
    push(1, 1, 0, 4.0f); /* a round ahead */
    ck_assert_float_eq(first_weight(), 8);
    push(1, 0, 0, 4.0f);
    commit(0, 0);
    ck_assert_int_eq(status(), WIRE_OK);
    ck_assert_float_eq(first_weight(), 12);
    push(1, 0, 0, 4.0f); /* committed meanwhile */
    ck_assert_int_eq(status(), WIRE_OK);
    ck_assert_float_eq(first_weight(), 12);
}
END_TEST

START_TEST(on_arrival_a_put_under_the_name_of_a_training_slot_changes_nothing)
{
    on_arrival();
    push_section section = {.table = TABLE_VALID, .dim = 2, .n = 2, .keys = keys, .rows = rows};
    push_result r = {.examples = 2, .stage = STAGE_HGNN, .section = &section, .sections = 1};
    shard_map m;
    shard_map_init(&m, 1, 16, 1);
    blob *b = push_encode(&r, &m, 0);
    uint64_t before = shard_digest(s);
    wire_header h = from(WIRE_WORKER, 0, WIRE_PUT);
    wire_set_slot(&h, (slot_name){STAGE_HGNN, 1, 1, 0});
    h.part = 2;
    h.body_hash = hash64(blob_data(b), blob_size(b), 0);
    deliver(&h, b);
    ck_assert_int_eq(status(), WIRE_OK);
    ck_assert_uint_ne(shard_digest(s), before); /* it is held, as any slot */
    ck_assert_float_eq(first_weight(), 0);
    push(1, 0, 0, 4.0f);
    commit(0, 0);
    ck_assert_int_eq(status(), WIRE_OK);
    ck_assert_float_eq(first_weight(), 4);
}
END_TEST

static uint32_t two_slots(void *ctx, uint32_t stage, uint32_t step)
{
    (void)ctx;
    return stage == STAGE_HGNN && step == 1 ? 2 : 0;
}

static void limited(void)
{
    static shard_model m;
    m = *sim_shard_model();
    m.slots = two_slots;
    shard_free(s);
    shard_config c = {.incarnation = 5,
                      .plan_hash = SIM_PLAN_HASH,
                      .numerics = "n",
                      .address = "a",
                      .model = &m,
                      .max_norm = 1e6};
    core_event e = {.type = CORE_START};
    s = shard_new(&c);
    step(&e);
    give_view();
    order_stage(1, STAGE_HGNN);
}

START_TEST(a_norm_above_the_cap_is_refused)
{
    limited();
    push(1, 0, 3, 1e7f);
    expect_push_refused("above security.max_norm 1e+06");
    push(1, 0, 3, 1);
    ck_assert_int_eq(status(), WIRE_OK);
}
END_TEST

START_TEST(slots_that_the_plan_does_not_have_are_refused)
{
    limited();
    push(2, 0, 3, 1);
    expect_push_refused("no such slot in the round");
    push_part = 60000; /* A round that is larger than the plan's. */
    push(59999, 0, 3, 1);
    expect_push_refused("no such slot in the round");
    push(1, 0, 3, 1);
    expect_push_refused("no such slot in the round");
    push_part = 2;
    push(1, 0, 3, 1);
    ck_assert_int_eq(status(), WIRE_OK);
}
END_TEST

/* Pulls of a version to come, with many keys: what waits is bounded in bytes, too. */
START_TEST(pulls_that_wait_are_bounded_in_bytes)
{
    size_t keys_n = 8 << 20; /* 64 MiB */
    blob *b = blob_new(keys_n * 8);
    memset(blob_writable(b), 0, keys_n * 8);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < 12; i++) {
        wire_header h = from(WIRE_WORKER, 0, WIRE_PULL);
        h.stage = STAGE_HGNN;
        h.table = TABLE_ID;
        h.version = 7;
        h.budget_ms = 5000;
        h.tag = 1000 + i;
        deliver(&h, blob_ref(b));
        kept += status() == -1;
        if (status() != -1) ck_assert_int_eq(status(), WIRE_BEHIND);
    }
    ck_assert_uint_eq(kept, SHARD_PARKED_BYTES_MAX / (64 << 20));
    timer(now_us + 6000000); /* Their time is up: there is room again. */
    wire_header h = from(WIRE_WORKER, 0, WIRE_PULL);
    h.stage = STAGE_HGNN;
    h.table = TABLE_ID;
    h.version = 7;
    h.budget_ms = 5000;
    h.tag = 2000;
    deliver(&h, blob_ref(b));
    ck_assert_int_eq(status(), -1);
    blob_unref(b);
}
END_TEST

START_TEST(a_commit_without_all_slots_is_refused)
{
    push(1, 0, 0, 1.0f);
    commit(0, 0);
    ck_assert_int_eq(status(), WIRE_BEHIND);
    ck_assert(has_event("commit_behind"));
}
END_TEST

START_TEST(a_commit_is_done_once)
{
    push(0, 0, 0, 1.0f);
    push(1, 0, 0, 1.0f);
    commit(0, 0);
    float w = first_weight();
    commit(0, 0);
    ck_assert_int_eq(status(), WIRE_OK);
    ck_assert_uint_eq(answered()->send.header.version, 1);
    ck_assert(first_weight() == w);
}
END_TEST

START_TEST(an_order_for_another_life_or_of_an_older_term_is_refused)
{
    wire_header h = from(WIRE_SCHEDULER, 0, WIRE_STOP);
    h.target = 6;
    deliver(&h, NULL);
    ck_assert_int_eq(status(), WIRE_INCARNATION);
    h.target = 5;
    h.term = 3;
    h.op = WIRE_COMMIT;
    h.part = 2;
    h.table = ROUND_TRAIN;
    deliver(&h, NULL);
    ck_assert_int_eq(status(), WIRE_BEHIND);
    h.term = 2;
    deliver(&h, NULL);
    ck_assert_int_eq(status(), WIRE_INCARNATION);
}
END_TEST

/* The token of the snapshot that the order has had written; 0: none. */
static uint64_t order_snapshot(uint32_t attempt)
{
    Weft__Snapshot order = WEFT__SNAPSHOT__INIT;
    wire_header h = from(WIRE_SCHEDULER, 0, WIRE_SNAPSHOT);
    order.version = 1;
    order.copies = attempt ? 2 : 1;
    order.attempt = attempt;
    h.stage = STAGE_HGNN;
    h.target = 5;
    deliver(&h, proto_pack(&order.base));
    ck_assert_int_eq(status(), WIRE_OK);
    for (size_t i = 0; i < out.n; i++) {
        if (out.items[i].type == CORE_COMPUTE) return out.items[i].compute.token;
    }
    return 0;
}

static void snapshot_written(uint64_t token)
{
    core_event e = {.type = CORE_RESULT, .result = {.token = token, .status = ERR_OK}};
    ck_assert_uint_ne(token, 0);
    step(&e);
}

START_TEST(a_snapshot_is_written_once_an_attempt)
{
    snapshot_written(order_snapshot(0));
    ck_assert_uint_eq(order_snapshot(0), 0);
    snapshot_written(order_snapshot(2)); /* what is there may be what the first has failed for */
    ck_assert_uint_eq(order_snapshot(2), 0);
    ck_assert_uint_eq(order_snapshot(1), 0); /* it is late, or a scheduler has begun anew */
}
END_TEST

static bool exits(void)
{
    return out.n && out.items[out.n - 1].type == CORE_EXIT;
}

/* The HELLO of the last step says that it leaves. */
static bool says_leaving(void)
{
    bool leaving = false;
    for (size_t i = 0; i < out.n; i++) {
        const core_action *a = &out.items[i];
        if (a->type != CORE_SEND || a->send.header.op != WIRE_HELLO) continue;
        Weft__Hello *h =
            weft__hello__unpack(NULL, blob_size(a->send.body), blob_data(a->send.body));
        leaving = h->server && h->server->leaving;
        weft__hello__free_unpacked(h, NULL);
    }
    return leaving;
}

static void tell_to_stop(void)
{
    core_event e = {.type = CORE_STOP, .signal = 15};
    step(&e);
}

/* The scheduler answers the HELLO of the last step. */
static void answer_hello(bool stop)
{
    Weft__View v = WEFT__VIEW__INIT;
    v.version = 1;
    v.view = 1;
    v.stop = stop;
    for (size_t i = 0; i < out.n; i++) {
        if (out.items[i].type != CORE_SEND || out.items[i].send.header.op != WIRE_HELLO) continue;
        wire_header h = out.items[i].send.header;
        h.flags = WIRE_ANSWER;
        h.role = WIRE_SCHEDULER;
        h.term = 1;
        h.map = 1;
        deliver(&h, proto_pack(&v.base));
        return;
    }
    ck_abort_msg("no HELLO");
}

START_TEST(who_is_told_to_stop_says_so_and_goes_when_it_may)
{
    tell_to_stop();
    ck_assert(!exits());
    ck_assert(says_leaving());
    answer_hello(false);
    ck_assert(!exits());
    pull_dense(0, 0);
    ck_assert_int_eq(status(), WIRE_OK); /* it still serves */
    timer(now_us + 1000000);
    ck_assert(says_leaving());
    answer_hello(true);
    ck_assert(exits());
    ck_assert_int_eq(out.items[out.n - 1].exit.code, 0);
}
END_TEST

START_TEST(who_is_told_to_stop_does_not_wait_for_ever)
{
    uint64_t from_us = now_us;
    tell_to_stop();
    while (!exits() && now_us < from_us + 2 * (uint64_t)SHARD_LEAVE_US) {
        answer_hello(false);
        timer(now_us + 1000000);
    }
    ck_assert(exits());
    ck_assert_uint_ge(now_us - from_us, SHARD_LEAVE_US);
}
END_TEST

START_TEST(who_is_told_to_stop_without_a_scheduler_goes_soon)
{
    uint64_t from_us = now_us;
    tell_to_stop();
    while (!exits() && now_us < from_us + (uint64_t)SHARD_LEAVE_US) timer(now_us + 500000);
    ck_assert(exits());
    ck_assert_uint_lt(now_us - from_us, SHARD_LEAVE_US);
}
END_TEST

START_TEST(an_order_of_another_role_is_refused)
{
    wire_header h = from(WIRE_WORKER, 0, WIRE_STOP);
    deliver(&h, NULL);
    ck_assert_int_eq(status(), WIRE_REFUSED);
    pull_dense(0, 0);
    ck_assert_int_eq(status(), WIRE_OK); /* it goes on */
}
END_TEST

START_TEST(a_pull_ahead_waits_for_its_version)
{
    pull_dense(1, 1000);
    ck_assert_int_eq(status(), -1);
    push(0, 0, 0, 1.0f);
    push(1, 0, 0, 1.0f);
    commit(0, 0);
    uint32_t answers = 0;
    for (size_t i = 0; i < out.n; i++) {
        const wire_header *h = &out.items[i].send.header;
        if (out.items[i].type != CORE_SEND || h->op != WIRE_PULL) continue;
        answers++;
        ck_assert_uint_eq(h->status, WIRE_OK);
        ck_assert_ptr_eq(out.items[i].send.body, shard_dense(s, STAGE_HGNN, false));
    }
    ck_assert_uint_eq(answers, 1);
}
END_TEST

START_TEST(a_pull_ahead_is_behind_when_its_time_is_up)
{
    pull_dense(1, 1000);
    timer(1500000);
    ck_assert_int_eq(status(), -1);
    timer(2000000);
    ck_assert_int_eq(status(), WIRE_BEHIND);
    pull_dense(1, 0);
    ck_assert_int_eq(status(), WIRE_BEHIND);
}
END_TEST

START_TEST(a_past_version_is_gone)
{
    push(0, 0, 0, 1.0f);
    push(1, 0, 0, 1.0f);
    commit(0, 0);
    pull_dense(0, 1000);
    ck_assert_int_eq(status(), WIRE_GONE);
}
END_TEST

START_TEST(a_repeat_is_acknowledged_and_other_bits_are_an_event)
{
    shard_stats st;
    push(0, 0, 0, 1.0f);
    push(0, 0, 1, 1.0f);
    ck_assert_int_eq(status(), WIRE_OK);
    ck_assert(!has_event("hash_mismatch"));
    push(0, 0, 1, 2.0f);
    ck_assert_int_eq(status(), WIRE_OK);
    ck_assert(has_event("hash_mismatch"));
    shard_stats_get(s, &st);
    ck_assert_uint_eq(st.held, 1);
    ck_assert_uint_eq(st.repeats, 2);
    ck_assert_uint_eq(st.hash_mismatches, 1);
}
END_TEST

START_TEST(another_generation_is_refused)
{
    order_stage(2, STAGE_EMBED);
    push(0, 0, 0, 1.0f);
    ck_assert_int_eq(status(), WIRE_GENERATION);
    ck_assert_uint_eq(answered()->send.header.generation, 2);
    pull_dense(0, 1000);
    ck_assert_int_eq(status(), WIRE_GENERATION);
    order_stage(1, STAGE_HGNN);
    ck_assert_int_eq(status(), WIRE_GENERATION);
}
END_TEST

START_TEST(a_damaged_or_foreign_push_is_refused_with_the_reason)
{
    wire_header h = from(WIRE_WORKER, 0, WIRE_PUSH);
    h.stage = STAGE_HGNN;
    h.part = 2;
    deliver(&h, blob_copy("garbage!", 8));
    ck_assert_int_eq(status(), WIRE_REFUSED);
    h.body_hash = hash64("garbage!", 8, 0);
    deliver(&h, blob_copy("garbage!", 8));
    ck_assert_int_eq(status(), WIRE_REFUSED);
    ck_assert_uint_gt(blob_size(answered()->send.body), 0);
    h.slot = 2;
    deliver(&h, NULL);
    ck_assert_int_eq(status(), WIRE_REFUSED);
}
END_TEST

START_TEST(an_absent_row_has_its_initial_value_and_is_not_created)
{
    float want[3];
    shard_stats st;
    sim_shard_model()->init_row(NULL, STAGE_HGNN, TABLE_ID, 77, want);
    pull_rows(TABLE_ID, 3, 77);
    ck_assert_int_eq(status(), WIRE_OK);
    ck_assert_mem_eq(blob_data(answered()->send.body), want, sizeof want);
    shard_stats_get(s, &st);
    ck_assert_uint_eq(st.rows, 0);
}
END_TEST

START_TEST(a_pull_of_no_table_or_of_another_width_is_refused)
{
    pull_rows(99, 0, 1);
    ck_assert_int_eq(status(), WIRE_NOT_FOUND);
    pull_rows(TABLE_VALID, 0, 1); /* a put table that nobody has written */
    ck_assert_int_eq(status(), WIRE_NOT_FOUND);
    pull_rows(TABLE_ID, 4, 1);
    ck_assert_int_eq(status(), WIRE_REFUSED);
}
END_TEST

START_TEST(a_finished_stage_keeps_the_best_and_stays)
{
    push(0, 0, 0, 1.0f);
    push(1, 0, 0, 1.0f);
    commit(0, WIRE_KEEP);
    float best = first_weight();
    push(0, 1, 0, 1.0f);
    push(1, 1, 0, 1.0f);
    commit(1, WIRE_FINISH);
    order_stage(2, STAGE_EMBED);
    wire_header h = from(WIRE_WORKER, 0, WIRE_PULL);
    h.generation = 2;
    h.stage = STAGE_HGNN;
    h.version = WIRE_FINAL;
    deliver(&h, NULL);
    ck_assert_int_eq(status(), WIRE_OK);
    ck_assert_mem_eq(blob_data(answered()->send.body), &best, sizeof best);
}
END_TEST

START_TEST(a_step_of_void_slots_changes_nothing)
{
    float before = first_weight();
    push_result r = {.is_void = true, .stage = STAGE_HGNN};
    shard_map m;
    shard_map_init(&m, 1, 16, 1);
    for (uint32_t slot = 0; slot < 2; slot++) {
        blob *b = push_encode(&r, &m, 0);
        wire_header h = from(WIRE_WORKER, 0, WIRE_VOID);
        wire_set_slot(&h, (slot_name){STAGE_HGNN, 1, 1, slot});
        h.part = 2;
        h.body_hash = hash64(blob_data(b), blob_size(b), 0);
        deliver(&h, b);
        ck_assert_int_eq(status(), WIRE_OK);
    }
    commit(0, 0);
    ck_assert_int_eq(status(), WIRE_OK);
    ck_assert(first_weight() == before);
}
END_TEST

static int exit_of_step(void)
{
    for (size_t i = 0; i < out.n; i++) {
        if (out.items[i].type == CORE_EXIT) return out.items[i].exit.code;
    }
    return -1;
}

/* It missed the end, or its network is gone: nobody will tell it anything any more. */
START_TEST(who_is_left_alone_for_ten_minutes_ends_by_itself)
{
    const uint64_t second = 1000000;
    for (uint32_t s10 = 0; s10 < 58; s10++) {
        for (int k = 0; k < 5; k++) timer(now_us + 2 * second);
        ck_assert_int_eq(exit_of_step(), -1);
    }
    timer(now_us + 3600 * second); /* a pause of ours is nobody's silence */
    ck_assert_int_eq(exit_of_step(), -1);
    int code = -1;
    for (int k = 0; k < 15 && code < 0; k++) {
        timer(now_us + 2 * second);
        code = exit_of_step();
    }
    ck_assert_int_eq(code, 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("shard");
    TCase *t = tcase_create("shard");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, tables_change_only_on_commit);
    tcase_add_test(t, on_arrival_a_push_changes_the_tables_once);
    tcase_add_test(t, on_arrival_a_put_under_the_name_of_a_training_slot_changes_nothing);
    tcase_add_test(t, values_that_are_not_finite_are_refused_by_slot);
    tcase_add_test(t, a_norm_above_the_cap_is_refused);
    tcase_add_test(t, slots_that_the_plan_does_not_have_are_refused);
    tcase_add_test(t, pulls_that_wait_are_bounded_in_bytes);
    tcase_add_test(t, a_commit_without_all_slots_is_refused);
    tcase_add_test(t, a_commit_is_done_once);
    tcase_add_test(t, an_order_for_another_life_or_of_an_older_term_is_refused);
    tcase_add_test(t, an_order_of_another_role_is_refused);
    tcase_add_test(t, a_snapshot_is_written_once_an_attempt);
    tcase_add_test(t, who_is_told_to_stop_says_so_and_goes_when_it_may);
    tcase_add_test(t, who_is_told_to_stop_does_not_wait_for_ever);
    tcase_add_test(t, who_is_told_to_stop_without_a_scheduler_goes_soon);
    tcase_add_test(t, a_pull_ahead_waits_for_its_version);
    tcase_add_test(t, a_pull_ahead_is_behind_when_its_time_is_up);
    tcase_add_test(t, a_past_version_is_gone);
    tcase_add_test(t, a_repeat_is_acknowledged_and_other_bits_are_an_event);
    tcase_add_test(t, another_generation_is_refused);
    tcase_add_test(t, a_damaged_or_foreign_push_is_refused_with_the_reason);
    tcase_add_test(t, an_absent_row_has_its_initial_value_and_is_not_created);
    tcase_add_test(t, a_pull_of_no_table_or_of_another_width_is_refused);
    tcase_add_test(t, a_finished_stage_keeps_the_best_and_stays);
    tcase_add_test(t, a_step_of_void_slots_changes_nothing);
    tcase_add_test(t, who_is_left_alone_for_ten_minutes_ends_by_itself);
    suite_add_tcase(suite, t);
    SRunner *r = srunner_create(suite);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
