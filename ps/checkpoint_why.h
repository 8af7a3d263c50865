/* checkpoint_why.h - what is wrong with a file of a checkpoint: a code, and a text for `why`, which
 * has CHECKPOINT_WHY_MAX bytes (checkpoint_files.h).  Threads: any. */
#pragma once

#include "common/err.h"

/* Returns rc. */
err_code checkpoint_why(char *why, err_code rc, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* What errno says about `path`: ERR_NOT_FOUND, ERR_LIMIT (the disk is full), ERR_IO. */
err_code checkpoint_why_errno(char *why, const char *what, const char *path);
