/* worker_node.h - a worker: its protocol core with the engine behind it.  Threads: one owner. */
#pragma once

#include "common/shell.h"
#include "worker/engine.h"

typedef struct worker_node worker_node;

/* Borrows `j`.  threads > 0: the engine has threads of its own, and that many for the chunks of a slot;
 * 0: everything runs inside the step.  Owned: worker_node_free. */
worker_node *worker_node_new(const job *j, core_peer self, const char *address, uint32_t threads);
void worker_node_free(worker_node *n); /* accepts NULL; after the shell has ended */
core_host worker_node_host(worker_node *n);
