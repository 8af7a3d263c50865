#include "common/vmath.h"

#include <string.h>

#define INF_F (__builtin_inff())
#define NAN_F (__builtin_nanf(""))
#define INF_D (__builtin_inf())
#define NAN_D (__builtin_nan(""))

static float float_from_bits(uint32_t u)
{
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

static double double_from_bits(uint64_t u)
{
    double d;
    memcpy(&d, &u, sizeof d);
    return d;
}

static uint64_t bits_from_double(double d)
{
    uint64_t u;
    memcpy(&u, &d, sizeof u);
    return u;
}

/* exp(x) for -87.3 <= x <= 88.7, without branches so that loops over it vectorise. */
static inline float exp_core(float x)
{
    const float round = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer */
    float n = (x * 1.44269504f + round) - round;
    float r = (x - n * 0.693359375f) - n * -2.12194440e-4f; /* ln 2 in two parts */
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = (p * (r * r) + r) + 1.0f;
    /* 2^n in two factors: n = 128 alone would not be a float. */
    int32_t i = (int32_t)n, half = i >> 1;
    float a = float_from_bits((uint32_t)(half + 127) << 23);
    float b = float_from_bits((uint32_t)(i - half + 127) << 23);
    return p * a * b;
}

static inline float exp_clamped(float x)
{
    float c = x >= -87.3f ? x : -87.3f; /* NaN, too: it must not become an integer below */
    c = c > 88.8f ? 88.8f : c;
    float y = exp_core(c);
    y = x < -87.3f ? 0.0f : y;
    y = x > 88.72283f ? INF_F : y;
    return x == x ? y : NAN_F;
}

float vmath_expf(float x)
{
    return exp_clamped(x);
}

void vmath_expf_array(float *y, const float *x, float shift, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] = exp_clamped(x[i] - shift);
}

double vmath_exp(double x)
{
    if (x != x) return NAN_D;
    if (x < -708.0) return 0.0;
    if (x > 709.782712893384) return INF_D;
    const double round = 6755399441055744.0; /* 1.5 * 2^52 */
    double n = (x * 1.4426950408889634074 + round) - round;
    double r = (x - n * 6.93147180369123816490e-01) - n * 1.90821492927058770002e-10;
    double p = 1.0;
    for (int k = 13; k >= 1; k--) p = 1.0 + p * r / (double)k;
    int64_t i = (int64_t)n, half = i >> 1;
    double a = double_from_bits((uint64_t)(half + 1023) << 52);
    double b = double_from_bits((uint64_t)(i - half + 1023) << 52);
    return p * a * b;
}

/* x = m * 2^e with m in [sqrt(1/2), sqrt(2)); x positive and normal. */
static double split_exponent(double x, int *e)
{
    uint64_t u = bits_from_double(x);
    int exponent = (int)(u >> 52) - 1023;
    double m = double_from_bits((u & 0xFFFFFFFFFFFFFull) | (1023ull << 52));
    if (m >= 1.4142135623730951) {
        m *= 0.5;
        exponent++;
    }
    *e = exponent;
    return m;
}

/* log(m) = 2 atanh((m - 1) / (m + 1)). */
static double log_mantissa(double m)
{
    double s = (m - 1.0) / (m + 1.0), s2 = s * s, p = 0.0;
    for (int k = 23; k >= 3; k -= 2) p = (p + 1.0 / (double)k) * s2;
    return 2.0 * s + 2.0 * s * p;
}

double vmath_log(double x)
{
    if (x < 0.0 || x != x) return NAN_D;
    if (x < 2.2250738585072014e-308) return -INF_D;
    if (x == INF_D) return x;
    int e;
    double m = split_exponent(x, &e);
    double n = (double)e;
    return n * 6.93147180369123816490e-01 + (log_mantissa(m) + n * 1.90821492927058770002e-10);
}

double vmath_log2(double x)
{
    if (x < 0.0 || x != x) return NAN_D;
    if (x < 2.2250738585072014e-308) return -INF_D;
    if (x == INF_D) return x;
    int e;
    double m = split_exponent(x, &e);
    return (double)e + log_mantissa(m) * 1.4426950408889634074;
}

double vmath_log1p(double x)
{
    double u = 1.0 + x;
    if (u == 1.0) return x;
    if (u == INF_D) return u;
    return vmath_log(u) * (x / (u - 1.0));
}

float vmath_logf(float x)
{
    return (float)vmath_log((double)x);
}

float vmath_log1pf(float x)
{
    return (float)vmath_log1p((double)x);
}

/* cos and sin of |x| <= pi / 4. */
static double cos_core(double x)
{
    double x2 = x * x, p = 1.0;
    for (int k = 18; k >= 2; k -= 2) p = 1.0 - p * x2 / (double)(k * (k - 1));
    return p;
}

static double sin_core(double x)
{
    double x2 = x * x, p = 1.0;
    for (int k = 19; k >= 3; k -= 2) p = 1.0 - p * x2 / (double)(k * (k - 1));
    return p * x;
}

double vmath_cos(double x)
{
    const double round = 6755399441055744.0;
    double n = (x * 0.63661977236758134308 + round) - round;
    double r = ((x - n * 1.57079632673412561417e+00) - n * 6.07710050630396597660e-11) -
               n * 2.02226624879595063154e-21;
    switch ((int64_t)n & 3) {
    case 0: return cos_core(r);
    case 1: return -sin_core(r);
    case 2: return -cos_core(r);
    default: return sin_core(r);
    }
}

double vmath_powi(double x, uint64_t n)
{
    double y = 1.0;
    for (; n; n >>= 1) {
        if (n & 1) y *= x;
        x *= x;
    }
    return y;
}
