/* blas.h - matrix products; the only place that calls cblas.
 *
 * Row-major float matrices.  One thread each: parallelism is over slots and chunks, in our own
 * threads.  A row's bits depend on the shape of the product: every shape must come from the plan.
 * Products with a dimension of 0 do what the formula says (k = 0: c = beta * c).
 * Threads: any, after blas_start. */
#pragma once

#include <stddef.h>

/* Makes OpenBLAS single-threaded.  Call once at the start of a process. */
void blas_start(void);

/* c [m, n] = alpha * a [m, k] b [k, n] + beta * c.   ld*: elements between rows, at least the
 * width. beta = 0: c is overwritten, whatever it held. */
void blas_nn(float *c, const float *a, const float *b, size_t m, size_t n, size_t k, float alpha,
             float beta, size_t ldc, size_t lda, size_t ldb);
/* c [m, n] = alpha * a [m, k] b^T + beta * c, b [n, k]. */
void blas_nt(float *c, const float *a, const float *b, size_t m, size_t n, size_t k, float alpha,
             float beta, size_t ldc, size_t lda, size_t ldb);
/* c [m, n] = alpha * a^T b + beta * c, a [k, m], b [k, n]. */
void blas_tn(float *c, const float *a, const float *b, size_t m, size_t n, size_t k, float alpha,
             float beta, size_t ldc, size_t lda, size_t ldb);
