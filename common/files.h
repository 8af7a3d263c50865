/* files.h - whole files, folders and paths.
 *
 * A failing call logs path and cause once (log_user_error) and returns ERR_NOT_FOUND (no such
 * file), ERR_LIMIT (larger than asked) or ERR_IO.  Strings returned are owned (free).  Threads:
 * any; two callers must not write the same path. */
#pragma once

#include "common/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The content of `path`, owned (free), with one NUL byte more than *bytes counts.  ERR_LIMIT: it
 * has more than bytes_max bytes.  ERR_NO_MEMORY. */
MUST_USE err_code files_read(const char *path, size_t bytes_max, char **data, size_t *bytes);
/* Replaces `path` in one step: temporary file in the same folder, fsync, rename, fsync of the
 * folder.  A reader sees the old or the new content.  mode: permissions, e.g. 0644. */
MUST_USE err_code files_write_atomic(const char *path, const void *data, size_t bytes,
                                     uint32_t mode);
/* From an open file until its end or until `cap` bytes are there; false: errno says why, nothing is
 * logged. */
bool files_read_up_to(int fd, void *data, size_t cap, size_t *bytes);
/* Everything to an open file, a pipe, a terminal; false: errno says why, nothing is logged. */
bool files_write_all(int fd, const void *data, size_t bytes);
/* Makes `path` and its parents; that they exist already is fine. */
MUST_USE err_code files_make_dirs(const char *path);
/* Removes a file or a folder with everything in it; does not follow links.  Absent: ERR_OK. */
MUST_USE err_code files_remove_tree(const char *path);
/* Removes dir/<prefix><process number>, which processes that are gone have left.  ERR_IO. */
MUST_USE err_code files_remove_stale(const char *dir, const char *prefix);
MUST_USE err_code files_rename(const char *from, const char *to);
/* fsync of a file or a folder. */
MUST_USE err_code files_sync(const char *path);

bool files_exist(const char *path);
bool files_is_dir(const char *path);

char *files_join(const char *dir, const char *name); /* an absolute `name` stays as it is */
char *files_parent(const char *path);                /* "a/b" -> "a", "b" -> ".", "/b" -> "/" */
/* `path` made absolute against the current folder, with "." and ".." and "//" resolved as text. */
char *files_absolute(const char *path);
