/* pair_sample.h - exact neighbours of some items of every type: what the graph will look like,
 * without building it.
 *
 * Two items are neighbours when somebody has both in her list (graph_lists.h).  The items are drawn
 * by hash, each with the same chance.  Threads: one owner. */
#pragma once

#include "sampler/graph_lists.h"

/* Of `item`: neighbour[i], in no order, has count[neighbour[i]] users in common with it.  Borrowed
 * until the call returns. */
typedef void pair_sample_visit(void *context, uint32_t item, const uint32_t *neighbour, size_t n,
                               const uint32_t *count);

/* The items that are drawn from; borrowed. */
typedef struct pair_items {
    uint32_t items;
    const uint8_t *type;   /* [items] */
    const uint64_t *key;   /* [items] stable keys */
    const uint32_t *count; /* [types] items of each type */
} pair_items;

static inline pair_items pair_items_of(const catalog *c)
{
    return (pair_items){c->items_n, c->item_type, c->item_key, c->type_items};
}

/* Who has each item. */
typedef struct item_users {
    uint64_t *indptr; /* [items + 1] */
    uint32_t *user;   /* [indptr[items]] ascending per item */
} item_users;

/* ERR_NO_MEMORY.  Owned arrays: item_users_fini. */
MUST_USE err_code item_users_make(const graph_lists *l, item_users *out);
void item_users_fini(item_users *u);

/* Visits about `most` items of every type, all of a type that has fewer.  ERR_NO_MEMORY. */
MUST_USE err_code pair_sample_run(pair_items items, const graph_lists *l, const item_users *u,
                                  uint64_t seed, uint32_t most, pair_sample_visit *visit,
                                  void *context);
