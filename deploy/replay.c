#include "deploy/replay.h"

#include "common/feature_row.h"
#include "common/hash.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/table_id.h"
#include "deploy/replay_slot.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void replay_fini(replay_result *r)
{
    for (size_t i = 0; i < r->arrays; i++) free(r->array[i].name);
    free(r->array);
    free(r->chunk);
    *r = (replay_result){0};
}

/* ---- What an array holds ---- */

static void add_array(replay_result *r, const char *role, const char *name, const float *x,
                      uint64_t n)
{
    replay_array a = {.role = role, .name = xstrdup(name), .values = n};
    double squares = 0;
    for (uint64_t i = 0; i < n; i++) {
        if (isfinite(x[i])) {
            squares += (double)x[i] * (double)x[i];
        } else if (!a.not_finite++) {
            a.first = i;
            a.first_value = x[i];
        }
    }
    a.norm = sqrt(squares);
    a.hash = hash64(x, n * sizeof *x, 0);
    grow(&r->array, &r->arrays_cap, r->arrays + 1, sizeof *r->array);
    r->array[r->arrays++] = a;
}

static void add_tensors(replay_result *r, const char *role, const model_spec *s, const float *flat)
{
    for (size_t i = 0; i < s->tensors; i++)
        add_array(r, role, s->tensor[i].name, flat + s->tensor[i].offset, s->tensor[i].n);
}

/* ---- Inputs ---- */

/* Who looks at the replies. */
typedef struct replay_look {
    const job *job;
    replay_result *result;
} replay_look;

static err_code add_features(const replay_look *p, uint32_t partition, const blob *reply)
{
    char name[64];
    const manifest *m = p->job->manifest;
    feature_row_reply rows;
    err_code rc = feature_row_decode_reply(m, reply, &rows);
    if (rc != ERR_OK || !rows.text_dim) return rc;
    float *text = try_malloc((size_t)rows.nodes * rows.text_dim, sizeof *text);
    if (!text) return ERR_NO_MEMORY;
    for (uint32_t i = 0; i < rows.nodes; i++)
        feature_row_text(text + (size_t)i * rows.text_dim, &rows, i);
    snprintf(name, sizeof name, "text.part-%u", partition);
    add_array(p->result, "input", name, text, (uint64_t)rows.nodes * rows.text_dim);
    free(text);
    return ERR_OK;
}

static err_code add_input(void *context, const worker_need *need, const blob *reply)
{
    const replay_look *p = context;
    const float *values = (const float *)(const void *)blob_data(reply);
    if (need->kind == NEED_FEATURES) return add_features(p, need->partition, reply);
    if (need->kind == NEED_DENSE) {
        add_tensors(p->result, "parameter", job_spec(p->job, need->stage), values);
    } else {
        add_array(p->result, "input", table_name(need->table), values,
                  blob_size(reply) / sizeof *values);
    }
    return ERR_OK;
}

/* ---- The micro-batch ---- */

static replay_chunk graph_chunk(const subgraph *g)
{
    replay_chunk c = {.rows = g->pairs};
    for (uint32_t t = 0; t < g->types; t++) {
        c.nodes += g->rows[0][t];
        c.negatives += g->negatives[t];
        if (!g->pairs) c.rows += g->rows[g->layers][t];
    }
    for (uint32_t k = 1; k <= g->layers; k++) {
        for (uint32_t r = 0; r < g->relations; r++)
            c.edges += g->layer[k][r].indptr[g->rows[k][g->relation[r].destination]];
    }
    return c;
}

static void describe(replay_result *r, const microbatch *b)
{
    r->chunks = b->kind == MICROBATCH_ITEMS ? 1 : b->chunks;
    r->chunk = xcalloc(r->chunks + 1, sizeof *r->chunk);
    for (uint32_t i = 0; i < r->chunks; i++) {
        if (b->kind == MICROBATCH_GRAPH) {
            r->chunk[i] = graph_chunk(&b->graph[i]);
        } else if (b->kind == MICROBATCH_TOWER) {
            const microbatch_tower *t = &b->tower[i];
            r->chunk[i] = (replay_chunk){t->rows, t->nodes,
                                         t->rows ? t->history_indptr[t->rows] : 0, t->negatives};
        } else {
            r->chunk[i] = (replay_chunk){.rows = b->count, .nodes = b->count};
        }
    }
}

static err_code build_batch(replay_slot *p, replay_result *r)
{
    blob *batch;
    err_code rc = replay_slot_build(p, &batch);
    if (rc != ERR_OK) return rc;
    r->batch_bytes = blob_size(batch);
    r->batch_hash = hash64(blob_data(batch), blob_size(batch), 0);
    return replay_slot_begin(p, batch);
}

/* ---- The computation ---- */

static err_code compute(replay_slot *p, replay_result *r)
{
    slot_result s = {0};
    slot_work *work = slot_work_new(p->job, p->job->config->cluster.threads);
    err_code rc = slot_work_compute(work, p->task, &p->asked, &s);
    if (rc == ERR_OK) {
        r->is_void = s.push.is_void;
        r->has_loss = r->work.kind == PLAN_TRAIN;
        r->loss = s.loss;
        r->examples = r->has_loss ? s.examples : s.push.examples;
    }
    if (rc == ERR_OK && s.dense)
        add_tensors(r, "gradient", job_spec(p->job, r->name.stage), s.dense);
    if (rc == ERR_OK && s.rows) {
        uint32_t table = s.dense ? table_sparse(p->job->config, r->name.stage)
                                 : table_of_step(p->job->config, r->name.stage, r->name.step);
        uint64_t n = s.dense ? p->task->nodes : s.section.n;
        add_array(r, s.dense ? "gradient" : "output", table_name(table), s.rows,
                  n * table_dim(p->job->config, table));
    }
    slot_result_fini(&s);
    slot_work_free(work);
    return rc;
}

static err_code find_slot(const job *j, replay_result *r)
{
    char text[64];
    uint32_t stage = r->name.stage, step = r->name.step;
    if (plan_slot(j->plan, r->name, &r->work)) return ERR_OK;
    slot_format(r->name, text);
    uint32_t steps = plan_steps(j->plan, stage);
    uint32_t slots = step && step <= steps ? plan_slots(j->plan, stage, step) : 0;
    if (!steps) {
        log_user_error("--slot %s: the plan has no stage %s", text, stage_name(stage));
    } else if (!slots) {
        log_user_error("--slot %s: %s has steps 1 to %u", text, stage_name(stage), steps);
    } else if (r->name.slot >= slots) {
        log_user_error("--slot %s: step %u has slots 0 to %u", text, step, slots - 1);
    } else if (plan_trained_stage(stage)) {
        log_user_error("--slot %s: no validation follows step %u", text, r->name.epoch);
    } else {
        log_user_error("--slot %s: step %u is of epoch %u", text, step,
                       plan_epoch(j->plan, stage, step));
    }
    return ERR_INVALID;
}

err_code replay_run(const job *j, const char *folder, const char *model_dir, slot_name name,
                    replay_result *r)
{
    replay_slot p = {0};
    replay_look look = {j, r};
    *r = (replay_result){.name = name, .parameters = model_dir ? "model" : "initial"};
    err_code rc = find_slot(j, r);
    if (rc == ERR_OK) rc = replay_slot_open(&p, j, folder, model_dir, name);
    if (rc == ERR_OK) rc = build_batch(&p, r);
    if (rc == ERR_OK) describe(r, p.task->batch);
    if (rc == ERR_OK) rc = replay_slot_gather(&p, add_input, &look);
    if (rc == ERR_OK) rc = compute(&p, r);
    replay_slot_close(&p);
    return rc;
}
