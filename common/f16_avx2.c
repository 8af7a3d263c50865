#include "common/f16.h"
#include "common/f16_variants.h"

#include <immintrin.h>

void f16_decode_avx2(float *out, const uint16_t *in, size_t n)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m128i h = _mm_loadu_si128((const __m128i *)(const void *)(in + i));
        _mm256_storeu_ps(out + i, _mm256_cvtph_ps(h));
    }
    for (; i < n; i++) out[i] = f16_to_f32(in[i]);
}

void f16_encode_avx2(uint16_t *out, const float *in, size_t n)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m128i h = _mm256_cvtps_ph(_mm256_loadu_ps(in + i), _MM_FROUND_TO_NEAREST_INT);
        _mm_storeu_si128((__m128i *)(void *)(out + i), h);
    }
    for (; i < n; i++) out[i] = f16_from_f32(in[i]);
}

/* 16 columns of every row: four accumulators of four doubles. */
static void aggregate_16(float *out, const uint16_t *column, const uint32_t *index,
                         const uint16_t *weight, size_t n, size_t stride, double total)
{
    __m256d a = _mm256_setzero_pd(), b = a, c = a, e = a;
    for (size_t i = 0; i < n; i++) {
        const uint16_t *row = column + (index ? (size_t)index[i] : i) * stride;
        __m256 x = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)row));
        __m256 y = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)(row + 8)));
        __m256d w = _mm256_set1_pd(weight ? (double)weight[i] : 1.0);
        a = _mm256_fmadd_pd(_mm256_cvtps_pd(_mm256_castps256_ps128(x)), w, a);
        b = _mm256_fmadd_pd(_mm256_cvtps_pd(_mm256_extractf128_ps(x, 1)), w, b);
        c = _mm256_fmadd_pd(_mm256_cvtps_pd(_mm256_castps256_ps128(y)), w, c);
        e = _mm256_fmadd_pd(_mm256_cvtps_pd(_mm256_extractf128_ps(y, 1)), w, e);
    }
    const __m256d t = _mm256_set1_pd(total);
    _mm_storeu_ps(out, _mm256_cvtpd_ps(_mm256_div_pd(a, t)));
    _mm_storeu_ps(out + 4, _mm256_cvtpd_ps(_mm256_div_pd(b, t)));
    _mm_storeu_ps(out + 8, _mm256_cvtpd_ps(_mm256_div_pd(c, t)));
    _mm_storeu_ps(out + 12, _mm256_cvtpd_ps(_mm256_div_pd(e, t)));
}

/* Every sum is exact, so that neither the fma nor the order can be seen in the result. */
void aggregate_f16_avx2(float *out, const uint16_t *rows, const uint32_t *index,
                        const uint16_t *weight, size_t n, size_t d, size_t stride, double total)
{
    size_t j = 0;
    for (; j + 16 <= d; j += 16) aggregate_16(out + j, rows + j, index, weight, n, stride, total);
    for (; j < d; j++) {
        double sum = 0;
        for (size_t i = 0; i < n; i++) {
            uint16_t h = rows[(index ? (size_t)index[i] : i) * stride + j];
            sum += (double)f16_to_f32(h) * (weight ? (double)weight[i] : 1.0);
        }
        out[j] = (float)(sum / total);
    }
}
