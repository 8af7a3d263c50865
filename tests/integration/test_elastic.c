/* Proves: the number of workers changes while a job runs, by command and by hand, and processes of
 * every kind are killed meanwhile, without a byte of the result changing; a worker works soon after
 * its start, and leaves soon after it was asked to.  Prints the times it saw. */
#include "testing_files.h"
#include "testing_network.h"
#include "testing_run.h"

#include "common/clock.h"
#include "common/files.h"
#include "common/mem.h"

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Long enough to do all of it meanwhile, and the same for the undisturbed run. */
#if defined(__SANITIZE_THREAD__)
#define STEPS "400"
#elif defined(__SANITIZE_ADDRESS__)
#define STEPS "1500"
#else
#define STEPS "4000"
#endif
#define LONG                                                                                       \
    "--set hgnn.max_steps=" STEPS " --set hgnn.epochs=5000 --set hgnn.patience=0 "                 \
    "--set two_tower.max_steps=60 --set two_tower.epochs=500 --set validate.every=200 "            \
    "--set evaluate.baselines=[popularity] "
#define ENDLESS LONG "--set hgnn.max_steps=100000 --set hgnn.epochs=1000000 "

enum { POLL_US = 5000, WAIT_MS = 60000, JOIN_MS = 2000, LEAVE_MS = 10000 };

/* The promises are of a build as it is used: sanitizers get five times as long. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SLACK = 5 };
#else
enum { SLACK = 1 };
#endif

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

static uint64_t now_ms(void)
{
    return clock_now_us() / 1000;
}

static void kill_one(const char *role, uint32_t index)
{
    pid_t pid = testing_run_process("two", role, index);
    ck_assert_msg(pid > 0, "%s-%u is not there", role, index);
    ck_assert_int_eq(kill(pid, SIGKILL), 0);
}

/* The worker's row of the status with what it says under `key`, owned; NULL: no such row. */
static json_t *worker_row(const char *id)
{
    size_t i;
    json_t *row, *found = NULL, *status = testing_run_status("two");
    json_array_foreach(json_object_get(status, "workers"), i, row)
    {
        if (strcmp(json_string_value(json_object_get(row, "id")), id) == 0)
            found = json_incref(row);
    }
    json_decref(status);
    return found;
}

static bool is_shown(const char *id)
{
    json_t *row = worker_row(id);
    json_decref(row);
    return row != NULL;
}

/* Waits until worker `id`, in the life it has now, has done a slot. */
static void wait_until_it_works(const char *id)
{
    uint32_t index = (uint32_t)strtoul(id + strlen("worker-"), NULL, 10);
    uint64_t end = now_ms() + WAIT_MS, pid = 0;
    for (bool done = false; !done;) {
        json_t *row = worker_row(id);
        done = row && json_integer_value(json_object_get(row, "slots_done")) > 0;
        if (row) pid = (uint64_t)json_integer_value(json_object_get(row, "pid"));
        pid_t local = testing_run_process("two", "weft-worker", index); /* 0: started by hand */
        done = done && (!local || (uint64_t)local == pid);
        json_decref(row);
        ck_assert_msg(now_ms() < end, "%s (process %lu) does nothing", id, (unsigned long)pid);
        usleep(POLL_US);
    }
}

/* The same, and how long that took since its start at from_ms: its first slot was pushed then. */
static void wait_for_slot(const char *id, uint64_t from_ms)
{
    wait_until_it_works(id);
    uint64_t took = now_ms() - from_ms;
    printf("%s: %lu ms from its start to its first slot done\n", id, (unsigned long)took);
    ck_assert_uint_lt(took, SLACK * JOIN_MS);
}

/* Waits until a process is there (or gone), at most `limit` ms. */
static uint64_t wait_process(uint32_t index, bool there, uint64_t limit)
{
    uint64_t from = now_ms();
    while ((testing_run_process("two", "weft-worker", index) > 0) != there) {
        ck_assert_msg(now_ms() < from + limit, "worker-%u is %s", index,
                      there ? "not there" : "still there");
        usleep(POLL_US);
    }
    return now_ms() - from;
}

static void expect_wanted(uint32_t workers)
{
    json_t *status = testing_run_status("two");
    const json_t *wanted = json_object_get(status, "wanted");
    ck_assert_int_eq(json_integer_value(json_object_get(wanted, "workers")), workers);
    json_decref(status);
}

static void leaves(uint32_t index)
{
    uint64_t took = wait_process(index, false, SLACK * LEAVE_MS);
    printf("worker-%u: gone after %lu ms\n", index, (unsigned long)took);
}

/* ---- Numbers of workers ---- */

START_TEST(workers_come_and_go_and_processes_die)
{
    pid_t pid = testing_run_start("two", "train -c job.yaml --set work_dir=two --samplers 2 " LONG);
    testing_run_wait_step("two", "hgnn", 3);
    testing_run_must("scale", "scale -c job.yaml --set work_dir=two --workers 3");
    char *said = testing_get_text("scale.err", NULL);
    ck_assert_str_eq(said, ""); /* `weft train` starts them */
    free(said);
    wait_process(1, true, WAIT_MS);
    wait_process(2, true, WAIT_MS);
    uint64_t from = now_ms();
    wait_for_slot("worker-2", from);
    wait_for_slot("worker-1", from);
    kill_one("weft-sampler", 1);
    kill_one("weft-worker", 1);
    kill_one("weft-scheduler", 0);
    wait_process(1, true, WAIT_MS);
    wait_until_it_works("worker-1");
    wait_until_it_works("worker-2");
    expect_wanted(3);
    testing_run_must("drain", "drain -c job.yaml --set work_dir=two worker-1");
    leaves(1);
    testing_run_must("scale", "scale -c job.yaml --set work_dir=two --workers 1");
    leaves(2);
    expect_wanted(1);
    ck_assert_int_gt(testing_run_process("two", "weft-worker", 0), 0);
    ck_assert_int_eq(testing_run_wait("two", pid, TESTING_RUN_WAIT_MS), 0);
    testing_run_same("one/out", "two/out");
    testing_run_left_nothing("two");
}
END_TEST

/* ---- Numbers of servers ---- */

static uint32_t servers_of_map(void)
{
    json_t *status = testing_run_status("two");
    uint32_t n = (uint32_t)json_array_size(json_object_get(status, "servers"));
    json_decref(status);
    return n;
}

static void scale_servers(uint32_t n)
{
    testing_run_must("scale", "scale -c job.yaml --set work_dir=two --servers %u", n);
    for (uint64_t from = now_ms(); servers_of_map() != n; usleep(POLL_US))
        ck_assert_msg(now_ms() < from + WAIT_MS, "there are not %u servers", n);
}

START_TEST(servers_come_and_go_and_die)
{
    pid_t pid = testing_run_start("two", "train -c job.yaml --set work_dir=two --workers 2 " LONG);
    testing_run_wait_step("two", "hgnn", 3);
    scale_servers(3);
    kill_one("weft-ps", 2);
    scale_servers(2);
    kill_one("weft-ps", 0);
    for (uint64_t from = now_ms(); testing_run_process("two", "weft-ps", 2); usleep(POLL_US))
        ck_assert_msg(now_ms() < from + WAIT_MS, "ps-2 is still there");
    kill(pid, SIGINT); /* the same command finds two servers in the map, not one */
    ck_assert_int_eq(testing_run_wait("two", pid, 40000), 130);
    testing_run_must("two", "train -c job.yaml --set work_dir=two --workers 2 " LONG);
    testing_run_same("one/out", "two/out");
    testing_run_left_nothing("two");
}
END_TEST

START_TEST(a_worker_that_was_drained_is_not_started_again)
{
    pid_t pid =
        testing_run_start("two", "train -c job.yaml --set work_dir=two --workers 3 " ENDLESS);
    testing_run_wait_step("two", "hgnn", 3);
    wait_until_it_works("worker-0");
    testing_run_must("drain", "drain -c job.yaml --set work_dir=two worker-0");
    leaves(0);
    for (uint64_t end = now_ms() + WAIT_MS; is_shown("worker-0"); usleep(POLL_US))
        ck_assert_msg(now_ms() < end, "worker-0 is still shown");
    expect_wanted(2);
    wait_process(0, false, WAIT_MS); /* started again by a slow look at an old page, it is let go */
    ck_assert(!is_shown("worker-0"));
    ck_assert_int_gt(testing_run_process("two", "weft-worker", 1), 0);
    ck_assert_int_gt(testing_run_process("two", "weft-worker", 2), 0);
    testing_run_must("scale", "scale -c job.yaml --set work_dir=two --workers 3");
    wait_process(0, true, WAIT_MS);
    kill(pid, SIGTERM);
    ck_assert_int_eq(testing_run_wait("two", pid, 30000), 143);
    testing_run_left_nothing("two");
}
END_TEST

/* ---- By hand ---- */

/* The id of the worker with this process number, in id[32]; waits for it. */
static void wait_for_id(pid_t pid, char id[32])
{
    uint64_t end = now_ms() + WAIT_MS;
    for (*id = 0; !*id; usleep(POLL_US)) {
        size_t i;
        json_t *row, *status = testing_run_status("two");
        json_array_foreach(json_object_get(status, "workers"), i, row)
        {
            if (json_integer_value(json_object_get(row, "pid")) != pid) continue;
            snprintf(id, 32, "%s", json_string_value(json_object_get(row, "id")));
        }
        json_decref(status);
        ck_assert_msg(now_ms() < end, "the worker does not join");
    }
}

/* Also: it is drained by its id, and what the job wants stays as it was. */
START_TEST(a_worker_started_by_hand_joins_and_leaves)
{
    char address[64], id[32];
    snprintf(address, sizeof address, "tcp://127.0.0.1:%u", testing_network_free_port());
    pid_t pid = testing_run_start(
        "two", "train -c job.yaml --set work_dir=two --set cluster.scheduler=%s " ENDLESS, address);
    testing_run_wait_step("two", "hgnn", 3);
    for (int i = 0; i < 2; i++) {
        uint64_t from = now_ms();
        pid_t worker = testing_run_start_program("weft-worker", "hand", "--scheduler %s", address);
        wait_for_id(worker, id);
        wait_for_slot(id, from);
        from = now_ms();
        if (i)
            testing_run_must("drain", "drain -c job.yaml --set work_dir=two %s", id);
        else
            kill(worker, SIGTERM);
        ck_assert_int_eq(testing_run_wait("hand", worker, SLACK * LEAVE_MS), 0);
        printf("%s: left %lu ms after it was asked to\n", id, (unsigned long)(now_ms() - from));
    }
    expect_wanted(1);
    kill(pid, SIGTERM);
    ck_assert_int_eq(testing_run_wait("two", pid, 30000), 143);
    testing_run_left_nothing("two");
}
END_TEST

/* ---- What is refused ---- */

static const testing_run_refusal refusals[] = {
    {"scale -c job.yaml --set work_dir=two", 2, "give --workers N or --servers N"},
    {"scale -c job.yaml --set work_dir=two --workers 0", 2, "--workers: \"0\""},
    {"scale -c job.yaml --set work_dir=two --workers 2000", 2, "refused: \"workers\" is not"},
    {"scale --workers 2", 2, "give -c FILE or --at URL"},
    {"scale -c job.yaml --set work_dir=nowhere --workers 2", 1, "no job with a status endpoint"},
    {"drain -c job.yaml --set work_dir=two", 2, "give the ID"},
    {"drain -c job.yaml --set work_dir=two worker-9", 1,
     "no worker \"worker-9\": the job has worker-0"},
    {"drain -c job.yaml --set work_dir=two ps-0", 1, "no worker \"ps-0\""},
};

START_TEST(a_command_that_cannot_be_is_refused_clearly)
{
    pid_t pid = testing_run_start("two", "train -c job.yaml --set work_dir=two " ENDLESS);
    wait_until_it_works("worker-0"); /* and is shown: drain names those there are */
    testing_run_refused("", refusals, sizeof refusals / sizeof *refusals);
    char *url = testing_get_text("two/run/url", NULL);
    ck_assert_int_eq(testing_run_code("refused", "scale --at %s --workers 2", url), 2);
    testing_run_said("refused", "this needs the job's token");
    testing_run_must("scale", "scale --at %s --token-file two/run/token --workers 2", url);
    wait_process(1, true, WAIT_MS);
    free(url);
    testing_run_must("stop", "stop -c job.yaml --set work_dir=two");
    ck_assert_int_eq(testing_run_wait("two", pid, 30000), 143);
    char *told = testing_get_text("two.err", NULL);
    ck_assert_ptr_null(strstr(told, "starts again")); /* nobody does */
    free(told);
    testing_run_left_nothing("two");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("elastic");
    TCase *c = tcase_create("elastic");
    tcase_set_timeout(c, 300);
    tcase_add_unchecked_fixture(c, setup, testing_leave_folder);
    tcase_add_checked_fixture(c, remove_two, NULL);
    tcase_add_test(c, workers_come_and_go_and_processes_die);
    tcase_add_test(c, servers_come_and_go_and_die);
    tcase_add_test(c, a_worker_that_was_drained_is_not_started_again);
    tcase_add_test(c, a_worker_started_by_hand_joins_and_leaves);
    tcase_add_test(c, a_command_that_cannot_be_is_refused_clearly);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
