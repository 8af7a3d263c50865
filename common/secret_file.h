/* secret_file.h - reads a file that only its owner may read.  Threads: any. */
#pragma once

#include "common/err.h"

#include <stddef.h>

/* The content of `path` into text [size], NUL-terminated; the caller wipes it with explicit_bzero.
 * `what` names it in errors ("the token").  ERR_INVALID (printed): it is no regular file, others
 * may read or write it, or it belongs to somebody else than us or root (root reads
 * anybody's); ERR_LIMIT: it does not
 * fit; ERR_NOT_FOUND; ERR_IO.  Nothing of the content is ever printed. */
MUST_USE err_code secret_file_read(const char *path, const char *what, char *text, size_t size);

/* ERR_INVALID (printed): others than the owner may write `path`, whose content is not secret, but
 * decides whom we trust. */
MUST_USE err_code secret_file_trusted(const char *path, int fd);
