/* sampler_open.h - a sampler process finds its partitions: on this machine, or brings them here.
 *
 * Without store.source they are in the store that work_dir names.  With it they are fetched where
 * they are missing or damaged, once more if what was there does not open.  Threads: one owner. */
#pragma once

#include "common/role.h"
#include "sampler/sampler_node.h"

/* Errors of store_path_get, store_copy_fetch and sampler_node_new; ERR_STOPPED: a signal came while
 * it fetched.  *out owned: sampler_node_free. */
MUST_USE err_code sampler_open(const role_start *r, sampler_node **out);
