/* Proves: children are started, seen to end with their code, stopped even when paused or deaf to
 * SIGTERM, and die with a parent that is killed. */
#include "deploy/supervisor.h"

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char logs[64];

static void make_logs(void)
{
    strcpy(logs, "/tmp/weft-supervisor-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(logs));
}

static void remove_logs(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", logs);
    ck_assert_int_eq(system(command), 0);
}

static void start_shell(supervisor *s, const char *name, const char *script)
{
    const char *argv[] = {"-c", script, NULL};
    ck_assert_int_eq(supervisor_start(s, name, "sh", argv), ERR_OK);
}

START_TEST(an_exit_code_is_reported)
{
    supervisor *s = supervisor_new("/bin", logs);
    start_shell(s, "a", "exit 7");
    child_exit e;
    while (!supervisor_poll(s, &e)) usleep(1000);
    ck_assert_str_eq(e.name, "a");
    ck_assert_int_eq(e.code, 7);
    ck_assert_uint_eq(supervisor_running(s), 0);
    supervisor_free(s);
}
END_TEST

START_TEST(paused_and_deaf_children_are_stopped)
{
    supervisor *s = supervisor_new("/bin", logs);
    start_shell(s, "paused", "sleep 100");
    start_shell(s, "deaf", "trap '' TERM; while :; do sleep 1; done");
    usleep(50000);
    ck_assert(supervisor_signal(s, "paused", SIGSTOP));
    supervisor_stop(s, 300);
    ck_assert_uint_eq(supervisor_running(s), 0);
    supervisor_free(s);
}
END_TEST

static void ignore(int number)
{
    (void)number;
}

/* Between fork and exec a child still has the parent's handlers. */
START_TEST(a_signal_right_after_the_start_is_not_lost)
{
    enum { TIMES = 100 };
    child_exit e;
    supervisor *s = supervisor_new("/bin", logs);
    const char *argv[] = {"100", NULL};
    signal(SIGTERM, ignore);
    for (int i = 0; i < TIMES; i++) {
        ck_assert_int_eq(supervisor_start(s, "child", "sleep", argv), ERR_OK);
        ck_assert(supervisor_signal(s, "child", SIGTERM));
        int tries = 0;
        while (!supervisor_poll(s, &e) && tries++ < 5000) usleep(1000);
        ck_assert_msg(tries < 5000, "child %d goes on", i);
        ck_assert_int_eq(e.signal, SIGTERM);
    }
    signal(SIGTERM, SIG_DFL);
    supervisor_free(s);
}
END_TEST

START_TEST(a_missing_program_is_an_error)
{
    supervisor *s = supervisor_new("/nowhere", logs);
    const char *argv[] = {NULL};
    ck_assert_int_eq(supervisor_start(s, "x", "none", argv), ERR_IO);
    supervisor_free(s);
}
END_TEST

START_TEST(children_die_with_a_killed_parent)
{
    int fd[2];
    ck_assert_int_eq(pipe(fd), 0);
    pid_t parent = fork();
    if (parent == 0) {
        supervisor *s = supervisor_new("/bin", logs);
        const char *argv[] = {"100", NULL};
        if (supervisor_start(s, "child", "sleep", argv) != ERR_OK) _exit(1);
        pid_t pid = supervisor_pid(s, "child");
        if (write(fd[1], &pid, sizeof pid) != sizeof pid) _exit(1);
        pause();
    }
    pid_t child;
    ck_assert_int_eq(read(fd[0], &child, sizeof child), (int)sizeof child);
    usleep(50000);
    kill(parent, SIGKILL);
    waitpid(parent, NULL, 0);
    int tries = 0;
    while (kill(child, 0) == 0 && tries++ < 500) {
        char path[64], text[512] = "";
        snprintf(path, sizeof path, "/proc/%d/stat", child);
        FILE *f = fopen(path, "r");
        if (f && fgets(text, sizeof text, f) && strstr(text, ") Z ")) tries = 1000;
        if (f) fclose(f);
        usleep(10000);
    }
    ck_assert(tries != 501);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("supervisor");
    TCase *c = tcase_create("supervisor");
    tcase_add_unchecked_fixture(c, make_logs, remove_logs);
    tcase_add_test(c, an_exit_code_is_reported);
    tcase_add_test(c, paused_and_deaf_children_are_stopped);
    tcase_add_test(c, a_signal_right_after_the_start_is_not_lost);
    tcase_add_test(c, a_missing_program_is_an_error);
    tcase_add_test(c, children_die_with_a_killed_parent);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
