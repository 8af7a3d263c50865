/* Proves: a build that is asked for twice runs once, its answer is complete or an error, and leaves
 * are answered from local data at once. */
#include "common/proto_alloc.h"
#include "proto/weft.pb-c.h"
#include "sampler/sampler_loop.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

enum { SAMPLERS = 2 };

static sampler_loop *s;
static core_actions out;
static uint64_t now_us = 1000000, tags;
static uint32_t built, freed, mine, theirs; /* partitions of this sampler and of the other */

/* A build that wants one leaf of our partition and one of the other's, then is ready.  Slot 9:
 * none. */
typedef struct state {
    uint32_t leaves;
    bool asked;
} state;

static void *new_build(void *ctx, slot_name name, const blob *request)
{
    (void)ctx;
    (void)request;
    if (name.slot == 9) return NULL;
    built++;
    return calloc(1, sizeof(state));
}

static sampler_build step_build(void *ctx, void *build, sampler_wants *wants)
{
    (void)ctx;
    state *b = build;
    if (b->asked) return b->leaves == 2 ? BUILD_READY : BUILD_FAILED;
    b->asked = true;
    sampler_wants_add(wants, 0, mine, blob_copy("q", 1));
    sampler_wants_add(wants, 1, theirs, blob_copy("q", 1));
    return BUILD_WAITS;
}

static void take_leaf(void *ctx, void *build, uint32_t id, const blob *reply)
{
    (void)ctx;
    (void)id;
    (void)reply;
    ((state *)build)->leaves++;
}

static blob *take_body(void *ctx, void *build)
{
    (void)ctx;
    (void)build;
    return blob_copy("batch", 5);
}

static void free_build(void *ctx, void *build)
{
    (void)ctx;
    freed++;
    free(build);
}

static err_code answer_leaf(void *ctx, slot_name name, uint32_t partition, const blob *request,
                            blob **reply)
{
    (void)ctx;
    (void)name;
    (void)request;
    if (partition == theirs) return ERR_NOT_FOUND;
    *reply = blob_copy("leaf", 4);
    return ERR_OK;
}

static err_code answer_features(void *ctx, uint32_t partition, const blob *request, blob **reply)
{
    return answer_leaf(ctx, (slot_name){0}, partition, request, reply);
}

static const sampler_ops ops = {.build_new = new_build,
                                .build_step = step_build,
                                .build_leaf = take_leaf,
                                .build_take = take_body,
                                .build_free = free_build,
                                .leaf_answer = answer_leaf,
                                .features_answer = answer_features};

static void step(core_event *e)
{
    core_actions_reset(&out);
    e->now_us = now_us;
    sampler_loop_step(s, e, &out);
}

static void deliver(wire_header *h, blob *body, uint64_t route)
{
    core_event e = {.type = CORE_MESSAGE};
    h->body_bytes = blob_size(body);
    e.message.route = route;
    e.message.header = h;
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
    v.samplers = SAMPLERS;
    v.complete = true;
    wire_header h = out.items[0].send.header;
    h.flags = WIRE_ANSWER;
    h.role = WIRE_SCHEDULER;
    h.term = 1;
    h.map = 1;
    deliver(&h, proto_pack(&v.base), 0);
}

static void set_up(void)
{
    sampler_loop_config c = {
        .samplers = SAMPLERS, .incarnation = 5, .numerics = "n", .address = "a", .ops = &ops};
    core_event e = {.type = CORE_START};
    built = freed = mine = theirs = 0;
    while (partition_owner(mine, SAMPLERS) != 0) mine++;
    while (partition_owner(theirs, SAMPLERS) != 1) theirs++;
    core_actions_init(&out);
    s = sampler_loop_new(&c);
    step(&e);
    give_view();
}

static void tear_down(void)
{
    sampler_loop_free(s);
    ck_assert_uint_eq(built, freed);
    core_actions_fini(&out);
}

static void ask(wire_op op, uint32_t slot, uint32_t partition, uint64_t route)
{
    wire_header h = wire_request(op);
    h.role = WIRE_WORKER;
    h.incarnation = route;
    h.tag = ++tags;
    h.part = partition;
    wire_set_slot(&h, (slot_name){STAGE_HGNN, 1, 1, slot});
    deliver(&h, NULL, route);
}

/* The LEAF request among the actions. */
static wire_header leaf_request(void)
{
    for (size_t i = 0; i < out.n; i++) {
        const wire_header *h = &out.items[i].send.header;
        if (out.items[i].type == CORE_SEND && h->op == WIRE_LEAF && !wire_is_answer(h)) return *h;
    }
    ck_abort_msg("no leaf was asked for");
    return (wire_header){0};
}

static void give_leaf(wire_header request, wire_status status)
{
    wire_header h = wire_answer(&request, status);
    h.role = WIRE_SAMPLER;
    h.index = 1;
    deliver(&h, status == WIRE_OK ? blob_copy("leaf", 4) : NULL, 0);
}

static uint32_t answers(wire_op op, wire_status status, uint64_t route)
{
    uint32_t n = 0;
    for (size_t i = 0; i < out.n; i++) {
        const core_action *a = &out.items[i];
        n += a->type == CORE_SEND && wire_is_answer(&a->send.header) && a->send.header.op == op &&
             a->send.header.status == status && a->send.route == route;
    }
    return n;
}

START_TEST(a_build_is_answered_when_all_its_leaves_are_there)
{
    ask(WIRE_BUILD, 0, 0, 7);
    wire_header leaf = leaf_request();
    ck_assert_uint_eq(leaf.part, theirs);
    ck_assert_uint_eq(answers(WIRE_BUILD, WIRE_OK, 7), 0);
    give_leaf(leaf, WIRE_OK);
    ck_assert_uint_eq(answers(WIRE_BUILD, WIRE_OK, 7), 1);
}
END_TEST

START_TEST(the_same_build_asked_twice_runs_once_and_answers_both)
{
    ask(WIRE_BUILD, 0, 0, 7);
    wire_header leaf = leaf_request();
    ask(WIRE_BUILD, 0, 0, 8);
    ck_assert_uint_eq(built, 1);
    give_leaf(leaf, WIRE_OK);
    ck_assert_uint_eq(answers(WIRE_BUILD, WIRE_OK, 7), 1);
    ck_assert_uint_eq(answers(WIRE_BUILD, WIRE_OK, 8), 1);
}
END_TEST

START_TEST(a_build_without_a_leaf_is_not_sent)
{
    ask(WIRE_BUILD, 0, 0, 7);
    give_leaf(leaf_request(), WIRE_NOT_FOUND);
    ck_assert_uint_eq(answers(WIRE_BUILD, WIRE_OK, 7), 0);
    ck_assert_uint_eq(answers(WIRE_BUILD, WIRE_FAILED, 7), 1);
}
END_TEST

START_TEST(a_slot_that_the_plan_lacks_fails_with_its_name)
{
    ask(WIRE_BUILD, 9, 0, 7);
    ck_assert_uint_eq(answers(WIRE_BUILD, WIRE_FAILED, 7), 1);
}
END_TEST

START_TEST(leaves_and_features_are_answered_at_once)
{
    ask(WIRE_LEAF, 0, mine, 7);
    ck_assert_uint_eq(answers(WIRE_LEAF, WIRE_OK, 7), 1);
    ask(WIRE_FEATURES, 0, mine, 7);
    ck_assert_uint_eq(answers(WIRE_FEATURES, WIRE_OK, 7), 1);
    ask(WIRE_FEATURES, 0, theirs, 7);
    ck_assert_uint_eq(answers(WIRE_FEATURES, WIRE_NOT_FOUND, 7), 1);
}
END_TEST

START_TEST(what_a_sampler_does_not_serve_is_refused)
{
    ask(WIRE_PUSH, 0, 0, 7);
    ck_assert_uint_eq(answers(WIRE_PUSH, WIRE_REFUSED, 7), 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sampler_loop");
    TCase *t = tcase_create("sampler_loop");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, a_build_is_answered_when_all_its_leaves_are_there);
    tcase_add_test(t, the_same_build_asked_twice_runs_once_and_answers_both);
    tcase_add_test(t, a_build_without_a_leaf_is_not_sent);
    tcase_add_test(t, a_slot_that_the_plan_lacks_fails_with_its_name);
    tcase_add_test(t, leaves_and_features_are_answered_at_once);
    tcase_add_test(t, what_a_sampler_does_not_serve_is_refused);
    suite_add_tcase(suite, t);
    SRunner *r = srunner_create(suite);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
