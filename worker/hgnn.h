/* hgnn.h - the heterogeneous GNN on a chunk's subgraph: forward, loss, backward.
 *
 * Layer k, type t:  h_v = act(W_self h_v + b_self + sum over relations r into t of m(v, r)), where
 * m(v, r) is the max over neighbours of relu(W h_u + b), or W (mean of h_u) + b, and 0 where v has
 * no neighbours; z_v = h_v / max(|h_v|, 1e-12).  Parameters are one flat float array, described by
 * the shape (offsets).
 *
 * One GEMM per (layer, relation): mean aggregators aggregate first and multiply the destination
 * rows that have neighbours; max_pool multiplies the source rows that are somebody's neighbour.
 * Shapes and orders depend on the subgraph only.
 *
 * Threads: an hgnn belongs to one thread; it holds the activations of its last forward. */
#pragma once

#include "common/model_spec.h"

/* Offsets are into the flat parameter array.  Index of (k, t): (k - 1) * types + t; of (k, r):
 * (k - 1) * relations + r. */
typedef struct hgnn_shape {
    uint32_t layers, types, relations;
    const subgraph_relation *relation;    /* [relations], as subgraph.relation */
    uint32_t dims[CONFIG_LAYERS_MAX + 1]; /* dims[0]: input width */
    aggregator_kind aggregator;
    bool output_relu; /* relu after the last layer too */
    loss_kind loss;
    float temperature, margin;
    bool mask_off; /* reference cases: a pair's anchor and positive may be its negatives */
    bool in_batch; /* other pairs' positives of the same type are negatives too */
    const size_t *self_w, *self_b;         /* [layers * types] */
    const size_t *relation_w, *relation_b; /* [layers * relations] */
} hgnn_shape;

/* h^0 = [f16 part | f32 part] of rows[0][t] rows per type; the widths sum to dims[0].  Borrowed by
 * forward, and by the backward that follows it. */
typedef struct hgnn_input {
    uint32_t f16_dim, f32_dim;
    const uint16_t
        *f16[CONFIG_TYPES_MAX]; /* text and random channels, |x| <= 1; NULL where f16_dim = 0 */
    const float *f32[CONFIG_TYPES_MAX]; /* id embeddings; NULL where f32_dim = 0 */
} hgnn_input;

typedef struct hgnn hgnn;

/* owned: hgnn_free.  Copies what it needs. */
hgnn *hgnn_new(const config *c, const model_facts *f, const model_spec *s);
hgnn *hgnn_new_shape(const hgnn_shape *shape);
void hgnn_free(hgnn *m); /* accepts NULL */
const hgnn_shape *hgnn_get_shape(const hgnn *m);

/* Computes and keeps z of the seeds.  `params` is borrowed until the call returns.
 * ERR_NO_MEMORY. */
MUST_USE err_code hgnn_forward(hgnn *m, const float *params, const subgraph *g,
                               const hgnn_input *in);
/* z of type t [rows[L][t], dims[L]], borrowed until the next forward. */
const float *hgnn_z(const hgnn *m, uint32_t type);

/* After forward: *sum = the SUM of the loss over g's pairs, and the gradient of the sum with
 * respect to z is kept for backward.  A negative equal to the pair's anchor or positive, and one
 * whose mask bit is set, is left out.  ERR_NO_MEMORY. */
MUST_USE err_code hgnn_loss(hgnn *m, const subgraph *g, double *sum);
/* After forward and loss.  grads [as params] accumulated.  dinput[t] [rows[0][t], f32_dim]:
 * gradient of the f32 part, overwritten; dinput NULL: not wanted.  ERR_NO_MEMORY. */
MUST_USE err_code hgnn_backward(hgnn *m, const float *params, const subgraph *g,
                                const hgnn_input *in, float *grads, float *const *dinput);

/* Layer-wise inference over a subgraph of ONE layer: layer k (1..layers) of the model on inputs of
 * width dims[k-1] (k = 1: h^0; else h^(k-1)).  out[t] [g->rows[1][t], dims[k]] overwritten;
 * normalised when k is the last layer.  Does not touch what backward needs.  ERR_NO_MEMORY. */
MUST_USE err_code hgnn_layer(hgnn *m, const float *params, uint32_t k, const subgraph *g,
                             const hgnn_input *in, float *const *out);

/* The same for one type and mean aggregators, when neighbours come aggregated. */
typedef struct hgnn_aggregate {
    uint32_t relation;
    size_t n;            /* destination rows that have neighbours */
    const uint32_t *row; /* [n] ascending */
    const float *mean;   /* [n, dims[k-1]] */
} hgnn_aggregate;
/* out [n, dims[k]] overwritten, self [n, dims[k-1]]; aggregates in the order of relations. */
MUST_USE err_code hgnn_layer_forward(hgnn *m, const float *params, uint32_t k, uint32_t type,
                                     float *out, const float *self, size_t n,
                                     const hgnn_aggregate *aggregate, size_t aggregates);
