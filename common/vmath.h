/* vmath.h - exp, log, cos and the like with the same bits on every machine.
 *
 * libm's versions choose an implementation by CPU, so none is used where a trained number depends
 * on it.  These are plain additions and multiplications of a fixed order (no fma), in scalar and
 * vectorised code alike.  Accuracy: float functions within 2 ulp, double ones within 4 (vmath_cos:
 * 1e-15 absolute).  Threads: any. */
#pragma once

#include <stddef.h>
#include <stdint.h>

float vmath_expf(float x);   /* below -87.3: 0; above 88.7: inf; NaN: NaN */
float vmath_logf(float x);   /* 0: -inf; negative or NaN: NaN */
float vmath_log1pf(float x); /* x > -1 */
double vmath_exp(double x);  /* below -708: 0; above 709.7: inf */
double vmath_log(double x);  /* 0: -inf; negative or NaN: NaN; subnormals count as 0 */
double vmath_log1p(double x);
double vmath_log2(double x);
double vmath_cos(double x);              /* |x| <= 1e6 */
double vmath_powi(double x, uint64_t n); /* x^n by squaring */
/* y[i] = exp(x[i] - shift); y may be x. */
void vmath_expf_array(float *y, const float *x, float shift, size_t n);
