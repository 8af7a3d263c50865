/* partition.h - which partition an item or user belongs to, and the numbers they get there.
 *
 * hash: by hash(seed, key).  ldg: linear deterministic greedy over the items in hash order, several
 * passes: an item goes where most of its neighbours are, discounted by how full that partition is
 * for the item's type; a partition takes at most ceil(1.05 n_t / partitions) of the n_t items of
 * type t. Memory: one number an item.  Users always by hash. */
#pragma once

#include "common/config.h"
#include "common/err.h"
#include "sampler/graph_build.h"

#include <stdint.h>

typedef struct partition_input {
    uint32_t items, types, partitions;
    const uint8_t *item_type;
    const uint64_t *item_key;
    const graph *graph; /* for ldg */
    uint64_t seed;
    partitioner_kind kind;
} partition_input;

/* part [items] overwritten.  ERR_INVALID: metis, which this build does not have (printed).
 * ERR_NO_MEMORY. */
MUST_USE err_code partition_items(const partition_input *in, uint32_t *part);
uint32_t partition_of_user(uint64_t seed, uint64_t user_key, uint32_t partitions);

/* The most items of a type with n items that ldg puts into one partition. */
uint32_t partition_capacity(uint32_t n, uint32_t partitions);

/* Node numbers: by (type, partition, hash(seed, key), key).  node_of [items], node_base
 * [types * partitions + 1]: overwritten.  ERR_NO_MEMORY. */
MUST_USE err_code partition_number_items(const partition_input *in, const uint32_t *part,
                                         uint32_t *node_of, uint32_t *node_base);

typedef struct partition_users {
    uint32_t users, partitions;
    const uint64_t *key;  /* [users] */
    const uint8_t *valid; /* [users] has a validation positive: first of its partition */
    uint64_t seed;
} partition_users;

/* User numbers: by (partition, valid first, hash(seed, key), key, row).  number_of [users],
 * user_base [partitions + 1], valid_users [partitions]: overwritten.  ERR_NO_MEMORY. */
MUST_USE err_code partition_number_users(const partition_users *in, uint32_t *number_of,
                                         uint32_t *user_base, uint32_t *valid_users);
