/* Proves: metrics survive the process that stored them, in order and once; metrics.jsonl is written
 * anew from what is stored; `fresh` forgets; every line is what metrics.jsonl promises; damage is
 * told from what is none; a state is replaced as a whole or stays. */
#include "ps/metrics_log.h"

#include "testing_files.h"
#include "testing_job.h"

#include <check.h>
#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
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
    testing_capture_start();
    ck_assert_int_eq(metrics_log_check("."), ERR_CORRUPT);
    testing_expect_part(testing_capture_end(), "scheduler.mdb");
}
END_TEST

START_TEST(a_missing_folder_is_an_error)
{
    metrics_log *m = NULL;
    ck_assert_int_eq(metrics_log_check("nowhere"), ERR_OK); /* nothing that is damaged */
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
        err_code rc = metrics_log_check(".");
        if (rc == ERR_OK) rc = metrics_log_open(".", false, &m);
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
    ck_assert_int_eq(metrics_log_replace(".", list, 4, "back", 4), ERR_OK);
    m = open_log(false);
    ck_assert_uint_eq(metrics_log_durable(m).metrics, 4);
    core_metric next = step_metric(4, 5);
    metrics_log_add(m, shared, &next, 0.1);
    metrics_log_close(m);
    ck_assert_uint_eq(count_lines("metrics.jsonl"), 5);
    free(list);
}
END_TEST

static void put_one(void)
{
    metrics_log *m = open_log(true);
    core_metric step = step_metric(0, 1);
    metrics_log_add(m, shared, &step, 0.1);
    ck_assert_int_eq(metrics_log_persist(m, "first", 5), ERR_OK);
    metrics_log_close(m);
}

static void expect_one(void)
{
    ck_assert_uint_eq(count_lines("metrics.jsonl"), 1);
    ck_assert_int_eq(metrics_log_check("."), ERR_OK);
    metrics_log *m = open_log(false);
    scheduler_durable d = metrics_log_durable(m);
    ck_assert_uint_eq(d.metrics, 1);
    ck_assert_uint_eq(d.state_bytes, 5);
    ck_assert(memcmp(d.state, "first", 5) == 0);
    metrics_log_close(m);
}

/* A checkpoint of no metrics: the lines that came later are not those of the new state. */
START_TEST(lines_of_a_state_that_was_replaced_go)
{
    put_one();
    char *later = testing_get_text("metrics.jsonl", NULL);
    ck_assert_int_eq(metrics_log_replace(".", NULL, 0, "back", 4), ERR_OK);
    testing_put_text("metrics.jsonl", later); /* it died before it could remove them */
    metrics_log *m = open_log(false);
    core_metric step = step_metric(0, 1);
    metrics_log_add(m, shared, &step, 0.1);
    metrics_log_close(m);
    ck_assert_uint_eq(count_lines("metrics.jsonl"), 1);
    free(later);
}
END_TEST

/* The disk is full after so many bytes. */
START_TEST(a_state_that_cannot_be_replaced_stays)
{
    enum { STEPS = 200, BYTES_MAX = 20000 };
    static core_metric list[STEPS];
    struct rlimit was, low;
    put_one();
    for (uint32_t i = 0; i < STEPS; i++) list[i] = step_metric(i, i + 1);
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &was), 0);
    low = (struct rlimit){BYTES_MAX, was.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    testing_capture_start();
    setrlimit(RLIMIT_FSIZE, &low);
    err_code rc = metrics_log_replace(".", list, STEPS, "back", 4);
    setrlimit(RLIMIT_FSIZE, &was);
    testing_expect_part(testing_capture_end(), "scheduler.mdb: cannot be replaced");
    ck_assert_int_eq(rc, ERR_IO);
    ck_assert_int_ne(access("scheduler.mdb.new", F_OK), 0);
    expect_one();
    ck_assert_int_eq(metrics_log_replace(".", list, STEPS, "back", 4), ERR_OK);
}
END_TEST

/* ---- What is no damage ---- */

static int fork_fails, fork_kills;
pid_t __real_fork(void);
pid_t __wrap_fork(void);
pid_t __wrap_fork(void)
{
    if (fork_fails) {
        errno = fork_fails;
        return -1;
    }
    pid_t pid = __real_fork();
    if (pid == 0 && fork_kills) {
        signal(fork_kills, SIG_DFL); /* a sanitizer may have taken it */
        raise(fork_kills);
    }
    return pid;
}

static const struct {
    int fails, kills;
    err_code rc;
    const char *says;
} ends[] = {
    {EAGAIN, 0, ERR_IO, "fork: "},
    {0, SIGKILL, ERR_IO, "was ended by signal 9"},
    {0, SIGTERM, ERR_IO, "was ended by signal 15"},
    {0, SIGSEGV, ERR_CORRUPT, "damaged"},
    {0, SIGBUS, ERR_CORRUPT, "damaged"},
    {0, SIGABRT, ERR_CORRUPT, "damaged"},
};

START_TEST(only_a_crash_of_who_reads_it_is_damage)
{
    put_one();
    testing_capture_start();
    fork_fails = ends[_i].fails;
    fork_kills = ends[_i].kills;
    err_code rc = metrics_log_check(".");
    fork_fails = fork_kills = 0;
    testing_expect_part(testing_capture_end(), ends[_i].says);
    ck_assert_int_eq(rc, ends[_i].rc);
    expect_one();
}
END_TEST

START_TEST(a_database_that_cannot_be_opened_is_not_damaged)
{
    struct rlimit was, none;
    put_one();
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &was), 0);
    none = (struct rlimit){0, was.rlim_max};
    testing_capture_start();
    setrlimit(RLIMIT_NOFILE, &none);
    err_code rc = metrics_log_check(".");
    setrlimit(RLIMIT_NOFILE, &was);
    const char *said = testing_capture_end();
    testing_expect_part(said, "Too many open files");
    testing_expect_part(said, "scheduler.mdb: cannot be tested, and stays as it is");
    ck_assert_int_eq(rc, ERR_IO);
    expect_one();
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
    tcase_add_test(c, lines_of_a_state_that_was_replaced_go);
    tcase_add_test(c, a_state_that_cannot_be_replaced_stays);
    tcase_add_loop_test(c, only_a_crash_of_who_reads_it_is_damage, 0,
                        (int)(sizeof ends / sizeof *ends));
    tcase_add_test(c, a_database_that_cannot_be_opened_is_not_damaged);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
