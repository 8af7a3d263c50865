/* prepare.h - catalogue + interactions -> text vectors, graph, partitions, dataset, manifest: a
 * store.
 *
 * The store is work_dir/store/<prepare_hash, 16 hex digits>; it is built in .partial-<pid> beside
 * it, fsynced and renamed, so that it is complete or not there.  A complete one is used again. */
#pragma once

#include "common/config.h"
#include "common/err.h"
#include "common/progress.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct prepare_stats {
    bool reused;
    double seconds;
    uint64_t items, users, events, edges; /* of the store */
    uint64_t store_bytes;
    uint64_t peak_rss_bytes; /* of this process */
    uint64_t cache_hits, cache_misses; /* text vectors in the encoder's cache; 0 without one */
} prepare_stats;

/* Prepares what `c` describes.  *store_folder (owned: free) is the store's folder.  `p` and `stats`
 * may be NULL.  ERR_STOPPED: p->stop was set; nothing half done is left.  ERR_INVALID: the input
 * (printed).  ERR_LIMIT: the catalogue does not fit.  ERR_IO, ERR_NO_MEMORY, ERR_NOT_FOUND. */
MUST_USE err_code prepare_run(const config *c, const progress *p, char **store_folder,
                              prepare_stats *stats);
/* The name of the store for `c`: hashes configuration and contents of the input files.  ERR_IO,
 * ERR_NOT_FOUND. */
MUST_USE err_code prepare_hash(const config *c, uint64_t *out);
/* work_dir/store/<prepare_hash>, owned. */
char *prepare_folder(const config *c, uint64_t hash);
