/* Proves what the simulation cannot easily reach: leaving on a signal, errors of ours, digests that
 * ask again, and that what a slot needs comes back in its own order. */
#include "common/mem.h"
#include "common/proto_alloc.h"
#include "proto/weft.pb-c.h"
#include "worker/lease_needs.h"
#include "worker/worker_loop.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static worker_loop *w;
static core_actions out;
static uint64_t now_us;
static int exit_code;

static uint32_t no_partition(void *ctx, slot_name name)
{
    (void)ctx;
    (void)name;
    return UINT32_MAX;
}

static const worker_plan plan = {.partition = no_partition};

static void step(core_event *e)
{
    core_actions_reset(&out);
    e->now_us = now_us;
    worker_loop_step(w, e, &out);
    for (size_t i = 0; i < out.n; i++) {
        if (out.items[i].type == CORE_EXIT) exit_code = out.items[i].exit.code;
    }
}

static const core_action *sent(wire_op op)
{
    for (size_t i = 0; i < out.n; i++) {
        if (out.items[i].type == CORE_SEND && out.items[i].send.header.op == op)
            return &out.items[i];
    }
    return NULL;
}

static const core_action *computing(uint32_t kind)
{
    for (size_t i = 0; i < out.n; i++) {
        if (out.items[i].type == CORE_COMPUTE && out.items[i].compute.kind == kind)
            return &out.items[i];
    }
    return NULL;
}

/* Answers the request that was sent with `op`. */
static void answer(wire_op op, wire_role role, wire_status status, blob *body)
{
    const core_action *a = sent(op);
    ck_assert_msg(a != NULL, "no %s was sent", wire_op_name(op));
    core_event e = {.type = CORE_MESSAGE};
    wire_header h = wire_answer(&a->send.header, status);
    h.role = (uint8_t)role;
    h.term = 1;
    h.generation = 1;
    h.map = 1;
    h.body_bytes = blob_size(body);
    e.message.header = &h;
    e.message.body = body;
    step(&e);
    blob_unref(body);
}

static void give_view(void)
{
    Weft__View v = WEFT__VIEW__INIT;
    v.version = 1;
    v.view = 1;
    v.shards = 8;
    v.servers = 1;
    v.samplers = 1;
    v.complete = true;
    answer(WIRE_HELLO, WIRE_SCHEDULER, WIRE_OK, proto_pack(&v.base));
}

static void grant(uint32_t kind)
{
    Weft__Grants g = WEFT__GRANTS__INIT;
    Weft__Lease x = WEFT__LEASE__INIT, *list[1] = {&x};
    g.version = 1;
    g.view = 1;
    x.stage = STAGE_HGNN;
    x.epoch = x.step = 1;
    x.kind = kind;
    x.generation = 1;
    x.slots = 1;
    g.grant = list;
    g.n_grant = 1;
    answer(WIRE_WORK, WIRE_SCHEDULER, WIRE_OK, proto_pack(&g.base));
}

static void result(uint64_t token, err_code status, const void *detail)
{
    core_event e = {.type = CORE_RESULT};
    e.result.token = token;
    e.result.status = status;
    e.result.detail = detail;
    step(&e);
}

static void terminate(void)
{
    core_event e = {.type = CORE_STOP};
    e.signal = 15;
    step(&e);
}

static void set_up(void)
{
    worker_loop_config c = {.incarnation = 5, .numerics = "n", .address = "", .plan = &plan};
    core_event e = {.type = CORE_START};
    core_actions_init(&out);
    exit_code = -1;
    now_us = 1000000;
    w = worker_loop_new(&c);
    step(&e);
    give_view();
}

static void tear_down(void)
{
    worker_loop_free(w);
    core_actions_fini(&out);
}

/* Brings a slot to its computing; returns its token. */
static uint64_t compute_slot(uint32_t kind)
{
    worker_digest nothing = {0};
    grant(kind);
    const core_action *a = computing(WORKER_DIGEST);
    ck_assert_ptr_nonnull(a);
    result(a->compute.token, ERR_OK, &nothing);
    a = computing(WORKER_SLOT);
    ck_assert_ptr_nonnull(a);
    return a->compute.token;
}

START_TEST(an_idle_worker_leaves_at_once)
{
    terminate();
    answer(WIRE_WORK, WIRE_SCHEDULER, WIRE_OK, NULL);
    ck_assert_int_eq(exit_code, 0);
}
END_TEST

/* The slots that the WORK sent just now lists. */
static size_t listed(void)
{
    const core_action *a = sent(WIRE_WORK);
    ck_assert_ptr_nonnull(a);
    Weft__Work *x = weft__work__unpack(NULL, blob_size(a->send.body), blob_data(a->send.body));
    ck_assert(x && x->leaving);
    size_t n = x->n_held;
    weft__work__free_unpacked(x, NULL);
    return n;
}

START_TEST(a_leaving_worker_finishes_its_slot_and_reports_it)
{
    double sum = 1;
    worker_output o = {.examples = 1, .sums = &sum, .sums_n = 1};
    uint64_t token = compute_slot(ROUND_SCORE);
    terminate();
    answer(WIRE_WORK, WIRE_SCHEDULER, WIRE_OK, NULL);
    ck_assert_int_eq(exit_code, -1);
    result(token, ERR_OK, &o);
    ck_assert_ptr_nonnull(sent(WIRE_DONE));
    answer(WIRE_DONE, WIRE_SCHEDULER, WIRE_OK, NULL);
    ck_assert_int_eq(exit_code, -1); /* the scheduler still counts on it */
    ck_assert_uint_eq(listed(), 0);
    answer(WIRE_WORK, WIRE_SCHEDULER, WIRE_OK, NULL);
    ck_assert_int_eq(exit_code, 0);
}
END_TEST

START_TEST(a_slot_that_takes_too_long_is_given_back_before_a_worker_leaves)
{
    core_event e = {.type = CORE_TIMER};
    compute_slot(ROUND_SCORE);
    terminate();
    ck_assert_uint_eq(listed(), 1);
    now_us += 4900000;
    step(&e);
    ck_assert_int_eq(exit_code, -1);
    now_us += 100000;
    step(&e);
    ck_assert_int_eq(exit_code, -1);
    ck_assert_uint_eq(listed(), 0);
    if (!_i) answer(WIRE_WORK, WIRE_SCHEDULER, WIRE_OK, NULL);
    if (_i) { /* A scheduler that is away. */
        now_us += 1000000;
        step(&e);
    }
    ck_assert_int_eq(exit_code, 0);
}
END_TEST

/* As on SIGTERM, but not before the scheduler knows what goes back. */
START_TEST(a_worker_that_is_drained_leaves)
{
    Weft__Grants g = WEFT__GRANTS__INIT;
    g.version = 1;
    g.view = 1;
    g.leave = true;
    answer(WIRE_WORK, WIRE_SCHEDULER, WIRE_OK, proto_pack(&g.base));
    ck_assert_int_eq(exit_code, -1);
    ck_assert_uint_eq(listed(), 0);
    answer(WIRE_WORK, WIRE_SCHEDULER, WIRE_OK, NULL);
    ck_assert_int_eq(exit_code, 0);
}
END_TEST

START_TEST(three_failures_in_a_row_end_the_worker_with_1)
{
    for (uint32_t i = 0; i < 3; i++) {
        core_event e = {.type = CORE_TIMER};
        ck_assert_int_eq(exit_code, -1);
        result(compute_slot(ROUND_TRAIN), ERR_NO_MEMORY, NULL);
        now_us += 1000000;
        if (exit_code == -1) step(&e);
    }
    ck_assert_int_eq(exit_code, 1);
}
END_TEST

static uint32_t work_wanted(void)
{
    const core_action *a = sent(WIRE_WORK);
    ck_assert_ptr_nonnull(a);
    Weft__Work *work = weft__work__unpack(NULL, blob_size(a->send.body), blob_data(a->send.body));
    ck_assert_ptr_nonnull(work);
    uint32_t wanted = work->wanted;
    weft__work__free_unpacked(work, NULL);
    return wanted;
}

START_TEST(a_worker_whose_computation_failed_wants_work_again)
{
    core_event e = {.type = CORE_TIMER};
    result(compute_slot(ROUND_TRAIN), ERR_NO_MEMORY, NULL);
    now_us += 1000000;
    step(&e);
    ck_assert_uint_eq(work_wanted(), 2);
}
END_TEST

START_TEST(a_digest_may_ask_again_and_sees_all_replies)
{
    uint64_t key = 4;
    float row[2] = {1, 2};
    worker_need need = {.kind = NEED_ROWS,
                        .stage = STAGE_HGNN,
                        .table = 1,
                        .dim = 2,
                        .body = blob_copy(&key, sizeof key)};
    worker_digest first = {&need, 1, true}, second = {0};
    grant(ROUND_TRAIN);
    result(computing(WORKER_DIGEST)->compute.token, ERR_OK, &first);
    blob_unref(need.body);
    ck_assert_ptr_null(computing(WORKER_DIGEST));
    ck_assert_mem_eq(blob_data(sent(WIRE_PULL)->send.body), &key, sizeof key);
    answer(WIRE_PULL, WIRE_SERVER, WIRE_OK, blob_copy(row, sizeof row));
    const core_action *a = computing(WORKER_DIGEST);
    ck_assert_ptr_nonnull(a);
    const worker_task *t = a->compute.detail;
    ck_assert_uint_eq(t->needs, 1);
    ck_assert_mem_eq(blob_data(t->reply[0]), row, sizeof row);
    result(a->compute.token, ERR_OK, &second);
    ck_assert_ptr_nonnull(computing(WORKER_SLOT));
}
END_TEST

START_TEST(a_slot_whose_version_is_gone_is_given_back)
{
    worker_need need = {.kind = NEED_DENSE, .stage = STAGE_HGNN, .floats = 10};
    worker_digest d = {&need, 1, false};
    worker_loop_stats st;
    grant(ROUND_TRAIN);
    result(computing(WORKER_DIGEST)->compute.token, ERR_OK, &d);
    answer(WIRE_PULL, WIRE_SERVER, WIRE_GONE, NULL);
    worker_loop_stats_get(w, &st);
    ck_assert_uint_eq(st.leases, 0);
    ck_assert_uint_eq(st.gone, 1);
}
END_TEST

/* A server that cannot serve it now will not later: the worker does not ask for ever. */
START_TEST(parameters_that_are_not_there_end_the_worker)
{
    worker_need need = {.kind = NEED_DENSE, .stage = STAGE_HGNN, .floats = 10};
    worker_digest d = {&need, 1, false};
    for (uint32_t i = 0; i < 3; i++) {
        core_event e = {.type = CORE_TIMER};
        ck_assert_int_eq(exit_code, -1);
        grant(ROUND_TRAIN);
        result(computing(WORKER_DIGEST)->compute.token, ERR_OK, &d);
        answer(WIRE_PULL, WIRE_SERVER, i == 1 ? WIRE_OK : WIRE_NOT_FOUND, NULL);
        now_us += 1000000;
        if (exit_code == -1) step(&e);
    }
    ck_assert_int_eq(exit_code, 1);
}
END_TEST

/* Until the next heartbeat has been said. */
static void wait_for_hello(void)
{
    core_event e = {.type = CORE_TIMER};
    for (uint32_t i = 0; i < 30; i++) {
        now_us += 100000;
        step(&e);
        if (sent(WIRE_HELLO)) return;
    }
    ck_abort_msg("no heartbeat within 3 s");
}

START_TEST(a_refused_worker_ends_with_2)
{
    wait_for_hello();
    answer(WIRE_HELLO, WIRE_SCHEDULER, WIRE_REFUSED, blob_copy("another plan", 12));
    ck_assert_int_eq(exit_code, 2);
}
END_TEST

START_TEST(a_worker_that_was_replaced_ends_with_1)
{
    wait_for_hello();
    answer(WIRE_HELLO, WIRE_SCHEDULER, WIRE_INCARNATION, blob_copy("replaced", 8));
    ck_assert_int_eq(exit_code, 1);
}
END_TEST

START_TEST(answers_of_an_older_scheduler_are_not_heard)
{
    wait_for_hello();
    core_event e = {.type = CORE_MESSAGE};
    wire_header h = wire_answer(&sent(WIRE_HELLO)->send.header, WIRE_REFUSED);
    h.role = WIRE_SCHEDULER;
    h.term = 0;
    e.message.header = &h;
    step(&e);
    ck_assert_int_eq(exit_code, -1);
}
END_TEST

START_TEST(rows_of_several_servers_come_back_in_the_order_of_the_keys)
{
    uint64_t keys[20];
    blob *part[3];
    shard_map map;
    lease_needs l = {0};
    shard_map_init(&map, 1, 64, 3);
    for (uint64_t i = 0; i < 20; i++) keys[i] = 3 * i;
    worker_need need = {.kind = NEED_ROWS, .dim = 1, .body = blob_copy(keys, sizeof keys)};
    ck_assert_uint_eq(lease_needs_add(&l, &need), 0);
    uint32_t parts = lease_needs_split(&l, 0, &map, part);
    ck_assert_uint_gt(parts, 1);
    for (uint32_t k = parts; k-- > 0;) { /* the last server answers first */
        size_t n = blob_size(part[k]) / 8;
        blob *rows = blob_new(n * sizeof(float));
        for (size_t i = 0; i < n; i++) {
            uint64_t key;
            memcpy(&key, blob_data(part[k]) + 8 * i, 8);
            ((float *)(void *)blob_writable(rows))[i] = (float)key;
        }
        ck_assert(!lease_needs_answered(&l));
        ck_assert(!lease_needs_rows(&l, 0, k, NULL));
        ck_assert(lease_needs_rows(&l, 0, k, rows));
        ck_assert(!lease_needs_rows(&l, 0, k, rows)); /* a repeat */
        blob_unref(rows);
        blob_unref(part[k]);
    }
    ck_assert(lease_needs_answered(&l));
    const float *got = (const float *)(const void *)blob_data(l.reply[0]);
    for (uint32_t i = 0; i < 20; i++) ck_assert(got[i] == (float)keys[i]);
    blob_unref(need.body);
    lease_needs_fini(&l);
}
END_TEST

START_TEST(a_malformed_need_is_not_taken)
{
    uint64_t twice[2] = {5, 5};
    lease_needs l = {0};
    worker_need need = {.kind = NEED_ROWS, .dim = 1, .body = blob_copy(twice, sizeof twice)};
    ck_assert_uint_eq(lease_needs_add(&l, &need), UINT32_MAX);
    need.kind = NEED_DENSE; /* without a number of floats */
    ck_assert_uint_eq(lease_needs_add(&l, &need), UINT32_MAX);
    blob_unref(need.body);
    lease_needs_fini(&l);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("worker_loop");
    TCase *t = tcase_create("worker_loop"), *needs = tcase_create("needs");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, an_idle_worker_leaves_at_once);
    tcase_add_test(t, a_leaving_worker_finishes_its_slot_and_reports_it);
    tcase_add_loop_test(t, a_slot_that_takes_too_long_is_given_back_before_a_worker_leaves, 0, 2);
    tcase_add_test(t, a_worker_that_is_drained_leaves);
    tcase_add_test(t, three_failures_in_a_row_end_the_worker_with_1);
    tcase_add_test(t, a_worker_whose_computation_failed_wants_work_again);
    tcase_add_test(t, a_digest_may_ask_again_and_sees_all_replies);
    tcase_add_test(t, a_slot_whose_version_is_gone_is_given_back);
    tcase_add_test(t, parameters_that_are_not_there_end_the_worker);
    tcase_add_test(t, a_refused_worker_ends_with_2);
    tcase_add_test(t, a_worker_that_was_replaced_ends_with_1);
    tcase_add_test(t, answers_of_an_older_scheduler_are_not_heard);
    tcase_add_test(needs, rows_of_several_servers_come_back_in_the_order_of_the_keys);
    tcase_add_test(needs, a_malformed_need_is_not_taken);
    suite_add_tcase(suite, t);
    suite_add_tcase(suite, needs);
    SRunner *r = srunner_create(suite);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
