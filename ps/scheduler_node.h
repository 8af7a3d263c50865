/* scheduler_node.h - the scheduler: its protocol core with durable state, metrics and status
 * endpoint. Threads: one owner. */
#pragma once

#include "common/config.h"
#include "common/op_meter.h"
#include "common/shell.h"
#include "ps/scheduler.h"

/* In run_dir from the end of a job (stopped, done or failed) to the next start: its last status. */
#define SCHEDULER_LAST_STATUS "last_status.json"

typedef struct scheduler_node scheduler_node;

typedef struct scheduler_node_options {
    const config *config; /* borrowed until free */
    const char *run_dir;  /* work_dir/run */
    uint64_t incarnation;
    bool fresh;            /* forget what an earlier life made durable */
    const char *from;      /* name of a checkpoint to go back to; NULL: none */
    bool driver;           /* `weft train` prepares, evaluates and says when it is done */
    shell_post *post;      /* how a command reaches the core; NULL with http false */
    void *shell;           /* given to post */
    const op_meter *meter; /* of that shell; borrowed until free; NULL with http false */
    bool http; /* start the status endpoint: writes run_dir/url and, on loopback, run_dir/token */
} scheduler_node_options;

/* Without a driver the prepared store must be there.  ERR_MISMATCH, ERR_NOT_FOUND, ERR_INVALID,
 * ERR_IO (logged).  *out owned: scheduler_node_free. */
MUST_USE err_code scheduler_node_new(const scheduler_node_options *o, scheduler_node **out);
void scheduler_node_free(scheduler_node *n); /* accepts NULL; removes run_dir/url and token */
core_host scheduler_node_host(scheduler_node *n);

/* The status endpoint's address, "" without one; and the JSON of /api/v1/status now (owned). */
const char *scheduler_node_url(const scheduler_node *n);
char *scheduler_node_status(const scheduler_node *n, uint64_t now_us);
