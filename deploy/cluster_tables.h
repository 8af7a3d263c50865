/* cluster_tables.h - reads finished tables of a job from its servers.
 *
 * A server that is away, or has not loaded its tables again, is waited for: who is where is learned
 * anew from the status.  After a while the wait is logged; train.stall_timeout ends it.  Threads:
 * one owner. */
#pragma once

#include "deploy/cluster.h"

typedef struct cluster_tables cluster_tables;

/* Learns from the status where the servers are.  Borrows `c` and `f` until cluster_tables_close.
 * ERR_CLOSED (printed): it waited too long; and what cluster_run returns.  *out owned:
 * cluster_tables_close. */
MUST_USE err_code cluster_tables_open(cluster *c, const config *f, cluster_tables **out);
void cluster_tables_close(cluster_tables *t); /* accepts NULL */

/* Rows of a finished stage's table: keys [n] any order, out [n, dim] overwritten.  ERR_CORRUPT
 * (printed): the server has another table; and as above. */
MUST_USE err_code cluster_tables_rows(cluster_tables *t, uint32_t stage, uint32_t table,
                                      uint32_t dim, const uint64_t *keys, size_t n, float *out);
/* The flat dense parameters of a stage: out [floats] overwritten.  Errors as above. */
MUST_USE err_code cluster_tables_dense(cluster_tables *t, uint32_t stage, float *out,
                                       size_t floats);
