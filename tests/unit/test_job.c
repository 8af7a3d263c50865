/* Proves: a job goes over the wire and is the same job; what is cut or changed is refused; tables
 * have one meaning each; the store that was prepared last is found; the adapters of the cores agree
 * with the plan and do not depend on how an array is cut. */
#include "common/job.h"

#include "common/files.h"
#include "common/mem.h"
#include "common/store_path.h"
#include "common/table_id.h"
#include "ps/job_model.h"
#include "ps/optimizer.h"
#include "testing_files.h"
#include "testing_job.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static job *shared;
static char *folder;

static void set_up(void)
{
    testing_enter_folder();
    shared = testing_job(TESTING_JOB_KEYS, &folder);
}

static void tear_down(void)
{
    job_free(shared);
    free(folder);
    testing_leave_folder();
}

/* ---- Jobs ---- */

START_TEST(a_job_arrives_as_it_was)
{
    job *j;
    blob *body = job_encode(shared);
    ck_assert_int_eq(job_decode(body, &j), ERR_OK);
    ck_assert_uint_eq(j->plan_hash, shared->plan_hash);
    uint32_t stages[STAGE_COUNT], n = plan_stages(shared->plan, stages);
    for (uint32_t i = 0; i < n; i++) {
        ck_assert_uint_eq(plan_steps(j->plan, stages[i]), plan_steps(shared->plan, stages[i]));
        ck_assert_uint_eq(plan_slots(j->plan, stages[i], 1),
                          plan_slots(shared->plan, stages[i], 1));
        const model_spec *a = job_spec(j, stages[i]), *b = job_spec(shared, stages[i]);
        ck_assert((a == NULL) == (b == NULL));
        if (a) ck_assert_uint_eq(a->values, b->values);
    }
    ck_assert_uint_eq(plan_step_examples(j->plan, STAGE_TWO_TOWER, 1),
                      plan_step_examples(shared->plan, STAGE_TWO_TOWER, 1));
    blob *again = job_encode(j);
    ck_assert_uint_eq(blob_size(again), blob_size(body));
    ck_assert_mem_eq(blob_data(again), blob_data(body), blob_size(body));
    blob_unref(again);
    blob_unref(body);
    job_free(j);
}
END_TEST

static void expect_refused(const uint8_t *data, size_t n)
{
    job *j;
    blob *b = n ? blob_copy(data, n) : NULL;
    ck_assert_int_ne(job_decode(b, &j), ERR_OK);
    blob_unref(b);
}

START_TEST(a_cut_or_changed_job_is_refused)
{
    blob *body = job_encode(shared);
    size_t n = blob_size(body);
    uint8_t *copy = xmalloc(n + 1);
    memcpy(copy, blob_data(body), n);
    copy[n] = 0;
    testing_capture_start();
    for (size_t k = 0; k < n; k += 211) expect_refused(copy, k);
    expect_refused(copy, n - 1);
    expect_refused(copy, n + 1);
    memset(copy, 0xff, 4); /* A length of 4 GB. */
    expect_refused(copy, n);
    testing_capture_end();
    free(copy);
    blob_unref(body);
}
END_TEST

START_TEST(every_stage_with_weights_has_its_spec)
{
    ck_assert_ptr_eq(job_spec(shared, STAGE_HGNN), shared->hgnn);
    ck_assert_ptr_eq(job_spec(shared, STAGE_HGNN_VALID), shared->hgnn);
    ck_assert_ptr_eq(job_spec(shared, STAGE_EMBED), shared->hgnn);
    ck_assert_ptr_eq(job_spec(shared, STAGE_TWO_TOWER_VALID), shared->two_tower);
    ck_assert_ptr_eq(job_spec(shared, STAGE_TWO_TOWER_NO_Z), shared->two_tower_no_z);
    ck_assert_ptr_null(job_spec(shared, STAGE_VECTORS));
    ck_assert_ptr_null(job_spec(shared, 77));
}
END_TEST

START_TEST(a_folder_without_a_store_is_not_a_job)
{
    job *j;
    config *c = NULL;
    ck_assert_int_eq(config_parse("x", "seed: 3\n", NULL, 0, &c), ERR_OK);
    testing_capture_start();
    ck_assert_int_eq(job_load(c, "nowhere", &j), ERR_NOT_FOUND);
    testing_capture_end();
    config_free(c); /* Not taken. */
}
END_TEST

/* ---- The current store ---- */

START_TEST(the_store_that_was_set_is_found)
{
    char *found;
    config *c = shared->config;
    testing_capture_start();
    ck_assert_int_eq(store_path_get(c, &found), ERR_NOT_FOUND);
    testing_expect_part(testing_capture_end(), "weft prepare");
    ck_assert_int_eq(store_path_set(c, folder), ERR_OK);
    ck_assert_int_eq(store_path_get(c, &found), ERR_OK);
    ck_assert_str_eq(found, folder);
    free(found);
    ck_assert_int_eq(store_path_set(c, "/another"), ERR_OK);
    ck_assert_int_eq(store_path_get(c, &found), ERR_OK);
    ck_assert_str_eq(found, "/another");
    free(found);
    free(c->store.source);
    c->store.source = files_absolute("shared");
    ck_assert_int_eq(store_path_get(c, &found), ERR_NOT_FOUND);
    ck_assert_int_eq(mkdir(c->store.source, 0755), 0);
    ck_assert_int_eq(store_path_publish(c, "0123456789abcdef"), ERR_OK);
    ck_assert_int_eq(store_path_get(c, &found), ERR_OK);
    testing_expect_part(found, "/shared/0123456789abcdef");
    free(found);
}
END_TEST

/* ---- Tables ---- */

START_TEST(each_put_step_has_a_table_of_its_own)
{
    static const uint32_t stages[] = {STAGE_EMBED, STAGE_VECTORS, STAGE_HGNN_VALID,
                                      STAGE_TWO_TOWER_VALID};
    const config *c = shared->config;
    bool taken[TABLE_COUNT] = {0};
    for (uint32_t i = 0; i < 4; i++) {
        for (uint32_t step = 1; step <= plan_steps(shared->plan, stages[i]); step++) {
            uint32_t t = table_of_step(c, stages[i], step);
            if (t == TABLE_COUNT) continue;
            ck_assert_uint_lt(t, TABLE_COUNT);
            ck_assert_msg(!taken[t], "%s is put twice", table_name(t));
            taken[t] = true;
            ck_assert_uint_gt(table_dim(c, t), 0);
            ck_assert_str_ne(table_name(t), "unknown");
            ck_assert(table_is_scratch(t) == (plan_trained_stage(stages[i]) != STAGE_NONE));
        }
    }
    ck_assert(taken[TABLE_Z] && taken[TABLE_USER_VECTORS] && taken[TABLE_NO_Z_USER_VECTORS]);
    ck_assert_uint_eq(table_of_step(c, STAGE_HGNN, 1), TABLE_COUNT);
    ck_assert_uint_eq(table_of_step(c, STAGE_VECTORS, 5), TABLE_COUNT);
    ck_assert_uint_eq(table_of_step(c, STAGE_TWO_TOWER_VALID, 2), TABLE_COUNT);
}
END_TEST

START_TEST(widths_are_those_of_the_configuration)
{
    const config *c = shared->config;
    ck_assert_uint_eq(table_dim(c, TABLE_Z), 8);
    ck_assert_uint_eq(table_dim(c, TABLE_LAYER + 1), 8);
    ck_assert_uint_eq(table_dim(c, TABLE_LAYER + 2), 0); /* The last layer is z. */
    ck_assert_uint_eq(table_dim(c, TABLE_VALID_LAYER + 2), 8);
    ck_assert_uint_eq(table_dim(c, TABLE_VALID_LAYER + 3), 0);
    ck_assert_uint_eq(table_dim(c, TABLE_VALID_ITEMS), 9); /* The last one is popularity. */
    ck_assert_uint_eq(table_dim(c, TABLE_ITEM_ID), 4);
    ck_assert_uint_eq(table_dim(c, TABLE_HGNN_ID), 0);
    ck_assert_uint_eq(table_dim(c, TABLE_COUNT), 0);
    ck_assert_uint_eq(table_sparse(c, STAGE_HGNN), TABLE_COUNT); /* No ids there. */
    ck_assert_uint_eq(table_sparse(c, STAGE_TWO_TOWER), TABLE_ITEM_ID);
    ck_assert_uint_eq(table_sparse(c, STAGE_TWO_TOWER_NO_Z), TABLE_NO_Z_ITEM_ID);
    ck_assert_uint_eq(table_sparse(c, STAGE_EMBED), TABLE_COUNT);
}
END_TEST

/* ---- The shard's arithmetic ---- */

static const uint32_t trained[] = {STAGE_HGNN, STAGE_TWO_TOWER, STAGE_TWO_TOWER_NO_Z};

START_TEST(initial_values_do_not_depend_on_the_cut)
{
    shard_model m = job_shard_model(shared);
    for (int i = 0; i < 3; i++) {
        size_t n = m.dense_floats(m.ctx, trained[i]);
        ck_assert_uint_eq(n, job_spec(shared, trained[i])->values);
        float *whole = xmalloc(n * sizeof *whole), *cut = xmalloc(n * sizeof *cut);
        m.init_dense(m.ctx, trained[i], 0, n, whole);
        for (size_t at = 0; at < n;) {
            size_t part = n - at < 97 ? n - at : 97;
            m.init_dense(m.ctx, trained[i], at, part, cut + at);
            at += part;
        }
        ck_assert_mem_eq(whole, cut, n * sizeof *whole);
        double squares = 0;
        for (size_t k = 0; k < n; k++) squares += (double)whole[k] * whole[k];
        ck_assert(isfinite(squares) && squares > 0);
        free(whole);
        free(cut);
    }
    ck_assert_uint_eq(m.dense_floats(m.ctx, STAGE_EMBED), 0);
}
END_TEST

START_TEST(updates_do_not_depend_on_the_cut)
{
    enum { N = 60 };
    shard_model m = job_shard_model(shared);
    uint32_t states = m.dense_state(m.ctx, STAGE_HGNN);
    ck_assert_uint_eq(states, 2); /* adamw */
    float w[N], g[N], whole[N], cut[N], state[2 * N] = {0}, half[2][N] = {0};
    for (int i = 0; i < N; i++) {
        w[i] = (float)(i - 30) / 7;
        g[i] = (float)((i * 37) % 11 - 5);
    }
    shard_update third = {.step = 3, .number = 3, .lr_scale = 1};
    m.apply_dense(m.ctx, STAGE_HGNN, third, 0, N, whole, w, state, g);
    for (int part = 0; part < 2; part++) {
        m.apply_dense(m.ctx, STAGE_HGNN, third, (size_t)part * N / 2, N / 2, cut + part * N / 2,
                      w + part * N / 2, half[part], g + part * N / 2);
    }
    ck_assert_mem_eq(whole, cut, sizeof whole);
    ck_assert(whole[0] != w[0]);
}
END_TEST

START_TEST(rows_start_and_move_as_the_model_says)
{
    shard_model m = job_shard_model(shared);
    const model_table *t = &shared->two_tower->table[0];
    shard_table tables[SHARD_TABLES_MAX];
    float row[4], same[4], state[16] = {0}, g[4] = {1, -1, 2, 0};
    uint32_t n = m.tables(m.ctx, STAGE_TWO_TOWER, tables);
    ck_assert_uint_eq(n, 2); /* ids, and the vectors of a validation */
    ck_assert_uint_eq(tables[0].id, TABLE_ITEM_ID);
    ck_assert(!tables[0].is_put && tables[0].state == 1);
    ck_assert(tables[1].id == TABLE_VALID_ITEMS && tables[1].is_put && tables[1].scratch);
    ck_assert_uint_eq(m.tables(m.ctx, STAGE_EMBED, tables), shared->config->hgnn.layers);
    ck_assert(tables[0].is_put && !tables[0].scratch);
    m.init_row(m.ctx, STAGE_TWO_TOWER, TABLE_ITEM_ID, 77, row);
    model_spec_init_row(t, shared->config->seed, 77, same);
    ck_assert_mem_eq(row, same, sizeof row);
    shard_update first = {.step = 1, .number = 1, .lr_scale = 1};
    m.apply_row(m.ctx, STAGE_TWO_TOWER, first, TABLE_ITEM_ID, 77, row, state, g);
    ck_assert(row[0] < same[0] && row[1] > same[1] && row[3] == same[3] && state[0] > 0);
}
END_TEST

/* ---- The scheduler's plan ---- */

START_TEST(rounds_are_those_of_the_plan)
{
    scheduler_plan p = job_scheduler_plan(shared);
    uint32_t stages[STAGE_COUNT];
    ck_assert_uint_eq(p.stages, plan_stages(shared->plan, stages));
    for (uint32_t i = 0; i < p.stages; i++) {
        ck_assert_uint_eq(p.stage[i], stages[i]);
        uint32_t steps = p.steps(p.ctx, stages[i]);
        ck_assert_uint_eq(steps, plan_steps(shared->plan, stages[i]));
        for (uint32_t step = 1; step <= steps; step++) {
            plan_round r = p.round(p.ctx, stages[i], step);
            ck_assert(r.stage == stages[i] && r.step == step && r.slots > 0);
            ck_assert_int_eq(r.kind, plan_is_training(stages[i]) ? ROUND_TRAIN : ROUND_PUT);
            for (uint32_t s = 0; s < r.slots; s++) {
                plan_work work;
                ck_assert(plan_slot(shared->plan, (slot_name){r.stage, r.epoch, r.step, s}, &work));
            }
        }
    }
    ck_assert_int_eq(p.stops_by(p.ctx, STAGE_EMBED), STOPPED_END);
    ck_assert_int_eq(p.stops_by(p.ctx, STAGE_HGNN), STOPPED_MAX_STEPS);
}
END_TEST

START_TEST(a_validation_puts_and_then_scores)
{
    scheduler_plan p = job_scheduler_plan(shared);
    for (int i = 0; i < 3; i++) {
        uint32_t valid = plan_valid_stage(trained[i]);
        ck_assert_uint_eq(p.valid_rounds(p.ctx, trained[i], 9), 0);
        uint32_t n = p.valid_rounds(p.ctx, trained[i], 10);
        ck_assert_uint_eq(n, plan_steps(shared->plan, valid));
        for (uint32_t k = 0; k < n; k++) {
            plan_round r = p.valid_round(p.ctx, trained[i], 10, k);
            plan_work work;
            ck_assert(r.stage == valid && r.epoch == 10 && r.step == k + 1 && r.slots > 0);
            ck_assert_int_eq(r.kind, k + 1 == n ? ROUND_SCORE : ROUND_PUT);
            ck_assert(plan_slot(shared->plan, (slot_name){valid, 10, k + 1, r.slots - 1}, &work));
        }
    }
    ck_assert_uint_eq(p.valid_rounds(p.ctx, STAGE_EMBED, 1), 0);
}
END_TEST

START_TEST(the_score_is_a_mean_of_types_with_enough_users)
{
    scheduler_plan p = job_scheduler_plan(shared);
    const double two[] = {25, 50, 30, 100}, few[] = {25, 50, 30, 49}, none[] = {1, 2, 4, 4},
                 empty[] = {0, 0, 3, 4}, nobody[] = {0, 0, 0, 0};
    ck_assert_double_eq(p.score(p.ctx, STAGE_HGNN, two, 4), 0.4);
    ck_assert_double_eq(p.score(p.ctx, STAGE_HGNN, few, 4), 0.5);
    ck_assert_double_eq(p.score(p.ctx, STAGE_HGNN, none, 4), 0.75);
    ck_assert_double_eq(p.score(p.ctx, STAGE_HGNN, empty, 4), 0.75);
    ck_assert_double_eq(p.score(p.ctx, STAGE_HGNN, nobody, 4), 0);
    ck_assert_double_eq(p.score(p.ctx, STAGE_HGNN, NULL, 0), 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("job");
    TCase *c = tcase_create("all");
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, a_job_arrives_as_it_was);
    tcase_add_test(c, a_cut_or_changed_job_is_refused);
    tcase_add_test(c, every_stage_with_weights_has_its_spec);
    tcase_add_test(c, a_folder_without_a_store_is_not_a_job);
    tcase_add_test(c, the_store_that_was_set_is_found);
    tcase_add_test(c, each_put_step_has_a_table_of_its_own);
    tcase_add_test(c, widths_are_those_of_the_configuration);
    tcase_add_test(c, initial_values_do_not_depend_on_the_cut);
    tcase_add_test(c, updates_do_not_depend_on_the_cut);
    tcase_add_test(c, rows_start_and_move_as_the_model_says);
    tcase_add_test(c, rounds_are_those_of_the_plan);
    tcase_add_test(c, a_validation_puts_and_then_scores);
    tcase_add_test(c, the_score_is_a_mean_of_types_with_enough_users);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
