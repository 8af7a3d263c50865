/* out_dir.h - a result folder that is replaced only when the new set of files is whole.
 *
 * Files are written into DIR/.partial-<pid>.  Commit fsyncs them, removes DIR/run.json, renames
 * them one by one into DIR and puts run.json last: run.json being there means that DIR is complete.
 * Files of an earlier result that the new set lacks are removed (only names that weft writes).
 * Threads: one owner. */
#pragma once

#include "common/err.h"

#include <stdbool.h>

typedef struct out_dir out_dir;

/* Makes `dir` and an empty partial folder in it; what dead processes left of theirs is removed.
 * ERR_IO.  *out is owned: out_dir_close. */
MUST_USE err_code out_dir_open(const char *dir, out_dir **out);
/* Whether a commit into `dir` replaces or removes the file `path`. */
bool out_dir_replaces(const char *dir, const char *path);
/* Where to write the file `name` (no slash), owned (free). */
char *out_dir_path(const out_dir *o, const char *name);
/* ERR_NOT_FOUND: run.json was not written.  ERR_IO.  On an error before the first rename the old
 * result is untouched; later, DIR has no run.json. */
MUST_USE err_code out_dir_commit(out_dir *o);
/* Removes what was not committed.  Accepts NULL. */
void out_dir_close(out_dir *o);
