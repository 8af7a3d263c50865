#include "common/hash.h"
#include "common/mem.h"
#include "common/panic.h"
#include "ps/stage_past.h"
#include "ps/stage_tables_state.h"

#include <stdlib.h>
#include <string.h>

bool stage_tables_walk(const stage_tables *t, block_walk *w)
{
    w->at += w->n;
    for (; w->next < w->blocks; w->next++) {
        if (table_block_server(&t->map, t->stage, w->next) != t->server) continue;
        w->block = w->next++;
        w->offset = (size_t)w->block * DENSE_BLOCK_FLOATS;
        w->n = table_block_floats(t->floats, w->block);
        return true;
    }
    return false;
}

static void dense_start(stage_tables *t)
{
    t->floats = t->model->dense_floats(t->model->ctx, t->stage);
    t->own = table_server_floats(&t->map, t->stage, t->floats, t->server);
    if (!t->own) return;
    t->dense_state = t->model->dense_state(t->model->ctx, t->stage);
    t->dense = blob_new(t->own * sizeof(float));
    ASSERT(t->dense);
    float *w = (float *)(void *)blob_writable(t->dense);
    block_walk walk = stage_tables_blocks(t);
    while (stage_tables_walk(t, &walk))
        t->model->init_dense(t->model->ctx, t->stage, walk.offset, walk.n, w + walk.at);
    t->state = xcalloc(t->own * t->dense_state + 1, sizeof *t->state);
    t->sum = xcalloc(t->own, sizeof *t->sum);
}

stage_tables *stage_tables_new(const shard_model *model, const shard_map *map, uint32_t server,
                               uint32_t stage, const core_mutations *mutations)
{
    stage_tables *t = xcalloc(1, sizeof *t);
    t->model = model;
    t->map = *map;
    t->mutations = mutations;
    t->server = server;
    t->stage = stage;
    dense_start(t);
    t->tables = model->tables(model->ctx, stage, t->spec);
    ASSERT(t->tables <= SHARD_TABLES_MAX);
    for (uint32_t i = 0; i < t->tables; i++) {
        if (!t->spec[i].is_put) t->rows[i] = row_store_new(t->spec[i].dim, t->spec[i].state);
    }
    return t;
}

void stage_tables_free(stage_tables *t)
{
    if (!t) return;
    stage_past_clear(t);
    applied_set_clear(&t->applied);
    for (uint32_t i = 0; i < t->tables; i++) {
        row_store_free(t->rows[i]);
        row_store_free(t->best[i]);
    }
    blob_unref(t->dense);
    blob_unref(t->best_dense);
    free(t->state);
    free(t->sum);
    free(t);
}

uint32_t stage_tables_index(const stage_tables *t, uint32_t id)
{
    for (uint32_t i = 0; i < t->tables; i++) {
        if (t->spec[i].id == id) return i;
    }
    return UINT32_MAX;
}

const char *stage_tables_check(const stage_tables *t, const push_view *v, bool is_put)
{
    size_t want = is_put || v->head.is_void ? 0 : t->own;
    if (v->head.dense_floats != want) return "another number of dense parameters";
    for (uint32_t k = 0; k < v->head.sections; k++) {
        uint32_t i = stage_tables_index(t, v->section[k].table);
        if (i == UINT32_MAX) return "a table that the stage does not have";
        if (t->spec[i].dim != v->section[k].dim) return "rows of another width";
        if (t->spec[i].is_put != is_put) return "a put into a trained table, or a push into a put";
    }
    return NULL;
}

static uint64_t divisor(const stage_tables *t, const push_view *slot, uint32_t n)
{
    uint64_t examples = 0;
    for (uint32_t j = 0; j < n; j++) examples += slot[j].head.examples;
    if (examples && !core_rule(t->mutations, CORE_RULE_EXAMPLES)) return 1;
    return examples;
}

static void train_dense(stage_tables *t, shard_update u, const push_view *slot, uint32_t n,
                        float by)
{
    memset(t->sum, 0, t->own * sizeof *t->sum);
    for (uint32_t j = 0; j < n; j++) {
        if (!slot[j].head.dense_floats) continue;
        for (size_t k = 0; k < t->own; k++) t->sum[k] += slot[j].dense[k];
    }
    for (size_t k = 0; k < t->own; k++) t->sum[k] /= by;
    blob *next = blob_new(t->own * sizeof(float));
    ASSERT(next);
    float *w = (float *)(void *)blob_writable(next);
    const float *old = (const float *)(const void *)blob_data(t->dense);
    block_walk b = stage_tables_blocks(t);
    while (stage_tables_walk(t, &b))
        t->model->apply_dense(t->model->ctx, t->stage, u, b.offset, b.n, w + b.at, old + b.at,
                              t->state + b.at * t->dense_state, t->sum + b.at);
    blob_unref(t->dense);
    t->dense = next;
}

/* A merge of the slots' sections of one table: keys ascending, each key's rows in slot order. */
typedef struct merge {
    uint32_t n;
    const push_section **section; /* [n] */
    uint32_t *at;                 /* [n] next row of each */
} merge;

static void merge_open(merge *m, const push_view *slot, uint32_t n, uint32_t table)
{
    m->n = 0;
    m->section = xcalloc(n + 1, sizeof *m->section);
    m->at = xcalloc(n + 1, sizeof *m->at);
    for (uint32_t j = 0; j < n; j++) {
        for (uint32_t k = 0; k < slot[j].head.sections; k++) {
            const push_section *x = &slot[j].section[k];
            if (x->table == table) m->section[m->n++] = x;
        }
    }
}

static void merge_close(merge *m)
{
    free(m->section);
    free(m->at);
}

static bool merge_key(const merge *m, uint64_t *key)
{
    bool any = false;
    for (uint32_t j = 0; j < m->n; j++) {
        if (m->at[j] == m->section[j]->n) continue;
        uint64_t k = m->section[j]->keys[m->at[j]];
        if (!any || k < *key) *key = k;
        any = true;
    }
    return any;
}

/* g [dim] overwritten with the sum of `key`'s rows; moves on. */
static void merge_sum(merge *m, uint64_t key, float *g, uint32_t dim)
{
    memset(g, 0, dim * sizeof *g);
    for (uint32_t j = 0; j < m->n; j++) {
        const push_section *x = m->section[j];
        if (m->at[j] == x->n || x->keys[m->at[j]] != key) continue;
        const float *row = x->rows + (size_t)m->at[j]++ * dim;
        for (uint32_t d = 0; d < dim; d++) g[d] += row[d];
    }
}

float *stage_tables_row_for(stage_tables *t, uint32_t i, uint64_t key)
{
    float *row = row_store_find(t->rows[i], key);
    if (row) return row;
    row = row_store_add(t->rows[i], key);
    t->model->init_row(t->model->ctx, t->stage, t->spec[i].id, key, row);
    return row;
}

static void train_rows(stage_tables *t, shard_update u, uint32_t i, const push_view *slot,
                       uint32_t n, float by)
{
    uint32_t dim = t->spec[i].dim;
    float *g = xmalloc(dim * sizeof *g);
    merge m;
    merge_open(&m, slot, n, t->spec[i].id);
    uint64_t key = 0;
    while (merge_key(&m, &key)) {
        merge_sum(&m, key, g, dim);
        for (uint32_t d = 0; d < dim; d++) g[d] /= by;
        float *row = stage_tables_row_for(t, i, key);
        stage_past_keep_row(t, i, key, row);
        t->model->apply_row(t->model->ctx, t->stage, u, t->spec[i].id, key, row, row + dim, g);
    }
    merge_close(&m);
    free(g);
}

void stage_tables_train(stage_tables *t, uint32_t step, uint32_t version, const push_view *slot,
                        uint32_t n)
{
    uint64_t examples = divisor(t, slot, n);
    if (!examples) return;
    shard_update u = {.step = step, .number = step, .lr_scale = 1};
    stage_past_begin(t);
    if (t->own) train_dense(t, u, slot, n, (float)examples);
    for (uint32_t i = 0; i < t->tables; i++) {
        if (!t->spec[i].is_put) train_rows(t, u, i, slot, n, (float)examples);
    }
    stage_past_end(t, version);
}

static bool names_table(const push_view *slot, uint32_t n, uint32_t table)
{
    for (uint32_t j = 0; j < n; j++) {
        for (uint32_t k = 0; k < slot[j].head.sections; k++) {
            if (slot[j].section[k].table == table) return true;
        }
    }
    return false;
}

static void put_section(row_store *rows, const push_section *x)
{
    for (uint32_t i = 0; i < x->n; i++) {
        float *row = row_store_find(rows, x->keys[i]);
        if (!row) row = row_store_add(rows, x->keys[i]);
        memcpy(row, x->rows + (size_t)i * x->dim, x->dim * sizeof *row);
    }
}

void stage_tables_put(stage_tables *t, const push_view *slot, uint32_t n)
{
    for (uint32_t i = 0; i < t->tables; i++) {
        if (!t->spec[i].is_put || !names_table(slot, n, t->spec[i].id)) continue;
        row_store_free(t->rows[i]);
        t->rows[i] = row_store_new(t->spec[i].dim, 0);
        for (uint32_t j = 0; j < n; j++) {
            for (uint32_t k = 0; k < slot[j].head.sections; k++) {
                if (slot[j].section[k].table == t->spec[i].id)
                    put_section(t->rows[i], &slot[j].section[k]);
            }
        }
    }
}

void stage_tables_keep(stage_tables *t)
{
    blob_unref(t->best_dense);
    t->best_dense = blob_ref(t->dense);
    for (uint32_t i = 0; i < t->tables; i++) {
        if (t->spec[i].is_put) continue;
        row_store_free(t->best[i]);
        t->best[i] = row_store_copy(t->rows[i]);
    }
}

void stage_tables_finish(stage_tables *t)
{
    stage_past_clear(t);
    if (t->best_dense) {
        blob_unref(t->dense);
        t->dense = t->best_dense;
        t->best_dense = NULL;
    }
    for (uint32_t i = 0; i < t->tables; i++) {
        if (!t->best[i] && !t->spec[i].scratch) continue;
        row_store_free(t->rows[i]);
        t->rows[i] = t->best[i];
        t->best[i] = NULL;
    }
    free(t->state);
    free(t->sum);
    t->state = t->sum = NULL;
    t->finished = true;
}

blob *stage_tables_dense(const stage_tables *t)
{
    return t->dense;
}

bool stage_tables_is_trained(const stage_tables *t, uint32_t table)
{
    uint32_t i = stage_tables_index(t, table);
    if (t->finished) return false;
    return table == TABLE_DENSE || (i != UINT32_MAX && !t->spec[i].is_put);
}

bool stage_tables_has(const stage_tables *t, uint32_t table, uint32_t version)
{
    if (t->model->staleness.on_arrival || !stage_tables_is_trained(t, table)) return false;
    return stage_past_at(t, version) != UINT32_MAX;
}

blob *stage_tables_dense_at(const stage_tables *t, uint32_t version)
{
    uint32_t at = stage_past_at(t, version);
    return at < t->past_n ? t->past[at].dense : t->dense;
}

/* rows [n] of now become those of `version`. */
static void look_back(const stage_tables *t, uint32_t i, uint32_t version, const uint64_t *keys,
                      const float **rows, size_t n)
{
    uint32_t at = stage_past_at(t, version);
    if (t->spec[i].is_put || at >= t->past_n) return;
    for (size_t k = 0; k < n; k++) {
        const float *row = stage_past_row(t, i, at, keys[k]);
        if (row) rows[k] = row;
    }
}

static err_code fill_rows(stage_tables *t, uint32_t i, const uint64_t *keys, const float **rows,
                          size_t n, float *out, uint64_t *absent)
{
    const shard_table *spec = &t->spec[i];
    bool creates = !core_rule(t->mutations, CORE_RULE_READ_ONLY_PULL);
    for (size_t k = 0; k < n; k++, out += spec->dim) {
        if (!rows[k] && spec->is_put) {
            *absent = keys[k];
            return ERR_NOT_FOUND;
        }
        if (!rows[k] && creates) rows[k] = stage_tables_row_for(t, i, keys[k]);
        if (rows[k])
            memcpy(out, rows[k], spec->dim * sizeof *out);
        else
            t->model->init_row(t->model->ctx, t->stage, spec->id, keys[k], out);
    }
    return ERR_OK;
}

err_code stage_tables_rows(stage_tables *t, uint32_t table, uint32_t version, uint32_t dim,
                           const uint64_t *keys, size_t n, blob **out, uint64_t *absent)
{
    uint32_t i = stage_tables_index(t, table);
    *absent = 0;
    if (i == UINT32_MAX || !t->rows[i]) return ERR_NOT_FOUND;
    if (dim && dim != t->spec[i].dim) return ERR_MISMATCH;
    size_t bytes;
    if (!size_mul(n, t->spec[i].dim * sizeof(float), &bytes) || bytes > WIRE_BODY_MAX)
        return ERR_LIMIT;
    const float **rows = try_malloc(n + 1, sizeof *rows);
    blob *b = blob_new(bytes);
    err_code rc = rows && b ? ERR_OK : ERR_NO_MEMORY;
    if (rc == ERR_OK) {
        row_store_find_many(t->rows[i], keys, n, rows);
        look_back(t, i, version, keys, rows, n);
        rc = fill_rows(t, i, keys, rows, n, (float *)(void *)blob_writable(b), absent);
    }
    free(rows);
    if (rc == ERR_OK)
        *out = b;
    else
        blob_unref(b);
    return rc;
}

const float *stage_tables_row(const stage_tables *t, uint32_t table, uint64_t key)
{
    uint32_t i = stage_tables_index(t, table);
    return i == UINT32_MAX || !t->rows[i] ? NULL : row_store_find(t->rows[i], key);
}

uint64_t stage_tables_row_count(const stage_tables *t)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < t->tables; i++) n += t->rows[i] ? row_store_count(t->rows[i]) : 0;
    return n;
}

uint64_t stage_tables_bytes(const stage_tables *t)
{
    uint64_t n = blob_size(t->dense) + blob_size(t->best_dense) + stage_past_bytes(t);
    if (t->state) n += t->own * (t->dense_state + 1) * sizeof(float);
    for (uint32_t i = 0; i < t->tables; i++) {
        n += t->rows[i] ? row_store_bytes(t->rows[i]) : 0;
        n += t->best[i] ? row_store_bytes(t->best[i]) : 0;
    }
    return n;
}

uint64_t stage_tables_digest(const stage_tables *t)
{
    uint64_t h = hash64(blob_data(t->dense), blob_size(t->dense), t->stage);
    h = stage_past_digest(t, h);
    h = hash64(blob_data(t->best_dense), blob_size(t->best_dense), h);
    if (t->state) h = hash64(t->state, t->own * t->dense_state * sizeof(float), h);
    for (uint32_t i = 0; i < t->tables; i++) {
        uint64_t x[2] = {t->rows[i] ? row_store_digest(t->rows[i]) : 1,
                         t->best[i] ? row_store_digest(t->best[i]) : 1};
        h = hash64(x, sizeof x, h);
    }
    return h;
}
