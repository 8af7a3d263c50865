/* cluster_tables.h - reads finished tables of a job from its servers.
 *
 * A server that is away, or has not loaded its tables again, is waited for: who is where is learned
 * anew from the status.  After a while the wait is logged; train.stall_timeout ends it.  Threads:
 * one owner. */
#pragma once

#include "deploy/cluster.h"
#include "deploy/trained_source.h"

typedef struct cluster_tables cluster_tables;

/* Learns from the status where the servers are.  Borrows `c` and `f` until cluster_tables_close.
 * ERR_CLOSED (printed): it waited too long; and what cluster_run returns.  *out owned:
 * cluster_tables_close. */
MUST_USE err_code cluster_tables_open(cluster *c, const config *f, cluster_tables **out);
void cluster_tables_close(cluster_tables *t); /* accepts NULL */

/* Of what `j` trained.  ERR_CORRUPT (printed): a server has another table; and as above.  Borrows t
 * until cluster_tables_close. */
trained_source cluster_tables_source(cluster_tables *t, const job *j);
