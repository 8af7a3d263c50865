/* result_folder.h - an exported folder, opened for reading: what `recommend` and `similar` look at.
 *
 * Only files of the folder are read.  Rows are those of items.tsv and users.tsv.
 * Threads: immutable after open, any thread. */
#pragma once

#include "common/config.h"
#include "common/err.h"
#include "common/npy.h"
#include "common/safetensors.h"

#include <stddef.h>
#include <stdint.h>

typedef struct result_folder {
    char *dir;
    uint32_t items, users, dim, z_dim;              /* z_dim 0: no item_embeddings.npy */
    const char **item_id, **item_type, **item_text; /* [items] */
    const char **user_id;                           /* [users] */
    npy_array item_vector, user_vector, z, seen_indptr, seen_item;
    safetensors_file *model;
    config *config;                /* plan keys, from the model file */
    char *item_table, *user_table; /* what the strings point into */
} result_folder;

/* ERR_NOT_FOUND: no such folder, no run.json (it is not complete) or a file is missing;
 * ERR_MISMATCH: files of different results (rows, widths, z_id); ERR_INVALID: a file is malformed;
 * ERR_IO.  All printed with the file.  *out is owned: result_folder_close. */
MUST_USE err_code result_folder_open(const char *dir, result_folder **out);
void result_folder_close(result_folder *r); /* accepts NULL */

/* `name` is an id, or TYPE/ID where several types have it.  ERR_NOT_FOUND, ERR_INVALID: several
 * items have this id (both printed, the latter with what to write instead). */
MUST_USE err_code result_folder_item(const result_folder *r, const char *name, uint32_t *row);
MUST_USE err_code result_folder_user(const result_folder *r, const char *id, uint32_t *row);
/* ERR_NOT_FOUND: no item is of this type (printed). */
MUST_USE err_code result_folder_type(const result_folder *r, const char *type);

static inline const float *result_folder_item_vector(const result_folder *r, uint32_t row)
{
    return (const float *)r->item_vector.data + (size_t)row * r->dim;
}

static inline const float *result_folder_user_vector(const result_folder *r, uint32_t row)
{
    return (const float *)r->user_vector.data + (size_t)row * r->dim;
}

/* NULL without item_embeddings.npy. */
const float *result_folder_z(const result_folder *r, uint32_t row);
/* What a user has, ascending: *n rows, borrowed until close. */
const int32_t *result_folder_seen(const result_folder *r, uint32_t user, size_t *n);
