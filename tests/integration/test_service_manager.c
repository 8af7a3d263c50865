/* Proves: what a service manager hears of real processes is true: they are ready when the scheduler
 * has answered them, feed the watchdog while they get on, stop feeding it when they are stuck - the
 * whole process, or only the thread that computes - and say that they stop. */
#include "testing_files.h"
#include "testing_run.h"

#include "common/clock.h"
#include "common/mem.h"

#include <check.h>
#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define ENDLESS                                                                                    \
    "-c job.yaml --set hgnn.max_steps=100000 --set hgnn.epochs=100000 "                            \
    "--set hgnn.patience=100000 --set validate.every=100000"

enum { WAIT_MS = 60000, ROLES = 4, SCHEDULER = 0, SERVER, SAMPLER, WORKER };

static const char *const programs[ROLES] = {"weft-scheduler", "weft-ps", "weft-sampler",
                                            "weft-worker"};
static pid_t pids[ROLES];
/* What each has said. */
static uint32_t ready[ROLES], fed[ROLES], stopping[ROLES];
static char status[ROLES][512];
static int manager;

static void listen_to_them(void)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX, .sun_path = "notify"};
    int on = 1;
    manager = socket(AF_UNIX, SOCK_DGRAM, 0);
    ck_assert_int_eq(bind(manager, (struct sockaddr *)&at, sizeof at), 0);
    ck_assert_int_eq(setsockopt(manager, SOL_SOCKET, SO_PASSCRED, &on, sizeof on), 0);
    char *here = getcwd(NULL, 0), *path = xprintf("%s/notify", here);
    setenv("NOTIFY_SOCKET", path, 1);
    setenv("WATCHDOG_USEC", "400000", 1);
    free(path);
    free(here);
}

static void start_role(int role)
{
    pids[role] = testing_run_start_program(programs[role], programs[role], ENDLESS);
}

static void set_up(void)
{
    testing_enter_folder();
    testing_run_files();
    testing_run_must("prepare", "prepare -c job.yaml");
    memset(ready, 0, sizeof ready);
    memset(fed, 0, sizeof fed);
    memset(stopping, 0, sizeof stopping);
    memset(status, 0, sizeof status);
    listen_to_them();
}

static int role_of(pid_t pid)
{
    for (int i = 0; i < ROLES; i++) {
        if (pids[i] == pid) return i;
    }
    ck_abort_msg("process %d is none of ours", (int)pid);
}

static void take_line(int role, const char *line)
{
    ready[role] += strcmp(line, "READY=1") == 0;
    fed[role] += strcmp(line, "WATCHDOG=1") == 0;
    stopping[role] += strcmp(line, "STOPPING=1") == 0;
    if (strncmp(line, "STATUS=", 7) == 0)
        snprintf(status[role], sizeof status[role], "%s", line + 7);
}

/* Takes one message, waiting for at most `wait_ms`; false: none came. */
static bool take_message(int wait_ms)
{
    char text[1024], control[256];
    struct iovec part = {text, sizeof text - 1};
    struct msghdr m = {.msg_iov = &part,
                       .msg_iovlen = 1,
                       .msg_control = control,
                       .msg_controllen = sizeof control};
    struct pollfd p = {.fd = manager, .events = POLLIN};
    if (poll(&p, 1, wait_ms) != 1) return false;
    ssize_t n = recvmsg(manager, &m, 0);
    ck_assert_int_gt(n, 0);
    text[n] = 0;
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    ck_assert(c && c->cmsg_type == SCM_CREDENTIALS);
    struct ucred sender;
    memcpy(&sender, CMSG_DATA(c), sizeof sender);
    int role = role_of(sender.pid);
    char *rest = text, *line;
    while ((line = strsep(&rest, "\n"))) take_line(role, line);
    return true;
}

static void take_all(void)
{
    while (take_message(0)) {
    }
}

/* Reads on until *count has grown to `n`. */
static void wait_for(const uint32_t *count, uint32_t n, const char *what)
{
    uint64_t end = clock_now_us() + WAIT_MS * UINT64_C(1000);
    while (*count < n) {
        if (clock_now_us() > end) ck_abort_msg("%s does not come", what);
        take_message(100);
    }
}

static void start_all(void)
{
    for (int i = 0; i < ROLES; i++) start_role(i);
    for (int i = 0; i < ROLES; i++) wait_for(&ready[i], 1, "READY=1");
}

/* It says that it stops, and then does.  The socket holds few messages: it is read meanwhile. */
static void expect_end(int role)
{
    static bool ended[ROLES];
    int code;
    uint64_t end = clock_now_us() + WAIT_MS * UINT64_C(1000);
    if (ended[role]) return;
    while (waitpid(pids[role], &code, WNOHANG) != pids[role]) {
        if (clock_now_us() > end) ck_abort_msg("%s does not end", programs[role]);
        take_message(100);
    }
    ended[role] = true;
    ck_assert(WIFEXITED(code) && WEXITSTATUS(code) == 0);
    take_all();
    ck_assert_uint_eq(stopping[role], 1);
}

/* The scheduler tells the others. */
static void stop_all(void)
{
    kill(pids[SCHEDULER], SIGTERM);
    for (int i = 0; i < ROLES; i++) expect_end(i);
}

/* What `ps` and `top` show. */
static void expect_name(int role)
{
    char path[64], name[32] = "";
    snprintf(path, sizeof path, "/proc/%d/comm", (int)pids[role]);
    FILE *f = fopen(path, "re");
    if (f && fgets(name, sizeof name, f)) name[strcspn(name, "\n")] = 0;
    if (f) fclose(f);
    ck_assert_str_eq(name, programs[role]);
}

START_TEST(nobody_is_ready_before_the_scheduler_answers)
{
    for (int i = SERVER; i < ROLES; i++) {
        start_role(i);
        while (!strstr(status[i], "waiting for the scheduler")) take_message(WAIT_MS);
    }
    for (int i = 0; i < ROLES; i++) ck_assert_uint_eq(ready[i] + fed[i], 0);
    start_role(SCHEDULER);
    for (int i = 0; i < ROLES; i++) wait_for(&ready[i], 1, "READY=1");
    for (int i = 0; i < ROLES; i++) wait_for(&fed[i], 4, "WATCHDOG=1");
    for (int i = 0; i < ROLES; i++) expect_name(i);
    while (!strstr(status[SCHEDULER], "RUNNING hgnn step")) take_message(WAIT_MS);
    while (!strstr(status[SERVER], "hgnn version")) take_message(WAIT_MS);
    while (!strstr(status[WORKER], "slots done")) take_message(WAIT_MS);
    stop_all();
    for (int i = 0; i < ROLES; i++) ck_assert_uint_eq(ready[i], 1);
}
END_TEST

START_TEST(a_worker_that_is_told_to_leave_says_so)
{
    start_all();
    kill(pids[WORKER], SIGTERM);
    expect_end(WORKER);
    stop_all();
}
END_TEST

START_TEST(a_process_that_is_stuck_does_not_feed_the_watchdog)
{
    start_all();
    kill(pids[SERVER], SIGSTOP);
    ck_assert_int_eq(waitpid(pids[SERVER], NULL, WUNTRACED), pids[SERVER]);
    take_all();
    uint32_t before = fed[SERVER];
    wait_for(&fed[SCHEDULER], fed[SCHEDULER] + 6, "WATCHDOG=1 of the others");
    ck_assert_uint_eq(fed[SERVER], before);
    kill(pids[SERVER], SIGCONT);
    wait_for(&fed[SERVER], before + 2, "WATCHDOG=1 of the one that goes on");
    stop_all();
}
END_TEST

/* The thread of `pid` that has this name. */
static pid_t thread_named(pid_t pid, const char *name)
{
    char path[64];
    pid_t found = 0;
    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *d = opendir(path);
    for (struct dirent *e; d && !found && (e = readdir(d));) {
        char file[400], text[32] = "";
        snprintf(file, sizeof file, "%s/%s/comm", path, e->d_name);
        FILE *f = e->d_name[0] == '.' ? NULL : fopen(file, "re");
        if (f && fgets(text, sizeof text, f)) text[strcspn(text, "\n")] = 0;
        if (f) fclose(f);
        if (strcmp(text, name) == 0) found = (pid_t)strtol(e->d_name, NULL, 10);
    }
    if (d) closedir(d);
    ck_assert_msg(found > 0, "process %d has no thread \"%s\"", (int)pid, name);
    return found;
}

/* The main loop goes round, but nothing gets done. */
START_TEST(a_worker_whose_computing_is_stuck_does_not_feed_the_watchdog)
{
    start_all();
    while (!strstr(status[WORKER], "slots done")) take_message(WAIT_MS);
    pid_t thread = thread_named(pids[WORKER], "compute");
    if (ptrace(PTRACE_SEIZE, thread, NULL, NULL) != 0) {
        fprintf(stderr, "left out: ptrace is not allowed here\n");
        stop_all();
        return;
    }
    ck_assert_int_eq(ptrace(PTRACE_INTERRUPT, thread, NULL, NULL), 0);
    ck_assert_int_eq(waitpid(thread, NULL, __WALL), thread);
    /* Until the next slot is given to it, it is idle and well. */
    wait_for(&fed[SCHEDULER], fed[SCHEDULER] + 6, "WATCHDOG=1 of the others");
    uint32_t before = fed[WORKER];
    wait_for(&fed[SCHEDULER], fed[SCHEDULER] + 6, "WATCHDOG=1 of the others");
    ck_assert_uint_eq(fed[WORKER], before);
    ck_assert_int_eq(ptrace(PTRACE_DETACH, thread, NULL, NULL), 0);
    wait_for(&fed[WORKER], before + 2, "WATCHDOG=1 of the one that goes on");
    stop_all();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("service_manager");
    TCase *c = tcase_create("messages");
    tcase_add_checked_fixture(c, set_up, testing_leave_folder);
    tcase_add_test(c, nobody_is_ready_before_the_scheduler_answers);
    tcase_add_test(c, a_worker_that_is_told_to_leave_says_so);
    tcase_add_test(c, a_process_that_is_stuck_does_not_feed_the_watchdog);
    tcase_add_test(c, a_worker_whose_computing_is_stuck_does_not_feed_the_watchdog);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
