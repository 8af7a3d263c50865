/* cluster_remote.h - a cluster whose processes others have started, as its driver sees it.
 *
 * For `weft train --attach`: the scheduler (started with --driver) is at cluster.scheduler, its
 * status endpoint beside it.  Whoever is away is waited for; nothing is started or ended here.
 * Threads: one owner. */
#pragma once

#include "common/core.h"
#include "common/peer_state.h"
#include "deploy/cluster.h"

typedef struct cluster_remote cluster_remote;

/* Borrows its arguments until cluster_remote_close.  ERR_INVALID, ERR_NOT_FOUND (printed): no
 * address of the status endpoint, or no keys.  *out owned. */
MUST_USE err_code cluster_remote_open(const cluster_options *o, core_peer self,
                                      cluster_remote **out);
void cluster_remote_close(cluster_remote *r); /* accepts NULL */

/* Waits about wait_ms and looks at the status.  Printed: ERR_CLOSED, the job failed or nothing was
 * heard of it for train.stall_timeout; ERR_STOPPED, the job was stopped, or we are. */
MUST_USE err_code cluster_remote_run(cluster_remote *r, uint32_t wait_ms);
/* Asks the scheduler (address NULL), as long as it is away, or a server, once: ERR_CLOSED, nothing
 * printed, if that does not answer. */
MUST_USE err_code cluster_remote_call(cluster_remote *r, const char *address, const wire_header *h,
                                      blob *body, wire_header *answer, blob **answer_body);
/* The same to the scheduler, for what is said again in a moment: ERR_NOT_FOUND if it does not
 * answer soon. */
MUST_USE err_code cluster_remote_try(cluster_remote *r, const wire_header *h, blob *body,
                                     wire_header *answer, blob **answer_body);
/* The plan is known: a status of another one is another job's. */
void cluster_remote_planned(cluster_remote *r, uint64_t plan_hash);
/* Another job is where ours was: ERR_MISMATCH, printed once. */
err_code cluster_remote_foreign(cluster_remote *r, const char *why);
/* The scheduler says that the job is over: printed, once, with `goes_on` after it.  ERR_CLOSED: it
 * failed; ERR_STOPPED; ERR_OK: it is done. */
MUST_USE err_code cluster_remote_over(cluster_remote *r, job_state state, const char *why,
                                      const char *goes_on);
/* The scheduler's metrics.jsonl, whole, into `path`; waits for a scheduler that is away.  Errors of
 * cluster_remote_run; ERR_IO and such (printed). */
MUST_USE err_code cluster_remote_metrics(cluster_remote *r, const char *path);
char *cluster_remote_status(const cluster_remote *r); /* JSON, owned; NULL: no answer */
const char *cluster_remote_url(const cluster_remote *r);
