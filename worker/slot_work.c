#include "worker/slot_work.h"

#include "common/keyed_sort.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/panic.h"
#include "common/reduce.h"
#include "common/table_id.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct slot_work {
    const job *job;
    uint32_t threads;
    slot_models *models; /* [threads] */
};

void slot_result_fini(slot_result *r)
{
    free(r->dense);
    free(r->rows);
    free(r->keys);
    free(r->sums);
    *r = (slot_result){0};
}

slot_work *slot_work_new(const job *j, uint32_t threads)
{
    slot_work *s = xcalloc(1, sizeof *s);
    s->job = j;
    s->threads = threads ? threads : 1;
    s->models = xcalloc(s->threads, sizeof *s->models);
    for (uint32_t i = 0; i < s->threads; i++) {
        slot_models *m = &s->models[i];
        m->hgnn = hgnn_new(j->config, &j->facts, j->hgnn);
        m->two_tower = two_tower_new(j->config, &j->facts, j->two_tower);
        if (j->two_tower_no_z)
            m->two_tower_no_z = two_tower_new(j->config, &j->facts, j->two_tower_no_z);
    }
    return s;
}

void slot_work_free(slot_work *s)
{
    if (!s) return;
    for (uint32_t i = 0; i < s->threads; i++) {
        hgnn_free(s->models[i].hgnn);
        two_tower_free(s->models[i].two_tower);
        two_tower_free(s->models[i].two_tower_no_z);
    }
    free(s->models);
    free(s);
}

const float *slot_reply(const worker_task *w, uint32_t need, size_t floats)
{
    if (need >= w->needs) return NULL;
    const blob *b = w->reply[need];
    if (blob_size(b) == floats * sizeof(float)) return (const float *)(const void *)blob_data(b);
    log_error("wrong_reply_size", "bytes=%zu expected=%zu", blob_size(b), floats * sizeof(float));
    return NULL;
}

const float *slot_dense(const task *t, const worker_task *w, const model_spec *s)
{
    return slot_reply(w, t->dense_need, s->values);
}

/* ---- Training: chunks on threads ---- */

typedef struct chunk_run {
    slot_work *work;
    const task *task;
    const worker_task *asked;
    chunk_gradient *gradient; /* [chunks] */
    uint32_t thread, threads, chunks;
    err_code rc;
} chunk_run;

/* Thread i computes chunks i, i + threads, ...: which thread it is changes no bit. */
static void *run_chunks(void *user)
{
    chunk_run *r = user;
    slot_models *m = &r->work->models[r->thread];
    bool graph = r->task->batch->kind == MICROBATCH_GRAPH;
    for (uint32_t c = r->thread; c < r->chunks && r->rc == ERR_OK; c += r->threads) {
        r->rc = graph ? graph_work_chunk(m, r->task, r->asked, c, &r->gradient[c])
                      : tower_work_chunk(m, r->task, r->asked, c, &r->gradient[c]);
    }
    return NULL;
}

static err_code run_threads(chunk_run *run, uint32_t threads)
{
    pthread_t *thread = xcalloc(threads, sizeof *thread);
    for (uint32_t i = 1; i < threads; i++) {
        if (pthread_create(&thread[i], NULL, run_chunks, &run[i]) != 0) panic(__FILE__, __LINE__, "pthread_create");
    }
    run_chunks(&run[0]);
    err_code rc = run[0].rc;
    for (uint32_t i = 1; i < threads; i++) {
        pthread_join(thread[i], NULL);
        if (rc == ERR_OK) rc = run[i].rc;
    }
    free(thread);
    return rc;
}

static void add_floats(float *to, const float *from, size_t n)
{
    for (size_t i = 0; i < n; i++) to[i] += from[i];
}

/* Scales the slot's summed gradient so that its mean over the examples has at most `clip` as norm. */
static void clip_gradient(slot_result *r, size_t dense, size_t rows, float clip)
{
    if (clip <= 0 || !r->push.examples) return;
    double squares = reduce_squares_f64(r->dense, dense) + reduce_squares_f64(r->rows, rows);
    double norm = __builtin_sqrt(squares) / (double)r->push.examples;
    if (!(norm > (double)clip)) return;
    float scale = (float)((double)clip / norm);
    for (size_t i = 0; i < dense; i++) r->dense[i] *= scale;
    for (size_t i = 0; i < rows; i++) r->rows[i] *= scale;
}

/* Puts the row gradients, which lie by node, in the order of keys. */
static err_code sort_rows(const task *t, slot_result *r, uint32_t table)
{
    size_t dim = t->rows_dim;
    float *sorted = try_malloc((size_t)t->nodes * dim, sizeof *sorted);
    r->keys = try_malloc(t->nodes, sizeof *r->keys);
    if (!sorted || !r->keys) {
        free(sorted);
        return ERR_NO_MEMORY;
    }
    for (uint32_t i = 0; i < t->nodes; i++) {
        memcpy(sorted + i * dim, r->rows + t->by_key[i] * dim, dim * sizeof *sorted);
        r->keys[i] = task_key(t, t->by_key[i]);
    }
    free(r->rows);
    r->rows = sorted;
    r->section = (push_section){
        .table = table, .dim = t->rows_dim, .n = t->nodes, .keys = r->keys, .rows = r->rows};
    return ERR_OK;
}

static err_code finish_gradient(slot_work *s, const task *t, slot_result *out, size_t values)
{
    size_t row_floats = out->rows ? (size_t)t->nodes * t->rows_dim : 0;
    bool finite = reduce_all_finite(out->dense, values) && __builtin_isfinite(out->push.loss) &&
                  (!out->rows || reduce_all_finite(out->rows, row_floats));
    out->push.stage = t->name.stage;
    out->push.is_void = !finite;
    out->loss = out->push.loss;
    out->examples = out->push.examples;
    if (!finite) {
        out->push.examples = 0;
        out->push.loss = 0;
        return ERR_OK;
    }
    const config *c = s->job->config;
    clip_gradient(out, values, row_floats,
                  t->name.stage == STAGE_HGNN ? c->hgnn.optimizer.clip : c->two_tower.optimizer.clip);
    out->push.dense = out->dense;
    out->push.dense_floats = values;
    if (!out->rows) return ERR_OK;
    err_code rc = sort_rows(t, out, table_sparse(c, t->name.stage));
    out->push.section = &out->section;
    out->push.sections = 1;
    return rc;
}

static err_code allocate_gradient(chunk_gradient *g, const task *t, size_t values)
{
    bool has_rows = t->rows_need != UINT32_MAX;
    g->dense = try_calloc(values, sizeof *g->dense);
    g->rows = has_rows ? try_calloc((size_t)t->nodes * t->rows_dim, sizeof *g->rows) : NULL;
    return g->dense && (g->rows || !has_rows) ? ERR_OK : ERR_NO_MEMORY;
}

static err_code train(slot_work *s, const task *t, const worker_task *w, slot_result *out)
{
    size_t values = job_spec(s->job, t->name.stage)->values;
    uint32_t chunks = t->batch->chunks, threads = chunks < s->threads ? chunks : s->threads;
    chunk_gradient *g = xcalloc(chunks, sizeof *g);
    chunk_run *run = xcalloc(threads, sizeof *run);
    err_code rc = ERR_OK;
    for (uint32_t c = 0; c < chunks && rc == ERR_OK; c++) rc = allocate_gradient(&g[c], t, values);
    for (uint32_t i = 0; i < threads; i++) run[i] = (chunk_run){s, t, w, g, i, threads, chunks, ERR_OK};
    if (rc == ERR_OK) rc = run_threads(run, threads);
    for (uint32_t c = 0; c < chunks && rc == ERR_OK; c++) {
        out->push.examples += g[c].examples;
        out->push.loss += g[c].loss;
        if (c == 0) continue;
        add_floats(g[0].dense, g[c].dense, values);
        if (g[0].rows) add_floats(g[0].rows, g[c].rows, (size_t)t->nodes * t->rows_dim);
    }
    out->dense = g[0].dense;
    out->rows = g[0].rows;
    for (uint32_t c = 1; c < chunks; c++) {
        free(g[c].dense);
        free(g[c].rows);
    }
    free(run);
    free(g);
    return rc == ERR_OK ? finish_gradient(s, t, out, values) : rc;
}

/* ---- Putting rows ---- */

err_code slot_put_rows(slot_result *out, uint32_t table, uint32_t dim, uint64_t *keys, float *rows,
                       uint32_t n)
{
    keyed *k = try_malloc(n, sizeof *k);
    out->rows = try_malloc((size_t)n * dim, sizeof *out->rows);
    if (!k || !out->rows) {
        free(k);
        free(keys);
        free(rows);
        return ERR_NO_MEMORY;
    }
    for (uint32_t i = 0; i < n; i++) k[i] = (keyed){keys[i], i};
    keyed_sort(k, n);
    for (uint32_t i = 0; i < n; i++) {
        keys[i] = k[i].key;
        memcpy(out->rows + (size_t)i * dim, rows + k[i].at * dim, dim * sizeof *rows);
    }
    free(k);
    free(rows);
    out->keys = keys;
    out->section =
        (push_section){.table = table, .dim = dim, .n = n, .keys = keys, .rows = out->rows};
    out->push = (push_result){.examples = n, .section = &out->section, .sections = 1};
    out->push.is_void = !reduce_all_finite(out->rows, (size_t)n * dim);
    return ERR_OK;
}

err_code slot_work_compute(slot_work *s, const task *t, const worker_task *w, slot_result *out)
{
    slot_models *m = &s->models[0];
    switch (t->work.kind) {
    case PLAN_TRAIN: return train(s, t, w, out);
    case PLAN_SCORE: return score_work_users(m, t, w, out);
    case PLAN_PUT:
        if (t->batch->kind == MICROBATCH_GRAPH) return graph_work_layer(m, t, w, out);
        return tower_work_vectors(m, t, w, out);
    }
    UNREACHABLE();
}
