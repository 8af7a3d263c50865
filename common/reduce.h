/* reduce.h - sums with one fixed order: the same bits in every variant.
 *
 * Float sums use 16 lanes: element i goes to lane i % 16, lanes are added in the order of i, then
 * folded 16 -> 8 -> 4 -> 2 -> 1 by adding the upper half to the lower.  Products are rounded before
 * they are added (no fma).  n = 0 gives 0.  Threads: any. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

float reduce_sum(const float *x, size_t n);
float reduce_dot(const float *x, const float *y, size_t n);
/* The same lanes in double: long sums. */
double reduce_sum_f64(const float *x, size_t n);
double reduce_squares_f64(const float *x, size_t n);
bool reduce_all_finite(const float *x, size_t n);

enum { AGGREGATE_TERMS_MAX = 4096 };

/* out [d] overwritten: the mean of n rows weighted by integers, exact before its one rounding (f64,
 * then f32), hence free of any order.
 *   rows   f16, |x| <= 1; row i starts at rows + index[i] * stride (index NULL: i)
 *   weight 1..65535; NULL: all 1
 * n <= AGGREGATE_TERMS_MAX; n = 0 gives zeros. */
void aggregate_f16(float *out, const uint16_t *rows, const uint32_t *index, const uint16_t *weight,
                   size_t n, size_t d, size_t stride);
