/* testing_gradient.h - central differences for tests of backward functions. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Fills x [n] with normal draws times scale. */
void gradient_fill(float *x, size_t n, uint64_t seed, float scale);

/* Compares grad [n] of loss(context) with respect to x [n] with central differences along
 * `directions` random directions of length 1 (and, for n <= 64, every axis).  Returns the worst
 * |numeric - analytic| / max(|numeric|, |analytic|, floor). */
double gradient_error(double (*loss)(void *context), void *context, float *x, const float *grad,
                      size_t n, float h, size_t directions, double floor);
