/* chunk_graph.h - one chunk's subgraph, grown hop by hop in canonical order (common/subgraph.h).
 *
 *   seeds (any order, repeats) -> chunk_graph_expand per hop -> chunk_graph_view
 *
 * Threads: one owner. */
#pragma once

#include "common/manifest.h"
#include "common/subgraph.h"
#include "sampler/hop.h"
#include "sampler/node_list.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct chunk_graph chunk_graph;

/* Takes the content of *seeds (empty afterwards).  `layers` hops will follow; weighted: keep the
 * edges' weights.  Borrows m and into until chunk_graph_free.  Owned. */
chunk_graph *chunk_graph_new(const manifest *m, const hop_relations *into, uint32_t layers,
                             bool weighted, node_list *seeds);
void chunk_graph_free(chunk_graph *g); /* accepts NULL */

/* Appends every node that is in the chunk so far: what the next hop must hold. */
void chunk_graph_nodes(const chunk_graph *g, node_list *out);
/* The next hop: neighbour lists of all nodes so far. */
void chunk_graph_expand(chunk_graph *g, const hop *h);

/* Row of a node among those of its type, which must be in the chunk. */
uint32_t chunk_graph_row(const chunk_graph *g, uint32_t node);
/* After the last hop; the caller sets pairs, negatives and mask.  Borrowed until chunk_graph_free.
 */
subgraph *chunk_graph_view(chunk_graph *g);
