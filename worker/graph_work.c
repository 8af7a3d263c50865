#include "common/feature_row.h"
#include "common/mem.h"
#include "common/table_id.h"
#include "worker/slot_work.h"

#include <stdlib.h>
#include <string.h>

/* h^0 or h^(k-1) of a chunk's rows, gathered by type. */
typedef struct gathered {
    hgnn_input in;
    void *block[CONFIG_TYPES_MAX * 2];
    uint32_t blocks;
} gathered;

static void gathered_fini(gathered *g)
{
    for (uint32_t i = 0; i < g->blocks; i++) free(g->block[i]);
}

static void *keep(gathered *g, void *p)
{
    g->block[g->blocks++] = p;
    return p;
}

static err_code gather_channels(gathered *g, const task *t, const subgraph *s)
{
    uint32_t d = t->layout->text_dim + t->layout->random;
    g->in.f16_dim = d;
    for (uint32_t type = 0; type < s->types && d; type++) {
        uint16_t *out = keep(g, try_aligned((size_t)s->rows[0][type] * d, sizeof *out));
        if (!out) return ERR_NO_MEMORY;
        for (uint32_t i = 0; i < s->rows[0][type]; i++) {
            uint32_t at = task_index(t, s->node[type][i]);
            memcpy(out + (size_t)i * d, task_channels(t, at), d * sizeof *out);
        }
        g->in.f16[type] = out;
    }
    return ERR_OK;
}

/* Where in the reply, which is by key, each node of the task has its row. */
static uint32_t *reply_places(const task *t)
{
    uint32_t *place = try_malloc(t->nodes, sizeof *place);
    for (uint32_t i = 0; place && i < t->nodes; i++) place[t->by_key[i]] = i;
    return place;
}

static err_code gather_rows_of(gathered *g, const task *t, const worker_task *w, const subgraph *s)
{
    size_t d = t->rows_dim;
    const float *rows = slot_reply(w, t->rows_need, (size_t)t->nodes * d);
    if (!rows) return ERR_INVALID;
    uint32_t *place = reply_places(t);
    if (!place) return ERR_NO_MEMORY;
    g->in.f32_dim = (uint32_t)d;
    err_code rc = ERR_OK;
    for (uint32_t type = 0; type < s->types && rc == ERR_OK; type++) {
        float *out = keep(g, try_aligned((size_t)s->rows[0][type] * d, sizeof *out));
        if (!out) {
            rc = ERR_NO_MEMORY;
            break;
        }
        for (uint32_t i = 0; i < s->rows[0][type]; i++) {
            uint32_t at = task_index(t, s->node[type][i]);
            memcpy(out + i * d, rows + place[at] * d, d * sizeof *out);
        }
        g->in.f32[type] = out;
    }
    free(place);
    return rc;
}

static err_code gather(gathered *g, const task *t, const worker_task *w, const subgraph *s,
                       bool channels)
{
    *g = (gathered){0};
    err_code rc = channels ? gather_channels(g, t, s) : ERR_OK;
    if (rc == ERR_OK && t->rows_need != UINT32_MAX) rc = gather_rows_of(g, t, w, s);
    return rc;
}

/* Adds the gradient of the id rows, which lies by type and row, to the task's rows by node. */
static void add_id_gradient(const task *t, const subgraph *s, float *const *dinput, float *rows)
{
    size_t d = t->rows_dim;
    for (uint32_t type = 0; type < s->types; type++) {
        for (uint32_t i = 0; i < s->rows[0][type]; i++) {
            float *to = rows + task_index(t, s->node[type][i]) * d;
            const float *from = dinput[type] + i * d;
            for (size_t k = 0; k < d; k++) to[k] += from[k];
        }
    }
}

static err_code backward(slot_models *m, const task *t, const float *params, const subgraph *s,
                         const gathered *g, chunk_gradient *out)
{
    if (!out->rows) return hgnn_backward(m->hgnn, params, s, &g->in, out->dense, NULL);
    float *dinput[CONFIG_TYPES_MAX] = {0};
    err_code rc = ERR_OK;
    for (uint32_t type = 0; type < s->types; type++) {
        dinput[type] = try_malloc((size_t)s->rows[0][type] * t->rows_dim, sizeof(float));
        if (!dinput[type]) rc = ERR_NO_MEMORY;
    }
    if (rc == ERR_OK) rc = hgnn_backward(m->hgnn, params, s, &g->in, out->dense, dinput);
    if (rc == ERR_OK) add_id_gradient(t, s, dinput, out->rows);
    for (uint32_t type = 0; type < s->types; type++) free(dinput[type]);
    return rc;
}

/* The chunk's mask with one more rule: an item that nobody has in train is nobody's negative.  It
 * can never be a positive, so that it would only teach that what has no neighbours is near nothing.
 * NULL: no memory. */
static uint64_t *mask_untrained(const task *t, const subgraph *s, uint32_t *words)
{
    uint32_t most = 1;
    for (uint32_t type = 0; type < s->types; type++)
        if (s->negatives[type] > most) most = s->negatives[type];
    *words = s->mask ? s->mask_words : (most + 63) / 64;
    uint64_t *mask = try_calloc((size_t)s->pairs * *words, sizeof *mask);
    if (!mask) return NULL;
    if (s->mask) memcpy(mask, s->mask, (size_t)s->pairs * *words * sizeof *mask);
    for (uint32_t type = 0; type < s->types; type++) {
        for (uint32_t n = 0; n < s->negatives[type]; n++) {
            uint32_t node = s->node[type][s->negative[type][n]];
            if (feature_is_trained(task_positives(t, task_index(t, node)))) continue;
            for (uint32_t i = 0; i < s->pairs; i++) {
                if (s->pair[i].positive_type == type)
                    mask[(size_t)i * *words + n / 64] |= UINT64_C(1) << (n % 64);
            }
        }
    }
    return mask;
}

err_code graph_work_chunk(slot_models *m, const task *t, const worker_task *w, uint32_t chunk,
                          chunk_gradient *out)
{
    subgraph s = t->batch->graph[chunk];
    const float *params = slot_dense(t, w, t->job->hgnn);
    if (!params) return ERR_INVALID;
    uint64_t *mask = mask_untrained(t, &s, &s.mask_words);
    if (!mask) return ERR_NO_MEMORY;
    s.mask = mask;
    gathered g;
    err_code rc = gather(&g, t, w, &s, true);
    if (rc == ERR_OK) rc = hgnn_forward(m->hgnn, params, &s, &g.in);
    if (rc == ERR_OK) rc = hgnn_loss(m->hgnn, &s, &out->loss);
    if (rc == ERR_OK) rc = backward(m, t, params, &s, &g, out);
    out->examples = s.pairs;
    gathered_fini(&g);
    free(mask);
    return rc;
}

err_code graph_work_layer(slot_models *m, const task *t, const worker_task *w, slot_result *out)
{
    const subgraph *s = &t->batch->graph[0];
    const float *params = slot_dense(t, w, t->job->hgnn);
    if (!params) return ERR_INVALID;
    uint32_t table = table_of_step(t->job->config, t->name.stage, t->name.step);
    uint32_t dim = table_dim(t->job->config, table), type = t->work.type;
    uint32_t n = s->rows[1][type];
    gathered g;
    err_code rc = gather(&g, t, w, s, t->work.layer == 1);
    float *rows[CONFIG_TYPES_MAX] = {0};
    rows[type] = try_malloc((size_t)n * dim, sizeof(float));
    uint64_t *keys = try_malloc(n, sizeof *keys);
    if (rc == ERR_OK && (!rows[type] || !keys)) rc = ERR_NO_MEMORY;
    if (rc == ERR_OK) rc = hgnn_layer(m->hgnn, params, t->work.layer, s, &g.in, rows);
    gathered_fini(&g);
    if (rc != ERR_OK) {
        free(rows[type]);
        free(keys);
        return rc;
    }
    for (uint32_t i = 0; i < n; i++) keys[i] = task_key(t, task_index(t, s->node[type][i]));
    return slot_put_rows(out, table, dim, keys, rows[type], n);
}
