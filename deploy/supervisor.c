#include "deploy/supervisor.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct child {
    char name[32];
    pid_t pid; /* 0: ended */
    uint64_t peak_rss;
} child;

struct supervisor {
    char *bin_dir, *log_dir;
    child *children;
    size_t n, cap;
};

supervisor *supervisor_new(const char *bin_dir, const char *log_dir)
{
    supervisor *s = xcalloc(1, sizeof *s);
    s->bin_dir = xstrdup(bin_dir);
    s->log_dir = xstrdup(log_dir);
    return s;
}

/* In the child, between fork and exec: async-signal-safe calls only.  All signals are blocked until
 * the parent's handlers are gone: one that comes meanwhile ends us, instead of being taken by them.
 */
static _Noreturn void become(const char *path, char *const *argv, int log, pid_t parent)
{
    sigset_t none;
    sigemptyset(&none);
    signal(SIGTERM, SIG_DFL);
    signal(SIGINT, SIG_DFL);
    /* A group of its own: Ctrl-C is for the parent, which stops us in order; and the kernel ends a
     * paused group whose parent has died. */
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) _exit(1); /* The parent died before prctl. */
    sigprocmask(SIG_SETMASK, &none, NULL);
    int null = open("/dev/null", O_RDONLY);
    dup2(null, 0);
    if (null > 2) close(null);
    dup2(log, 1);
    dup2(log, 2);
    execv(path, argv);
    _exit(127);
}

static bool has_started(const supervisor *s, const char *name)
{
    for (size_t i = 0; i < s->n; i++) {
        if (strcmp(s->children[i].name, name) == 0) return true;
    }
    return false;
}

err_code supervisor_start(supervisor *s, const char *name, const char *program,
                          const char *const *argv)
{
    char *path = xprintf("%s/%s", s->bin_dir, program);
    char *log_path = xprintf("%s/%s.log", s->log_dir, name);
    size_t n = 0;
    while (argv[n]) n++;
    const char **full = xcalloc(n + 2, sizeof *full);
    full[0] = path;
    memcpy(full + 1, argv, n * sizeof *full);
    err_code rc = ERR_IO;
    int fresh = has_started(s, name) ? 0 : O_TRUNC; /* The log of an earlier life is kept. */
    int log = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | fresh, 0644);
    if (log < 0 || access(path, X_OK) != 0) {
        log_error("start_failed", "name=%s program=\"%s\" log=\"%s\" reason=\"%s\"", name, path,
                  log_path, strerror(errno));
        goto done;
    }
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid_t parent = getpid(), pid = fork();
    if (pid == 0) become(path, (char *const *)(uintptr_t)full, log, parent);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (pid < 0) {
        log_error("fork_failed", "name=%s reason=\"%s\"", name, strerror(errno));
        goto done;
    }
    grow(&s->children, &s->cap, s->n + 1, sizeof *s->children);
    child *c = &s->children[s->n++];
    *c = (child){.pid = pid};
    snprintf(c->name, sizeof c->name, "%s", name);
    rc = ERR_OK;
done:
    if (log >= 0) close(log);
    free(full);
    free(log_path);
    free(path);
    return rc;
}

static bool reap(child *c, child_exit *out)
{
    int status;
    struct rusage usage;
    pid_t got = wait4(c->pid, &status, WNOHANG, &usage);
    if (got != c->pid) return false;
    *out = (child_exit){.pid = c->pid, .code = -1};
    memcpy(out->name, c->name, sizeof out->name);
    if (WIFEXITED(status)) out->code = WEXITSTATUS(status);
    if (WIFSIGNALED(status)) out->signal = WTERMSIG(status);
    c->peak_rss = (uint64_t)usage.ru_maxrss * 1024u;
    c->pid = 0;
    return true;
}

bool supervisor_poll(supervisor *s, child_exit *out)
{
    for (size_t i = 0; i < s->n; i++) {
        if (s->children[i].pid && reap(&s->children[i], out)) return true;
    }
    return false;
}

size_t supervisor_running(const supervisor *s)
{
    size_t running = 0;
    for (size_t i = 0; i < s->n; i++) running += s->children[i].pid != 0;
    return running;
}

pid_t supervisor_pid(const supervisor *s, const char *name)
{
    for (size_t i = 0; i < s->n; i++) {
        if (s->children[i].pid && strcmp(s->children[i].name, name) == 0) return s->children[i].pid;
    }
    return 0;
}

bool supervisor_signal(supervisor *s, const char *name, int number)
{
    pid_t pid = supervisor_pid(s, name);
    return pid && kill(pid, number) == 0;
}

static void signal_all(const supervisor *s, int number)
{
    for (size_t i = 0; i < s->n; i++) {
        if (s->children[i].pid) kill(s->children[i].pid, number);
    }
}

/* Reaps until nobody is left or `wait_ms` are over. */
static void reap_all(supervisor *s, uint32_t wait_ms)
{
    uint64_t end = clock_now_us() + (uint64_t)wait_ms * 1000u;
    child_exit ended;
    while (supervisor_running(s) && clock_now_us() < end) {
        if (!supervisor_poll(s, &ended)) usleep(5000);
    }
}

void supervisor_stop(supervisor *s, uint32_t grace_ms)
{
    signal_all(s, SIGTERM);
    signal_all(s, SIGCONT); /* A paused child cannot act on SIGTERM. */
    reap_all(s, grace_ms);
    for (size_t i = 0; i < s->n; i++) {
        if (s->children[i].pid) log_warn("child_killed", "name=%s", s->children[i].name);
    }
    signal_all(s, SIGKILL);
    reap_all(s, 5000);
}

void supervisor_free(supervisor *s)
{
    if (!s) return;
    supervisor_stop(s, 10000);
    free(s->children);
    free(s->bin_dir);
    free(s->log_dir);
    free(s);
}

uint64_t supervisor_peak_rss(const supervisor *s, const char *prefix)
{
    uint64_t peak = 0;
    for (size_t i = 0; i < s->n; i++) {
        if (strncmp(s->children[i].name, prefix, strlen(prefix)) != 0) continue;
        if (s->children[i].peak_rss > peak) peak = s->children[i].peak_rss;
    }
    return peak;
}

char *supervisor_bin_dir(void)
{
    char path[4096];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    if (n <= 0) return xstrdup(".");
    path[n] = 0;
    char *slash = strrchr(path, '/');
    if (slash) *slash = 0;
    return xstrdup(path);
}
