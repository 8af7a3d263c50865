#include "common/feature_row.h"
#include "common/mem.h"
#include "common/panic.h"
#include "common/rng.h"
#include "common/table_id.h"
#include "worker/log_q.h"
#include "worker/slot_work.h"

#include <stdlib.h>
#include <string.h>

/* A two_tower_batch with the arrays it points to.  Its unique items are the chunk's nodes, those
 * that occur as item rows first. */
typedef struct assembled {
    two_tower_batch batch;
    uint32_t *node, *type, *place; /* [unique]; place: row of a node index of the chunk */
    uint32_t *index;               /* [unique] task index */
    float *z, *id, *log_q;
    uint16_t *text;
    uint32_t *positives, *attribute, *history, *item;
    uint64_t *history_indptr;
} assembled;

static void assembled_fini(assembled *a)
{
    free(a->node);
    free(a->type);
    free(a->place);
    free(a->index);
    free(a->z);
    free(a->id);
    free(a->log_q);
    free(a->text);
    free(a->positives);
    free(a->attribute);
    free(a->history);
    free(a->history_indptr);
    free(a->item);
}

static const model_spec *spec_of(const task *t)
{
    if (t->name.stage == STAGE_VECTORS)
        return t->name.step <= 2 ? t->job->two_tower : t->job->two_tower_no_z;
    return job_spec(t->job, t->name.stage);
}

static two_tower *model_of(slot_models *m, const task *t)
{
    return spec_of(t) == t->job->two_tower ? m->two_tower : m->two_tower_no_z;
}

/* Orders the nodes: targets (is_target[i] != 0) first, both parts ascending. */
static err_code order_nodes(assembled *a, const task *t, const uint32_t *node, uint32_t n,
                            const uint8_t *is_target)
{
    a->node = try_malloc(n, sizeof *a->node);
    a->type = try_malloc(n, sizeof *a->type);
    a->place = try_malloc(n, sizeof *a->place);
    a->index = try_malloc(n, sizeof *a->index);
    if (!a->node || !a->type || !a->place || !a->index) return ERR_NO_MEMORY;
    uint32_t row = 0;
    for (int pass = 1; pass >= 0; pass--) {
        for (uint32_t i = 0; i < n; i++) {
            if ((is_target[i] != 0) != pass) continue;
            a->node[row] = node[i];
            a->type[row] = manifest_type_of(t->job->manifest, node[i]);
            a->index[row] = task_index(t, node[i]);
            a->place[i] = row++;
        }
        if (pass) a->batch.targets = row;
    }
    a->batch.unique = n;
    a->batch.node = a->node;
    a->batch.type = a->type;
    return ERR_OK;
}

static err_code gather_text(assembled *a, const task *t, const model_spec *s)
{
    uint32_t d = t->layout->text_dim;
    bool used = !s->use_z || s->item_text || s->skip_text;
    uint32_t rows = s->use_z && !s->skip_text ? a->batch.targets : a->batch.unique;
    if (!used || !d) return ERR_OK;
    a->text = try_aligned((size_t)rows * d, sizeof *a->text);
    if (!a->text) return ERR_NO_MEMORY;
    for (uint32_t i = 0; i < rows; i++)
        memcpy(a->text + (size_t)i * d, task_channels(t, a->index[i]), d * sizeof *a->text);
    a->batch.text = a->text;
    return ERR_OK;
}

static err_code gather_z(assembled *a, const task *t, const model_spec *s)
{
    if (!s->use_z) return ERR_OK;
    size_t d = s->v_dim;
    a->z = try_aligned(a->batch.unique * d, sizeof *a->z);
    if (!a->z) return ERR_NO_MEMORY;
    for (uint32_t i = 0; i < a->batch.unique; i++)
        memcpy(a->z + i * d, t->z + a->index[i] * d, d * sizeof *a->z);
    a->batch.z = a->z;
    return ERR_OK;
}

static bool is_trained(const task *t, uint32_t index)
{
    return feature_is_trained(task_positives(t, index));
}

static err_code gather_ids(assembled *a, const task *t, const worker_task *w)
{
    if (t->rows_need == UINT32_MAX) return ERR_OK;
    size_t d = t->rows_dim;
    const float *rows = slot_reply(w, t->rows_need, t->nodes * d);
    if (!rows) return ERR_INVALID;
    uint32_t *place = try_malloc(t->nodes, sizeof *place);
    a->id = try_aligned(a->batch.unique * d, sizeof *a->id);
    if (!place || !a->id) {
        free(place);
        return ERR_NO_MEMORY;
    }
    for (uint32_t i = 0; i < t->nodes; i++) place[t->by_key[i]] = i;
    for (uint32_t i = 0; i < a->batch.unique; i++) {
        float *to = a->id + i * d;
        if (is_trained(t, a->index[i])) {
            memcpy(to, rows + place[a->index[i]] * d, d * sizeof *to);
        } else {
            memset(to, 0, d * sizeof *to);
        }
    }
    free(place);
    a->batch.id = a->id;
    return ERR_OK;
}

static err_code gather_positives(assembled *a, const task *t)
{
    a->positives = try_malloc((size_t)a->batch.targets + 1, sizeof *a->positives);
    if (!a->positives) return ERR_NO_MEMORY;
    for (uint32_t i = 0; i < a->batch.targets; i++)
        a->positives[i] = task_positives(t, a->index[i]);
    a->batch.positives = a->positives;
    return ERR_OK;
}

static err_code gather_attributes(assembled *a, const task *t)
{
    uint32_t n = t->layout->attributes;
    if (!n || !a->batch.targets) return ERR_OK;
    a->attribute = try_malloc((size_t)a->batch.targets * n, sizeof *a->attribute);
    if (!a->attribute) return ERR_NO_MEMORY;
    for (uint32_t i = 0; i < a->batch.targets; i++)
        memcpy(a->attribute + (size_t)i * n, task_attributes(t, a->index[i]), n * sizeof(uint32_t));
    a->batch.item_attribute = a->attribute;
    return ERR_OK;
}

static err_code assemble_items(assembled *a, const task *t, const worker_task *w,
                               const uint32_t *node, uint32_t n, const uint8_t *is_target)
{
    const model_spec *s = spec_of(t);
    err_code rc = order_nodes(a, t, node, n, is_target);
    if (rc == ERR_OK) rc = gather_text(a, t, s);
    if (rc == ERR_OK) rc = gather_z(a, t, s);
    if (rc == ERR_OK) rc = gather_ids(a, t, w);
    if (rc == ERR_OK) rc = gather_positives(a, t);
    if (rc == ERR_OK) rc = gather_attributes(a, t);
    return rc;
}

/* Histories as unique rows; those of rows for which drop[row] is set are left out (NULL: none). */
static err_code assemble_users(assembled *a, const microbatch_tower *c, const uint8_t *drop)
{
    a->history = try_malloc(c->history_indptr[c->rows], sizeof *a->history);
    a->history_indptr = try_calloc((size_t)c->rows + 1, sizeof *a->history_indptr);
    if (!a->history || !a->history_indptr) return ERR_NO_MEMORY;
    uint64_t n = 0;
    for (uint32_t u = 0; u < c->rows; u++) {
        for (uint64_t i = c->history_indptr[u]; i < c->history_indptr[u + 1]; i++) {
            if (!drop || !drop[u]) a->history[n++] = a->place[c->history[i]];
        }
        a->history_indptr[u + 1] = n;
    }
    a->batch.users = c->rows;
    a->batch.history_indptr = a->history_indptr;
    a->batch.history = a->history;
    a->batch.user_attribute = c->attribute;
    a->batch.user_dense = c->vector;
    return ERR_OK;
}

static uint64_t chunk_key(const task *t, uint32_t chunk, rng_use use)
{
    slot_name name = t->name;
    return rng_key(t->job->config->seed, name.stage, name.epoch, name.step,
                   (uint64_t)name.slot * MICROBATCH_CHUNKS_MAX + chunk, use);
}

/* Which rows are trained as users without a history, who are to be recommended to as well. */
static uint8_t *draw_drops(const task *t, uint32_t chunk, uint32_t rows)
{
    uint8_t *drop = try_calloc(rows, 1);
    float chance = (float)t->job->config->two_tower.history_drop;
    uint64_t key = chunk_key(t, chunk, USE_HISTORY_DROP);
    for (uint32_t u = 0; drop && u < rows; u++) drop[u] = rng_unit(key, u, 0) < chance;
    return drop;
}

static err_code assemble_log_q(assembled *a, const task *t, const microbatch_tower *c)
{
    const manifest *m = t->job->manifest;
    uint32_t types = (uint32_t)m->types.n, items = a->batch.items;
    uint32_t positives[CONFIG_TYPES_MAX] = {0}, uniform[CONFIG_TYPES_MAX] = {0};
    uint32_t catalogue[CONFIG_TYPES_MAX];
    uint64_t train[CONFIG_TYPES_MAX];
    bool target[CONFIG_TYPES_MAX];
    err_code rc = manifest_target_types(m, t->job->config, target);
    if (rc != ERR_OK) return rc;
    for (uint32_t i = 0; i < c->rows; i++) positives[a->type[a->item[i]]]++;
    for (uint32_t i = 0; i < c->negatives; i++) uniform[a->type[a->place[c->negative[i]]]]++;
    for (uint32_t k = 0; k < types; k++) {
        train[k] = target[k] ? m->type_positives[k] : 0;
        catalogue[k] = manifest_type_begin(m, k + 1) - manifest_type_begin(m, k);
    }
    log_q_input in = {.types = types,
                      .all = t->job->config->two_tower.negatives_all,
                      .positives = positives,
                      .uniform = uniform,
                      .train = train,
                      .catalogue = catalogue};
    a->log_q = try_malloc(items, sizeof *a->log_q);
    for (uint32_t i = 0; a->log_q && i < items; i++) {
        uint32_t row = a->item[i];
        a->log_q[i] = log_q_of(&in, a->type[row], task_positives(t, a->index[row]));
    }
    a->batch.log_q = a->log_q;
    return a->log_q ? ERR_OK : ERR_NO_MEMORY;
}

static err_code assemble_training(assembled *a, const task *t, const microbatch_tower *c,
                                  uint32_t chunk)
{
    uint32_t n = c->rows;
    a->item = try_malloc((size_t)c->rows + c->negatives, sizeof *a->item);
    if (!a->item) return ERR_NO_MEMORY;
    for (uint32_t i = 0; i < c->rows; i++) a->item[i] = a->place[c->target[c->target_indptr[i]]];
    for (uint32_t i = 0; i < c->negatives; i++) {
        uint32_t row = a->place[c->negative[i]];
        if (is_trained(t, a->index[row])) a->item[n++] = row;
    }
    a->batch.items = n;
    a->batch.item = a->item;
    a->batch.weight = c->weight;
    a->batch.training = true;
    a->batch.id_drop_key = chunk_key(t, chunk, USE_ID_DROP);
    a->batch.dropout_key = chunk_key(t, chunk, USE_DROPOUT);
    return assemble_log_q(a, t, c);
}

static uint8_t *mark_targets(const task *t, const microbatch_tower *c)
{
    uint8_t *is_target = try_calloc(c->nodes, 1);
    if (!is_target) return NULL;
    for (uint32_t i = 0; i < c->rows; i++) is_target[c->target[c->target_indptr[i]]] = 1;
    for (uint32_t i = 0; i < c->negatives; i++) {
        uint32_t node = c->node[c->negative[i]];
        if (is_trained(t, task_index(t, node))) is_target[c->negative[i]] = 1;
    }
    return is_target;
}

static void add_id_gradient(const task *t, const assembled *a, const float *did, float *rows)
{
    size_t d = t->rows_dim;
    for (uint32_t i = 0; i < a->batch.unique; i++) {
        float *to = rows + a->index[i] * d;
        if (!is_trained(t, a->index[i])) continue;
        for (size_t k = 0; k < d; k++) to[k] += did[i * d + k];
    }
}

err_code tower_work_chunk(slot_models *m, const task *t, const worker_task *w, uint32_t chunk,
                          chunk_gradient *out)
{
    const microbatch_tower *c = &t->batch->tower[chunk];
    const float *params = slot_dense(t, w, spec_of(t));
    if (!params) return ERR_INVALID;
    assembled a = {0};
    double weight = 0;
    float *did = NULL;
    uint8_t *is_target = mark_targets(t, c);
    uint8_t *drop = draw_drops(t, chunk, c->rows);
    err_code rc =
        is_target && drop ? assemble_items(&a, t, w, c->node, c->nodes, is_target) : ERR_NO_MEMORY;
    if (rc == ERR_OK) rc = assemble_users(&a, c, drop);
    if (rc == ERR_OK) rc = assemble_training(&a, t, c, chunk);
    if (rc == ERR_OK && out->rows) {
        did = try_malloc((size_t)a.batch.unique * t->rows_dim, sizeof *did);
        if (!did) rc = ERR_NO_MEMORY;
    }
    if (rc == ERR_OK)
        rc =
            two_tower_train(model_of(m, t), params, &a.batch, out->dense, did, &out->loss, &weight);
    if (rc == ERR_OK && did) add_id_gradient(t, &a, did, out->rows);
    out->examples = c->rows;
    free(did);
    free(drop);
    free(is_target);
    assembled_fini(&a);
    return rc;
}

err_code tower_work_users(slot_models *m, const task *t, const worker_task *w, float **out)
{
    const microbatch_tower *c = &t->batch->tower[0];
    const model_spec *s = spec_of(t);
    const float *params = slot_dense(t, w, s), *users;
    if (!params) return ERR_INVALID;
    assembled a = {0};
    uint8_t *is_target = try_calloc(c->nodes + 1, 1); /* none: no item input is needed */
    size_t floats = (size_t)c->rows * s->output_dim;
    *out = NULL;
    err_code rc =
        is_target ? assemble_items(&a, t, w, c->node, c->nodes, is_target) : ERR_NO_MEMORY;
    if (rc == ERR_OK) rc = assemble_users(&a, c, NULL);
    if (rc == ERR_OK) rc = two_tower_users(model_of(m, t), params, &a.batch, &users);
    if (rc == ERR_OK) {
        *out = try_malloc(floats, sizeof **out);
        if (!*out) rc = ERR_NO_MEMORY;
    }
    if (rc == ERR_OK) memcpy(*out, users, floats * sizeof **out);
    free(is_target);
    assembled_fini(&a);
    return rc;
}

static err_code item_vectors(slot_models *m, const task *t, const worker_task *w, slot_result *out,
                             uint32_t table, uint32_t dim)
{
    const float *params = slot_dense(t, w, spec_of(t)), *items;
    if (!params) return ERR_INVALID;
    uint32_t n = t->batch->count;
    assembled a = {0};
    uint8_t *is_target = try_malloc(n, 1);
    uint32_t *node = try_malloc(n, sizeof *node);
    uint64_t *keys = try_malloc(n, sizeof *keys);
    float *rows = try_malloc((size_t)n * dim, sizeof *rows);
    err_code rc = is_target && node && keys && rows ? ERR_OK : ERR_NO_MEMORY;
    for (uint32_t i = 0; rc == ERR_OK && i < n; i++) {
        is_target[i] = 1;
        node[i] = t->batch->first + i;
    }
    if (rc == ERR_OK) rc = assemble_items(&a, t, w, node, n, is_target);
    if (rc == ERR_OK) rc = two_tower_items(model_of(m, t), params, &a.batch, &items);
    if (rc == ERR_OK) {
        memcpy(rows, items, (size_t)n * dim * sizeof *rows);
        for (uint32_t i = 0; i < n; i++) keys[i] = task_key(t, a.index[i]);
        rc = slot_put_rows(out, table, dim, keys, rows, n);
        keys = NULL;
        rows = NULL;
    }
    free(keys);
    free(rows);
    free(node);
    free(is_target);
    assembled_fini(&a);
    return rc;
}

static err_code user_vectors(slot_models *m, const task *t, const worker_task *w, slot_result *out,
                             uint32_t table, uint32_t dim)
{
    const microbatch_tower *c = &t->batch->tower[0];
    float *rows;
    err_code rc = tower_work_users(m, t, w, &rows);
    if (rc != ERR_OK) return rc;
    uint64_t *keys = try_malloc(c->rows, sizeof *keys);
    if (!keys) {
        free(rows);
        return ERR_NO_MEMORY;
    }
    for (uint32_t i = 0; i < c->rows; i++) keys[i] = c->user[i];
    return slot_put_rows(out, table, dim, keys, rows, c->rows);
}

err_code tower_work_vectors(slot_models *m, const task *t, const worker_task *w, slot_result *out)
{
    uint32_t table = table_of_step(t->job->config, t->name.stage, t->name.step);
    uint32_t dim = table_dim(t->job->config, table);
    ASSERT(dim == spec_of(t)->output_dim);
    if (t->batch->kind == MICROBATCH_ITEMS) return item_vectors(m, t, w, out, table, dim);
    return user_vectors(m, t, w, out, table, dim);
}
