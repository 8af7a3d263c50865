/* spd_inverse.h - inverts a large symmetric positive definite matrix with several threads: the
 * block sweep operator, whose products have shapes that depend on n alone, so that the bits do not
 * depend on the threads.  n^3 operations, n * 512 floats besides the matrix. */
#pragma once

#include "common/err.h"
#include "common/progress.h"

#include <stddef.h>
#include <stdint.h>

/* a [n, n] row-major: on entry its upper triangle (column >= row), on exit the whole inverse.
 * threads: 0 is 1.  ERR_INVALID: not positive definite in float (a holds rubbish).  ERR_NO_MEMORY.
 * ERR_STOPPED. */
MUST_USE err_code spd_inverse(float *a, size_t n, uint32_t threads, const progress *p);
