/* vector_file.h - text vectors that somebody else computed: a matrix [n, d] in f16 or f32, and the
 * item id of each row.
 *
 * .npy: the array, with an ids file.  .safetensors: the tensor `vectors` or the only one with two
 * dimensions, with an ids file, or with the metadata string `ids` (a JSON list).  An ids file has
 * one id a line, as it stands in the items file, and no header.
 *
 * Threads: immutable after open. */
#pragma once

#include "common/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { VECTOR_FILE_DIM_MAX = 16384 };

typedef struct vector_file vector_file;

/* ids_path "" or NULL: none.  Problems are printed with the file.  ERR_NOT_FOUND, ERR_IO,
 * ERR_CORRUPT; ERR_INVALID: neither .npy nor .safetensors, not [n, d], more or fewer ids than rows,
 * an id twice. *out is owned: vector_file_close. */
MUST_USE err_code vector_file_open(const char *path, const char *ids_path, vector_file **out);
void vector_file_close(vector_file *f); /* accepts NULL */

uint32_t vector_file_dim(const vector_file *f);
uint64_t vector_file_hash(const vector_file *f); /* of ids and numbers */

/* *found: the id has a row, and out [dim] was filled.  ERR_INVALID: a number of it is not finite
 * (printed). */
MUST_USE err_code vector_file_get(const vector_file *f, const char *id, float *out, bool *found);
