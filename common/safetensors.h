/* safetensors.h - .safetensors files: named f32 (and, when reading, f16) tensors and string
 * metadata.
 *
 * Errors are printed with the file's name.  Threads: one owner per writer; an open file may be
 * shared. */
#pragma once

#include "common/err.h"

#include <stddef.h>
#include <stdint.h>

enum { SAFETENSORS_DIMS_MAX = 4, SAFETENSORS_HEADER_MAX = 64 << 20 };

typedef struct safetensors_writer safetensors_writer;

safetensors_writer *safetensors_writer_new(void); /* owned: safetensors_writer_free */
void safetensors_writer_free(safetensors_writer *w);
/* A tensor of this shape.  `data` is borrowed until safetensors_write.  Names must differ. */
void safetensors_add(safetensors_writer *w, const char *name, const uint64_t *shape, size_t dims,
                     const float *data);
void safetensors_add_f16(safetensors_writer *w, const char *name, const uint64_t *shape,
                         size_t dims, const uint16_t *data);
/* One string of __metadata__ (copied).  Keys must differ. */
void safetensors_add_metadata(safetensors_writer *w, const char *key, const char *value);
/* Writes the file: F32 before F16, so that all are aligned, names and keys sorted, header padded
 * with spaces to 8 bytes.  The bytes depend on the content alone.  ERR_IO. */
MUST_USE err_code safetensors_write(const safetensors_writer *w, const char *path);

typedef enum safetensors_type { SAFETENSORS_F32, SAFETENSORS_F16 } safetensors_type;

typedef struct safetensors_tensor {
    char *name;
    safetensors_type type;
    size_t dims;
    uint64_t shape[SAFETENSORS_DIMS_MAX]; /* 1 beyond dims */
    uint64_t values;
    const void *data; /* borrowed until safetensors_close; aligned to its type */
} safetensors_tensor;

typedef struct safetensors_file safetensors_file;

/* Maps and checks `path`.  ERR_NOT_FOUND, ERR_IO; ERR_CORRUPT: the header is not what the format
 * says, or a tensor lies outside the file, overlaps another or does not fit its shape; ERR_INVALID:
 * a tensor type other than F32 and F16, or more than SAFETENSORS_DIMS_MAX dimensions.
 * *out is owned: safetensors_close. */
MUST_USE err_code safetensors_open(const char *path, safetensors_file **out);
void safetensors_close(safetensors_file *f); /* accepts NULL */

size_t safetensors_count(const safetensors_file *f);
const safetensors_tensor *safetensors_at(const safetensors_file *f, size_t i); /* sorted by name */
const safetensors_tensor *safetensors_find(const safetensors_file *f,
                                           const char *name);                 /* or NULL */
const char *safetensors_metadata(const safetensors_file *f, const char *key); /* or NULL */
