/* store_verify.h - checksums of store files, and the scale of int8 rows.  Threads: any. */
#pragma once

#include "common/err.h"

#include <stdint.h>

/* Size and XXH3 of a whole file.  ERR_NOT_FOUND, ERR_IO: printed with the path. */
MUST_USE err_code store_verify_file(const char *path, uint64_t *bytes, uint64_t *hash);
/* 2^exponent, -126 <= exponent <= 127, without libm. */
float store_power_of_two(int exponent);
