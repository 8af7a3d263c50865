/* graph_select.h - of one destination's candidates, the heaviest max_degree per source type.
 *
 * Part of graph_build.h.  Threads: one owner. */
#pragma once

#include "sampler/graph_build.h"

#include <stddef.h>

/* Selected edges, destination after destination.  Owned: graph_edges_fini. */
typedef struct graph_edges {
    uint32_t *source;
    uint16_t *aggregation;
    uint64_t *norm;
    size_t n, source_cap, aggregation_cap, norm_cap;
    uint64_t norm_max;
} graph_edges;

void graph_edges_fini(graph_edges *e);

typedef struct graph_selector graph_selector;

graph_selector *graph_selector_new(const graph_input *in); /* owned: graph_selector_free */
void graph_selector_free(graph_selector *s);               /* accepts NULL */

/* Starts a destination; then its candidates in any order, each source once: `count` common users,
 * `norm` their sum; then graph_select_end, which appends what stays to `out` by (source type,
 * source item). */
void graph_select_begin(graph_selector *s, uint32_t destination);
void graph_select_add(graph_selector *s, uint32_t source, uint32_t count, uint64_t norm);
void graph_select_end(graph_selector *s, graph_edges *out);
