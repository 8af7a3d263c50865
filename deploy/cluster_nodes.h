/* cluster_nodes.h - every core of a job in this process: the cluster of `weft train --in-process`.
 * Threads: one owner. */
#pragma once

#include "common/job.h"
#include "deploy/inprocess.h"

typedef struct cluster_nodes cluster_nodes;

/* Starts the scheduler, which keeps its state in run_dir.  Borrows `c` until cluster_nodes_close.
 * ERR_IO, ERR_CORRUPT (logged).  *out owned: cluster_nodes_close. */
MUST_USE err_code cluster_nodes_open(const config *c, const char *run_dir, bool fresh,
                                     const char *from, cluster_nodes **out);
/* The job stops, by that signal: its scheduler makes a checkpoint, for at most
 * CLUSTER_NODES_GOODBYE_MS. */
void cluster_nodes_goodbye(cluster_nodes *n, int signal);
enum { CLUSTER_NODES_GOODBYE_MS = 25000 };
void cluster_nodes_close(cluster_nodes *n); /* accepts NULL */
/* Servers, samplers and workers of `j`, borrowed until cluster_nodes_close. */
MUST_USE err_code cluster_nodes_start(cluster_nodes *n, const job *j, const char *store_folder);
/* ERR_CLOSED (printed): a core has ended with an error. */
MUST_USE err_code cluster_nodes_run(cluster_nodes *n, uint32_t wait_ms);
MUST_USE err_code cluster_nodes_call(cluster_nodes *n, core_peer from, core_peer to,
                                     const wire_header *h, blob *body, const atomic_int *stop,
                                     wire_header *answer, blob **answer_body);
char *cluster_nodes_status(const cluster_nodes *n); /* JSON, owned */
