/* server_node.h - a parameter server: its protocol core with the job's arithmetic.
 * Threads: one owner. */
#pragma once

#include "common/shell.h"
#include "ps/job_model.h"

typedef struct server_node server_node;

/* Borrows `j`.  `own` (used in the call only) says where its checkpoints are;
 * in_process: its shell is deploy/inprocess.h.  Owned:
 * server_node_free. */
server_node *server_node_new(const job *j, const config *own, core_peer self, const char *address,
                             bool in_process);
void server_node_free(server_node *n); /* accepts NULL */
core_host server_node_host(server_node *n);
