/* sampler_node.h - a sampler: its protocol core with its partitions behind it.  Threads: one owner. */
#pragma once

#include "common/shell.h"
#include "sampler/job_sampler.h"

typedef struct sampler_node sampler_node;

/* Opens the partitions of sampler self.index of `samplers`.  Borrows `j`.  Errors as store_open.
 * *out owned: sampler_node_free. */
MUST_USE err_code sampler_node_new(const job *j, const char *store_folder, core_peer self,
                                   uint32_t samplers, const char *address, sampler_node **out);
void sampler_node_free(sampler_node *n); /* accepts NULL */
core_host sampler_node_host(sampler_node *n);
