/* store_path.h - which prepared store a configuration uses: the file work_dir/store/current names it.
 * Threads: any. */
#pragma once

#include "common/config.h"

/* Writes the name; `prepare` does, when its store is complete. */
MUST_USE err_code store_path_set(const config *c, const char *folder);
/* store.local where it is configured, else what work_dir/store/current names.  *out owned.
 * ERR_NOT_FOUND (printed): nothing was prepared. */
MUST_USE err_code store_path_get(const config *c, char **out);
