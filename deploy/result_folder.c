#include "deploy/result_folder.h"

#include "common/bytes.h"
#include "common/files.h"
#include "common/log.h"
#include "common/mem.h"
#include "deploy/export_model.h"
#include "deploy/result_tables.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* ---- Opening ---- */

static err_code check_complete(const char *dir)
{
    char *run = files_join(dir, "run.json");
    bool complete = files_exist(run);
    free(run);
    if (complete) return ERR_OK;
    if (files_is_dir(dir)) {
        log_user_error("%s: not complete: it has no run.json", dir);
    } else {
        log_user_error("%s: no such folder", dir);
    }
    return ERR_NOT_FOUND;
}

/* What stable_key takes. */
static err_code check_lengths(const result_folder *r)
{
    enum { TYPE_BYTES_MAX = 64, ID_BYTES_MAX = 256 };
    for (uint32_t i = 0; i < r->items; i++) {
        bool good =
            strlen(r->item_id[i]) <= ID_BYTES_MAX && strlen(r->item_type[i]) <= TYPE_BYTES_MAX;
        if (good) continue;
        log_user_error("%s/items.tsv:%" PRIu64 ": id or type is too long", r->dir, (uint64_t)i + 2);
        return ERR_INVALID;
    }
    return ERR_OK;
}

static err_code read_tables(result_folder *r)
{
    static const char *const items[] = {"row", "item_id", "item_type", "text"};
    static const char *const users[] = {"row", "user_id", "history"};
    const char **item[3], **user[2];
    char *path = files_join(r->dir, "items.tsv");
    err_code rc = result_tables_read(path, items, 4, &r->item_table, &r->items, item);
    free(path);
    if (rc != ERR_OK) return rc;
    r->item_id = item[0];
    r->item_type = item[1];
    r->item_text = item[2];
    rc = check_lengths(r);
    if (rc != ERR_OK) return rc;
    path = files_join(r->dir, "users.tsv");
    rc = result_tables_read(path, users, 3, &r->user_table, &r->users, user);
    free(path);
    if (rc != ERR_OK) return rc;
    r->user_id = user[0];
    free(user[1]);
    return ERR_OK;
}

static err_code mismatch(const result_folder *r, const char *file, const char *other)
{
    log_user_error("%s/%s: does not belong to %s beside it", r->dir, file, other);
    return ERR_MISMATCH;
}

/* `rows` rows of `type`; the width is the file's. */
static err_code read_array(const result_folder *r, const char *name, npy_type type, size_t dims,
                           uint64_t rows, const char *other, npy_array *out)
{
    char *path = files_join(r->dir, name);
    err_code rc = npy_read(path, out);
    if (rc == ERR_OK && (out->type != type || out->dims != dims)) {
        log_user_error("%s: not the numbers of this file", path);
        rc = ERR_INVALID;
    }
    free(path);
    if (rc == ERR_OK && out->shape[0] != rows) rc = mismatch(r, name, other);
    return rc;
}

static err_code read_vectors(result_folder *r)
{
    err_code rc = read_array(r, "items.npy", NPY_F32, 2, r->items, "items.tsv", &r->item_vector);
    if (rc != ERR_OK) return rc;
    rc = read_array(r, "users.npy", NPY_F32, 2, r->users, "users.tsv", &r->user_vector);
    if (rc != ERR_OK) return rc;
    if (r->item_vector.shape[1] != r->user_vector.shape[1]) {
        return mismatch(r, "users.npy", "items.npy");
    }
    r->dim = (uint32_t)r->item_vector.shape[1];
    char *path = files_join(r->dir, "item_embeddings.npy");
    bool has_z = files_exist(path);
    free(path);
    if (!has_z) return ERR_OK;
    rc = read_array(r, "item_embeddings.npy", NPY_F32, 2, r->items, "items.tsv", &r->z);
    if (rc == ERR_OK) r->z_dim = (uint32_t)r->z.shape[1];
    return rc;
}

static bool is_csr(const result_folder *r)
{
    const int64_t *indptr = r->seen_indptr.data;
    const int32_t *item = r->seen_item.data;
    if (indptr[0] != 0 || indptr[r->users] != (int64_t)r->seen_item.values) return false;
    for (uint32_t u = 0; u < r->users; u++) {
        if (indptr[u] > indptr[u + 1]) return false;
    }
    for (uint64_t i = 0; i < r->seen_item.values; i++) {
        if (item[i] < 0 || (uint32_t)item[i] >= r->items) return false;
    }
    return true;
}

static err_code read_seen(result_folder *r)
{
    err_code rc = read_array(r, "seen_indptr.npy", NPY_I64, 1, (uint64_t)r->users + 1, "users.tsv",
                             &r->seen_indptr);
    if (rc != ERR_OK) return rc;
    uint64_t entries = (uint64_t)((const int64_t *)r->seen_indptr.data)[r->users];
    rc = read_array(r, "seen_items.npy", NPY_I32, 1, entries, "seen_indptr.npy", &r->seen_item);
    if (rc == ERR_OK && !is_csr(r)) rc = mismatch(r, "seen_items.npy", "items.tsv");
    return rc;
}

/* The same training made the weights and the report. */
static err_code check_z_id(const result_folder *r, const char *id)
{
    char *path = files_join(r->dir, "report.json");
    json_t *report = files_exist(path) ? json_load_file(path, 0, NULL) : NULL;
    const char *reported = json_string_value(json_object_get(report, "z_id"));
    bool same = !reported || strcmp(reported, id) == 0;
    json_decref(report);
    free(path);
    return same ? ERR_OK : mismatch(r, "model.safetensors", "report.json (z_id)");
}

static err_code open_model(result_folder *r)
{
    char *path = files_join(r->dir, "model.safetensors");
    err_code rc = safetensors_open(path, &r->model);
    if (rc == ERR_OK) {
        const char *format = safetensors_metadata(r->model, "format");
        const char *id = safetensors_metadata(r->model, "z_id");
        const char *text = safetensors_metadata(r->model, "config");
        const safetensors_tensor *ids = safetensors_find(r->model, "two_tower.item_id");
        if (!format || !id || !text || strcmp(format, EXPORT_MODEL_FORMAT) != 0) {
            log_user_error("%s: not a model of weft", path);
            rc = ERR_INVALID;
        }
        if (rc == ERR_OK) rc = check_z_id(r, id);
        if (rc == ERR_OK && ids && ids->shape[0] != r->items) {
            rc = mismatch(r, "model.safetensors", "items.tsv");
        }
        if (rc == ERR_OK) rc = config_parse(path, text, NULL, 0, &r->config);
    }
    free(path);
    return rc;
}

err_code result_folder_open(const char *dir, result_folder **out)
{
    *out = NULL;
    err_code rc = check_complete(dir);
    if (rc != ERR_OK) return rc;
    result_folder *r = xcalloc(1, sizeof *r);
    r->dir = xstrdup(dir);
    rc = read_tables(r);
    if (rc == ERR_OK) rc = read_vectors(r);
    if (rc == ERR_OK) rc = read_seen(r);
    if (rc == ERR_OK) rc = open_model(r);
    if (rc != ERR_OK) {
        result_folder_close(r);
        return rc;
    }
    *out = r;
    return ERR_OK;
}

void result_folder_close(result_folder *r)
{
    if (!r) return;
    npy_fini(&r->item_vector);
    npy_fini(&r->user_vector);
    npy_fini(&r->z);
    npy_fini(&r->seen_indptr);
    npy_fini(&r->seen_item);
    safetensors_close(r->model);
    config_free(r->config);
    free(r->item_id);
    free(r->item_type);
    free(r->item_text);
    free(r->user_id);
    free(r->item_table);
    free(r->user_table);
    free(r->dir);
    free(r);
}

/* ---- Looking up ---- */

/* Items with this id; type NULL: of any type.  *first: the first of them. */
static uint32_t count_items(const result_folder *r, const char *type, size_t type_bytes,
                            const char *id, uint32_t *first)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < r->items; i++) {
        if (strcmp(r->item_id[i], id) != 0) continue;
        if (type && (strlen(r->item_type[i]) != type_bytes ||
                     memcmp(r->item_type[i], type, type_bytes) != 0))
            continue;
        if (n++ == 0) *first = i;
    }
    return n;
}

err_code result_folder_item(const result_folder *r, const char *name, uint32_t *row)
{
    uint32_t n = count_items(r, NULL, 0, name, row);
    if (n == 1) return ERR_OK;
    if (n > 1) {
        log_user_error("item \"%s\": %" PRIu32 " types have it: write TYPE/ID, e.g. %s/%s", name, n,
                       r->item_type[*row], name);
        return ERR_INVALID;
    }
    const char *slash = strchr(name, '/');
    if (slash && count_items(r, name, (size_t)(slash - name), slash + 1, row) > 0) return ERR_OK;
    log_user_error("item \"%s\": not in %s/items.tsv", name, r->dir);
    return ERR_NOT_FOUND;
}

err_code result_folder_user(const result_folder *r, const char *id, uint32_t *row)
{
    for (uint32_t u = 0; u < r->users; u++) {
        if (strcmp(r->user_id[u], id) != 0) continue;
        *row = u;
        return ERR_OK;
    }
    log_user_error("user \"%s\": not in %s/users.tsv (give --history for a new user)", id, r->dir);
    return ERR_NOT_FOUND;
}

static void say_no_type(const result_folder *r, const char *type)
{
    const char *seen[CONFIG_TYPES_MAX];
    size_t n = 0;
    bytes_writer list;
    bytes_writer_init(&list);
    for (uint32_t i = 0; i < r->items && n < CONFIG_TYPES_MAX; i++) {
        size_t t = 0;
        while (t < n && strcmp(seen[t], r->item_type[i]) != 0) t++;
        if (t < n) continue;
        if (n > 0) bytes_put(&list, ", ", 2);
        bytes_put(&list, r->item_type[i], strlen(r->item_type[i]));
        seen[n++] = r->item_type[i];
    }
    bytes_put_u8(&list, 0);
    log_user_error("--type %s: no item of %s/items.tsv is of this type; there are %s", type, r->dir,
                   (const char *)list.data);
    bytes_writer_fini(&list);
}

err_code result_folder_type(const result_folder *r, const char *type)
{
    for (uint32_t i = 0; i < r->items; i++) {
        if (strcmp(r->item_type[i], type) == 0) return ERR_OK;
    }
    say_no_type(r, type);
    return ERR_NOT_FOUND;
}

const float *result_folder_z(const result_folder *r, uint32_t row)
{
    return r->z_dim ? (const float *)r->z.data + (size_t)row * r->z_dim : NULL;
}

const int32_t *result_folder_seen(const result_folder *r, uint32_t user, size_t *n)
{
    const int64_t *indptr = r->seen_indptr.data;
    *n = (size_t)(indptr[user + 1] - indptr[user]);
    return (const int32_t *)r->seen_item.data + indptr[user];
}
