#include "sampler/vector_file.h"

#include "common/f16.h"
#include "common/files.h"
#include "common/hash.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/npy.h"
#include "common/reduce.h"
#include "common/safetensors.h"
#include "sampler/string_pool.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static const size_t IDS_BYTES_MAX = (size_t)4 << 30;

struct vector_file {
    char *path;
    npy_array npy; /* one of these two holds the data */
    safetensors_file *safetensors;
    const void *data; /* [rows, dim] */
    bool is_f16;
    uint64_t rows;
    uint32_t dim;
    string_pool *ids; /* number = row */
    uint64_t hash;
};

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);
    return n >= m && strcmp(s + n - m, end) == 0;
}

static err_code take_shape(vector_file *f, const void *data, const uint64_t *shape, size_t dims)
{
    if (dims != 2 || shape[1] == 0 || shape[1] > VECTOR_FILE_DIM_MAX || shape[0] >= UINT32_MAX) {
        log_user_error("%s: the vectors must be a matrix [items, 1..%d]", f->path,
                       VECTOR_FILE_DIM_MAX);
        return ERR_INVALID;
    }
    f->data = data;
    f->rows = shape[0];
    f->dim = (uint32_t)shape[1];
    return ERR_OK;
}

static err_code open_npy(vector_file *f)
{
    err_code rc = npy_read(f->path, &f->npy);
    if (rc != ERR_OK) return rc;
    if (f->npy.type != NPY_F16 && f->npy.type != NPY_F32) {
        log_user_error("%s: the vectors must be float16 or float32", f->path);
        return ERR_INVALID;
    }
    f->is_f16 = f->npy.type == NPY_F16;
    return take_shape(f, f->npy.data, f->npy.shape, f->npy.dims);
}

/* `vectors`, or the only matrix there is. */
static const safetensors_tensor *find_matrix(const safetensors_file *s)
{
    const safetensors_tensor *found = safetensors_find(s, "vectors");
    if (found) return found;
    for (size_t i = 0; i < safetensors_count(s); i++) {
        const safetensors_tensor *t = safetensors_at(s, i);
        if (t->dims != 2) continue;
        if (found) return NULL;
        found = t;
    }
    return found;
}

static err_code open_safetensors(vector_file *f)
{
    err_code rc = safetensors_open(f->path, &f->safetensors);
    if (rc != ERR_OK) return rc;
    const safetensors_tensor *t = find_matrix(f->safetensors);
    if (!t) {
        log_user_error("%s: no tensor `vectors` and not exactly one matrix", f->path);
        return ERR_INVALID;
    }
    f->is_f16 = t->type == SAFETENSORS_F16;
    return take_shape(f, t->data, t->shape, t->dims);
}

/* `where` and `number` name the id in the message. */
static err_code add_id(vector_file *f, const char *where, const char *id, size_t bytes)
{
    bool added;
    uint32_t row = string_pool_count(f->ids);
    uint32_t number = string_pool_intern(f->ids, id, bytes, &added);
    if (added && number != STRING_POOL_NONE) return ERR_OK;
    log_user_error("%s:%" PRIu32 ": id `%.*s` stands there twice", where, row + 1, (int)bytes, id);
    return ERR_INVALID;
}

static err_code read_id_lines(vector_file *f, const char *path)
{
    char *text = NULL;
    size_t bytes;
    err_code rc = files_read(path, IDS_BYTES_MAX, &text, &bytes);
    for (size_t i = 0; rc == ERR_OK && i < bytes;) {
        const char *line = text + i, *end = memchr(line, '\n', bytes - i);
        size_t n = end ? (size_t)(end - line) : bytes - i;
        i += n + 1;
        if (n && line[n - 1] == '\r') n--;
        rc = add_id(f, path, line, n);
    }
    free(text);
    return rc;
}

static err_code read_id_metadata(vector_file *f)
{
    const char *text = f->safetensors ? safetensors_metadata(f->safetensors, "ids") : NULL;
    json_t *list = text ? json_loads(text, 0, NULL) : NULL;
    err_code rc = ERR_OK;
    if (!json_is_array(list)) {
        log_user_error("%s: no ids: features.precomputed.ids names no file%s", f->path,
                       f->safetensors ? " and the metadata has no JSON list `ids`" : "");
        rc = ERR_INVALID;
    }
    for (size_t i = 0; rc == ERR_OK && i < json_array_size(list); i++) {
        const char *id = json_string_value(json_array_get(list, i));
        if (id) {
            rc = add_id(f, f->path, id, strlen(id));
        } else {
            log_user_error("%s: metadata `ids`: entry %zu is no string", f->path, i);
            rc = ERR_INVALID;
        }
    }
    json_decref(list);
    return rc;
}

static err_code read_ids(vector_file *f, const char *path)
{
    bool has_file = path && *path;
    f->ids = string_pool_new();
    err_code rc = has_file ? read_id_lines(f, path) : read_id_metadata(f);
    if (rc == ERR_OK && string_pool_count(f->ids) != f->rows) {
        log_user_error("%s: %" PRIu64 " rows, but %s has %" PRIu32 " ids", f->path, f->rows,
                       has_file ? path : "the metadata", string_pool_count(f->ids));
        rc = ERR_INVALID;
    }
    return rc;
}

static void hash_all(vector_file *f)
{
    hash_stream *h = hash_stream_new(f->dim);
    for (uint32_t i = 0; i < f->rows; i++) {
        hash_stream_add(h, string_pool_get(f->ids, i), string_pool_length(f->ids, i) + 1);
    }
    hash_stream_add(h, f->data, (size_t)f->rows * f->dim * (f->is_f16 ? 2 : 4));
    f->hash = hash_stream_digest(h);
    hash_stream_free(h);
}

err_code vector_file_open(const char *path, const char *ids_path, vector_file **out)
{
    err_code rc = ERR_INVALID;
    vector_file *f = xcalloc(1, sizeof *f);
    f->path = xstrdup(path);
    if (ends_with(path, ".npy")) {
        rc = open_npy(f);
    } else if (ends_with(path, ".safetensors")) {
        rc = open_safetensors(f);
    } else {
        log_user_error("%s: precomputed vectors must be .npy or .safetensors", path);
    }
    if (rc == ERR_OK) rc = read_ids(f, ids_path);
    if (rc != ERR_OK) {
        vector_file_close(f);
        return rc;
    }
    hash_all(f);
    *out = f;
    return ERR_OK;
}

void vector_file_close(vector_file *f)
{
    if (!f) return;
    npy_fini(&f->npy);
    safetensors_close(f->safetensors);
    string_pool_free(f->ids);
    free(f->path);
    free(f);
}

uint32_t vector_file_dim(const vector_file *f)
{
    return f->dim;
}

uint64_t vector_file_hash(const vector_file *f)
{
    return f->hash;
}

err_code vector_file_get(const vector_file *f, const char *id, float *out, bool *found)
{
    uint32_t row = string_pool_find(f->ids, id, strlen(id));
    *found = row != STRING_POOL_NONE;
    if (!*found) return ERR_OK;
    size_t first = (size_t)row * f->dim;
    if (f->is_f16) {
        f16_decode(out, (const uint16_t *)f->data + first, f->dim);
    } else {
        memcpy(out, (const float *)f->data + first, f->dim * sizeof *out);
    }
    if (reduce_all_finite(out, f->dim)) return ERR_OK;
    log_user_error("%s: the vector of `%s` (row %" PRIu32 ") is not finite", f->path, id, row);
    return ERR_INVALID;
}
