/* tower.h - one tower of the two-tower model, and the loss between two.
 *
 * out = normalise(mlp(x) + skip.w s): relu between layers, none after the last; the skip is
 * optional.  In training with dropout (Srivastava et al. 2014, scaled while training).
 *
 * Threads: a tower belongs to one thread; it holds the activations of its last forward. */
#pragma once

#include "common/config.h"

typedef struct tower_shape {
    uint32_t layers;
    uint32_t dims[CONFIG_LAYERS_MAX + 1];                      /* dims[0]: input width */
    size_t w[CONFIG_LAYERS_MAX + 1], b[CONFIG_LAYERS_MAX + 1]; /* [k], k = 1..layers: offsets */
    uint32_t skip_dim;                                         /* 0: no skip */
    size_t skip_w; /* offset, [dims[layers], skip_dim] */
} tower_shape;

/* Each hidden value of row i becomes 0 with a chance, or is divided by 1 - chance: a function of
 * (key, first_row + i, layer, column). */
typedef struct tower_dropout {
    float chance; /* in 256ths, rounded down */
    uint64_t key, first_row;
} tower_dropout;

typedef struct tower tower;

tower *tower_new(const tower_shape *shape); /* owned: tower_free */
void tower_free(tower *t);                  /* accepts NULL */

/* x [n, dims[0]] and s [n, skip_dim] (NULL without a skip), borrowed until backward has returned.
 * drop: NULL for inference.  ERR_NO_MEMORY. */
MUST_USE err_code tower_forward(tower *t, const float *params, const float *x, const float *s,
                                size_t n, const tower_dropout *drop);
/* [n, dims[layers]], rows of length 1, borrowed until the next forward. */
const float *tower_output(const tower *t);
/* dout [n, dims[layers]]: overwritten as scratch.  grads accumulated.
 * dx [n, dims[0] - dx_first]: gradient of the input columns from dx_first on, overwritten; NULL: no
 * ds [n, skip_dim - ds_first]: of the skip's input from ds_first on, overwritten; NULL: not wanted
 * ERR_NO_MEMORY. */
MUST_USE err_code tower_backward(tower *t, const float *params, float *grads, float *dx,
                                 size_t dx_first, float *ds, size_t ds_first, float *dout);

/* Sampled softmax over a chunk.  Row i's positive is item i; logit(i, j) = u_i.v_j / temperature -
 * logq * log_q[j].  Left out of row i: items j != i that are the same item as i (`item`), and,
 * where item_type is given, items of another type than item i. */
typedef struct tower_loss {
    size_t rows, items, d;     /* items >= rows */
    const float *u, *v;        /* [rows, d], [items, d] */
    const uint32_t *item;      /* [items] */
    const uint32_t *item_type; /* [items]; NULL: all are candidates */
    const float *log_q;        /* [items]; NULL: none */
    const float *weight;       /* [rows]; NULL: all 1 */
    float temperature, logq;
} tower_loss;
/* du [rows, d], dv [items, d]: gradient of the sum, overwritten.  score [rows, items]: scratch.
 * Returns sum of weight x cross-entropy; *weight_sum = sum of weights. */
double two_tower_loss(float *du, float *dv, double *weight_sum, const tower_loss *l, float *score);
