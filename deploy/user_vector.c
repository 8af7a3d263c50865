#include "deploy/user_vector.h"

#include "common/blas.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/model_spec.h"
#include "worker/two_tower.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* The model of an export. */
typedef struct exported_model {
    const result_folder *folder;
    json_t *types, *attributes; /* what facts point into, owned */
    const char *type[CONFIG_TYPES_MAX];
    model_attribute *user_attribute, *item_attribute;
    model_facts facts;
    model_spec *spec;
    float *params; /* [spec->values] */
} exported_model;

static void exported_close(exported_model *m)
{
    json_decref(m->types);
    json_decref(m->attributes);
    free(m->user_attribute);
    free(m->item_attribute);
    model_spec_free(m->spec);
    free(m->params);
}

static err_code unfit(const exported_model *m, const char *what)
{
    log_user_error("%s/model.safetensors: %s: does not fit", m->folder->dir, what);
    return ERR_MISMATCH;
}

static json_t *metadata(const exported_model *m, const char *key)
{
    const char *text = safetensors_metadata(m->folder->model, key);
    return text ? json_loads(text, 0, NULL) : NULL;
}

static model_attribute *read_attributes(json_t *side, uint32_t *n)
{
    const char *key;
    json_t *values;
    *n = 0;
    model_attribute *out = xcalloc(json_object_size(side) + 1, sizeof *out);
    json_object_foreach(side, key, values)
    {
        out[(*n)++] = (model_attribute){key, (uint32_t)json_array_size(values)};
    }
    return out;
}

static err_code read_facts(exported_model *m)
{
    model_facts *f = &m->facts;
    const safetensors_tensor *mean = safetensors_find(m->folder->model, "text.mean");
    m->types = metadata(m, "types");
    m->attributes = metadata(m, "attributes");
    size_t n = json_array_size(m->types);
    if (n == 0 || n > CONFIG_TYPES_MAX) return unfit(m, "types");
    for (size_t t = 0; t < n; t++) {
        m->type[t] = json_string_value(json_array_get(m->types, t));
        if (!m->type[t]) return unfit(m, "types");
    }
    if (!json_is_object(m->attributes)) return unfit(m, "attributes");
    m->user_attribute =
        read_attributes(json_object_get(m->attributes, "user"), &f->user_attributes);
    m->item_attribute =
        read_attributes(json_object_get(m->attributes, "item"), &f->item_attributes);
    f->user_attribute = m->user_attribute;
    f->item_attribute = m->item_attribute;
    f->types = (uint32_t)n;
    f->type = m->type;
    f->text_dim = mean ? (uint32_t)mean->shape[0] : 0;
    return ERR_OK;
}

/* The width of the first layer tells how long a user's dense vector is. */
static err_code make_spec(exported_model *m)
{
    const config *c = m->folder->config;
    const safetensors_tensor *first = safetensors_find(m->folder->model, "two_tower.user.1.w");
    m->spec = model_spec_new(c, &m->facts, STAGE_TWO_TOWER);
    if (!first || first->dims != 2 || first->shape[1] < m->spec->user_dim) {
        return unfit(m, "two_tower.user.1.w");
    }
    if (first->shape[1] > m->spec->user_dim) {
        m->facts.user_dense_dim = (uint32_t)(first->shape[1] - m->spec->user_dim);
        model_spec_free(m->spec);
        m->spec = model_spec_new(c, &m->facts, STAGE_TWO_TOWER);
    }
    if (m->spec->output_dim != m->folder->dim) return unfit(m, "the width of users.npy");
    return ERR_OK;
}

static bool has_shape(const safetensors_tensor *t, const model_tensor *m)
{
    if (!t || t->type != SAFETENSORS_F32 || t->dims != m->rank) return false;
    if (m->rank == 1) return t->shape[0] == m->n;
    return t->shape[0] == m->rows && t->shape[1] == m->cols;
}

static err_code read_params(exported_model *m)
{
    m->params = try_malloc(m->spec->values, sizeof *m->params);
    if (!m->params) return ERR_NO_MEMORY;
    for (size_t i = 0; i < m->spec->tensors; i++) {
        const model_tensor *want = &m->spec->tensor[i];
        const safetensors_tensor *t = safetensors_find(m->folder->model, want->name);
        if (!has_shape(t, want)) return unfit(m, want->name);
        memcpy(m->params + want->offset, t->data, want->n * sizeof *m->params);
    }
    return ERR_OK;
}

static err_code exported_open(exported_model *m, const result_folder *folder)
{
    *m = (exported_model){.folder = folder};
    err_code rc = read_facts(m);
    if (rc == ERR_OK) rc = make_spec(m);
    if (rc == ERR_OK && !m->spec->use_z) {
        log_user_error("%s: a history's vector needs the items' texts, which an export does not "
                       "hold (two_tower.use_z: false)",
                       folder->dir);
        return ERR_INVALID;
    }
    if (rc == ERR_OK && m->spec->z_dim != folder->z_dim) {
        rc = unfit(m, "the width of item_embeddings.npy");
    }
    return rc == ERR_OK ? read_params(m) : rc;
}

/* ---- The history ---- */

/* Arrays of a batch with one user. */
typedef struct one_user {
    uint32_t n;
    uint32_t *row, *type, *index;
    float *z, *id, *dense;
    uint16_t *text; /* NULL: not used */
    uint32_t *attribute;
    uint64_t indptr[2];
} one_user;

static void one_user_fini(one_user *u)
{
    free(u->row);
    free(u->type);
    free(u->index);
    free(u->z);
    free(u->id);
    free(u->dense);
    free(u->text);
    free(u->attribute);
}

static bool is_history_type(const config *c, const char *type)
{
    for (size_t i = 0; i < c->history.types.n; i++) {
        if (strcmp(c->history.types.items[i], type) == 0) return true;
    }
    return c->history.types.n == 0;
}

static err_code choose_rows(const exported_model *m, const uint32_t *history, size_t n, one_user *u)
{
    const result_folder *r = m->folder;
    const uint32_t most = r->config->history.max_items ? r->config->history.max_items : UINT32_MAX;
    for (size_t i = 0; i < n; i++) {
        const char *type = r->item_type[history[i]];
        uint32_t t = 0;
        while (t < m->facts.types && strcmp(m->type[t], type) != 0) t++;
        if (t == m->facts.types) return unfit(m, type);
        if (!is_history_type(r->config, type)) continue;
        u->row[u->n] = history[i];
        u->type[u->n++] = t;
    }
    if (u->n > most) {
        memmove(u->row, u->row + (u->n - most), most * sizeof *u->row);
        memmove(u->type, u->type + (u->n - most), most * sizeof *u->type);
        u->n = most;
    }
    return ERR_OK;
}

static err_code gather(const exported_model *m, one_user *u)
{
    const uint32_t z_dim = m->spec->z_dim, id_dim = m->folder->config->two_tower.item_id;
    const safetensors_tensor *ids = safetensors_find(m->folder->model, "two_tower.item_id");
    if (id_dim && (!ids || ids->type != SAFETENSORS_F32 || ids->shape[1] != id_dim)) {
        return unfit(m, "two_tower.item_id");
    }
    u->z = xcalloc((size_t)u->n * z_dim + 1, sizeof *u->z);
    u->id = xcalloc((size_t)u->n * id_dim + 1, sizeof *u->id);
    for (uint32_t i = 0; i < u->n; i++) {
        u->index[i] = i;
        memcpy(u->z + (size_t)i * z_dim, result_folder_z(m->folder, u->row[i]),
               z_dim * sizeof *u->z);
        if (!id_dim) continue;
        memcpy(u->id + (size_t)i * id_dim, (const float *)ids->data + (size_t)u->row[i] * id_dim,
               id_dim * sizeof *u->id);
    }
    return ERR_OK;
}

static err_code gather_text(const exported_model *m, one_user *u)
{
    const size_t d = m->facts.text_dim;
    if (!m->spec->skip_text || !d) return ERR_OK;
    const safetensors_tensor *t = safetensors_find(m->folder->model, "text.vectors");
    if (!t || t->type != SAFETENSORS_F16 || t->dims != 2 || t->shape[0] != m->folder->items ||
        t->shape[1] != d) {
        return unfit(m, "text.vectors");
    }
    u->text = xcalloc(u->n * d + 1, sizeof *u->text);
    for (uint32_t i = 0; i < u->n; i++) {
        memcpy(u->text + i * d, (const uint16_t *)t->data + u->row[i] * d, d * sizeof *u->text);
    }
    return ERR_OK;
}

static err_code one_user_init(const exported_model *m, const uint32_t *history, size_t n,
                              one_user *u)
{
    *u = (one_user){.row = xcalloc(n + 1, sizeof *u->row),
                    .type = xcalloc(n + 1, sizeof *u->type),
                    .index = xcalloc(n + 1, sizeof *u->index),
                    .dense = xcalloc((size_t)m->facts.user_dense_dim + 1, sizeof *u->dense),
                    .attribute = xcalloc((size_t)m->facts.user_attributes + 1, sizeof(uint32_t))};
    err_code rc = choose_rows(m, history, n, u);
    if (rc == ERR_OK) rc = gather(m, u);
    if (rc == ERR_OK) rc = gather_text(m, u);
    u->indptr[1] = u->n;
    return rc;
}

static err_code run_tower(const exported_model *m, const one_user *u, float *out)
{
    const float *vector;
    two_tower_batch b = {.unique = u->n,
                         .node = u->row,
                         .type = u->type,
                         .z = u->z,
                         .text = u->text,
                         .id = u->id,
                         .users = 1,
                         .history_indptr = u->indptr,
                         .history = u->index,
                         .user_attribute = u->attribute,
                         .user_dense = u->dense};
    blas_start();
    two_tower *tower = two_tower_new(m->folder->config, &m->facts, m->spec);
    err_code rc = two_tower_users(tower, m->params, &b, &vector);
    if (rc == ERR_OK) memcpy(out, vector, m->folder->dim * sizeof *out);
    two_tower_free(tower);
    return rc;
}

err_code user_vector_compute(const result_folder *folder, const uint32_t *history, size_t n,
                             float *out)
{
    exported_model m;
    one_user u = {0};
    err_code rc = exported_open(&m, folder);
    if (rc == ERR_OK) rc = one_user_init(&m, history, n, &u);
    if (rc == ERR_OK) rc = run_tower(&m, &u, out);
    one_user_fini(&u);
    exported_close(&m);
    return rc;
}
