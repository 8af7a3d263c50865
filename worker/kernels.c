#include "worker/kernels.h"

#include "common/blas.h"
#include "common/f16.h"
#include "common/panic.h"
#include "common/reduce.h"
#include "common/vmath.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#define NORM_MIN 1e-12f

void linear_forward(float *y, const float *x, const float *w, const float *b, size_t n, size_t d_in,
                    size_t d_out)
{
    for (size_t i = 0; b && i < n; i++) memcpy(y + i * d_out, b, d_out * sizeof *y);
    blas_nt(y, x, w, n, d_out, d_in, 1.0f, b ? 1.0f : 0.0f, d_out, d_in, d_in);
}

void linear_backward(float *dx, float *dw, float *db, const float *dy, const float *x,
                     const float *w, size_t n, size_t d_in, size_t d_out)
{
    if (n == 0) return;
    if (dx) blas_nn(dx, dy, w, n, d_in, d_out, 1.0f, 0.0f, d_in, d_out, d_in);
    blas_tn(dw, dy, x, d_out, d_in, n, 1.0f, 1.0f, d_in, d_out, d_in);
    if (db) bias_backward(db, dy, n, d_out);
}

enum { COLUMNS = 64 };

void bias_backward(float *db, const float *dy, size_t n, size_t d)
{
    for (size_t first = 0; first < d; first += COLUMNS) {
        const size_t width = d - first < COLUMNS ? d - first : COLUMNS;
        double sum[COLUMNS] = {0};
        for (size_t i = 0; i < n; i++) {
            for (size_t j = 0; j < width; j++) sum[j] += (double)dy[i * d + first + j];
        }
        for (size_t j = 0; j < width; j++) db[first + j] += (float)sum[j];
    }
}

void relu_forward(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] = x[i] < 0.0f ? 0.0f : x[i]; /* a NaN stays one */
}

void relu_backward(float *dx, const float *dy, const float *y, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const float d = dy[i]; /* loaded in any case: no branch */
        dx[i] = y[i] > 0.0f ? d : 0.0f;
    }
}

void normalise_forward(float *y, float *norm, const float *x, size_t n, size_t d)
{
    for (size_t i = 0; i < n; i++) {
        float length = sqrtf(reduce_dot(x + i * d, x + i * d, d));
        float divisor = length < NORM_MIN ? NORM_MIN : length;
        norm[i] = length;
        for (size_t j = 0; j < d; j++) y[i * d + j] = x[i * d + j] / divisor;
    }
}

void normalise_backward(float *dx, const float *dy, const float *y, const float *norm, size_t n,
                        size_t d)
{
    for (size_t i = 0; i < n; i++) {
        const float *yi = y + i * d, *dyi = dy + i * d;
        const bool has_direction = norm[i] > NORM_MIN;
        const float along = has_direction ? reduce_dot(dyi, yi, d) : 0.0f;
        const float scale = has_direction ? 1.0f / norm[i] : 0.0f;
        for (size_t j = 0; j < d; j++) dx[i * d + j] = (dyi[j] - along * yi[j]) * scale;
    }
}

void gather_rows(float *out, const float *in, const uint32_t *index, size_t rows, size_t d)
{
    for (size_t i = 0; i < rows; i++) {
        memcpy(out + i * d, in + (index ? (size_t)index[i] : i) * d, d * sizeof *out);
    }
}

static void add_scaled(float *restrict out, const float *restrict in, float scale, size_t d)
{
    for (size_t j = 0; j < d; j++) out[j] += scale * in[j];
}

void scatter_add_rows(float *out, const float *in, const uint32_t *index, size_t rows, size_t d)
{
    for (size_t i = 0; i < rows; i++) {
        add_scaled(out + (index ? (size_t)index[i] : i) * d, in + i * d, 1.0f, d);
    }
}

/* 1 / sum of the weights of entries [begin, end). */
static double inverse_total(const uint16_t *weight, uint64_t begin, uint64_t end)
{
    uint64_t total = end - begin;
    if (weight) {
        total = 0;
        for (uint64_t e = begin; e < end; e++) total += weight[e];
    }
    return total ? 1.0 / (double)total : 0.0;
}

static float coefficient(const uint16_t *weight, uint64_t e, double inverse)
{
    return (float)(weight ? (double)weight[e] * inverse : inverse);
}

void mean_forward(float *out, size_t out_stride, const float *x, size_t stride,
                  const uint64_t *indptr, const uint32_t *index, const uint16_t *weight,
                  const uint32_t *row, size_t n, size_t d)
{
    for (size_t i = 0; i < n; i++) {
        const size_t v = row ? row[i] : i;
        const double inverse = inverse_total(weight, indptr[v], indptr[v + 1]);
        memset(out + i * out_stride, 0, d * sizeof *out);
        for (uint64_t e = indptr[v]; e < indptr[v + 1]; e++) {
            add_scaled(out + i * out_stride, x + (size_t)index[e] * stride,
                       coefficient(weight, e, inverse), d);
        }
    }
}

void mean_backward(float *dx, size_t stride, const float *dout, size_t out_stride,
                   const uint64_t *indptr, const uint32_t *index, const uint16_t *weight,
                   const uint32_t *row, size_t n, size_t d)
{
    for (size_t i = 0; i < n; i++) {
        const size_t v = row ? row[i] : i;
        const double inverse = inverse_total(weight, indptr[v], indptr[v + 1]);
        for (uint64_t e = indptr[v]; e < indptr[v + 1]; e++) {
            add_scaled(dx + (size_t)index[e] * stride, dout + i * out_stride,
                       coefficient(weight, e, inverse), d);
        }
    }
}

void mean_f16_forward(float *out, size_t out_stride, const uint16_t *x, size_t stride,
                      const uint64_t *indptr, const uint32_t *index, const uint16_t *weight,
                      const uint32_t *row, size_t n, size_t d)
{
    for (size_t i = 0; i < n; i++) {
        const size_t v = row ? row[i] : i;
        const uint64_t begin = indptr[v], terms = indptr[v + 1] - begin;
        aggregate_f16(out + i * out_stride, x, index + begin, weight ? weight + begin : NULL,
                      (size_t)terms, d, stride);
    }
}

/* The earlier row wins a tie. */
static void take_larger(float *restrict best, uint32_t *restrict from,
                        const float *restrict candidate, uint32_t u, size_t d)
{
    for (size_t j = 0; j < d; j++) {
        const float c = candidate[j], b = best[j];
        const uint32_t f = from[j];
        best[j] = c > b ? c : b;
        from[j] = c > b ? u : f;
    }
}

void max_pool_forward(float *out, uint32_t *arg, const float *x, const uint64_t *indptr,
                      const uint32_t *index, const uint32_t *map, const uint32_t *row, size_t n,
                      size_t d)
{
    for (size_t i = 0; i < n; i++) {
        const size_t v = row ? row[i] : i;
        ASSERT(indptr[v] < indptr[v + 1]);
        for (uint64_t e = indptr[v]; e < indptr[v + 1]; e++) {
            const uint32_t u = map ? map[index[e]] : index[e];
            if (e > indptr[v]) {
                take_larger(out + i * d, arg + i * d, x + (size_t)u * d, u, d);
                continue;
            }
            memcpy(out + i * d, x + (size_t)u * d, d * sizeof *out);
            for (size_t j = 0; j < d; j++) arg[i * d + j] = u;
        }
    }
}

void max_pool_backward(float *dx, const float *dout, const uint32_t *arg, size_t n, size_t d)
{
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < d; j++) dx[(size_t)arg[i * d + j] * d + j] += dout[i * d + j];
    }
}

double softmax_loss(float *score, float *dpositive, float positive, size_t n, float temperature)
{
    float largest = positive;
    for (size_t j = 0; j < n; j++) largest = score[j] > largest ? score[j] : largest;
    for (size_t j = 0; j < n; j++) score[j] = (score[j] - largest) / temperature;
    vmath_expf_array(score, score, 0.0f, n);
    const float at = (positive - largest) / temperature;
    const double own = (double)vmath_expf(at), total = reduce_sum_f64(score, n) + own;
    const float scale = (float)(1.0 / (total * (double)temperature));
    for (size_t j = 0; j < n; j++) score[j] *= scale;
    *dpositive = (float)((own / total - 1.0) / (double)temperature);
    return vmath_log(total) - (double)at;
}

double hinge_loss(float *score, float *dpositive, float positive, size_t n, float margin)
{
    size_t left = 0, active = 0;
    double sum = 0.0;
    for (size_t j = 0; j < n; j++) {
        left += score[j] != -__builtin_inff();
        double slack = (double)score[j] - (double)positive + (double)margin;
        active += slack > 0.0;
        sum += slack > 0.0 ? slack : 0.0;
    }
    *dpositive = 0.0f;
    if (left == 0) return 0.0;
    const float each = 1.0f / (float)left;
    for (size_t j = 0; j < n; j++) {
        score[j] = (double)score[j] - (double)positive + (double)margin > 0.0 ? each : 0.0f;
    }
    *dpositive = -(float)active * each;
    return sum / (double)left;
}
