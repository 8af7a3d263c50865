/* tar_writer.h - writes a gzipped tar archive (POSIX ustar) of regular files.  Threads: one owner.
 */
#pragma once

#include "common/err.h"

#include <stddef.h>
#include <stdint.h>

enum { TAR_NAME_MAX = 99 }; /* longer names are cut at their beginning */

typedef struct tar_writer tar_writer;

/* Makes `path`, mode 0600; what is there is replaced.  ERR_IO (printed).  *out owned: tar_close. */
MUST_USE err_code tar_open(const char *path, tar_writer **out);
/* Adds a file; `time`: unix seconds. */
void tar_add(tar_writer *t, const char *name, const void *data, size_t bytes, uint64_t time);
/* Ends the archive and releases `t`.  ERR_IO (printed): something could not be written; the file is
 * removed. */
MUST_USE err_code tar_close(tar_writer *t);
