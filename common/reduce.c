#include "common/reduce.h"

#include "common/cpu.h"
#include "common/f16.h"
#include "common/f16_variants.h"
#include "common/panic.h"

#include <string.h>

enum { LANES = 16 };

static float fold(float lane[LANES])
{
    for (size_t width = LANES / 2; width; width /= 2) {
        for (size_t j = 0; j < width; j++) lane[j] += lane[j + width];
    }
    return lane[0];
}

static double fold_f64(double lane[LANES])
{
    for (size_t width = LANES / 2; width; width /= 2) {
        for (size_t j = 0; j < width; j++) lane[j] += lane[j + width];
    }
    return lane[0];
}

/* Independent lanes: the compiler may use any vector width without changing a bit. */
float reduce_sum(const float *x, size_t n)
{
    float lane[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        for (size_t j = 0; j < LANES; j++) lane[j] += x[i + j];
    }
    for (size_t j = 0; i + j < n; j++) lane[j] += x[i + j];
    return fold(lane);
}

float reduce_dot(const float *x, const float *y, size_t n)
{
    float lane[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        for (size_t j = 0; j < LANES; j++) lane[j] += x[i + j] * y[i + j];
    }
    for (size_t j = 0; i + j < n; j++) lane[j] += x[i + j] * y[i + j];
    return fold(lane);
}

double reduce_sum_f64(const float *x, size_t n)
{
    double lane[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        for (size_t j = 0; j < LANES; j++) lane[j] += (double)x[i + j];
    }
    for (size_t j = 0; i + j < n; j++) lane[j] += (double)x[i + j];
    return fold_f64(lane);
}

double reduce_squares_f64(const float *x, size_t n)
{
    double lane[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        for (size_t j = 0; j < LANES; j++) lane[j] += (double)x[i + j] * (double)x[i + j];
    }
    for (size_t j = 0; i + j < n; j++) lane[j] += (double)x[i + j] * (double)x[i + j];
    return fold_f64(lane);
}

bool reduce_all_finite(const float *x, size_t n)
{
    uint32_t bad = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, x + i, sizeof bits);
        bad |= (bits & 0x7F800000u) == 0x7F800000u;
    }
    return !bad;
}

enum { COLUMNS = 64 };

static void aggregate_columns(float *out, const uint16_t *rows, const uint32_t *index,
                              const uint16_t *weight, size_t n, size_t d, size_t stride,
                              double total)
{
    double sum[COLUMNS] = {0};
    float x[COLUMNS];
    for (size_t i = 0; i < n; i++) {
        f16_decode(x, rows + (index ? (size_t)index[i] : i) * stride, d);
        double w = weight ? (double)weight[i] : 1.0;
        for (size_t j = 0; j < d; j++) sum[j] += (double)x[j] * w;
    }
    for (size_t j = 0; j < d; j++) out[j] = (float)(sum[j] / total);
}

void aggregate_f16(float *out, const uint16_t *rows, const uint32_t *index, const uint16_t *weight,
                   size_t n, size_t d, size_t stride)
{
    ASSERT(n <= AGGREGATE_TERMS_MAX);
    if (n == 0) {
        memset(out, 0, d * sizeof *out);
        return;
    }
    uint64_t total = n;
    if (weight) {
        total = 0;
        for (size_t i = 0; i < n; i++) total += weight[i];
    }
    if (cpu_has_avx2()) {
        aggregate_f16_avx2(out, rows, index, weight, n, d, stride, (double)total);
        return;
    }
    for (size_t j = 0; j < d; j += COLUMNS) {
        size_t width = d - j < COLUMNS ? d - j : COLUMNS;
        aggregate_columns(out + j, rows + j, index, weight, n, width, stride, (double)total);
    }
}
