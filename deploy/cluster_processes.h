/* cluster_processes.h - the processes of one `weft train`: the scheduler from the start, so that
 * the status endpoint shows preparation too; servers, samplers and workers when the store is there.
 *
 * A worker or sampler that ends is started again, RESTARTS_MAX times within RESTARTS_WINDOW_US; a
 * server or scheduler that ends, or a process that is refused, ends the job; a scheduler that ends well
 * was asked to stop.  Threads: one owner.
 */
#pragma once

#include "common/core.h"
#include "deploy/cluster.h"

typedef struct cluster_processes cluster_processes;

/* Borrows its arguments until cluster_processes_close.  The current folder is run_dir.  ERR_IO,
 * ERR_CLOSED (printed): the scheduler does not start; ERR_STOPPED.  *out owned. */
MUST_USE err_code cluster_processes_open(const cluster_options *o, const char *run_dir,
                                         core_peer self, cluster_processes **out);
/* Ends every process that is left, removes sockets.  Accepts NULL. */
void cluster_processes_close(cluster_processes *p);

MUST_USE err_code cluster_processes_start(cluster_processes *p);
/* Looks after the processes for about wait_ms.  Printed once, who and why: ERR_CLOSED, the job cannot go
 * on; ERR_INVALID, a process was refused or cannot use the configuration.  ERR_STOPPED. */
MUST_USE err_code cluster_processes_run(cluster_processes *p, uint32_t wait_ms);
/* Asks the process at `address` (NULL: the scheduler) and looks after the processes meanwhile. */
MUST_USE err_code cluster_processes_call(cluster_processes *p, const char *address,
                                         const wire_header *h, blob *body, wire_header *answer,
                                         blob **answer_body);
/* Everybody was told that the job is done: waits until they have ended, or for a while. */
MUST_USE err_code cluster_processes_finish(cluster_processes *p);

char *cluster_processes_status(const cluster_processes *p); /* JSON, owned; NULL: no answer */
const char *cluster_processes_url(const cluster_processes *p);
cluster_facts cluster_processes_facts(const cluster_processes *p);
