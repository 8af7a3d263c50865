/* Proves: metrics survive the process that stored them, in order and once; metrics.jsonl is written
 * anew from what is stored; `fresh` forgets; every line is what metrics.jsonl promises. */
#include "ps/metrics_log.h"

#include "testing_files.h"
#include "testing_job.h"

#include <check.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static job *shared;
static char *store;

static void set_up(void)
{
    testing_enter_folder();
    shared = testing_job(TESTING_JOB_KEYS, &store);
}

static void tear_down(void)
{
    job_free(shared);
    free(store);
    testing_leave_folder();
}

static metrics_log *open_log(bool fresh)
{
    metrics_log *m = NULL;
    ck_assert_int_eq(metrics_log_open(".", fresh, &m), ERR_OK);
    return m;
}

static core_metric step_metric(uint64_t index, uint32_t step)
{
    return (core_metric){.index = index,
                         .kind = METRIC_STEP,
                         .stage = STAGE_HGNN,
                         .epoch = 1,
                         .step = step,
                         .examples = 64,
                         .loss = 2.25,
                         .voids = step % 2};
}

static core_metric put_metric(uint64_t index)
{
    return (core_metric){.index = index,
                         .kind = METRIC_PUT,
                         .stage = STAGE_EMBED,
                         .epoch = 1,
                         .step = 1,
                         .examples = 90};
}

static size_t count_lines(const char *path)
{
    size_t n, lines = 0;
    char *text = testing_get_text(path, &n);
    for (size_t i = 0; i < n; i++) lines += text[i] == '\n';
    free(text);
    return lines;
}

START_TEST(a_step_is_a_line_in_both_files)
{
    metrics_log *m = open_log(true);
    core_metric step = step_metric(0, 1);
    metrics_log_add(m, shared, &step, 0.5);
    metrics_log_close(m);
    char *line = testing_get_text("metrics.jsonl", NULL),
         *timed = testing_get_text("steps.jsonl", NULL);
    ck_assert_str_eq(line, "{\"kind\":\"step\",\"stage\":\"hgnn\",\"epoch\":1,\"step\":1,"
                           "\"lr\":0.000200000009,\"loss\":2.25,\"examples\":64,\"void\":1}\n");
    line[strlen(line) - 2] = 0;
    ck_assert_int_eq(strncmp(timed, line, strlen(line)), 0);
    ck_assert_str_eq(timed + strlen(line), ",\"seconds\":0.500000}\n");
    free(line);
    free(timed);
}
END_TEST

START_TEST(a_validation_names_its_types)
{
    uint32_t types = (uint32_t)shared->manifest->types.n;
    ck_assert_uint_ge(types, 2);
    core_metric valid = {.kind = METRIC_VALID,
                         .stage = STAGE_TWO_TOWER,
                         .epoch = 1,
                         .step = 10,
                         .value = 0.25,
                         .best = true,
                         .sums_n = 2 * types};
    valid.sums[0] = 3;
    valid.sums[1] = 12; /* All other types have no users, and no value. */
    char *line = metrics_log_line(shared, &valid), expected[256];
    snprintf(
        expected, sizeof expected,
        "{\"kind\":\"valid\",\"stage\":\"two_tower\",\"epoch\":%u,\"step\":10,\"metric\":\"hr_10\","
        "\"value\":0.250000,\"by_type\":{\"%s\":0.250000},\"best\":true}\n",
        plan_epoch(shared->plan, STAGE_TWO_TOWER, 10), shared->manifest->types.items[0]);
    ck_assert_str_eq(line, expected);
    free(line);
}
END_TEST

START_TEST(stages_end_with_a_line)
{
    core_metric put = {.kind = METRIC_STAGE, .stage = STAGE_EMBED, .step = 2, .examples = 90};
    char *line = metrics_log_line(shared, &put);
    ck_assert_str_eq(line, "{\"kind\":\"stage\",\"stage\":\"embed\",\"steps\":2,\"rows\":90}\n");
    free(line);
    core_metric train = {.kind = METRIC_STAGE,
                         .stage = STAGE_HGNN,
                         .step = 20,
                         .epoch = 10,
                         .value = 0.5,
                         .loss = 1.5,
                         .stopped = STOPPED_MAX_STEPS};
    line = metrics_log_line(shared, &train);
    char expected[256];
    snprintf(expected, sizeof expected,
             "{\"kind\":\"stage\",\"stage\":\"hgnn\",\"steps\":20,\"epochs\":%u,\"best_step\":10,"
             "\"stopped\":\"max_steps\",\"metric\":\"mrr_100\",\"best\":0.500000,\"last_loss\":1.5,"
             "\"void_slots\":0}\n",
             plan_epoch(shared->plan, STAGE_HGNN, 20));
    ck_assert_str_eq(line, expected);
    free(line);
}
END_TEST

START_TEST(put_rounds_are_stored_and_have_no_line)
{
    metrics_log *m = open_log(true);
    core_metric put = put_metric(0), step = step_metric(1, 1);
    metrics_log_add(m, shared, &put, 0.1);
    metrics_log_add(m, shared, &step, 0.1);
    metrics_log_close(m);
    ck_assert_uint_eq(count_lines("metrics.jsonl"), 1);
    m = open_log(false);
    scheduler_durable d = metrics_log_durable(m);
    ck_assert_uint_eq(d.metrics, 2);
    ck_assert_int_eq(d.metric[0].kind, METRIC_PUT);
    metrics_log_close(m);
}
END_TEST

START_TEST(a_restart_reads_all_and_repeats_nothing)
{
    metrics_log *m = open_log(true);
    ck_assert_ptr_null(metrics_log_durable(m).state);
    for (uint32_t i = 0; i < 300; i++) { /* More than a byte: the order is that of numbers. */
        core_metric step = step_metric(i, i % 20 + 1);
        step.examples = i;
        metrics_log_add(m, shared, &step, 0.1);
        if (i == 7) ck_assert_int_eq(metrics_log_persist(m, "first", 5), ERR_OK);
    }
    ck_assert_int_eq(metrics_log_persist(m, "state 2", 7), ERR_OK);
    metrics_log_close(m);
    m = open_log(false);
    scheduler_durable d = metrics_log_durable(m);
    ck_assert_uint_eq(d.state_bytes, 7);
    ck_assert_mem_eq(d.state, "state 2", 7);
    ck_assert_uint_eq(d.metrics, 300);
    for (size_t i = 0; i < 300; i++) ck_assert_uint_eq(d.metric[i].examples, i);
    core_metric again = step_metric(299, 20), next = step_metric(300, 1);
    metrics_log_add(m, shared, &again, 0.1);
    metrics_log_add(m, shared, &next, 0.1);
    metrics_log_close(m);
    ck_assert_uint_eq(count_lines("metrics.jsonl"), 301);
    ck_assert_uint_eq(count_lines("steps.jsonl"), 301);
}
END_TEST

/* The process ended between storing a metric and writing its line, and in the middle of another. */
START_TEST(lost_and_torn_lines_are_written_again)
{
    metrics_log *m = open_log(true);
    for (uint32_t i = 0; i < 3; i++) {
        core_metric step = step_metric(i, 1);
        metrics_log_add(m, shared, &step, 0.1);
    }
    metrics_log_close(m);
    char *before = testing_get_text("metrics.jsonl", NULL);
    size_t length = strlen(before);
    testing_put("metrics.jsonl", before, length / 2);
    m = open_log(false);
    core_metric next = step_metric(3, 4);
    metrics_log_add(m, shared, &next, 0.1);
    metrics_log_close(m);
    char *after = testing_get_text("metrics.jsonl", NULL);
    ck_assert_int_eq(strncmp(after, before, length), 0);
    ck_assert_uint_eq(count_lines("metrics.jsonl"), 4);
    free(before);
    free(after);
}
END_TEST

/* The map has a limit: a step must not take a page of it. */
START_TEST(a_stored_step_is_small)
{
    enum { STEPS = 2000 };
    struct stat st;
    metrics_log *m = open_log(true);
    for (uint32_t i = 0; i < STEPS; i++) {
        core_metric step = step_metric(i, 1);
        metrics_log_add(m, shared, &step, 0.1);
    }
    metrics_log_close(m);
    ck_assert_int_eq(stat("scheduler.mdb", &st), 0);
    ck_assert_int_lt(st.st_size, STEPS * 512);
}
END_TEST

START_TEST(fresh_forgets)
{
    metrics_log *m = open_log(true);
    core_metric step = step_metric(0, 1);
    metrics_log_add(m, shared, &step, 0.1);
    ck_assert_int_eq(metrics_log_persist(m, "x", 1), ERR_OK);
    metrics_log_close(m);
    m = open_log(true);
    scheduler_durable d = metrics_log_durable(m);
    ck_assert_uint_eq(d.metrics, 0);
    ck_assert_uint_eq(d.state_bytes, 0);
    metrics_log_close(m);
    ck_assert_uint_eq(count_lines("metrics.jsonl"), 0);
    ck_assert_uint_eq(count_lines("steps.jsonl"), 0);
}
END_TEST

START_TEST(a_file_that_is_no_database_is_corrupt)
{
    char bytes[16384];
    memset(bytes, 'x', sizeof bytes);
    testing_put("scheduler.mdb", bytes, sizeof bytes);
    metrics_log *m = NULL;
    testing_capture_start();
    ck_assert_int_eq(metrics_log_open(".", false, &m), ERR_CORRUPT);
    testing_expect_part(testing_capture_end(), "scheduler.mdb");
}
END_TEST

START_TEST(a_missing_folder_is_an_error)
{
    metrics_log *m = NULL;
    ck_assert_int_eq(metrics_log_open("nowhere", false, &m), ERR_IO);
}
END_TEST

/* Every line is one JSON object whatever the numbers. */
START_TEST(lines_parse)
{
    core_metric step = step_metric(0, 20);
    step.loss = 1e-30;
    step.examples = UINT64_MAX >> 1;
    char *line = metrics_log_line(shared, &step);
    json_t *o = json_loads(line, 0, NULL);
    ck_assert_ptr_nonnull(o);
    ck_assert_double_eq(json_real_value(json_object_get(o, "loss")), 1e-30);
    json_decref(o);
    free(line);
}
END_TEST

/* LMDB trusts its pages: what is damaged is found before it is used. */
START_TEST(a_damaged_state_is_refused_or_as_it_was)
{
    enum { FLIPS = 60, STEPS = 200 };
    uint32_t refused = 0;
    size_t bytes;
    uint64_t random = 1;
    metrics_log *m = open_log(true);
    for (uint32_t i = 0; i < STEPS; i++) {
        core_metric step = step_metric(i, 1 + i % 4);
        metrics_log_add(m, shared, &step, 0.1);
    }
    ck_assert_int_eq(metrics_log_persist(m, "state", 5), ERR_OK);
    metrics_log_close(m);
    char *good = testing_get_text("scheduler.mdb", &bytes), *bad = malloc(bytes);
    for (uint32_t k = 0; k < FLIPS; k++) {
        memcpy(bad, good, bytes);
        for (uint32_t i = 0; i < 1 + k % 7; i++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            bad[(random >> 20) % bytes] ^= (char)(1 << (random >> 60) % 8);
        }
        testing_put("scheduler.mdb", bad, k % 5 == 4 ? (random >> 30) % bytes : bytes);
        unlink("scheduler.mdb-lock");
        m = NULL;
        err_code rc = metrics_log_open(".", false, &m);
        refused += rc == ERR_CORRUPT;
        if (rc == ERR_OK && metrics_log_durable(m).state) { /* else: an empty file is a new one */
            scheduler_durable d = metrics_log_durable(m);
            ck_assert_uint_eq(d.state_bytes, 5);
            ck_assert(memcmp(d.state, "state", 5) == 0);
            for (size_t i = 0; i < d.metrics; i++) ck_assert_uint_eq(d.metric[i].step, 1 + i % 4);
        }
        metrics_log_close(m);
    }
    ck_assert_uint_ge(refused, 10);
    free(good);
    free(bad);
}
END_TEST

START_TEST(the_first_metrics_are_read_back_and_put_into_another_log)
{
    core_metric *list;
    metrics_log *m = open_log(true);
    for (uint32_t i = 0; i < 5; i++) {
        core_metric step = step_metric(i, i + 1);
        metrics_log_add(m, shared, &step, 0.1);
    }
    ck_assert_int_eq(metrics_log_read(m, 6, &list), ERR_NOT_FOUND);
    ck_assert_int_eq(metrics_log_read(m, 4, &list), ERR_OK);
    metrics_log_close(m);
    m = open_log(true);
    ck_assert_int_eq(metrics_log_restore(m, list, 4), ERR_OK);
    ck_assert_int_eq(metrics_log_again(m), ERR_OK);
    ck_assert_uint_eq(metrics_log_durable(m).metrics, 4);
    core_metric next = step_metric(4, 5);
    metrics_log_add(m, shared, &next, 0.1);
    metrics_log_close(m);
    ck_assert_uint_eq(count_lines("metrics.jsonl"), 5);
    free(list);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("metrics_log");
    TCase *c = tcase_create("all");
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, a_step_is_a_line_in_both_files);
    tcase_add_test(c, a_validation_names_its_types);
    tcase_add_test(c, stages_end_with_a_line);
    tcase_add_test(c, put_rounds_are_stored_and_have_no_line);
    tcase_add_test(c, a_restart_reads_all_and_repeats_nothing);
    tcase_add_test(c, lost_and_torn_lines_are_written_again);
    tcase_add_test(c, a_stored_step_is_small);
    tcase_add_test(c, fresh_forgets);
    tcase_add_test(c, a_file_that_is_no_database_is_corrupt);
    tcase_add_test(c, a_missing_folder_is_an_error);
    tcase_add_test(c, lines_parse);
    tcase_add_test(c, a_damaged_state_is_refused_or_as_it_was);
    tcase_add_test(c, the_first_metrics_are_read_back_and_put_into_another_log);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
