/* layer.h - one layer of the HGNN on one hop of a subgraph: forward and backward over all types.
 *
 * Everything that is computed lies in an arena and lives until that is reset.
 *
 * Threads: the arena's. */
#pragma once

#include "common/arena.h"
#include "worker/hgnn.h"

/* What a layer needs to know of the model. */
typedef struct layer_context {
    const hgnn_shape *shape;
    const float *params;
    uint32_t k; /* which layer's parameters: 1..layers */
    const subgraph *graph;
    uint32_t hop;         /* which layer of the graph: 1..graph->layers */
    const hgnn_input *in; /* rows[hop - 1] rows per type, of width dims[k-1] */
    arena *memory;
} layer_context;

/* What backward needs of relation r.  rows, dst: destination rows that have neighbours. */
typedef struct layer_relation {
    size_t rows;
    const uint32_t *dst;    /* [rows]; NULL: all of them, in order */
    float *mean;            /* mean aggregators: [rows, d_in] */
    size_t used;            /* max_pool: source rows that are somebody's neighbour */
    const uint32_t *src;    /* [used] ascending */
    float *source, *pooled; /* [used, d_in], relu(W source + b) [used, d_out] */
    uint32_t *arg;          /* [rows, d_out] rows of pooled */
} layer_relation;

typedef struct layer_state {
    const float *self[CONFIG_TYPES_MAX]; /* [rows[hop][t], d_in] */
    float *out[CONFIG_TYPES_MAX];        /* [rows[hop][t], d_out], after the activation */
    layer_relation *relation;            /* [relations] */
} layer_state;

/* True: relu follows layer k. */
bool layer_has_relu(const hgnn_shape *s, uint32_t k);

/* ERR_NO_MEMORY. */
MUST_USE err_code layer_forward(const layer_context *c, layer_state *s);
/* dout[t] [rows[hop][t], d_out]: gradient of out, overwritten (becomes that before the activation).
 * grads accumulated.  din[t] [rows[hop-1][t], f32_dim]: gradient of the f32 part, overwritten; din
 * NULL: not wanted.  ERR_NO_MEMORY. */
MUST_USE err_code layer_backward(const layer_context *c, const layer_state *s, float *const *dout,
                                 float *grads, float *const *din);
