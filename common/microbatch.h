/* microbatch.h - what a sampler answers to BUILD: the body of one slot, encoded and checked.
 *
 * Three bodies.  All integers little-endian, every array aligned to 8 from the start of the body.
 *
 *   GRAPH   hgnn train: C chunks, each a subgraph of L layers with pairs and negatives.
 *           embed, hgnn_valid layers: one chunk, a subgraph of ONE layer (the slot's): its seeds
 * are the chunk's nodes, its rows[0] the seeds and then the other neighbours by node number. TOWER
 * two_tower train: C chunks of rows.  Scoring and user vectors: one chunk of users. ITEMS   item
 * vectors: one range of nodes (`first`, `count`), no chunk.
 *
 * Node lists are unique, so that a worker gathers every node once and works with row indexes.
 *
 * Decoding checks everything that memory safety and arithmetic rest on: sizes, orders, that indexes
 * are in range, that node numbers are of the type they are listed under, that weights are not 0.  A
 * decoded body is plain data; its arrays live in the body (borrowed until microbatch_free, which
 * drops the reference).  Threads: immutable after decoding, any. */
#pragma once

#include "common/blob.h"
#include "common/err.h"
#include "common/manifest.h"
#include "common/slot.h"
#include "common/subgraph.h"

#include <stddef.h>
#include <stdint.h>

enum {
    MICROBATCH_CHUNKS_MAX = 4096,
    MICROBATCH_ROWS_MAX = 1 << 24,  /* nodes, rows, pairs or users of a chunk */
    MICROBATCH_EDGES_MAX = 1 << 28, /* of one relation of one layer; history entries of a chunk */
    MICROBATCH_BYTES_MAX = 1 << 30, /* of a body: what a client states as the most it takes */
};

typedef enum microbatch_kind {
    MICROBATCH_GRAPH = 1,
    MICROBATCH_TOWER = 2,
    MICROBATCH_ITEMS = 3
} microbatch_kind;

/* Rows of the two-tower model: (user, positive) in training, users elsewhere.  Lists are CSR over
 * the rows, of indexes into node[].  History: the distinct items the user vector is made from,
 * ascending, never a target of the row. */
typedef struct microbatch_tower {
    uint32_t rows;
    const uint32_t *user; /* [rows] user numbers */
    uint32_t nodes;
    const uint32_t *node;           /* [nodes] unique, ascending: every node named below */
    const uint64_t *history_indptr; /* [rows + 1] */
    const uint32_t *history;
    uint32_t types;
    const uint32_t *count; /* [rows, types] items of the row's history by type */
    uint32_t attributes;
    const uint32_t *attribute; /* [rows, attributes]; NULL: none */
    uint32_t vector_dim;
    const float *vector; /* [rows, vector_dim]; NULL: none */
    /* Training: one target a row; scoring: the validation positives, possibly none; user vectors:
     * none. */
    const uint64_t *target_indptr; /* [rows + 1] */
    const uint32_t *target;
    const float *weight; /* [rows] of the row in the loss, 1 unless said otherwise */
    /* Training: uniform negatives of the chunk, ascending; `uniform_negatives` split evenly over
     * the types of the chunk's targets (the first types take the rest), uniform within a type,
     * without repeats. */
    uint32_t negatives;
    const uint32_t *negative; /* [negatives] */
    /* Scoring: the user's train `seen` items of the sample, ascending: they are no candidates.
     * Empty otherwise. */
    const uint64_t *seen_indptr; /* [rows + 1] */
    const uint32_t *seen;
} microbatch_tower;

typedef struct microbatch {
    microbatch_kind kind;
    slot_name name;
    uint32_t chunks;
    subgraph *graph;         /* GRAPH: [chunks] */
    microbatch_tower *tower; /* TOWER: [chunks] */
    uint32_t first, count;   /* ITEMS: nodes first .. first + count - 1 */
    blob *body;              /* what the arrays live in */
} microbatch;

/* One for each body; `name` is the slot's.  ERR_LIMIT: over MICROBATCH_BYTES_MAX. */
MUST_USE err_code microbatch_encode_graph(slot_name name, const subgraph *chunk, uint32_t chunks,
                                          blob **out);
MUST_USE err_code microbatch_encode_tower(slot_name name, const microbatch_tower *chunk,
                                          uint32_t chunks, blob **out);
MUST_USE err_code microbatch_encode_items(slot_name name, uint32_t first, uint32_t count,
                                          blob **out);

/* Decodes any body (takes a reference to it; one that is not 8-aligned is copied first).  Layers <=
 * CONFIG_LAYERS_MAX; types, relations and node numbers must be m's.  ERR_INVALID: malformed, logged
 * with what is wrong and where; ERR_LIMIT; ERR_NO_MEMORY.  *out owned: microbatch_free. */
MUST_USE err_code microbatch_decode(const manifest *m, blob *body, microbatch **out);
void microbatch_free(microbatch *b); /* accepts NULL */
