/* numerics.h - which arithmetic this process does, and making it the one the job wants.
 *
 * Results have the same bits wherever OpenBLAS' version and core type, libc's version and our
 * sources, compiler and flags are the same: that is the numerics id. */
#pragma once

#include "common/err.h"

/* "openblas-0.3.21/HASWELL glibc-2.36 weft-<source hash>", static.  Threads: any, after
 * numerics_start. */
const char *numerics_id(void);
/* The core type OpenBLAS runs with, upper case, static. */
const char *numerics_core(void);

/* Makes OpenBLAS run with `core_type` (config train.core_type) and without threads of its own: sets
 * OPENBLAS_CORETYPE and OPENBLAS_NUM_THREADS and executes this program again, once, with the same
 * arguments; returns only in a process that needs no change. A CPU without AVX2 and FMA takes
 * NEHALEM and says so.  A preset OPENBLAS_CORETYPE is kept, and reported where it differs.  Then
 * calls blas_start.  Call first thing in main, before any thread. ERR_IO: the program could not be
 * executed again. */
MUST_USE err_code numerics_start(char **argv, const char *core_type);
