/* Proves: `weft bench` measures every part of a job and all of them together, each with a rate and
 * the limit it stands beside; and leaves nothing of its training behind, also when it is stopped.
 */
#include "testing_files.h"
#include "testing_run.h"

#include "common/clock.h"
#include "common/files.h"

#include <check.h>
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static size_t count_rows(const json_t *bench, const char *part)
{
    size_t i, n = 0;
    json_t *row;
    json_array_foreach(json_object_get(bench, "rows"), i, row)
    {
        bool is = strcmp(json_string_value(json_object_get(row, "part")), part) == 0;
        double rate = json_number_value(json_object_get(row, "per_s"));
        const json_t *limit = json_object_get(row, "limit_per_s");
        if (!is) continue;
        n++;
        ck_assert_msg(rate > 0, "%s: %g", json_string_value(json_object_get(row, "what")), rate);
        ck_assert(!limit || json_number_value(limit) > 0);
    }
    return n;
}

/* Each stage of the training: its arithmetic beside what there is, and shares of the time. */
static void check_training(const json_t *bench)
{
    static const char *const phases[] = {"sample", "pull", "compute", "push", "wait"};
    size_t i;
    json_t *row;
    json_array_foreach(json_object_get(bench, "rows"), i, row)
    {
        const json_t *share = json_object_get(row, "time_share");
        if (strcmp(json_string_value(json_object_get(row, "part")), "training") != 0) {
            ck_assert_ptr_null(share);
            continue;
        }
        double used = json_number_value(json_object_get(row, "used_per_s")), sum = 0;
        ck_assert(used > 0 && json_number_value(json_object_get(row, "limit_per_s")) > 0);
        for (size_t k = 0; share && k < 5; k++)
            sum += json_number_value(json_object_get(share, phases[k]));
        ck_assert(!share || (sum > 0.999 && sum < 1.001));
    }
}

/* The folder of a training that bench has, owned; NULL: there is none. */
static char *training_folder(void)
{
    char *found = NULL;
    DIR *d = opendir("work");
    for (struct dirent *e; d && (e = readdir(d));) {
        if (strncmp(e->d_name, ".bench-", 7) == 0) found = files_join("work", e->d_name);
    }
    if (d) closedir(d);
    return found;
}

/* As of a bench that was killed. */
static void leave_folder(void)
{
    pid_t dead = fork();
    if (dead == 0) _exit(0);
    ck_assert_int_eq(waitpid(dead, NULL, 0), dead);
    char path[64];
    snprintf(path, sizeof path, "work/.bench-%d/checkpoints", (int)dead);
    ck_assert_int_eq(files_make_dirs(path), ERR_OK);
}

START_TEST(every_part_has_rates)
{
    testing_run_files();
    leave_folder();
    testing_run_must("first", "bench -c job.yaml --seconds 0.02 --json");
    json_t *bench = json_load_file("first.out", JSON_REJECT_DUPLICATES, NULL);
    ck_assert_ptr_nonnull(bench);
    ck_assert_uint_eq(count_rows(bench, "prepare"), 1);
    ck_assert_uint_eq(count_rows(bench, "network"), 3);
    ck_assert_uint_eq(count_rows(bench, "sampler"), 4); /* two stages */
    ck_assert_uint_eq(count_rows(bench, "worker"), 2);
    ck_assert_uint_ge(count_rows(bench, "server"), 2);
    ck_assert_uint_eq(count_rows(bench, "training"), 2);
    check_training(bench);
    json_decref(bench);
    ck_assert_ptr_null(training_folder()); /* nor that of an earlier one */
    ck_assert(!files_exist("work/checkpoints") && !files_exist("work/run"));
    /* What is prepared is not prepared again. */
    testing_run_must("second", "bench -c job.yaml --seconds 0.02 --json");
    bench = json_load_file("second.out", JSON_REJECT_DUPLICATES, NULL);
    ck_assert_uint_eq(count_rows(bench, "prepare"), 0);
    json_decref(bench);
    char line[] = "sed 's/^work_dir: work$/work_dir: \"a: b\"/' job.yaml >colon.yaml";
    ck_assert_int_eq(system(line), 0);
    testing_run_must("text", "bench -c colon.yaml --seconds 0.02");
    char *text = testing_get_text("text.out", NULL);
    testing_expect_part(text, "flops of sgemm");
    testing_expect_part(text, "bytes of tcp on loopback");
    free(text);
    testing_run_said("text", "\nhgnn              done ");
    testing_run_said("text", "\ntwo_tower         done ");
    ck_assert_int_eq(testing_run_code("none", "bench -c job.yaml --seconds 0"), 2);
}
END_TEST

START_TEST(a_signal_ends_a_measurement_too)
{
    enum { WAIT_MS = 60000, POLL_US = 5000 };
    uint64_t end = clock_now_us() + WAIT_MS * UINT64_C(1000);
    testing_run_files();
    pid_t pid = testing_run_start("long", "bench -c job.yaml --seconds 3600 --json");
    char *store;
    while (!(store = testing_run_store("work"))) {
        ck_assert_msg(clock_now_us() < end, "nothing is prepared");
        usleep(POLL_US);
    }
    free(store);
    kill(pid, SIGINT);
    ck_assert_int_eq(testing_run_wait("long", pid, WAIT_MS), -SIGINT);
}
END_TEST

START_TEST(a_stop_leaves_nothing)
{
    enum { WAIT_MS = 60000, POLL_US = 5000 };
    uint64_t end = clock_now_us() + WAIT_MS * UINT64_C(1000);
    char *folder = NULL, *steps = NULL;
    testing_run_files();
    pid_t pid = testing_run_start("stop", "bench -c job.yaml --seconds 0.02 --set "
                                          "cluster.workers=2 --set hgnn.max_steps=0 --json");
    while (!steps || !files_exist(steps)) {
        ck_assert_msg(clock_now_us() < end, "there is no training");
        if (!folder) folder = training_folder();
        if (folder && !steps) steps = files_join(folder, "run/url");
        usleep(POLL_US);
    }
    kill(pid, SIGINT);
    ck_assert_int_eq(testing_run_wait("stop", pid, WAIT_MS), 130);
    ck_assert(!files_exist(folder));
    testing_run_wait_gone(folder, WAIT_MS);
    free(folder);
    free(steps);
}
END_TEST

int main(void)
{
    TCase *c = tcase_create("bench");
    tcase_add_checked_fixture(c, testing_enter_folder, testing_leave_folder);
    tcase_add_test(c, every_part_has_rates);
    tcase_add_test(c, a_signal_ends_a_measurement_too);
    tcase_add_test(c, a_stop_leaves_nothing);
    Suite *s = suite_create("bench");
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
