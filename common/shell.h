/* shell.h - what runs a protocol core in a real process: the parts that every shell shares.
 *
 * A core_host is a core with the functions that carry out its non-network actions.  Shells
 * (zmq_shell.h, deploy/inprocess.h) step it, route its messages and keep its timer. */
#pragma once

#include "common/core.h"
#include "common/notify.h"

typedef uint64_t core_step_function(void *core, const core_event *e, core_actions *out);

/* Gives the result of a COMPUTE or PERSIST back.  Any thread; `detail` stays valid until the core
 * has stepped it in, after which the host's `done` is called with it. */
typedef void shell_post(void *shell, uint64_t token, err_code status, const void *detail);

typedef struct core_host {
    core_peer self;
    void *core;
    core_step_function *step;
    void *user; /* given to the functions below; NULL functions: the action is ignored */
    /* Does the work, now or on a thread of its own, and posts the result. */
    void (*compute)(void *user, uint64_t token, uint32_t kind, const void *detail, shell_post *post,
                    void *shell);
    /* The result was stepped in: release `detail`. */
    void (*done)(void *user, uint64_t token, const void *detail);
    /* Makes bytes durable before it returns. */
    err_code (*persist)(void *user, const void *bytes, size_t size);
    void (*metric)(void *user, const core_metric *m);
    void (*event)(void *user, const char *name, core_peer who, const char *why);
    /* Of use to the job, as far as the core knows; NULL: once the scheduler has accepted it. */
    bool (*ready)(void *user);
    /* Called about every SHELL_IDLE_MS: publish status. */
    void (*idle)(void *user, uint64_t now_us);
    /* Called after `idle`: how this process is, for the service manager.  *out is zeros before. */
    void (*health)(void *user, notify_health *out);
    /* Called before `idle`: what the shell refused so far, without the core. */
    void (*refused)(void *user, uint64_t total);
    /* The core has exited: ends threads, nothing is posted after it. */
    void (*stop)(void *user);
} core_host;

enum { SHELL_IDLE_MS = 200 };

/* Carries out METRIC, EVENT (which is logged too) and PERSIST; false for the other actions. */
bool shell_local_action(const core_host *h, const core_action *a, shell_post *post, void *shell);
