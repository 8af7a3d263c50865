/* file_lock.h - one process of a kind in a folder at a time.
 *
 * A flock on a file that holds the holder's process number.  The kernel drops it when the holder is
 * gone, however it went; the file stays.  Threads: one owner. */
#pragma once

#include "common/err.h"

/* Takes dir/name for `who` ("weft train") and writes our process number into it.  *fd: close it to
 * let go; -1 on errors.  Not inherited by programs that are executed.  ERR_LIMIT (printed, naming
 * the holder): another process has it; ERR_IO (printed). */
MUST_USE err_code file_lock_take(const char *dir, const char *name, const char *who, int *fd);
/* Takes `dir` itself, without a file in it.  ERR_LIMIT (not printed): another process has it.  *fd
 * as above; -1 with ERR_OK where there is no such folder, or its file system has no locks. */
MUST_USE err_code file_lock_folder(const char *dir, int *fd);
