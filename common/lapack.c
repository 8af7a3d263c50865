#include "common/lapack.h"

#include "common/panic.h"

#include <limits.h>

/* Fortran: the last argument is the hidden length of the first. */
void spotrf_(const char *uplo, const int *n, float *a, const int *lda, int *info, size_t length);
void spotri_(const char *uplo, const int *n, float *a, const int *lda, int *info, size_t length);

enum { MIRROR_BLOCK = 64 };

/* The lower triangle becomes the upper's mirror, in blocks that fit the cache. */
static void mirror(float *a, size_t n)
{
    for (size_t i0 = 0; i0 < n; i0 += MIRROR_BLOCK) {
        for (size_t j0 = 0; j0 <= i0; j0 += MIRROR_BLOCK) {
            for (size_t i = i0; i < n && i < i0 + MIRROR_BLOCK; i++) {
                for (size_t j = j0; j < i && j < j0 + MIRROR_BLOCK; j++) {
                    a[i * n + j] = a[j * n + i];
                }
            }
        }
    }
}

err_code lapack_invert(float *a, size_t n)
{
    ASSERT(n <= INT_MAX);
    if (n == 0) return ERR_OK;
    int order = (int)n, info = 0;
    /* Row-major upper is column-major lower. */
    spotrf_("L", &order, a, &order, &info, 1);
    ASSERT(info >= 0);
    if (info != 0) return ERR_INVALID;
    spotri_("L", &order, a, &order, &info, 1);
    ASSERT(info >= 0);
    if (info != 0) return ERR_INVALID;
    mirror(a, n);
    return ERR_OK;
}
