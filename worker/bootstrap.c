#include "worker/bootstrap.h"

#include "common/panic.h"
#include "common/rng.h"

#include <stdlib.h>
#include <string.h>

enum { BOOTSTRAP_COLUMNS_MAX = 64 };

static void draw_rows(uint32_t *count, size_t n, uint64_t key, uint64_t resample)
{
    memset(count, 0, n * sizeof *count);
    for (size_t i = 0; i < n; i += 4) {
        uint32_t block[4];
        rng_block(key, resample, (uint32_t)(i / 4), 0, block);
        for (size_t b = 0; b < 4 && i + b < n; b++) count[(uint64_t)block[b] * n >> 32]++;
    }
}

void bootstrap_means(double *means, uint32_t *count, const double *value, size_t n, size_t k,
                     size_t resamples, uint64_t key)
{
    ASSERT(n > 0 && k <= BOOTSTRAP_COLUMNS_MAX);
    double sum[BOOTSTRAP_COLUMNS_MAX];
    for (size_t b = 0; b < resamples; b++) {
        draw_rows(count, n, key, b);
        memset(sum, 0, sizeof sum);
        for (size_t i = 0; i < n; i++) {
            const double *row = value + i * k;
            if (count[i] == 0) continue;
            for (size_t c = 0; c < k; c++) sum[c] += count[i] * row[c];
        }
        for (size_t c = 0; c < k; c++) means[c * resamples + b] = sum[c] / (double)n;
    }
}

static int double_compare(const void *pa, const void *pb)
{
    double a = *(const double *)pa, b = *(const double *)pb;
    return a < b ? -1 : a > b;
}

void bootstrap_interval(double *lo, double *hi, double *means, size_t resamples)
{
    ASSERT(resamples > 0);
    qsort(means, resamples, sizeof *means, double_compare);
    size_t low = resamples * 25 / 1000, high = resamples * 975 / 1000;
    *lo = means[low > 0 ? low - 1 : 0];
    *hi = means[high > 0 ? high - 1 : 0];
}
