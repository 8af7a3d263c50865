/* subgraph.h - one chunk's sampled computation graph: what the HGNN runs on.
 *
 * L layers, T types, R relations.  rows[k][t] nodes of type t have an h after layer k; k = 0 is the
 * input, k = L the seeds.  They are the first rows[k][t] of node[t], so that row v means the same node
 * in every layer.  Canonical order within a type: seeds by node number, then the nodes that hop 1 adds
 * by node number, then those of hop 2, ...
 *
 * Layer k, relation r = (s -> d): CSR over the rows[k][d] destination rows; index[] are rows of type s
 * among rows[k-1][s], in the order of the neighbour lists (ascending node number); weight[] the
 * aggregation weights 1..65535.
 *
 * Plain data.  Owned arrays live in one block: subgraph_free. */
#pragma once

#include "common/config.h"

#include <stdint.h>

typedef struct subgraph_adjacency {
    const uint64_t *indptr; /* [rows[k][d] + 1], from 0 */
    const uint32_t *index;  /* [indptr[last]] */
    const uint16_t *weight; /* [indptr[last]]; NULL: all 1 */
} subgraph_adjacency;

typedef struct subgraph_relation {
    uint32_t source, destination; /* types */
} subgraph_relation;

/* A training pair: the rows of its ends among the seeds of their types. */
typedef struct subgraph_pair {
    uint32_t anchor_type, anchor, positive_type, positive;
} subgraph_pair;

typedef struct subgraph {
    uint32_t layers, types, relations;
    const subgraph_relation *relation;         /* [relations] */
    const uint32_t *node[CONFIG_TYPES_MAX];    /* [rows[0][t]] node numbers; NULL in golden cases */
    uint32_t rows[CONFIG_LAYERS_MAX + 1][CONFIG_TYPES_MAX];
    const subgraph_adjacency *layer[CONFIG_LAYERS_MAX + 1]; /* layer[k][r], k = 1..layers */
    /* Training only. */
    uint32_t pairs;
    const subgraph_pair *pair;                   /* [pairs] */
    uint32_t negatives[CONFIG_TYPES_MAX];        /* per type of the positives, shared by the chunk */
    const uint32_t *negative[CONFIG_TYPES_MAX];  /* rows among the seeds of type t */
    /* Bit (pair i, negative n): i's mask words start at mask + i * mask_words; NULL: only the rule
     * "a negative that is the pair's anchor or positive is masked" applies (the worker checks it). */
    const uint64_t *mask;
    uint32_t mask_words;
    void *block; /* what owns all of the above */
} subgraph;

void subgraph_free(subgraph *g); /* accepts NULL */
