/* cluster_processes.h - the processes of one `weft train`: the scheduler from the start, so that
 * the status endpoint shows preparation too; servers, samplers and workers when the store is there.
 *
 * Any process that ends is started again, later each time (restart_policy.h).  Not: one that is
 * refused (exit code 2), one that ends too often, and the scheduler where it has decided how the
 * job ends; these end the job.  The number of workers and servers follows what the status says is
 * wanted. Threads: one owner.
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
/* Looks after the processes for about wait_ms.  Printed once, who and why: ERR_CLOSED, the job
 * cannot go on; ERR_INVALID, a process was refused or cannot use the configuration.  ERR_STOPPED.
 */
MUST_USE err_code cluster_processes_run(cluster_processes *p, uint32_t wait_ms);
/* Asks a process and looks after the processes meanwhile.  The scheduler (address NULL) is waited
 * for while it is away, at most train.stall_timeout (printed: ERR_CLOSED).  A server is asked once:
 * ERR_CLOSED, nothing printed, if it does not answer or a process was started again meanwhile. */
MUST_USE err_code cluster_processes_call(cluster_processes *p, const char *address,
                                         const wire_header *h, blob *body, wire_header *answer,
                                         blob **answer_body);
/* The same to the scheduler, for what is said again in a moment: ERR_NOT_FOUND if it does not
 * answer soon. */
MUST_USE err_code cluster_processes_try(cluster_processes *p, const wire_header *h, blob *body,
                                        wire_header *answer, blob **answer_body);
/* Everybody was told that the job is done: waits until they have ended, or for a while. */
MUST_USE err_code cluster_processes_finish(cluster_processes *p);

/* The newest status, JSON, owned; NULL: the scheduler is away. */
char *cluster_processes_status(const cluster_processes *p);
const char *cluster_processes_url(const cluster_processes *p); /* "": the scheduler is away */
cluster_facts cluster_processes_facts(const cluster_processes *p);
