/* npy.h - NumPy .npy files: version 1.0 is written (C order, header padded to 64 bytes); 1.0
 * and 2.0 in little-endian C order with one or two dimensions are read.
 *
 * Errors are printed with the file's name.  Threads: one owner per writer; an array that is read
 * may be shared. */
#pragma once

#include "common/err.h"

#include <stddef.h>
#include <stdint.h>

typedef enum npy_type { NPY_F32, NPY_F16, NPY_I32, NPY_I64 } npy_type;

enum { NPY_DIMS_MAX = 2 };

size_t npy_type_bytes(npy_type type);

typedef struct npy_writer npy_writer;

/* Starts `path` (replaced if it exists) for an array of this shape, dims 1 or 2.  ERR_IO.
 * *out is owned: npy_close. */
MUST_USE err_code npy_create(const char *path, npy_type type, const uint64_t *shape, size_t dims,
                             npy_writer **out);
/* The next `values` values (not rows).  More than the shape holds: our bug.  ERR_IO. */
MUST_USE err_code npy_append(npy_writer *w, const void *values, size_t n);
/* Flushes and frees in any case.  ERR_INVALID: fewer values than the shape says.  ERR_IO.
 * Accepts NULL. */
MUST_USE err_code npy_close(npy_writer *w);
/* Frees without the check; the file is left as it is.  Accepts NULL. */
void npy_abandon(npy_writer *w);
/* The whole array at once. */
MUST_USE err_code npy_write(const char *path, npy_type type, const uint64_t *shape, size_t dims,
                            const void *data);

typedef struct npy_array {
    npy_type type;
    size_t dims;
    uint64_t shape[NPY_DIMS_MAX]; /* shape[1] is 1 when dims is 1 */
    uint64_t values;              /* shape[0] * shape[1] */
    const void *data;             /* borrowed until npy_fini; aligned to its type */
    void *map;                    /* the mapped file */
    size_t map_bytes;
} npy_array;

/* Maps `path`.  ERR_NOT_FOUND, ERR_IO; ERR_INVALID: not .npy, another type, column order, more than
 * two dimensions, a size that is not the header's.  *out: npy_fini. */
MUST_USE err_code npy_read(const char *path, npy_array *out);
void npy_fini(npy_array *a); /* accepts a zeroed array */
