/* store_write.h - writes one partition of a store.
 *
 * Threads: one owner; partitions are independent. */
#pragma once

#include "common/err.h"
#include "sampler/catalog.h"
#include "sampler/features.h"
#include "sampler/graph_build.h"
#include "sampler/split.h"

#include <stdint.h>

/* Everything that partitions are cut from; borrowed. */
typedef struct store_source {
    const catalog *data;
    const split *parts;
    const features *text;
    const graph *graph;
    uint32_t partitions, relations;
    const uint32_t (*relation)[2]; /* [relations] source type, destination type */
    const uint32_t *node_of;       /* [items] item -> node */
    const uint32_t *item_of;       /* [items] node -> item */
    const uint32_t *user_of;       /* [users] user number -> catalogue user */
    const uint64_t *user_key;      /* [users] of the catalogue user */
    const uint32_t *node_base;     /* as manifest.h */
    const uint32_t *user_base;
    const uint32_t *train_users;     /* [items] n_i */
    const uint32_t *train_positives; /* [items] */
    const uint8_t *role; /* [events] ROLE_* bits for which the event is the first of its pair */
} store_source;

typedef struct store_written {
    uint64_t bytes, file_hash; /* of data.mdb */
    uint64_t content;          /* over keys and blocks */
    uint64_t foundation;       /* the same of adjacency, item keys and text */
    uint64_t *edges;           /* [relations]: overwritten */
    uint64_t *pair_weight;     /* [relations]: overwritten */
} store_written;

/* Writes <folder>/part-<partition>, synced.  `out` has its two arrays set.  ERR_IO; ERR_LIMIT: a
 * block over 2 GiB (printed with the keys to change); ERR_NO_MEMORY. */
MUST_USE err_code store_write_partition(const store_source *s, uint32_t partition,
                                        const char *folder, store_written *out);
