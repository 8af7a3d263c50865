#include "common/f16.h"

#include "common/cpu.h"
#include "common/f16_variants.h"

#include <string.h>

float f16_to_f32(uint16_t h)
{
    const uint32_t sign = (uint32_t)(h & 0x8000u) << 16, exponent = h >> 10 & 31u;
    uint32_t mantissa = h & 1023u, bits;
    if (exponent == 31) {
        bits = 0x7F800000u | mantissa << 13 | (mantissa ? 0x400000u : 0);
    } else if (exponent) {
        bits = (exponent + 112) << 23 | mantissa << 13;
    } else {
        float subnormal = (float)mantissa * 0x1p-24f;
        memcpy(&bits, &subnormal, sizeof bits);
    }
    bits |= sign;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

/* x >> shift, rounded to nearest, ties to even. */
static uint32_t shift_even(uint32_t x, uint32_t shift)
{
    uint32_t half = 1u << (shift - 1), rest = x & ((1u << shift) - 1), y = x >> shift;
    return y + (rest > half || (rest == half && (y & 1)));
}

uint16_t f16_from_f32(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    const uint32_t sign = bits >> 16 & 0x8000u;
    const uint32_t a = bits & 0x7FFFFFFFu;
    if (a > 0x7F800000u) return (uint16_t)(sign | 0x7E00u | (a >> 13 & 1023u)); /* NaN */
    if (a >= 0x47800000u) return (uint16_t)(sign | 0x7C00u);                    /* >= 2^16 */
    if (a >= 0x38800000u) return (uint16_t)(sign | shift_even(a - 0x38000000u, 13));
    if (a < 0x33000000u) return (uint16_t)sign; /* below half the smallest subnormal */
    uint32_t mantissa = (a & 0x7FFFFFu) | 0x800000u;
    return (uint16_t)(sign | shift_even(mantissa, 126 - (a >> 23)));
}

void f16_decode(float *out, const uint16_t *in, size_t n)
{
    if (cpu_has_avx2()) {
        f16_decode_avx2(out, in, n);
        return;
    }
    for (size_t i = 0; i < n; i++) out[i] = f16_to_f32(in[i]);
}

void f16_encode(uint16_t *out, const float *in, size_t n)
{
    if (cpu_has_avx2()) {
        f16_encode_avx2(out, in, n);
        return;
    }
    for (size_t i = 0; i < n; i++) out[i] = f16_from_f32(in[i]);
}
