/* applied_set.h - the slots of open rounds that a server has applied when they came (ssp, asp), per
 * virtual shard: part of a snapshot, for the same number of servers or another.
 *
 * Exactly once is per (slot, virtual shard): two servers may have applied different ones, and a
 * third inherit shards of both.  Threads: one owner. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct applied_slot {
    uint32_t version, slot; /* of its round */
    uint64_t *shards;       /* owned, a bit for each virtual shard; NULL: all of the server's */
} applied_slot;

typedef struct applied_set {
    applied_slot *slot; /* owned, [n] by (version, slot) */
    size_t n, cap;
} applied_set;

void applied_set_clear(applied_set *a);
/* Behind the last one.  shards [SHARDS_MAX / 64] is copied; NULL: all. */
void applied_set_add(applied_set *a, uint32_t version, uint32_t slot, const uint64_t *shards);
/* Virtual shard `vshard` has it; whichever order. */
void applied_set_mark(applied_set *a, uint32_t version, uint32_t slot, uint32_t vshard);

uint64_t *applied_shards_copy(const uint64_t *shards); /* owned: free(); NULL stays NULL */
static inline bool applied_shards_has(const uint64_t *shards, uint32_t vshard)
{
    return !shards || shards[vshard / 64] >> vshard % 64 & 1;
}
