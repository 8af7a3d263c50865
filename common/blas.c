#include "common/blas.h"

#include "common/panic.h"

#include <cblas.h>
#include <limits.h>
#include <string.h>

void blas_start(void)
{
    openblas_set_num_threads(1);
}

/* c = beta * c, for products that add nothing. */
static void scale_only(float *c, size_t m, size_t n, size_t ldc, float beta)
{
    for (size_t i = 0; i < m; i++) {
        for (size_t j = 0; j < n; j++) c[i * ldc + j] = beta == 0.0f ? 0.0f : c[i * ldc + j] * beta;
    }
}

/* OpenBLAS given a wrong dimension prints one line and returns without computing. */
static void product(float *c, const float *a, const float *b, CBLAS_TRANSPOSE ta,
                    CBLAS_TRANSPOSE tb, size_t m, size_t n, size_t k, float alpha, float beta,
                    size_t ldc, size_t lda, size_t ldb)
{
    ASSERT(m <= INT_MAX && n <= INT_MAX && k <= INT_MAX);
    ASSERT(lda <= INT_MAX && ldb <= INT_MAX && ldc <= INT_MAX);
    ASSERT(ldc >= n && lda >= (ta == CblasNoTrans ? k : m) && ldb >= (tb == CblasNoTrans ? n : k));
    if (m == 0 || n == 0) return;
    if (k == 0) {
        scale_only(c, m, n, ldc, beta);
        return;
    }
    ASSERT(a != NULL && b != NULL && c != NULL && c != a && c != b);
    cblas_sgemm(CblasRowMajor, ta, tb, (blasint)m, (blasint)n, (blasint)k, alpha, a, (blasint)lda,
                b, (blasint)ldb, beta, c, (blasint)ldc);
}

void blas_nn(float *c, const float *a, const float *b, size_t m, size_t n, size_t k, float alpha,
             float beta, size_t ldc, size_t lda, size_t ldb)
{
    product(c, a, b, CblasNoTrans, CblasNoTrans, m, n, k, alpha, beta, ldc, lda, ldb);
}

void blas_nt(float *c, const float *a, const float *b, size_t m, size_t n, size_t k, float alpha,
             float beta, size_t ldc, size_t lda, size_t ldb)
{
    product(c, a, b, CblasNoTrans, CblasTrans, m, n, k, alpha, beta, ldc, lda, ldb);
}

void blas_tn(float *c, const float *a, const float *b, size_t m, size_t n, size_t k, float alpha,
             float beta, size_t ldc, size_t lda, size_t ldb)
{
    product(c, a, b, CblasTrans, CblasNoTrans, m, n, k, alpha, beta, ldc, lda, ldb);
}
