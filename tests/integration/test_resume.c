/* Proves: a job goes on with what an earlier run left, whichever way that ran and this one runs;
 * from a checkpoint of choice; and from its checkpoints alone when the scheduler's own state is
 * lost or damaged: always to the same bytes. */
#include "testing_files.h"
#include "testing_run.h"

#include "common/clock.h"
#include "common/files.h"

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Long enough to be stopped meanwhile. */
#define LONG                                                                                       \
    "--set hgnn.max_steps=60 --set hgnn.epochs=500 --set two_tower.max_steps=40 "                  \
    "--set two_tower.epochs=500 --set validate.every=20 --set evaluate.baselines=[popularity] "
#define TRAIN "train -c job.yaml --set work_dir=two " LONG

enum { END_MS = 60000, POLL_US = 5000 };

static void setup(void)
{
    testing_enter_folder();
    testing_run_files();
    testing_run_must("one", "train -c job.yaml --set work_dir=one --in-process " LONG);
}

static void remove_two(void)
{
    ck_assert_int_eq(files_remove_tree("two"), ERR_OK);
}

/* Waits until so many lines of metrics are there: a run in one process has no status endpoint. */
static void wait_for_lines(uint32_t lines)
{
    uint64_t end = clock_now_us() + END_MS * UINT64_C(1000);
    for (uint32_t n = 0; n < lines; usleep(POLL_US)) {
        char *text = files_exist("two/run/metrics.jsonl")
                         ? testing_get_text("two/run/metrics.jsonl", NULL)
                         : NULL;
        n = 0;
        for (const char *p = text; p && (p = strchr(p, '\n')); p++) n++;
        free(text);
        ck_assert_msg(clock_now_us() < end, "%u of %u lines", n, lines);
    }
}

static void stop_at(uint32_t lines, const char *how)
{
    pid_t pid = testing_run_start("two", TRAIN "%s", how);
    wait_for_lines(lines);
    kill(pid, SIGINT);
    ck_assert_int_eq(testing_run_wait("two", pid, END_MS), 130);
    testing_run_left_nothing("two");
}

static void expect_same(void)
{
    testing_run_same("one/out", "two/out");
    testing_run_left_nothing("two");
}

/* Whether `weft checkpoint list` has a line with this. */
static void expect_listed(const char *part)
{
    testing_run_must("list", "checkpoint list -c job.yaml --set work_dir=two");
    char *text = testing_get_text("list.out", NULL);
    testing_expect_part(text, part);
    free(text);
}

/* ---- One process and many ---- */

START_TEST(a_run_in_one_process_stops_with_a_checkpoint_and_goes_on_either_way)
{
    stop_at(8, "--in-process");
    expect_listed("stop");
    stop_at(30, "--workers 2 --servers 2");
    testing_run_must("two", TRAIN "--in-process");
    expect_same();
}
END_TEST

START_TEST(another_plan_is_refused_in_one_process_too)
{
    stop_at(8, "--in-process");
    int code = testing_run_code("two", TRAIN "--in-process --set hgnn.temperature=0.3");
    ck_assert_int_eq(code, 2);
    testing_run_said("two", "hgnn: \"temperature: 0.3\", the job has \"temperature: 0.1\"");
    testing_run_left_nothing("two");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("resume");
    TCase *c = tcase_create("resume");
    tcase_set_timeout(c, 300);
    tcase_add_unchecked_fixture(c, setup, testing_leave_folder);
    tcase_add_checked_fixture(c, remove_two, NULL);
    tcase_add_test(c, a_run_in_one_process_stops_with_a_checkpoint_and_goes_on_either_way);
    tcase_add_test(c, another_plan_is_refused_in_one_process_too);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
