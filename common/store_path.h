/* store_path.h - which prepared store a configuration uses: the file work_dir/store/current names
 * it, or, where store.source is configured, the file `current` there.
 * Threads: any. */
#pragma once

#include "common/config.h"

/* Writes the name; `prepare` does, when its store is complete. */
MUST_USE err_code store_path_set(const config *c, const char *folder);
/* The same for store.source: `name` is a folder in it. */
MUST_USE err_code store_path_publish(const config *c, const char *name);
/* What `current` of store.source names, else what work_dir/store/current names.  The partitions of
 * the former are not for LMDB (sampler/store_copy.h).  *out owned.  ERR_NOT_FOUND (printed):
 * nothing was prepared. */
MUST_USE err_code store_path_get(const config *c, char **out);
