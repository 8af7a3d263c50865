/* f16.h - IEEE half precision.  The same bits with and without F16C; rounds to nearest even,
 * overflow gives infinity, a NaN stays a (quiet) NaN.  Threads: any. */
#pragma once

#include <stddef.h>
#include <stdint.h>

float f16_to_f32(uint16_t h);
uint16_t f16_from_f32(float f);

/* out [n] overwritten; n = 0 does nothing. */
void f16_decode(float *out, const uint16_t *in, size_t n);
void f16_encode(uint16_t *out, const float *in, size_t n);
