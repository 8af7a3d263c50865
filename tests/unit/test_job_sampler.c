/* Proves: samplers share the partitions without a gap or an overlap; a micro-batch has the same
 * bytes whichever of them builds it, with how many others; a malformed leaf is asked again; one
 * that has no partition says so. */
#include "sampler/job_sampler.h"

#include "common/feature_row.h"
#include "common/mem.h"
#include "testing_files.h"
#include "testing_job.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

enum { SAMPLERS_MAX = 8 };

static job *shared;
static char *folder;

static void set_up(void)
{
    testing_enter_folder();
    shared = testing_job(TESTING_JOB_KEYS "train: {chunks_per_slot: 2}\n", &folder);
}

static void tear_down(void)
{
    job_free(shared);
    free(folder);
    testing_leave_folder();
}

static void open_all(job_sampler *s[SAMPLERS_MAX], uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        ck_assert_int_eq(job_sampler_open(shared, folder, i, n, &s[i]), ERR_OK);
}

static void close_all(job_sampler *s[SAMPLERS_MAX], uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) job_sampler_close(s[i]);
}

START_TEST(partitions_are_shared_without_a_gap)
{
    job_sampler *s[SAMPLERS_MAX];
    bool taken[16] = {0};
    uint32_t samplers = 1 + (uint32_t)_i, total = 0;
    open_all(s, samplers);
    for (uint32_t i = 0; i < samplers; i++) {
        uint32_t n;
        const uint32_t *p = job_sampler_partitions(s[i], &n);
        for (uint32_t k = 0; k < n; k++) {
            ck_assert(p[k] < shared->manifest->partitions && !taken[p[k]]);
            ck_assert_uint_eq(plan_partition_owner(p[k], samplers), i);
            taken[p[k]] = true;
            total++;
        }
    }
    ck_assert_uint_eq(total, shared->manifest->partitions);
    close_all(s, samplers);
}
END_TEST

/* Builds `name` at its owner, asking the others; every third reply is malformed the first time. */
static blob *build_with(job_sampler *s[SAMPLERS_MAX], uint32_t n, slot_name name, bool spoil,
                        uint32_t *leaves)
{
    plan_work work;
    ck_assert(plan_slot(shared->plan, name, &work));
    const sampler_ops *o = job_sampler_ops(s[plan_partition_owner(work.partition, n)]);
    void *b = o->build_new(o->ctx, name, NULL);
    ck_assert_ptr_nonnull(b);
    sampler_wants wants = {0};
    sampler_build state;
    uint32_t spoilt = 0;
    *leaves = 0;
    while ((state = o->build_step(o->ctx, b, &wants)) == BUILD_WAITS) {
        ck_assert_uint_gt(wants.n, 0);
        for (size_t i = 0; i < wants.n; i++) {
            sampler_want *w = &wants.items[i];
            const sampler_ops *other = job_sampler_ops(s[plan_partition_owner(w->partition, n)]);
            blob *reply = NULL;
            ck_assert_int_eq(other->leaf_answer(other->ctx, name, w->partition, w->body, &reply),
                             ERR_OK);
            if (spoil && spoilt < 3 && i % 3 == 0) {
                blob *cut = blob_copy(blob_data(reply), blob_size(reply) - 4);
                o->build_leaf(o->ctx, b, w->id, cut);
                blob_unref(cut);
                spoilt++;
            } else {
                o->build_leaf(o->ctx, b, w->id, reply);
            }
            blob_unref(reply);
            blob_unref(w->body);
            ++*leaves;
        }
        ck_assert_uint_lt(*leaves, 1000);
        wants.n = 0;
    }
    ck_assert_int_eq(state, BUILD_READY);
    blob *body = o->build_take(o->ctx, b);
    o->build_free(o->ctx, b);
    free(wants.items);
    return body;
}

/* A peer that never answers well does not keep a build for ever. */
START_TEST(a_build_whose_replies_stay_malformed_fails)
{
    job_sampler *s[SAMPLERS_MAX];
    open_all(s, 4);
    slot_name name = plan_name(shared->plan, STAGE_HGNN, 1, 0);
    plan_work work;
    ck_assert(plan_slot(shared->plan, name, &work));
    const sampler_ops *o = job_sampler_ops(s[plan_partition_owner(work.partition, 4)]);
    void *b = o->build_new(o->ctx, name, NULL);
    sampler_wants wants = {0};
    uint32_t asked = 0;
    while (asked < 1000 && o->build_step(o->ctx, b, &wants) == BUILD_WAITS) {
        for (size_t i = 0; i < wants.n; i++) {
            blob *junk = blob_copy("junk", 4);
            o->build_leaf(o->ctx, b, wants.items[i].id, junk);
            blob_unref(junk);
            blob_unref(wants.items[i].body);
            asked++;
        }
        wants.n = 0;
    }
    ck_assert_uint_gt(asked, 0);
    ck_assert_uint_lt(asked, 1000);
    o->build_free(o->ctx, b);
    free(wants.items);
    close_all(s, 4);
}
END_TEST

START_TEST(the_same_bytes_from_any_number_of_samplers)
{
    static const uint32_t stages[] = {STAGE_HGNN, STAGE_TWO_TOWER, STAGE_EMBED};
    slot_name name = plan_name(shared->plan, stages[_i], 1, 0);
    job_sampler *one[SAMPLERS_MAX], *many[SAMPLERS_MAX];
    uint32_t leaves;
    open_all(one, 1);
    blob *alone = build_with(one, 1, name, false, &leaves);
    ck_assert_uint_eq(leaves, 0);
    for (uint32_t n = 2; n <= 4; n++) {
        for (int spoil = 0; spoil < 2; spoil++) {
            open_all(many, n);
            blob *shared_body = build_with(many, n, name, spoil, &leaves);
            ck_assert_uint_eq(blob_size(shared_body), blob_size(alone));
            ck_assert_mem_eq(blob_data(shared_body), blob_data(alone), blob_size(alone));
            if (n == 4 && stages[_i] == STAGE_HGNN) ck_assert_uint_gt(leaves, 0);
            blob_unref(shared_body);
            close_all(many, n);
        }
    }
    blob_unref(alone);
    close_all(one, 1);
}
END_TEST

START_TEST(slots_that_are_not_in_the_plan_are_not_built)
{
    job_sampler *s[SAMPLERS_MAX];
    open_all(s, 1);
    const sampler_ops *o = job_sampler_ops(s[0]);
    ck_assert_ptr_null(o->build_new(o->ctx, (slot_name){STAGE_HGNN, 1, 9999, 0}, NULL));
    ck_assert_ptr_null(o->build_new(o->ctx, (slot_name){STAGE_NONE, 0, 0, 0}, NULL));
    ck_assert_ptr_null(o->build_new(o->ctx, (slot_name){200, 1, 1, 1}, NULL));
    close_all(s, 1);
}
END_TEST

static blob *features_request(uint32_t partition)
{
    const manifest *m = shared->manifest;
    uint32_t node = 0;
    while (manifest_partition_of(m, node) != partition) node++;
    feature_row_request r = {.partition = partition, .nodes = 1, .node = &node};
    return feature_row_encode_request(&r);
}

START_TEST(features_come_from_the_owner_only)
{
    job_sampler *s[SAMPLERS_MAX];
    open_all(s, 2);
    for (uint32_t p = 0; p < shared->manifest->partitions; p++) {
        blob *request = features_request(p);
        for (uint32_t i = 0; i < 2; i++) {
            const sampler_ops *o = job_sampler_ops(s[i]);
            blob *reply = NULL;
            bool owns = plan_partition_owner(p, 2) == i;
            err_code rc = o->features_answer(o->ctx, p, request, &reply);
            ck_assert_int_eq(rc, owns ? ERR_OK : ERR_NOT_FOUND);
            ck_assert((reply != NULL) == owns);
            blob_unref(reply);
        }
        blob_unref(request);
    }
    close_all(s, 2);
}
END_TEST

START_TEST(malformed_requests_are_refused)
{
    static const uint8_t junk[24] = {1, 2, 3, 255, 255, 255, 255, 255, 9};
    job_sampler *s[SAMPLERS_MAX];
    open_all(s, 1);
    const sampler_ops *o = job_sampler_ops(s[0]);
    slot_name name = plan_name(shared->plan, STAGE_HGNN, 1, 0);
    for (size_t n = 0; n <= sizeof junk; n++) {
        blob *body = n ? blob_copy(junk, n) : NULL, *reply = NULL;
        ck_assert_int_ne(o->leaf_answer(o->ctx, name, 0, body, &reply), ERR_OK);
        ck_assert_int_ne(o->features_answer(o->ctx, 0, body, &reply), ERR_OK);
        ck_assert_ptr_null(reply);
        blob_unref(body);
    }
    close_all(s, 1);
}
END_TEST

/* More samplers than partitions: somebody has none, and is asked nevertheless. */
START_TEST(a_sampler_without_partitions_refuses_everything)
{
    job_sampler *s[SAMPLERS_MAX];
    uint32_t idle = 0, n;
    open_all(s, SAMPLERS_MAX);
    for (uint32_t i = 0; i < SAMPLERS_MAX; i++) {
        job_sampler_partitions(s[i], &n);
        if (n) continue;
        idle++;
        const sampler_ops *o = job_sampler_ops(s[i]);
        slot_name name = plan_name(shared->plan, STAGE_HGNN, 1, 0);
        blob *request = features_request(0), *reply = NULL;
        ck_assert_ptr_null(o->build_new(o->ctx, name, NULL));
        ck_assert_int_eq(o->features_answer(o->ctx, 0, request, &reply), ERR_NOT_FOUND);
        ck_assert_int_ne(o->leaf_answer(o->ctx, name, 0, request, &reply), ERR_OK);
        blob_unref(request);
    }
    ck_assert_uint_ge(idle, SAMPLERS_MAX - shared->manifest->partitions);
    close_all(s, SAMPLERS_MAX);
}
END_TEST

START_TEST(a_store_that_is_not_there_is_an_error)
{
    job_sampler *s;
    testing_capture_start();
    ck_assert_int_eq(job_sampler_open(shared, "nowhere", 0, 1, &s), ERR_NOT_FOUND);
    testing_expect_part(testing_capture_end(), "nowhere");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("job_sampler");
    TCase *c = tcase_create("all");
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_loop_test(c, partitions_are_shared_without_a_gap, 0, 6);
    tcase_add_loop_test(c, the_same_bytes_from_any_number_of_samplers, 0, 3);
    tcase_add_test(c, a_build_whose_replies_stay_malformed_fails);
    tcase_add_test(c, slots_that_are_not_in_the_plan_are_not_built);
    tcase_add_test(c, features_come_from_the_owner_only);
    tcase_add_test(c, malformed_requests_are_refused);
    tcase_add_test(c, a_sampler_without_partitions_refuses_everything);
    tcase_add_test(c, a_store_that_is_not_there_is_an_error);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
