/* Proves: a job goes on with what an earlier run left, whichever way that ran and this one runs;
 * from a checkpoint of choice; and from its checkpoints alone when the scheduler's own state is
 * lost or damaged: always to the same bytes. */
#include "testing_files.h"
#include "testing_run.h"

#include "common/clock.h"
#include "common/file_lock.h"
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

static const char *const ways[] = {"", "--in-process"};

START_TEST(another_plan_is_refused_naming_what_differs)
{
    stop_at(8, "--in-process");
    int code =
        testing_run_code("two", TRAIN "%s --set hgnn.temperature=0.3 --set seed=77", ways[_i]);
    ck_assert_int_eq(code, 2);
    testing_run_said("two", "the state of a job with another plan; --fresh forgets it");
    testing_run_said("two", "hgnn: \"temperature: 0.3\", the job has \"temperature: 0.1\"");
    testing_run_said("two", "seed: \"seed: 77\", the job has");
    testing_run_left_nothing("two");
}
END_TEST

/* ---- A checkpoint of choice ---- */

START_TEST(a_step_is_gone_back_to_and_its_ways_to_the_end_are_the_same)
{
    testing_run_must("two", TRAIN);
    pid_t pid = testing_run_start("two", TRAIN "--from hgnn/60 %s", _i ? "--in-process" : "");
    ck_assert_int_eq(testing_run_wait("two", pid, TESTING_RUN_WAIT_MS), 0);
    testing_run_said("two", "going back to hgnn step 60 (hgnn-v");
    testing_run_said("two", "newer checkpoints: removed when the next is made");
    expect_same();
    expect_listed("vectors"); /* the ends of stages that came after it were kept, or made again */
}
END_TEST

static const testing_run_refusal refusals[] = {
    {"--from 7", 2, "--from 7: there is no such checkpoint; there are:"},
    {"--from hgnn/41", 2, "  hgnn/60  hgnn-v"},
    {"--from two", 2, "neither a step, STAGE/STEP, nor a name"},
    {"--from hgnn-v3-g77", 2, "there is no such checkpoint"},
    {"--from 2 --fresh", 2, "--fresh and --from do not go together"},
};

START_TEST(a_checkpoint_that_is_not_there_is_refused_with_those_that_are)
{
    testing_run_must("two", TRAIN);
    testing_run_refused(TRAIN, refusals, sizeof refusals / sizeof *refusals);
    testing_run_must("two", TRAIN); /* nothing was touched */
    expect_same();
}
END_TEST

START_TEST(a_folder_of_checkpoints_is_for_one_job)
{
    static const testing_run_refusal taken[] = {
        {"--in-process", 2, "checkpoint.dir: another job keeps its checkpoints in "},
        {"", 2, "checkpoint.dir: another job keeps its checkpoints in "},
    };
    int fd;
    ck_assert_int_eq(file_lock_folder("one/checkpoints", &fd), ERR_OK);
    ck_assert_int_ge(fd, 0);
    testing_run_refused(TRAIN "--set checkpoint.dir=one/checkpoints ", taken, 2);
    close(fd);
    testing_run_must("two", TRAIN); /* with a folder of its own */
}
END_TEST

/* ---- The scheduler's state is lost ---- */

static void lose_state(int how)
{
    size_t n;
    char *bytes = testing_get_text("two/run/scheduler.mdb", &n);
    if (how == 0) {
        unlink("two/run/scheduler.mdb");
    } else if (how == 1) {
        testing_put("two/run/scheduler.mdb", bytes, n / 2);
    } else {
        for (size_t i = 0; i < n; i += 61) bytes[i] = (char)(bytes[i] ^ 0x55);
        testing_put("two/run/scheduler.mdb", bytes, n);
    }
    free(bytes);
}

START_TEST(checkpoints_alone_are_enough_to_go_on)
{
    stop_at(30, "--servers 2");
    lose_state(_i);
    testing_run_must("two", TRAIN "--workers 2");
    char *log = testing_get_text("two/logs/scheduler-0.log", NULL);
    testing_expect_part(log, "recovered checkpoint=hgnn-v");
    testing_expect_part(log, "rollback who=scheduler-0 why=\"to hgnn");
    free(log);
    expect_same();
    ck_assert(files_exist("two/run/scheduler.mdb.damaged") == (_i > 0));
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
    tcase_add_loop_test(c, another_plan_is_refused_naming_what_differs, 0, 2);
    tcase_add_loop_test(c, a_step_is_gone_back_to_and_its_ways_to_the_end_are_the_same, 0, 2);
    tcase_add_test(c, a_checkpoint_that_is_not_there_is_refused_with_those_that_are);
    tcase_add_test(c, a_folder_of_checkpoints_is_for_one_job);
    tcase_add_loop_test(c, checkpoints_alone_are_enough_to_go_on, 0, 3);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
