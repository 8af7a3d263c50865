/* lapack.h - inverting a symmetric positive definite matrix; the only place that calls LAPACK.
 * One thread each: call blas_start first.  Threads: any. */
#pragma once

#include "common/err.h"

#include <stddef.h>

/* a [n, n] row-major: on entry its upper triangle (column >= row), on exit the whole inverse.
 * ERR_INVALID: not positive definite (a holds rubbish).  n = 0 does nothing. */
MUST_USE err_code lapack_invert(float *a, size_t n);
