/* graph_runs.h - item pairs counted outside memory: sorted runs on disk, merged.
 *
 * Part of graph_build.h.  Threads: one owner. */
#pragma once

#include "common/err.h"
#include "common/progress.h"

#include <stdint.h>

typedef struct graph_runs graph_runs;

/* Everything together stays near `memory` bytes (at least 64 KiB are used). */
MUST_USE err_code graph_runs_open(const char *dir, uint64_t memory, graph_runs **out);
void graph_runs_close(graph_runs *r); /* accepts NULL */

/* One user has both items.  ERR_IO. */
MUST_USE err_code graph_runs_add(graph_runs *r, uint32_t destination, uint32_t source,
                                 uint32_t norm);

typedef struct graph_runs_pair {
    uint64_t key; /* destination << 32 | source */
    uint64_t norm;
    uint64_t count;
} graph_runs_pair;

/* Ends adding.  ERR_IO, ERR_STOPPED. */
MUST_USE err_code graph_runs_merge(graph_runs *r, const progress *p);
/* The next pair by key, each once; *more false at the end.  ERR_IO. */
MUST_USE err_code graph_runs_next(graph_runs *r, graph_runs_pair *pair, bool *more);
