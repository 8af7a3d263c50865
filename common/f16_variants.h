/* f16_variants.h - the variants behind f16.h and reduce.h; call them only through those. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* F16C and AVX2 (f16_avx2.c): after cpu_has_avx2 only. */
void f16_decode_avx2(float *out, const uint16_t *in, size_t n);
void f16_encode_avx2(uint16_t *out, const float *in, size_t n);
void aggregate_f16_avx2(float *out, const uint16_t *rows, const uint32_t *index,
                        const uint16_t *weight, size_t n, size_t d, size_t stride, double total);
