/* Proves: `weft train --attach` drives a cluster that others have started to the same result, hears
 * that its job was stopped, goes on with it when it is started again, and follows no other job. */
#include "testing_files.h"
#include "testing_network.h"
#include "testing_run.h"

#include "common/clock.h"
#include "common/files.h"

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Long enough to be stopped meanwhile. */
#define LONG                                                                                       \
    "--set hgnn.max_steps=60 --set hgnn.epochs=500 --set validate.every=30 "                       \
    "--set evaluate.baselines=[popularity] "

enum { ROLES = 4 };

static const struct {
    const char *program, *name, *words;
} roles[ROLES] = {{"weft-scheduler", "scheduler", "--driver"},
                  {"weft-ps", "ps", "--index 0"},
                  {"weft-sampler", "sampler", "--index 0"},
                  {"weft-worker", "worker", "--index 0"}};

static char cluster[256]; /* where the cluster of this test is */

static void setup(void)
{
    testing_enter_folder();
    testing_run_files();
    snprintf(cluster, sizeof cluster,
             "-c job.yaml --set cluster.scheduler=tcp://127.0.0.1:%u --set http.bind=127.0.0.1:%u "
             "--set security.insecure=true " LONG,
             testing_network_free_port(), testing_network_free_port());
}

static void start_roles(pid_t pid[ROLES])
{
    for (int i = 0; i < ROLES; i++)
        pid[i] = testing_run_start_program(roles[i].program, roles[i].name, "%s %s", cluster,
                                           roles[i].words);
}

static void expect_roles_end(const pid_t pid[ROLES])
{
    for (int i = 0; i < ROLES; i++)
        ck_assert_int_eq(testing_run_wait(roles[i].name, pid[i], TESTING_RUN_WAIT_MS), 0);
}

/* The scheduler's own file: the driver has the same work_dir here. */
static ino_t metrics_inode(void)
{
    struct stat st;
    ck_assert_int_eq(stat("work/run/metrics.jsonl", &st), 0);
    return st.st_ino;
}

START_TEST(a_stopped_job_ends_its_driver_and_goes_on)
{
    pid_t pid[ROLES];
    testing_run_must("one", "train -c job.yaml --set work_dir=one --in-process " LONG);
    start_roles(pid);
    pid_t driver = testing_run_start("driver", "train %s --attach", cluster);
    testing_run_wait_step("work", "hgnn", 5);
    testing_run_must("stop", "stop %s", cluster);
    ck_assert_int_eq(testing_run_wait("driver", driver, TESTING_RUN_WAIT_MS), 143);
    testing_run_said("driver", "the job was stopped by weft stop (http://127.0.0.1:");
    testing_run_said("driver", "); it goes on from hgnn step ");
    expect_roles_end(pid);
    start_roles(pid);
    driver = testing_run_start("driver", "train %s --attach", cluster);
    testing_run_wait_step("work", "two_tower", 1);
    ino_t metrics = metrics_inode();
    ck_assert_int_eq(testing_run_wait("driver", driver, TESTING_RUN_WAIT_MS), 0);
    expect_roles_end(pid);
    testing_run_same("one/out", "work/out");
    ck_assert(metrics == metrics_inode());
    ck_assert(!files_exist("work/run/metrics.attached.jsonl"));
    testing_run_left_nothing("work");
}
END_TEST

START_TEST(a_driver_that_was_paused_hears_of_the_end_later)
{
    pid_t pid[ROLES];
    start_roles(pid);
    pid_t driver = testing_run_start("driver", "train %s --attach", cluster);
    testing_run_wait_step("work", "hgnn", 5);
    kill(driver, SIGSTOP);
    testing_run_must("stop", "stop %s", cluster);
    expect_roles_end(pid);
    kill(driver, SIGCONT);
    ck_assert_int_eq(testing_run_wait("driver", driver, TESTING_RUN_WAIT_MS), 143);
    testing_run_said("driver", "the job was stopped by weft stop (http://127.0.0.1:");
}
END_TEST

/* The scheduler has heard of the driver that the store is there. */
static void wait_for_plan(void)
{
    uint64_t end = clock_now_us() + TESTING_RUN_WAIT_MS * UINT64_C(1000);
    for (bool known = false; !known; usleep(10000)) {
        json_t *status = testing_run_status("work");
        const char *hash = json_string_value(json_object_get(status, "plan_hash"));
        known = hash && strcmp(hash, "0000000000000000") != 0;
        json_decref(status);
        ck_assert_msg(clock_now_us() < end, "the scheduler knows no plan");
    }
}

/* Its own scheduler has died, and another job's has got its ports. */
START_TEST(a_driver_does_not_follow_another_job)
{
    pid_t own = testing_run_start_program("weft-scheduler", "own", "%s --driver", cluster);
    pid_t driver = testing_run_start("driver", "train %s --attach", cluster);
    wait_for_plan();
    kill(own, SIGKILL);
    testing_run_wait("own", own, TESTING_RUN_WAIT_MS);
    pid_t other = testing_run_start_program(
        "weft-scheduler", "other", "%s --driver --set job=other --set work_dir=other", cluster);
    ck_assert_int_eq(testing_run_wait("driver", driver, TESTING_RUN_WAIT_MS), 2);
    testing_run_said("driver", " is \"other\", not \"bits\"");
    kill(other, SIGTERM);
    ck_assert_int_eq(testing_run_wait("other", other, TESTING_RUN_WAIT_MS), 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("attach");
    TCase *c = tcase_create("attach");
    tcase_set_timeout(c, 300);
    tcase_add_checked_fixture(c, setup, testing_leave_folder);
    tcase_add_test(c, a_stopped_job_ends_its_driver_and_goes_on);
    tcase_add_test(c, a_driver_that_was_paused_hears_of_the_end_later);
    tcase_add_test(c, a_driver_does_not_follow_another_job);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
