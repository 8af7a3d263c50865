#include "deploy/replay_source.h"

#include "common/dataset.h"
#include "common/files.h"
#include "common/keyed_sort.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/npy.h"
#include "common/safetensors.h"
#include "common/table_id.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct replay_source {
    const job *job;
    const build_env *env;
    char *model_file, *z_file;
    safetensors_file *model; /* NULL: initial values */
    npy_array z;             /* mapped when it is first asked for */
    bool has_z;
    dataset *data;
    keyed *by_key; /* [data->items] item rows by stable key */
};

static err_code check_foundation(const replay_source *s)
{
    char ours[17], our_plan[17];
    const char *theirs = safetensors_metadata(s->model, "foundation_id");
    const char *trained = safetensors_metadata(s->model, "plan_hash");
    snprintf(ours, sizeof ours, "%016" PRIx64, s->job->manifest->foundation_id);
    snprintf(our_plan, sizeof our_plan, "%016" PRIx64, s->job->plan_hash);
    if (!theirs || strcmp(theirs, ours) != 0) {
        log_user_error("%s: foundation %s, but the prepared data is %s", s->model_file,
                       theirs ? theirs : "unknown", ours);
        return ERR_MISMATCH;
    }
    if (!trained || strcmp(trained, our_plan) != 0) {
        log_warn("another_plan", "model=\"%s\" its_plan=%s ours=%s", s->model_file,
                 trained ? trained : "unknown", our_plan);
    }
    return ERR_OK;
}

static err_code open_model(replay_source *s, const char *store_folder, const char *dir)
{
    s->model_file = files_join(dir, "model.safetensors");
    s->z_file = files_join(dir, "item_embeddings.npy");
    err_code rc = safetensors_open(s->model_file, &s->model);
    if (rc == ERR_OK) rc = check_foundation(s);
    if (rc == ERR_OK) rc = dataset_open(store_folder, &s->data);
    if (rc != ERR_OK) return rc;
    s->by_key = try_malloc(s->data->items, sizeof *s->by_key);
    if (!s->by_key) return ERR_NO_MEMORY;
    for (uint32_t i = 0; i < s->data->items; i++)
        s->by_key[i] = (keyed){s->data->item_key[i], i};
    keyed_sort(s->by_key, s->data->items);
    return ERR_OK;
}

err_code replay_source_open(const job *j, const build_env *env, const char *store_folder,
                            const char *model_dir, replay_source **out)
{
    replay_source *s = xcalloc(1, sizeof *s);
    s->job = j;
    s->env = env;
    err_code rc = model_dir ? open_model(s, store_folder, model_dir) : ERR_OK;
    if (rc != ERR_OK) {
        replay_source_close(s);
        return rc;
    }
    *out = s;
    return ERR_OK;
}

void replay_source_close(replay_source *s)
{
    if (!s) return;
    npy_fini(&s->z);
    safetensors_close(s->model);
    dataset_close(s->data);
    free(s->by_key);
    free(s->model_file);
    free(s->z_file);
    free(s);
}

/* ---- Parameters ---- */

/* The f32 tensor `name` with this many values, or NULL (printed). */
static const float *model_values(const replay_source *s, const char *name, uint64_t rows,
                                 uint64_t cols, err_code *rc)
{
    const safetensors_tensor *t = safetensors_find(s->model, name);
    *rc = t ? ERR_MISMATCH : ERR_NOT_FOUND;
    if (!t) {
        log_user_error("%s: there is no tensor %s", s->model_file, name);
        return NULL;
    }
    if (t->type != SAFETENSORS_F32 || t->values != rows * cols) {
        log_user_error("%s: %s has %" PRIu64 " values, the plan wants %" PRIu64 " x %" PRIu64,
                       s->model_file, name, t->values, rows, cols);
        return NULL;
    }
    *rc = ERR_OK;
    return t->data;
}

static err_code answer_dense(const replay_source *s, const worker_need *need, blob **out)
{
    const model_spec *spec = job_spec(s->job, need->stage);
    blob *b = blob_new(spec->values * sizeof(float));
    if (!b) return ERR_NO_MEMORY;
    float *values = (float *)(void *)blob_writable(b);
    err_code rc = ERR_OK;
    for (size_t i = 0; i < spec->tensors && rc == ERR_OK; i++) {
        const model_tensor *t = &spec->tensor[i];
        if (!s->model) {
            model_spec_init(t, s->job->config->seed, 0, t->n, values + t->offset);
            continue;
        }
        const float *from = model_values(s, t->name, t->rows, t->cols, &rc);
        if (from) memcpy(values + t->offset, from, t->n * sizeof *from);
    }
    if (rc != ERR_OK) {
        blob_unref(b);
        return rc;
    }
    *out = b;
    return ERR_OK;
}

/* ---- Rows ---- */

/* Rows of a matrix by item row, in the order of the keys. */
static err_code pick_rows(const replay_source *s, const uint64_t *keys, size_t n, uint32_t dim,
                          const float *matrix, float *out)
{
    for (size_t i = 0; i < n; i++) {
        const keyed *found = keyed_find(s->by_key, s->data->items, keys[i]);
        if (!found) {
            log_user_error("%s: no row for key %016" PRIx64, s->model_file, keys[i]);
            return ERR_NOT_FOUND;
        }
        memcpy(out + i * dim, matrix + found->at * dim, dim * sizeof *out);
    }
    return ERR_OK;
}

static err_code trained_rows(const replay_source *s, const worker_need *need, const uint64_t *keys,
                             size_t n, float *out)
{
    const model_table *t = &job_spec(s->job, need->stage)->table[0];
    if (!s->model) {
        for (size_t i = 0; i < n; i++)
            model_spec_init_row(t, s->job->config->seed, keys[i], out + i * need->dim);
        return ERR_OK;
    }
    err_code rc;
    const float *matrix = model_values(s, t->name, s->data->items, need->dim, &rc);
    return matrix ? pick_rows(s, keys, n, need->dim, matrix, out) : rc;
}

static err_code open_z(replay_source *s)
{
    if (s->has_z) return ERR_OK;
    if (!s->model) {
        log_user_error("this slot needs z, the item embeddings: give --model DIR, the folder of a "
                       "finished job");
        return ERR_NOT_FOUND;
    }
    uint32_t dim = table_dim(s->job->config, TABLE_Z);
    err_code rc = npy_read(s->z_file, &s->z);
    if (rc != ERR_OK) return rc;
    if (s->z.type != NPY_F32 || s->z.shape[0] != s->data->items || s->z.shape[1] != dim) {
        log_user_error("%s: the shape is %" PRIu64 " x %" PRIu64 ", the plan wants %u x %u",
                       s->z_file, s->z.shape[0], s->z.shape[1], s->data->items, dim);
        return ERR_MISMATCH;
    }
    s->has_z = true;
    return ERR_OK;
}

static err_code fill_rows(replay_source *s, const worker_need *need, const uint64_t *keys, size_t n,
                          float *out)
{
    switch (need->table) {
    case TABLE_HGNN_ID:
    case TABLE_ITEM_ID:
    case TABLE_NO_Z_ITEM_ID: return trained_rows(s, need, keys, n, out);
    case TABLE_Z: {
        err_code rc = open_z(s);
        return rc == ERR_OK ? pick_rows(s, keys, n, need->dim, s->z.data, out) : rc;
    }
    default:
        log_user_error("this slot needs rows of %s, which only a running job has",
                       table_name(need->table));
        return ERR_NOT_FOUND;
    }
}

static err_code answer_rows(replay_source *s, const worker_need *need, blob **out)
{
    const uint64_t *keys = (const uint64_t *)(const void *)blob_data(need->body);
    size_t n = blob_size(need->body) / sizeof *keys;
    blob *b = blob_new(n * need->dim * sizeof(float));
    if (!b) return ERR_NO_MEMORY;
    err_code rc = fill_rows(s, need, keys, n, (float *)(void *)blob_writable(b));
    if (rc != ERR_OK) {
        blob_unref(b);
        return rc;
    }
    *out = b;
    return ERR_OK;
}

err_code replay_source_answer(replay_source *s, const worker_need *need, blob **out)
{
    switch (need->kind) {
    case NEED_FEATURES: return features_answer(s->env, need->body, out);
    case NEED_DENSE: return answer_dense(s, need, out);
    case NEED_ROWS: return answer_rows(s, need, out);
    }
    return ERR_INVALID;
}
