/* dataset_write.h - writes the file that dataset.h reads.  Threads: one owner. */
#pragma once

#include "common/err.h"
#include "sampler/store_write.h"

#include <stdint.h>

/* Writes <folder>/dataset, synced; user_number [users] of the catalogue's users, train_any [items].
 * *hash covers every section.  ERR_IO, ERR_NO_MEMORY. */
MUST_USE err_code dataset_write(const store_source *s, const uint32_t *user_number,
                                const uint32_t *train_any, const char *folder, uint64_t *hash);
