#include "worker/task_inputs.h"

#include "common/f16.h"
#include "common/feature_row.h"
#include "common/keyed_sort.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/panic.h"
#include "common/rng.h"
#include "common/table_id.h"

#include <stdlib.h>
#include <string.h>

struct task_inputs {
    const job *job;
    feature_layout layout;
    row_cache *features, *z;
    float *text;      /* [text_dim] scratch */
    uint32_t *sample; /* the validation sample, ascending */
    uint32_t sample_n;
    /* Candidate vectors of the last validation. */
    slot_name valid; /* stage, epoch */
    uint32_t valid_generation;
    blob *valid_vectors;
};

enum { NO_NEED = UINT32_MAX };

/* A request per partition, then parameters, rows, z and candidates. */
_Static_assert(TASK_NEEDS_MAX >= MANIFEST_PARTITIONS_MAX + 4, "a slot may touch every partition");

static feature_layout layout_of(const job *j)
{
    feature_layout l = {.attributes = j->manifest->item_attributes,
                        .text_dim = j->manifest->text_dim,
                        .random = j->config->hgnn.random_features,
                        .attribute_at = 16};
    l.channels_at = l.attribute_at + (l.attributes * sizeof(uint32_t) + 7) / 8 * 8;
    l.bytes = (l.channels_at + (l.text_dim + l.random) * sizeof(uint16_t) + 7) / 8 * 8;
    return l;
}

static void fill_sample(task_inputs *in)
{
    const manifest *m = in->job->manifest;
    in->sample = xcalloc(m->items + 1, sizeof *in->sample);
    for (uint32_t node = 0; node < m->items; node++) {
        if (plan_in_sample(in->job->plan, node)) in->sample[in->sample_n++] = node;
    }
}

task_inputs *task_inputs_new(const job *j)
{
    task_inputs *in = xcalloc(1, sizeof *in);
    in->job = j;
    in->layout = layout_of(j);
    uint64_t budget = j->config->worker.cache;
    in->features = row_cache_new(in->layout.bytes, budget / 4 * 3);
    in->z = row_cache_new(table_dim(j->config, TABLE_Z) * sizeof(float), budget / 4);
    in->text = xcalloc(j->manifest->text_dim + 1, sizeof *in->text);
    fill_sample(in);
    return in;
}

void task_inputs_free(task_inputs *in)
{
    if (!in) return;
    row_cache_free(in->features);
    row_cache_free(in->z);
    blob_unref(in->valid_vectors);
    free(in->text);
    free(in->sample);
    free(in);
}

void task_free(task *t)
{
    if (!t) return;
    microbatch_free(t->batch);
    blob_unref(t->vectors);
    free(t->node);
    free(t->feature);
    free(t->have);
    free(t->by_key);
    free(t->z);
    free(t->have_z);
    free(t);
}

uint32_t task_index(const task *t, uint32_t node)
{
    uint32_t low = 0, high = t->nodes;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (t->node[middle] < node) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    ASSERT(low < t->nodes && t->node[low] == node);
    return low;
}

/* ---- Which nodes ---- */

static void add_nodes(task *t, size_t *cap, const uint32_t *node, uint32_t n)
{
    grow(&t->node, cap, (size_t)t->nodes + n, sizeof *t->node);
    if (n) memcpy(t->node + t->nodes, node, n * sizeof *node);
    t->nodes += n;
}

static void collect_nodes(task *t)
{
    size_t cap = 0;
    const microbatch *b = t->batch;
    for (uint32_t c = 0; c < b->chunks && b->kind == MICROBATCH_GRAPH; c++) {
        for (uint32_t type = 0; type < b->graph[c].types; type++)
            add_nodes(t, &cap, b->graph[c].node[type], b->graph[c].rows[0][type]);
    }
    for (uint32_t c = 0; c < b->chunks && b->kind == MICROBATCH_TOWER; c++)
        add_nodes(t, &cap, b->tower[c].node, b->tower[c].nodes);
    for (uint32_t i = 0; b->kind == MICROBATCH_ITEMS && i < b->count; i++) {
        uint32_t node = b->first + i;
        add_nodes(t, &cap, &node, 1);
    }
    add_nodes(t, &cap, t->candidate, t->candidates);
    if (!t->nodes) return;
    qsort(t->node, t->nodes, sizeof *t->node, compare_u32);
    uint32_t unique = 1;
    for (uint32_t i = 1; i < t->nodes; i++) {
        if (t->node[i] != t->node[unique - 1]) t->node[unique++] = t->node[i];
    }
    t->nodes = unique;
}

static bool needs_z(const task *t)
{
    uint32_t stage = t->name.stage;
    bool tower = stage == STAGE_TWO_TOWER || stage == STAGE_TWO_TOWER_VALID ||
                 (stage == STAGE_VECTORS && t->name.step <= 2);
    return tower && t->job->config->two_tower.use_z;
}

static err_code allocate(task *t)
{
    size_t z_dim = table_dim(t->job->config, TABLE_Z);
    t->feature = try_aligned(t->nodes, t->layout->bytes);
    t->have = try_calloc(t->nodes, 1);
    t->by_key = try_malloc(t->nodes, sizeof *t->by_key);
    if (needs_z(t)) {
        t->z = try_malloc(t->nodes, z_dim * sizeof *t->z);
        t->have_z = try_calloc(t->nodes, 1);
        if (!t->z || !t->have_z) return ERR_NO_MEMORY;
    }
    return t->feature && t->have && t->by_key ? ERR_OK : ERR_NO_MEMORY;
}

err_code task_inputs_begin(task_inputs *in, const worker_task *w, task **out)
{
    task *t = xcalloc(1, sizeof *t);
    t->job = in->job;
    t->layout = &in->layout;
    t->name = w->name;
    t->generation = w->generation;
    t->version = w->version;
    t->dense_need = t->rows_need = t->z_need = t->feature_need = t->candidates_need = NO_NEED;
    err_code rc = ERR_NOT_FOUND;
    if (!plan_slot(in->job->plan, w->name, &t->work)) goto fail;
    rc = microbatch_decode(in->job->manifest, w->build, &t->batch);
    if (rc != ERR_OK) goto fail;
    if (!slot_equal(t->batch->name, w->name)) {
        log_error("wrong_micro_batch", "asked=%u/%u got=%u/%u", w->name.step, w->name.slot,
                  t->batch->name.step, t->batch->name.slot);
        rc = ERR_INVALID;
        goto fail;
    }
    if (t->work.kind == PLAN_SCORE) {
        t->candidate = in->sample;
        t->candidates = in->sample_n;
    }
    collect_nodes(t);
    rc = allocate(t);
    if (rc != ERR_OK) goto fail;
    *out = t;
    return ERR_OK;
fail:
    task_free(t);
    return rc;
}

/* ---- Features ---- */

/* The random channels of an item: N(0, 1/d) clamped to [-1, 1], a function of its stable key. */
static void random_channels(const task_inputs *in, uint64_t stable, uint16_t *out)
{
    uint32_t d = in->layout.random;
    if (!d) return;
    uint64_t key = rng_key(in->job->config->seed, 0, 0, 0, 0, USE_RANDOM_FEATURES);
    float scale = 1.0f / __builtin_sqrtf((float)d);
    for (uint32_t i = 0; i < d; i++) {
        float x = rng_normal(key, stable, i) * scale;
        out[i] = f16_from_f32(x > 1 ? 1 : x < -1 ? -1 : x);
    }
}

static void write_row(task_inputs *in, uint8_t *row, const feature_row_reply *r, uint32_t i)
{
    const feature_layout *l = &in->layout;
    memcpy(row, &r->key[i], sizeof(uint64_t));
    memcpy(row + 8, &r->positives[i], sizeof(uint32_t));
    if (l->attributes) {
        memcpy(row + l->attribute_at, r->attribute + (size_t)i * l->attributes,
               l->attributes * sizeof(uint32_t));
    }
    uint16_t *channels = (uint16_t *)(void *)(row + l->channels_at);
    if (r->f16) {
        memcpy(channels, r->f16 + (size_t)i * l->text_dim, l->text_dim * sizeof *channels);
    } else if (l->text_dim) {
        feature_row_text(in->text, r, i);
        f16_encode(channels, in->text, l->text_dim);
    }
    random_channels(in, r->key[i], channels + l->text_dim);
}

static void features_from_cache(task_inputs *in, task *t)
{
    for (uint32_t i = 0; i < t->nodes; i++) {
        if (t->have[i]) continue;
        const void *row = row_cache_get(in->features, t->node[i]);
        if (!row) continue;
        memcpy(t->feature + (size_t)i * t->layout->bytes, row, t->layout->bytes);
        t->have[i] = 1;
    }
}

/* The missing nodes by partition, ascending within each: list [first[p] .. first[p + 1]). */
static void sort_missing(const manifest *m, const task *t, uint32_t *first, uint32_t *list)
{
    uint32_t *next = first + 1; /* becomes the ends */
    for (uint32_t i = 0; i < t->nodes; i++) {
        if (!t->have[i]) first[manifest_partition_of(m, t->node[i]) + 1]++;
    }
    uint32_t begin = 0;
    for (uint32_t p = 0; p < m->partitions; p++) {
        uint32_t n = next[p];
        next[p] = begin;
        begin += n;
    }
    for (uint32_t i = 0; i < t->nodes; i++) {
        if (!t->have[i]) list[next[manifest_partition_of(m, t->node[i])]++] = t->node[i];
    }
}

/* One request per partition that has missing nodes. */
static err_code ask_features(task_inputs *in, task *t, worker_need *need, uint32_t *needs)
{
    const manifest *m = in->job->manifest;
    uint32_t *list = try_malloc(t->nodes, sizeof *list);
    uint32_t *first = xcalloc(m->partitions + 1, sizeof *first);
    err_code rc = list ? ERR_OK : ERR_NO_MEMORY;
    if (rc == ERR_OK) sort_missing(m, t, first, list);
    t->feature_need = *needs;
    for (uint32_t p = 0; rc == ERR_OK && p < m->partitions; p++) {
        if (first[p] == first[p + 1]) continue;
        ASSERT(*needs < TASK_NEEDS_MAX);
        feature_row_request r = {
            .partition = p, .nodes = first[p + 1] - first[p], .node = list + first[p]};
        blob *body = feature_row_encode_request(&r);
        if (!body) rc = ERR_NO_MEMORY;
        need[(*needs)++] = (worker_need){.kind = NEED_FEATURES, .partition = p, .body = body};
    }
    t->feature_needs = *needs - t->feature_need;
    free(first);
    free(list);
    return rc;
}

static err_code take_features(task_inputs *in, task *t, const worker_task *w)
{
    for (uint32_t k = 0; k < t->feature_needs; k++) {
        const worker_need *need = &w->need[t->feature_need + k];
        feature_row_request asked;
        feature_row_reply r;
        err_code rc = feature_row_decode_request(in->job->manifest, need->body, &asked);
        if (rc == ERR_OK)
            rc = feature_row_decode_reply(in->job->manifest, w->reply[t->feature_need + k], &r);
        if (rc != ERR_OK) return rc;
        if (r.nodes != asked.nodes) return ERR_INVALID;
        for (uint32_t i = 0; i < r.nodes; i++) {
            uint32_t at = task_index(t, asked.node[i]);
            uint8_t *row = t->feature + (size_t)at * t->layout->bytes;
            write_row(in, row, &r, i);
            t->have[at] = 1;
            if (!row_cache_get(in->features, asked.node[i])) {
                memcpy(row_cache_put(in->features, asked.node[i]), row, t->layout->bytes);
            }
        }
    }
    t->feature_needs = 0;
    return ERR_OK;
}

static bool has_all(const uint8_t *have, uint32_t n)
{
    return !memchr(have, 0, n);
}

/* ---- Rows by key ---- */

static err_code sort_by_key(task *t)
{
    keyed *k = try_malloc(t->nodes, sizeof *k);
    if (!k) return ERR_NO_MEMORY;
    for (uint32_t i = 0; i < t->nodes; i++) k[i] = (keyed){task_key(t, i), i};
    keyed_sort(k, t->nodes);
    for (uint32_t i = 0; i < t->nodes; i++) t->by_key[i] = (uint32_t)k[i].at;
    free(k);
    return ERR_OK;
}

/* Keys of those nodes for which skip[i] is 0 (NULL: all), ascending, as a body. */
static blob *keys_body(const task *t, const uint8_t *skip)
{
    bytes_writer w;
    bytes_writer_init(&w);
    for (uint32_t i = 0; i < t->nodes; i++) {
        uint32_t at = t->by_key[i];
        if (!skip || !skip[at]) bytes_put_u64(&w, task_key(t, at));
    }
    return bytes_take_blob(&w);
}

static void need_rows(worker_need *need, uint32_t *needs, uint32_t *place, uint32_t stage,
                      uint32_t table, uint32_t dim, bool final, blob *body)
{
    *place = *needs;
    need[(*needs)++] = (worker_need){.kind = NEED_ROWS,
                                     .stage = stage,
                                     .table = table,
                                     .dim = dim,
                                     .final = final,
                                     .body = body};
}

static void ask_z(task_inputs *in, task *t, worker_need *need, uint32_t *needs)
{
    size_t dim = table_dim(in->job->config, TABLE_Z);
    for (uint32_t i = 0; i < t->nodes; i++) {
        const void *row = row_cache_get(in->z, t->node[i]);
        if (!row) continue;
        memcpy(t->z + i * dim, row, dim * sizeof *t->z);
        t->have_z[i] = 1;
    }
    if (has_all(t->have_z, t->nodes)) return;
    need_rows(need, needs, &t->z_need, STAGE_EMBED, TABLE_Z, (uint32_t)dim, true,
              keys_body(t, t->have_z));
}

static err_code take_z(task_inputs *in, task *t, const worker_task *w)
{
    size_t dim = table_dim(in->job->config, TABLE_Z);
    const float *rows = (const float *)(const void *)blob_data(w->reply[t->z_need]);
    size_t n = blob_size(w->reply[t->z_need]) / (dim * sizeof *rows), at = 0;
    for (uint32_t i = 0; i < t->nodes; i++) {
        uint32_t k = t->by_key[i];
        if (t->have_z[k]) continue;
        if (at == n) return ERR_INVALID;
        memcpy(t->z + k * dim, rows + at * dim, dim * sizeof *rows);
        t->have_z[k] = 1;
        if (!row_cache_get(in->z, t->node[k]))
            memcpy(row_cache_put(in->z, t->node[k]), rows + at * dim, dim * sizeof *rows);
        at++;
    }
    t->z_need = NO_NEED;
    return at == n ? ERR_OK : ERR_INVALID;
}

/* ---- What changes with the version: parameters, ids, layers ---- */

typedef struct versioned {
    uint32_t dense_stage; /* STAGE_NONE: no parameters */
    uint32_t row_stage, row_table;
    bool final; /* of a finished stage */
} versioned;

static uint32_t tower_stage(const task *t)
{
    return t->name.step <= 2 ? STAGE_TWO_TOWER : STAGE_TWO_TOWER_NO_Z;
}

/* The rows a layer reads: ids for the first one, the layer before for the others. */
static void layer_rows(const task *t, versioned *v)
{
    uint32_t k = t->work.layer;
    bool embed = t->name.stage == STAGE_EMBED;
    if (k == 1) {
        v->row_stage = STAGE_HGNN;
        v->row_table = table_sparse(t->job->config, STAGE_HGNN);
        return;
    }
    v->row_stage = embed ? STAGE_EMBED : STAGE_HGNN;
    v->row_table = (uint32_t)(embed ? TABLE_LAYER : TABLE_VALID_LAYER) + k - 1;
}

static versioned versioned_of(const task *t)
{
    const config *c = t->job->config;
    versioned v = {.row_table = TABLE_COUNT};
    uint32_t stage = t->name.stage;
    if (stage == STAGE_EMBED || (stage == STAGE_HGNN_VALID && t->work.kind == PLAN_PUT)) {
        v.dense_stage = STAGE_HGNN;
        v.final = stage == STAGE_EMBED;
        layer_rows(t, &v);
    } else if (stage == STAGE_VECTORS) {
        v.dense_stage = v.row_stage = tower_stage(t);
        v.row_table = table_sparse(c, v.row_stage);
        v.final = true;
    } else if (stage != STAGE_HGNN_VALID) {
        v.dense_stage = v.row_stage = plan_is_training(stage) ? stage : plan_trained_stage(stage);
        v.row_table = table_sparse(c, v.row_stage);
    }
    return v;
}

static void ask_versioned(task *t, worker_need *need, uint32_t *needs)
{
    versioned v = versioned_of(t);
    if (v.dense_stage) {
        t->dense_need = *needs;
        need[(*needs)++] = (worker_need){.kind = NEED_DENSE,
                                         .stage = v.dense_stage,
                                         .final = v.final,
                                         .floats = job_spec(t->job, v.dense_stage)->values};
    }
    if (v.row_table == TABLE_COUNT || !t->nodes) return;
    bool final = v.final && !(t->name.stage == STAGE_EMBED && t->work.layer > 1);
    t->rows_dim = table_dim(t->job->config, v.row_table);
    need_rows(need, needs, &t->rows_need, v.row_stage, v.row_table, t->rows_dim, final,
              keys_body(t, NULL));
}

/* ---- Candidates of a validation ---- */

static uint32_t candidates_table(const task *t)
{
    if (t->name.stage == STAGE_HGNN_VALID)
        return TABLE_VALID_LAYER + (uint32_t)t->job->config->hgnn.layers;
    return TABLE_VALID_ITEMS;
}

static bool same_validation(const task_inputs *in, const task *t)
{
    return in->valid_vectors && in->valid.stage == t->name.stage &&
           in->valid.epoch == t->name.epoch && in->valid_generation == t->generation;
}

static void ask_candidates(const task_inputs *in, task *t, worker_need *need, uint32_t *needs)
{
    if (same_validation(in, t)) {
        t->vectors = blob_ref(in->valid_vectors);
        return;
    }
    uint8_t *skip = xcalloc(t->nodes + 1, 1);
    for (uint32_t i = 0; i < t->nodes; i++) skip[i] = !plan_in_sample(t->job->plan, t->node[i]);
    uint32_t table = candidates_table(t);
    need_rows(need, needs, &t->candidates_need, plan_trained_stage(t->name.stage), table,
              table_dim(t->job->config, table), false, keys_body(t, skip));
    free(skip);
}

/* The rows come by key; keep them by node. */
static err_code take_candidates(task_inputs *in, task *t, const worker_task *w)
{
    const blob *reply = w->reply[t->candidates_need];
    size_t dim = table_dim(t->job->config, candidates_table(t)), at = 0;
    if (blob_size(reply) != t->candidates * dim * sizeof(float)) return ERR_INVALID;
    blob *vectors = blob_new(t->candidates * dim * sizeof(float));
    if (!vectors) return ERR_NO_MEMORY;
    float *out = (float *)(void *)blob_writable(vectors);
    const float *rows = (const float *)(const void *)blob_data(reply);
    for (uint32_t i = 0; i < t->nodes; i++) {
        const uint32_t *node = &t->node[t->by_key[i]];
        const uint32_t *found =
            bsearch(node, t->candidate, t->candidates, sizeof *node, compare_u32);
        if (!found) continue;
        memcpy(out + (size_t)(found - t->candidate) * dim, rows + at++ * dim, dim * sizeof *out);
    }
    blob_unref(in->valid_vectors);
    in->valid_vectors = blob_ref(vectors);
    in->valid = t->name;
    in->valid_generation = t->generation;
    t->vectors = vectors;
    t->candidates_need = NO_NEED;
    return ERR_OK;
}

err_code task_inputs_round(task_inputs *in, task *t, const worker_task *w, worker_need *need,
                           uint32_t *needs, bool *more)
{
    err_code rc = take_features(in, t, w);
    if (rc == ERR_OK && t->z_need != NO_NEED) rc = take_z(in, t, w);
    if (rc == ERR_OK && t->candidates_need != NO_NEED) rc = take_candidates(in, t, w);
    if (rc != ERR_OK) return rc;
    features_from_cache(in, t);
    *more = !has_all(t->have, t->nodes);
    if (*more) return ask_features(in, t, need, needs);
    if (t->asked_rows) return ERR_OK;
    t->asked_rows = true;
    rc = sort_by_key(t);
    if (rc != ERR_OK) return rc;
    ask_versioned(t, need, needs);
    if (t->z) ask_z(in, t, need, needs);
    if (t->work.kind == PLAN_SCORE) ask_candidates(in, t, need, needs);
    *more = t->z_need != NO_NEED || t->candidates_need != NO_NEED;
    return ERR_OK;
}
