#include "ps/applied_set.h"

#include "common/mem.h"
#include "common/table_codec.h"

#include <stdlib.h>
#include <string.h>

enum { SHARD_WORDS = SHARDS_MAX / 64 };

uint64_t *applied_shards_copy(const uint64_t *shards)
{
    if (!shards) return NULL;
    uint64_t *copy = xmalloc(SHARD_WORDS * sizeof *copy);
    memcpy(copy, shards, SHARD_WORDS * sizeof *copy);
    return copy;
}

void applied_set_clear(applied_set *a)
{
    for (size_t i = 0; i < a->n; i++) free(a->slot[i].shards);
    free(a->slot);
    *a = (applied_set){0};
}

/* Room for one at `at`, all zeros. */
static applied_slot *insert(applied_set *a, size_t at)
{
    grow(&a->slot, &a->cap, a->n + 1, sizeof *a->slot);
    memmove(&a->slot[at + 1], &a->slot[at], (a->n - at) * sizeof *a->slot);
    a->n++;
    a->slot[at] = (applied_slot){0};
    return &a->slot[at];
}

void applied_set_add(applied_set *a, uint32_t version, uint32_t slot, const uint64_t *shards)
{
    *insert(a, a->n) = (applied_slot){version, slot, applied_shards_copy(shards)};
}

/* Where (version, slot) is, or belongs. */
static size_t place_of(const applied_set *a, uint32_t version, uint32_t slot)
{
    size_t low = 0, high = a->n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        const applied_slot *x = &a->slot[mid];
        bool before = x->version != version ? x->version < version : x->slot < slot;
        if (before)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

void applied_set_mark(applied_set *a, uint32_t version, uint32_t slot, uint32_t vshard)
{
    size_t at = place_of(a, version, slot);
    applied_slot *x = at < a->n ? &a->slot[at] : NULL;
    if (!x || x->version != version || x->slot != slot) {
        x = insert(a, at);
        x->version = version;
        x->slot = slot;
        x->shards = xcalloc(SHARD_WORDS, sizeof *x->shards);
    }
    if (x->shards) x->shards[vshard / 64] |= UINT64_C(1) << vshard % 64;
}
