/* Proves: with checkpoint.copies: 2, keys and a folder a server the loss of any one folder loses
 * nothing: after a stop, or when every process is killed at once, the job goes on with what the
 * other servers have, to the same bytes, and then there are two copies of everything again. */
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
#include <sys/wait.h>
#include <unistd.h>

/* Long enough to be stopped meanwhile. */
#define LONG                                                                                       \
    "--set hgnn.max_steps=60 --set hgnn.epochs=500 --set two_tower.max_steps=40 "                  \
    "--set two_tower.epochs=500 --set validate.every=20 --set evaluate.baselines=[popularity] "

enum { SCHEDULER, DRIVER, WORKER, SAMPLER, SERVERS, ROLES = SERVERS + 3, END_MS = 60000 };

static const struct {
    const char *program, *name, *words;
} roles[ROLES] = {
    {"weft-scheduler", "scheduler", "-c hand.yaml --driver " LONG},
    {"weft", "train", "train -c hand.yaml --attach " LONG},
    {"weft-worker", "worker", "--keys keys --scheduler"},
    {"weft-sampler", "sampler", "--index 0 -c hand.yaml " LONG},
    {"weft-ps", "ps-0", "--index 0 -c hand.yaml --set checkpoint.dir=disk-0 " LONG},
    {"weft-ps", "ps-1", "--index 1 -c hand.yaml --set checkpoint.dir=disk-1 " LONG},
    {"weft-ps", "ps-2", "--index 2 -c hand.yaml --set checkpoint.dir=disk-2 " LONG},
};

static pid_t pid[ROLES];
static unsigned port;

static void setup(void)
{
    char more[256];
    testing_enter_folder();
    testing_run_files();
    testing_run_must("one", "train -c job.yaml --set work_dir=one --in-process " LONG);
    testing_run_must("keygen", "keygen --out keys");
    port = testing_network_free_port();
    snprintf(more, sizeof more,
             "cluster: {scheduler: \"tcp://127.0.0.1:%u\", servers: 3, " TESTING_RUN_SHARDS "}\n"
             "checkpoint: {copies: 2, every: 300ms}\nsecurity: {keys: keys}\n",
             port);
    testing_run_config("hand.yaml", more);
}

static void clean(void)
{
    static const char *const folders[] = {"work", "disk-0", "disk-1", "disk-2"};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
        ck_assert_int_eq(files_remove_tree(folders[i]), ERR_OK);
}

static void start_role(int i)
{
    char words[512];
    snprintf(words, sizeof words, i == WORKER ? "%s tcp://127.0.0.1:%u" : "%s", roles[i].words,
             port);
    pid[i] = testing_run_start_program(roles[i].program, roles[i].name, "%s", words);
}

static void start_all(void)
{
    unlink("work/run/url"); /* of a scheduler that was killed */
    start_role(SCHEDULER);
    uint64_t end = clock_now_us() + END_MS * UINT64_C(1000);
    while (!files_exist("work/run/url")) {
        ck_assert_msg(clock_now_us() < end, "the scheduler does not start");
        usleep(20000);
    }
    for (int i = SCHEDULER + 1; i < ROLES; i++) start_role(i);
}

static void wait_all(bool well)
{
    for (int i = 0; i < ROLES; i++) {
        int code = testing_run_wait(roles[i].name, pid[i], END_MS);
        if (well) ck_assert_msg(code == 0, "%s: %d", roles[i].name, code);
    }
}

static void kill_all(void)
{
    for (int i = 0; i < ROLES; i++) ck_assert_int_eq(kill(pid[i], SIGKILL), 0);
    wait_all(false);
}

static void stop_all(void)
{
    ck_assert_int_eq(kill(pid[DRIVER], SIGINT), 0); /* it would wait for the next scheduler */
    ck_assert_int_eq(kill(pid[SCHEDULER], SIGTERM), 0);
    wait_all(false);
}

/* Of everything that is kept, and that somebody has it twice. */
static void expect_two_copies(void)
{
    testing_run_must("verify", "checkpoint verify -c hand.yaml --also disk-0 --also disk-1 "
                               "--also disk-2");
    char *text = testing_get_text("verify.out", NULL);
    testing_expect_part(text, ": ok, ");
    for (const char *line = text, *end; *line; line = end + 1) {
        end = strchr(line, '\n');
        ck_assert(end && end - line > 8);
        ck_assert_msg(strncmp(end - 8, ", 1 of 0", 8) == 0, "%s", text);
    }
    free(text);
}

/* Waits until there is a checkpoint. */
static void wait_checkpoint(void)
{
    uint64_t end = clock_now_us() + END_MS * UINT64_C(1000);
    for (bool there = false; !there; usleep(20000)) {
        testing_run_must("list", "checkpoint list -c hand.yaml");
        char *text = testing_get_text("list.out", NULL);
        there = strstr(text, "complete, ") != NULL;
        free(text);
        ck_assert_msg(clock_now_us() < end, "there is no checkpoint");
    }
}

START_TEST(a_folder_is_lost_and_nothing_with_it)
{
    start_all();
    testing_run_wait_step("work", "hgnn", 25);
    wait_checkpoint();
    if (_i)
        kill_all();
    else
        stop_all();
    ck_assert(files_is_dir("disk-1"));
    ck_assert_int_eq(files_remove_tree("disk-1"), ERR_OK);
    start_all();
    wait_all(true);
    char *text = testing_get_text("ps-1.err", NULL);
    testing_expect_part(text, "parts_missing");
    free(text);
    text = testing_get_text("scheduler.err", NULL);
    ck_assert_msg(!strstr(text, "checkpoint_damaged"), "%s", text);
    free(text);
    testing_run_same("one/out", "work/out");
    expect_two_copies();
}
END_TEST

/* The name of the newest checkpoint of the last list. */
static void newest(char name[64])
{
    char *text = testing_get_text("list.out", NULL), *line = text;
    char *end = strstr(text, "complete, ");
    while (end && strchr(line, '\n') < end) line = strchr(line, '\n') + 1;
    ck_assert_int_eq(sscanf(line, "%63s", name), 1);
    free(text);
}

/* The newest, which is another one when it takes too long to say so. */
static void pin_newest(char name[64])
{
    int code = 1;
    for (int i = 0; i < 20 && code != 0; i++) {
        wait_checkpoint();
        newest(name);
        code = testing_run_code("pin", "checkpoint pin %s -c hand.yaml", name);
    }
    ck_assert_int_eq(code, 0);
}

START_TEST(another_number_of_servers_gets_its_parts_from_the_old_ones)
{
    start_all();
    char name[64], folder[80];
    testing_run_wait_step("work", "hgnn", 25);
    pin_newest(name);
    testing_run_must("scale", "scale -c hand.yaml --servers 2");
    wait_all(true); /* ps-2 leaves when the others have what it had */
    testing_run_same("one/out", "work/out");
    char *text = testing_get_text("scheduler.err", NULL);
    testing_expect_part(text, "from 3 to 2 servers");
    ck_assert_msg(!strstr(text, "checkpoint_damaged"), "%s", text);
    free(text);
    snprintf(folder, sizeof folder, "disk-0/%s", name); /* servers have kept what is pinned */
    ck_assert_msg(files_is_dir(folder), "%s", folder);
    ck_assert_int_ne(testing_run_code("scale", "scale -c hand.yaml --servers 1"), 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("copies");
    TCase *c = tcase_create("copies");
    tcase_set_timeout(c, 300);
    tcase_add_unchecked_fixture(c, setup, testing_leave_folder);
    tcase_add_checked_fixture(c, clean, NULL);
    tcase_add_loop_test(c, a_folder_is_lost_and_nothing_with_it, 0, 2);
    tcase_add_test(c, another_number_of_servers_gets_its_parts_from_the_old_ones);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
