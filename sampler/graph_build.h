/* graph_build.h - the co-interaction graph: which items share users, and how strongly.
 *
 * Edge (source -> destination) for every allowed ordered pair of types, between items with at least
 * min_users users in common.  Weight: count c; cosine c / (sqrt(n_i n_j) + shrink); user_norm, the
 * sum over common users of 1 / (n_u - 1), n_u the length of the user's list.  Per (destination,
 * relation) the max_degree heaviest stay, ties by hash(seed, stable keys).
 *
 * Where everything fits in `memory` bytes, destination by destination with one counter per item;
 * otherwise pairs are sorted in runs on disk and merged.  All sums are of integers, so that the
 * result is the same for every way, budget and number of threads. */
#pragma once

#include "common/config.h"
#include "common/err.h"
#include "common/progress.h"

#include <stdbool.h>
#include <stdint.h>

enum { GRAPH_NORM_ONE = 1 << 20 }; /* fixed point of the user-normalised sums */

typedef struct graph_input {
    uint32_t items, users, types;
    const uint8_t *item_type;    /* [items] */
    const uint64_t *item_key;    /* [items] stable keys */
    const uint64_t *indptr;      /* [users + 1] */
    const uint32_t *item;        /* [indptr[users]] distinct items of a user, ascending */
    const uint32_t *train_users; /* [items] n_i */
    const bool *allowed;         /* [types, types] source * types + destination */
    edge_weight_kind weight;
    double shrink;
    uint32_t min_users, max_degree; /* max_degree 0: no limit */
    uint64_t seed, memory;
    uint32_t threads;     /* at least 1 */
    const char *temp_dir; /* for runs and edges */
} graph_input;

/* Edges by destination item; within it by (source type, source item).  Pointers into temporary
 * files: graph_free. */
typedef struct graph {
    uint32_t items;
    uint64_t edges;
    uint64_t *indptr;            /* [items + 1] */
    const uint32_t *source;      /* [edges] items */
    const uint16_t *aggregation; /* [edges] weight relative to the heaviest of its list: 65535 */
    const uint64_t *norm;        /* [edges] sum of GRAPH_NORM_ONE / (n_u - 1) over common users */
    uint32_t norm_shift;         /* pair weight = max(1, norm >> norm_shift): fits u32 */
    struct spill *file[3];
} graph;

/* ERR_IO, ERR_NO_MEMORY, ERR_STOPPED.  *out is owned: graph_free. */
MUST_USE err_code graph_build(const graph_input *in, const progress *p, graph **out);
void graph_free(graph *g); /* accepts NULL */

static inline uint32_t graph_pair_weight(const graph *g, uint64_t edge)
{
    uint64_t w = g->norm[edge] >> g->norm_shift;
    return w == 0 ? 1 : (uint32_t)w;
}

/* What a user of a list of n items adds to the norm of each of her pairs; n >= 2. */
static inline uint32_t graph_user_norm(uint64_t n)
{
    uint64_t w = (GRAPH_NORM_ONE + (n - 1) / 2) / (n - 1);
    return w == 0 ? 1 : (uint32_t)w;
}
