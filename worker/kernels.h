/* kernels.h - the arithmetic of both models: layers, aggregators, losses, forward and backward.
 *
 * Pure: no allocation, lock, log or global; scratch is an argument.  Row-major dense float arrays,
 * w is [d_out, d_in].  Outputs first.  n = 0 does nothing (a loss of 0).  Arrays do not alias
 * unless a function says so.  Every order of summation is fixed by the arguments. Threads: any. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* y [n, d_out] = x w^T + b.   overwritten; b may be NULL */
void linear_forward(float *y, const float *x, const float *w, const float *b, size_t n, size_t d_in,
                    size_t d_out);
/* dx [n, d_in]     overwritten; NULL: not wanted
 * dw [d_out, d_in] accumulated;  db [d_out] accumulated; NULL: no bias
 * dy [n, d_out] */
void linear_backward(float *dx, float *dw, float *db, const float *dy, const float *x,
                     const float *w, size_t n, size_t d_in, size_t d_out);
/* db [d] += column sums of dy [n, d]; summed in double. */
void bias_backward(float *db, const float *dy, size_t n, size_t d);

/* y = max(x, 0), n elements; y may be x. */
void relu_forward(float *y, const float *x, size_t n);
/* dx = dy where y > 0, else 0; dx may be dy. */
void relu_backward(float *dx, const float *dy, const float *y, size_t n);

/* y [n, d] = x / max(|x|, 1e-12) row by row;  norm [n] = |x|.   y may be x */
void normalise_forward(float *y, float *norm, const float *x, size_t n, size_t d);
/* dx [n, d] from dy, the forward's y and norm; dx may be dy.  A row with |x| <= 1e-12 has no
 * direction: its dx is 0 (the formula's dy / 1e-12 would drown every other row of a batch). */
void normalise_backward(float *dx, const float *dy, const float *y, const float *norm, size_t n,
                        size_t d);

/* out[i] [rows, d] = in[index[i]];   overwritten; index NULL: i */
void gather_rows(float *out, const float *in, const uint32_t *index, size_t rows, size_t d);
/* out[index[i]] += in[i], in the order of i. */
void scatter_add_rows(float *out, const float *in, const uint32_t *index, size_t rows, size_t d);

/* (Weighted) mean over CSR lists.
 *   list i is index[indptr[v] .. indptr[v + 1]), v = row[i] (row NULL: i): rows of x
 *   x      rows stride floats apart;  weight NULL: all 1
 *   out    [n, d], rows out_stride floats apart: overwritten; an empty list gives zeros
 *
 * Summed in the order of the list with float coefficients weight / sum of weights. */
void mean_forward(float *out, size_t out_stride, const float *x, size_t stride,
                  const uint64_t *indptr, const uint32_t *index, const uint16_t *weight,
                  const uint32_t *row, size_t n, size_t d);
/* dx rows accumulated, list by list. */
void mean_backward(float *dx, size_t stride, const float *dout, size_t out_stride,
                   const uint64_t *indptr, const uint32_t *index, const uint16_t *weight,
                   const uint32_t *row, size_t n, size_t d);
/* The same mean over f16 rows, exact before one rounding (common/reduce.h); lists of at most
 * AGGREGATE_TERMS_MAX. */
void mean_f16_forward(float *out, size_t out_stride, const uint16_t *x, size_t stride,
                      const uint64_t *indptr, const uint32_t *index, const uint16_t *weight,
                      const uint32_t *row, size_t n, size_t d);

/* out [n, d] = elementwise max over the rows of x in list i;   overwritten
 * arg [n, d] = the row of x that gave it: the first of the list wins a tie.  Lists are not empty.
 * map [*]: x row of a listed index; NULL: the index itself. */
void max_pool_forward(float *out, uint32_t *arg, const float *x, const uint64_t *indptr,
                      const uint32_t *index, const uint32_t *map, const uint32_t *row, size_t n,
                      size_t d);
/* dx [*, d] accumulated at arg. */
void max_pool_backward(float *dx, const float *dout, const uint32_t *arg, size_t n, size_t d);

/* Cross-entropy of the positive among [positive, candidates]: logits are scores / temperature.
 *   score    [n] candidate scores; -inf: masked.  overwritten by dloss/dscore
 *   positive the positive's score;  *dpositive overwritten
 * Returns the loss. */
double softmax_loss(float *score, float *dpositive, float positive, size_t n, float temperature);
/* Mean over unmasked candidates of max(0, score - positive + margin); the same arguments.  All
 * masked: 0. */
double hinge_loss(float *score, float *dpositive, float positive, size_t n, float margin);
