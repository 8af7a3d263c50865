/* role.h - what the mains of servers, samplers and workers have in common: options, endpoints, the
 * job.
 *
 * Without cluster.scheduler everything is on one machine: processes change to work_dir/run and use
 * ipc:// sockets with relative names, which keeps them short and private to the owner of the
 * folder. With tcp:// a role binds to cluster.advertise, or to the address it reaches the scheduler
 * from. Threads: the main one. */
#pragma once

#include "common/config.h"
#include "common/core.h"
#include "common/job.h"
#include "common/process_http.h"
#include "common/zmq_shell.h"

typedef struct role_start {
    core_peer self;
    config *config;                /* owned; NULL for a worker that has only an address */
    keyring *keys;                 /* owned; NULL: none */
    char scheduler[CORE_TEXT_MAX]; /* endpoint */
    char address[CORE_TEXT_MAX];   /* ours, bound; "" for a worker */
    zmq_shell *shell;              /* owned */
    process_http *http;            /* owned; NULL: none */
    job *job;                      /* owned; from the scheduler */
} role_start;

/* The scheduler's endpoint by the configuration. */
void role_scheduler_endpoint(const config *c, char out[CORE_TEXT_MAX]);
/* Changes to work_dir/run if sockets are there; makes it with mode 0700. */
MUST_USE err_code role_enter_run_dir(const config *c);
/* The endpoint a role binds.  The scheduler: its own address, or, where that is a name,
 * cluster.advertise or every interface.  ERR_INVALID (printed): an address that is not loopback
 * without security.keys or security.insecure; neither tcp:// nor ipc:// with a file; a scheduler
 * that cannot be resolved. */
MUST_USE err_code role_bind_endpoint(const config *c, core_peer self, char out[CORE_TEXT_MAX]);

/* The keys of `role` in security.keys; *out NULL where it is empty or nothing goes over a network;
 * owned.  Errors of keyring_open. */
MUST_USE err_code role_open_keys(const config *c, uint32_t role, keyring **out);

/* Parses -c, --set, --index N|auto, --advertise, --http and, for workers, --scheduler and --keys;
 * chooses the numerics (the program may be executed again); starts the probes; opens the shell;
 * fetches the job from the scheduler, which is waited for, and compares its plan with our
 * configuration's.  False: the process ends with *code, 0 where SIGTERM
 * or SIGINT came meanwhile. role_finish frees what *r has in any case. */
bool role_begin(uint32_t role, int argc, char **argv, role_start *r, int *code);
/* ERR_STOPPED: SIGTERM or SIGINT waits at the shell's descriptor.  For what takes long before
 * role_run; `context` is not used. */
err_code role_check_stop(void *context);
/* The line that a process ends its log with: whoever started it tells from it that the core decided
 * to end, and why. */
void role_log_exit(int code, const char *why);
/* Runs the core and logs how it ended.  Returns the exit code. */
int role_run(role_start *r, const core_host *host);
void role_finish(role_start *r);
