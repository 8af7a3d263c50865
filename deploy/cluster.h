/* cluster.h - the processes (or in-process cores) of one `weft train`, as its driver sees them.
 *
 * The scheduler is there from the start, so that the status endpoint shows preparation too; servers,
 * samplers and workers come when the store is prepared.  A worker or sampler that dies is started again;
 * a server that dies ends the job.  Threads: one owner. */
#pragma once

#include "common/job.h"
#include "common/wire.h"

#include <stdatomic.h>

typedef struct cluster cluster;

typedef struct cluster_options {
    const config *config;  /* borrowed until cluster_close */
    bool in_process, fresh;
    const atomic_int *stop; /* not 0: end with ERR_STOPPED soon */
} cluster_options;

/* ERR_IO (logged): the scheduler does not start; ERR_LIMIT (printed): another `weft train` is at work in
 * this work_dir.  *out owned: cluster_close. */
MUST_USE err_code cluster_open(const cluster_options *o, cluster **out);
/* Ends every process that is left and removes sockets. */
void cluster_close(cluster *c); /* accepts NULL */

/* The store is complete: the scheduler loads the plan, the others start.  Borrows `j`. */
MUST_USE err_code cluster_start(cluster *c, const job *j, const char *store_folder);

/* Lets everything work for about wait_ms.  ERR_CLOSED (printed: who and where its log is): the job
 * cannot go on; ERR_STOPPED. */
MUST_USE err_code cluster_run(cluster *c, uint32_t wait_ms);
/* The status JSON now, owned; NULL: no answer. */
char *cluster_status(cluster *c);
const char *cluster_url(const cluster *c); /* of the status endpoint, "" in-process */

/* Tells the scheduler where the driver is: stage_id, done of total. */
MUST_USE err_code cluster_progress(cluster *c, uint32_t stage, uint64_t done, uint64_t total);
/* The job is done: everybody exits; waits until they have. */
MUST_USE err_code cluster_finish(cluster *c);

/* Rows of a finished stage's table: keys [n] any order, out [n, dim] overwritten.  And the flat dense
 * parameters of a stage: out [floats].  ERR_CLOSED, ERR_STOPPED, ERR_NOT_FOUND (logged). */
MUST_USE err_code cluster_rows(cluster *c, uint32_t stage, uint32_t table, uint32_t dim,
                               const uint64_t *keys, size_t n, float *out);
MUST_USE err_code cluster_dense(cluster *c, uint32_t stage, float *out, size_t floats);

/* For run.json. */
typedef struct cluster_facts {
    uint32_t restarts;
    uint64_t peak_rss[WIRE_ROLES]; /* bytes by role, of processes that have ended */
} cluster_facts;
cluster_facts cluster_get_facts(const cluster *c);
