/* Proves: a cluster whose roles are started one by one from one configuration file, over tcp with
 * keys, trains to the end, leaves by itself, and has computed what `weft train` does; a bad address
 * is refused. */
#include "testing_files.h"
#include "testing_network.h"
#include "testing_run.h"

#include "common/wire.h"

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ROLES = 5 };

static const struct {
    const char *program, *name, *words;
} roles[ROLES] = {
    {"weft-worker", "worker", "--keys keys --scheduler"}, /* who comes first waits for the others */
    {"weft-ps", "ps-0", "--index 0 -c hand.yaml"},
    {"weft-ps", "ps-1", "--index 1 -c hand.yaml"},
    {"weft-sampler", "sampler", "--index 0 -c hand.yaml"},
    {"weft-scheduler", "scheduler", "-c hand.yaml"},
};

static void write_configuration(unsigned port)
{
    char more[256];
    snprintf(more, sizeof more,
             "cluster: {scheduler: \"tcp://127.0.0.1:%u\", servers: 2, " TESTING_RUN_SHARDS "}\n"
             "security: {keys: keys}\n",
             port);
    testing_run_config("hand.yaml", more);
}

static pid_t start_role(int i, unsigned port)
{
    char words[128];
    snprintf(words, sizeof words, i ? "%s" : "%s tcp://127.0.0.1:%u", roles[i].words, port);
    return testing_run_start_program(roles[i].program, roles[i].name, "%s", words);
}

/* A configuration with keys and the prepared store; the scheduler's port. */
static unsigned prepare_by_hand(void)
{
    unsigned port = testing_network_free_port();
    testing_run_files();
    write_configuration(port);
    testing_run_must("keygen", "keygen --out keys");
    testing_run_must("prepare", "prepare -c hand.yaml");
    return port;
}

static void end_with_sigterm(const char *name, pid_t pid)
{
    ck_assert_int_eq(kill(pid, SIGTERM), 0);
    ck_assert_int_eq(testing_run_wait(name, pid, TESTING_RUN_WAIT_MS), 0);
}

/* Of a worker that came by itself: as deploy/README.md says, none that `weft train` gives. */
static void expect_free_number(void)
{
    static const char joined[] = "join who=worker-";
    char *log = testing_get_text("scheduler.err", NULL), *at = strstr(log, joined);
    ck_assert_msg(at != NULL, "no worker joined:\n%s", log);
    ck_assert_int_ge(atoi(at + strlen(joined)), WIRE_FREE_INDEX_FIRST);
    free(log);
}

/* `weft prepare` names the kinds of interactions that it has found. */
static void expect_kinds(void)
{
    char *text = testing_get_text("prepare.out", NULL);
    testing_expect_part(text, "\nevents   ");
    testing_expect_part(text, "every role, as data.kinds is empty\n");
    free(text);
}

START_TEST(roles_started_one_by_one_train_to_the_end)
{
    pid_t pid[ROLES];
    unsigned port = prepare_by_hand();
    expect_kinds();
    testing_run_must("one", "train -c job.yaml --set work_dir=one --in-process");
    for (int i = 0; i < ROLES; i++) pid[i] = start_role(i, port);
    for (int i = 0; i < ROLES; i++)
        ck_assert_int_eq(testing_run_wait(roles[i].name, pid[i], TESTING_RUN_WAIT_MS), 0);
    expect_free_number();
    size_t n, m;
    char *a = testing_get_text("one/out/metrics.jsonl", &n);
    char *b = testing_get_text("work/run/metrics.jsonl", &m);
    ck_assert_uint_gt(n, 0);
    ck_assert_msg(n == m && memcmp(a, b, n) == 0, "other metrics:\n%s", b);
    free(a);
    free(b);
}
END_TEST

START_TEST(a_worker_of_no_job_is_told_both_ways_to_name_one)
{
    pid_t pid = testing_run_start_program("weft-worker", "worker", "--keys keys");
    ck_assert_int_eq(testing_run_wait("worker", pid, TESTING_RUN_WAIT_MS), 2);
    testing_run_said("worker", "which job? give --scheduler ADDRESS, or -c FILE");
}
END_TEST

START_TEST(an_address_that_can_be_none_ends_a_worker_at_once)
{
    pid_t pid = testing_run_start_program("weft-worker", "worker", "--scheduler 10.0.0.1:7700");
    ck_assert_int_eq(testing_run_wait("worker", pid, TESTING_RUN_WAIT_MS), 2);
    testing_run_said("worker", "--scheduler: expects tcp://host:port or ipc://file");
}
END_TEST

START_TEST(another_plan_is_refused_naming_what_differs)
{
    unsigned port = prepare_by_hand();
    pid_t scheduler = start_role(ROLES - 1, port);
    pid_t ps = testing_run_start_program("weft-ps", "ps-0",
                                         "--index 0 -c hand.yaml --set seed=77 "
                                         "--set hgnn.temperature=0.25");
    ck_assert_int_eq(testing_run_wait("ps-0", ps, TESTING_RUN_WAIT_MS), 2);
    testing_run_said("ps-0", "weft: plan: seed: 77 -> ");
    testing_run_said("ps-0", "weft: plan: hgnn.temperature: 0.25 -> ");
    testing_run_said("ps-0", "2 keys differ (above, ours -> the job's)");
    end_with_sigterm("scheduler", scheduler);
}
END_TEST

START_TEST(who_scales_a_cluster_made_by_hand_hears_who_has_to_start_processes)
{
    unsigned port = prepare_by_hand();
    pid_t scheduler = start_role(ROLES - 1, port);
    testing_run_wait_said("scheduler", "status_endpoint");
    testing_run_must("scale", "scale -c hand.yaml --workers 3");
    testing_run_said("scale", "3 workers wanted, 0 present: nobody here starts workers; start "
                              "them with weft-worker -c FILE");
    testing_run_must("scale", "scale -c hand.yaml --servers 4");
    testing_run_said("scale", "weft-ps -c FILE --index N, N from 0 to 3");
    end_with_sigterm("scheduler", scheduler);
}
END_TEST

START_TEST(a_second_server_of_an_index_is_refused_and_the_first_stays)
{
    unsigned port = prepare_by_hand();
    pid_t scheduler = start_role(ROLES - 1, port), ps = start_role(1, port);
    testing_run_wait_said("scheduler", "join who=ps-0");
    pid_t twin = testing_run_start_program("weft-ps", "twin", "--index 0 -c hand.yaml");
    ck_assert_int_eq(testing_run_wait("twin", twin, TESTING_RUN_WAIT_MS), 2);
    testing_run_said("twin", "ps-0 is here already: process ");
    end_with_sigterm("ps-0", ps); /* it was not thrown out */
    end_with_sigterm("scheduler", scheduler);
}
END_TEST

START_TEST(who_finds_nobody_says_so)
{
    unsigned port = testing_network_free_port();
    pid_t pid =
        testing_run_start_program("weft-worker", "worker", "--scheduler tcp://127.0.0.1:%u", port);
    testing_run_wait_said("worker", "has not answered for ");
    testing_run_said("worker", "the connection is refused: no process listens there");
    end_with_sigterm("worker", pid);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("by_hand");
    TCase *c = tcase_create("by_hand");
    tcase_add_checked_fixture(c, testing_enter_folder, testing_leave_folder);
    tcase_add_test(c, another_plan_is_refused_naming_what_differs);
    tcase_add_test(c, who_scales_a_cluster_made_by_hand_hears_who_has_to_start_processes);
    tcase_add_test(c, a_second_server_of_an_index_is_refused_and_the_first_stays);
    tcase_add_test(c, who_finds_nobody_says_so);
    tcase_add_test(c, a_worker_of_no_job_is_told_both_ways_to_name_one);
    tcase_add_test(c, an_address_that_can_be_none_ends_a_worker_at_once);
    tcase_add_test(c, roles_started_one_by_one_train_to_the_end);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
