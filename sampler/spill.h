/* spill.h - bytes written once to an unlinked temporary file and then read as one mapped array.
 *
 * For what may not fit in memory: the pages are the file cache's.  Errors are logged with the
 * folder.  Threads: one owner. */
#pragma once

#include "common/err.h"

#include <stddef.h>
#include <stdint.h>

typedef struct spill spill;

/* An empty file in `dir`.  ERR_IO.  *out is owned: spill_close. */
MUST_USE err_code spill_open(const char *dir, spill **out);
void spill_close(spill *s); /* accepts NULL; the map goes with it */

/* Appends.  ERR_IO (a full disk too). */
MUST_USE err_code spill_put(spill *s, const void *data, size_t bytes);
uint64_t spill_bytes(const spill *s);
/* What was appended, borrowed until spill_close; never NULL.  Nothing is appended afterwards.
 * ERR_IO. */
MUST_USE err_code spill_map(spill *s, const void **data);
/* Reads at an offset, what was appended and flushed by spill_flush.  ERR_IO. */
MUST_USE err_code spill_read(spill *s, uint64_t offset, void *data, size_t bytes);
MUST_USE err_code spill_flush(spill *s);
