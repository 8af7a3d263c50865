/* graph_lists.h - each user's items in the train part of the graph, cut to max_items_per_user.
 *
 * An event counts when it has the role `graph`, is in train, and is at most graph.window_days older
 * than the newest event of train (an unknown time is not old).  Of a user with more items than
 * graph.max_items_per_user the most recent stay, by (time, row) of an item's first event (order:
 * time) or by row (order: file); without an order they are drawn by hash, each type in proportion
 * (largest remainder).  Plain data. */
#pragma once

#include "common/config.h"
#include "sampler/catalog.h"
#include "sampler/split.h"

typedef struct graph_lists {
    uint32_t users, items;
    uint64_t *indptr;      /* [users + 1] */
    uint32_t *item;        /* [indptr[users]] distinct items of a user, ascending */
    uint32_t *train_users; /* [items] users of the item before the cut: n_i */
    uint64_t cut;          /* items taken away by max_items_per_user */
} graph_lists;

/* ERR_INVALID: a window, but no time in train (printed).  ERR_NO_MEMORY.  Owned arrays: graph_lists_fini. */
MUST_USE err_code graph_lists_make(const config *c, const catalog *data, const split *parts,
                                   graph_lists *out);
void graph_lists_fini(graph_lists *l);

/* The newest time of an event in train; 0: none has a time. */
int64_t graph_lists_as_of(const catalog *data, const split *parts);
