/* supervisor.h - the processes `weft train` starts on this machine.
 *
 * Each child logs to logs/<name>.log (emptied when the name is new), is in a process group of its
 * own, gets SIGTERM when this process dies (even by kill -9), and is never restarted behind the
 * caller's back.  Threads: one owner (the thread that starts children: the death signal follows
 * it). */
#pragma once

#include "common/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct supervisor supervisor;

typedef struct child_exit {
    char name[32]; /* "worker-0" */
    pid_t pid;
    int code;   /* exit code; -1: ended by a signal */
    int signal; /* 0: exited by itself */
} child_exit;

/* `bin_dir` holds the programs, `log_dir` exists.  Both are copied.  Owned: supervisor_free. */
supervisor *supervisor_new(const char *bin_dir, const char *log_dir);
/* Starts bin_dir/program with argv (NULL-terminated, without the program's own name) as `name`. */
MUST_USE err_code supervisor_start(supervisor *s, const char *name, const char *program,
                                   const char *const *argv);
/* The next child that ended since the last call; false: none.  Never blocks. */
bool supervisor_poll(supervisor *s, child_exit *out);
size_t supervisor_running(const supervisor *s);
pid_t supervisor_pid(const supervisor *s, const char *name); /* 0: not running */
bool supervisor_signal(supervisor *s, const char *name, int signal);
/* SIGTERM to all, SIGKILL to those still there after grace_ms; reaps every one. */
void supervisor_stop(supervisor *s, uint32_t grace_ms);
void supervisor_free(supervisor *s); /* stops what still runs */
/* Peak resident bytes of ended children whose name starts with `prefix`: the largest one. */
uint64_t supervisor_peak_rss(const supervisor *s, const char *prefix);

/* The folder of the running executable, owned. */
char *supervisor_bin_dir(void);
