#include "sampler/partition.h"

#include "common/hash.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/panic.h"

#include <stdlib.h>
#include <string.h>

enum { LDG_PASSES = 4, LDG_SLACK_PERCENT = 5 };

/* Different hashes of the same (seed, key): numbers in a partition must not follow from the choice
 * of the partition. */
enum { SALT_PARTITION = 1, SALT_NUMBER = 2, SALT_STREAM = 3 };

typedef struct sort_entry {
    uint64_t group; /* type, partition, ... */
    uint64_t hash, key;
    uint32_t index;
} sort_entry;

static uint64_t salted_hash(uint64_t seed, uint64_t salt, uint64_t key)
{
    uint64_t words[2] = {salt, key};
    return hash64(words, sizeof words, seed);
}

static int entry_compare(const void *a, const void *b)
{
    const sort_entry *x = a, *y = b;
    if (x->group != y->group) return x->group < y->group ? -1 : 1;
    if (x->hash != y->hash) return x->hash < y->hash ? -1 : 1;
    if (x->key != y->key) return x->key < y->key ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

static void sort_entries(sort_entry *e, size_t n)
{
    if (n > 1) qsort(e, n, sizeof *e, entry_compare);
}

uint32_t partition_of_user(uint64_t seed, uint64_t user_key, uint32_t partitions)
{
    return (uint32_t)(salted_hash(seed, SALT_PARTITION, user_key) % partitions);
}

uint32_t partition_capacity(uint32_t n, uint32_t partitions)
{
    uint64_t whole = (uint64_t)n * (100 + LDG_SLACK_PERCENT), per = (uint64_t)partitions * 100;
    return (uint32_t)((whole + per - 1) / per);
}

typedef struct ldg {
    const partition_input *in;
    uint32_t *part; /* partitions = not placed yet */
    uint32_t capacity[CONFIG_TYPES_MAX];
    uint32_t *size;       /* [types, partitions] */
    uint32_t *neighbours; /* [partitions] of the item at hand */
} ldg;

/* The partition with the highest neighbours x (1 - size / capacity); without neighbours, the
 * emptiest.  Ties: the emptier, then the first from the item's hash on. */
static uint32_t ldg_choose(const ldg *l, uint32_t item)
{
    const partition_input *in = l->in;
    uint32_t type = in->item_type[item], best = in->partitions;
    const uint32_t *size = l->size + (size_t)type * in->partitions;
    uint64_t best_score = 0;
    uint32_t start = partition_of_user(in->seed, in->item_key[item], in->partitions);

    for (uint32_t i = 0; i < in->partitions; i++) {
        uint32_t p = (start + i) % in->partitions;
        if (size[p] >= l->capacity[type]) continue;
        uint64_t score = (uint64_t)l->neighbours[p] * (l->capacity[type] - size[p]);
        if (best == in->partitions || score > best_score ||
            (score == best_score && size[p] < size[best])) {
            best = p;
            best_score = score;
        }
    }
    ASSERT(best < in->partitions);
    return best;
}

static void ldg_place(ldg *l, uint32_t item)
{
    const partition_input *in = l->in;
    uint32_t *size = l->size + (size_t)in->item_type[item] * in->partitions;

    if (l->part[item] < in->partitions) size[l->part[item]]--;
    memset(l->neighbours, 0, in->partitions * sizeof *l->neighbours);
    for (uint64_t e = in->graph->indptr[item]; e < in->graph->indptr[item + 1]; e++) {
        uint32_t p = l->part[in->graph->source[e]];
        if (p < in->partitions) l->neighbours[p]++;
    }
    l->part[item] = ldg_choose(l, item);
    size[l->part[item]]++;
}

static err_code ldg_run(const partition_input *in, uint32_t *part)
{
    ldg l = {.in = in, .part = part};
    err_code rc = ERR_NO_MEMORY;
    sort_entry *order = try_malloc((size_t)in->items + 1, sizeof *order);

    l.size = try_calloc((size_t)in->types * in->partitions + 1, sizeof *l.size);
    l.neighbours = try_calloc(in->partitions, sizeof *l.neighbours);
    if (order == NULL || l.size == NULL || l.neighbours == NULL) goto done;
    for (uint32_t i = 0; i < in->items; i++) {
        order[i] = (sort_entry){.hash = salted_hash(in->seed, SALT_STREAM, in->item_key[i]),
                                .key = in->item_key[i],
                                .index = i};
        part[i] = in->partitions;
        l.capacity[in->item_type[i]]++;
    }
    for (uint32_t t = 0; t < in->types; t++) {
        l.capacity[t] = partition_capacity(l.capacity[t], in->partitions);
    }
    sort_entries(order, in->items);
    for (uint32_t pass = 0; pass < LDG_PASSES; pass++) {
        for (uint32_t i = 0; i < in->items; i++) ldg_place(&l, order[i].index);
    }
    rc = ERR_OK;
done:
    free(order);
    free(l.size);
    free(l.neighbours);
    return rc;
}

err_code partition_items(const partition_input *in, uint32_t *part)
{
    ASSERT(in->partitions > 0 && in->types <= CONFIG_TYPES_MAX);
    switch (in->kind) {
    case PARTITION_HASH:
        for (uint32_t i = 0; i < in->items; i++) {
            part[i] = partition_of_user(in->seed, in->item_key[i], in->partitions);
        }
        return ERR_OK;
    case PARTITION_LDG: return ldg_run(in, part);
    case PARTITION_METIS: break;
    }
    log_user_error("graph.partitioner: this build has hash and ldg, not metis");
    return ERR_INVALID;
}

/* number_of from sorted entries. */
static void give_numbers(const sort_entry *e, uint32_t n, uint32_t *number_of)
{
    for (uint32_t i = 0; i < n; i++) number_of[e[i].index] = i;
}

err_code partition_number_items(const partition_input *in, const uint32_t *part, uint32_t *node_of,
                                uint32_t *node_base)
{
    size_t ranges = (size_t)in->types * in->partitions;
    sort_entry *e = try_malloc((size_t)in->items + 1, sizeof *e);

    if (e == NULL) return ERR_NO_MEMORY;
    memset(node_base, 0, (ranges + 1) * sizeof *node_base);
    for (uint32_t i = 0; i < in->items; i++) {
        uint64_t group = (uint64_t)in->item_type[i] * in->partitions + part[i];
        e[i] = (sort_entry){group, salted_hash(in->seed, SALT_NUMBER, in->item_key[i]),
                            in->item_key[i], i};
        node_base[group + 1]++;
    }
    for (size_t r = 0; r < ranges; r++) node_base[r + 1] += node_base[r];
    sort_entries(e, in->items);
    give_numbers(e, in->items, node_of);
    free(e);
    return ERR_OK;
}

err_code partition_number_users(const partition_users *in, uint32_t *number_of, uint32_t *user_base,
                                uint32_t *valid_users)
{
    sort_entry *e = try_malloc((size_t)in->users + 1, sizeof *e);

    if (e == NULL) return ERR_NO_MEMORY;
    memset(user_base, 0, ((size_t)in->partitions + 1) * sizeof *user_base);
    memset(valid_users, 0, in->partitions * sizeof *valid_users);
    for (uint32_t u = 0; u < in->users; u++) {
        uint32_t p = partition_of_user(in->seed, in->key[u], in->partitions);
        e[u] = (sort_entry){(uint64_t)p * 2 + (in->valid[u] ? 0 : 1),
                            salted_hash(in->seed, SALT_NUMBER, in->key[u]), in->key[u], u};
        user_base[p + 1]++;
        if (in->valid[u]) valid_users[p]++;
    }
    for (uint32_t p = 0; p < in->partitions; p++) user_base[p + 1] += user_base[p];
    sort_entries(e, in->users);
    give_numbers(e, in->users, number_of);
    free(e);
    return ERR_OK;
}
