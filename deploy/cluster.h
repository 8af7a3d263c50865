/* cluster.h - the processes (or in-process cores) of one `weft train`, as its driver sees them.
 *
 * A thin choice between cluster_processes.h, cluster_remote.h and cluster_nodes.h.  Opening changes
 * the current folder to work_dir/run, where the sockets are.  Threads: one owner. */
#pragma once

#include "common/core.h"
#include "common/job.h"

#include <stdatomic.h>

typedef struct cluster cluster;

typedef struct cluster_options {
    const config *config; /* borrowed until cluster_close */
    bool in_process, fresh;
    const char *from;       /* name of a checkpoint to go back to; NULL: none */
    bool attach;            /* others have started the processes */
    const atomic_int *stop; /* not 0: end with ERR_STOPPED soon */
} cluster_options;

/* ERR_IO (logged): the scheduler does not start; ERR_LIMIT (printed): another `weft train` is at
 * work in this work_dir.  *out owned: cluster_close. */
MUST_USE err_code cluster_open(const cluster_options *o, cluster **out);
/* Ends every process that is left and removes sockets. */
void cluster_close(cluster *c); /* accepts NULL */

/* The store is complete: the scheduler loads the plan, the others start.  Borrows `j`. */
MUST_USE err_code cluster_start(cluster *c, const job *j, const char *store_folder);

/* Lets everything work for about wait_ms.  ERR_CLOSED, ERR_INVALID (printed: who, why and where its
 * log is): the job cannot go on; ERR_STOPPED. */
MUST_USE err_code cluster_run(cluster *c, uint32_t wait_ms);
/* The newest status, JSON, owned; NULL: no answer, the scheduler is starting again. */
char *cluster_status(cluster *c);
const char *cluster_url(const cluster *c); /* of the status endpoint; "": in-process, or away */

/* Tells the scheduler where the driver is: stage_id, done of total; again about every second while
 * the cluster runs, so that it need not be there now. */
MUST_USE err_code cluster_progress(cluster *c, uint32_t stage, uint64_t done, uint64_t total);
/* The file with the metrics of the whole run, until cluster_close: the scheduler's own, or what was
 * brought from one that others have started. */
MUST_USE err_code cluster_metrics(cluster *c);
const char *cluster_metrics_path(const cluster *c);
/* The job is done: everybody exits; waits until they have. */
MUST_USE err_code cluster_finish(cluster *c);

/* Asks a process of the job: the scheduler (address NULL), however long it is away, or a server at
 * `address` of the status.  `body` is borrowed, may be NULL.  On ERR_OK *answer is set and
 * *answer_body: owned, NULL if empty.  ERR_CLOSED: the job cannot go on (printed), or the server
 * did not answer; ERR_STOPPED.  cluster_run tells which. */
MUST_USE err_code cluster_call(cluster *c, core_peer to, const char *address, const wire_header *h,
                               blob *body, wire_header *answer, blob **answer_body);

/* For run.json. */
typedef struct cluster_facts {
    uint32_t restarts;
    uint64_t peak_rss[WIRE_ROLES]; /* bytes by role, of processes that have ended */
} cluster_facts;
cluster_facts cluster_get_facts(const cluster *c);
