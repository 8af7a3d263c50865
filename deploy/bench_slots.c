/* Sampler, worker and server over real slots of a job (bench.h). */
#include "common/clock.h"
#include "common/mem.h"
#include "common/microbatch.h"
#include "common/table_id.h"
#include "deploy/bench.h"
#include "deploy/forecast.h"
#include "deploy/replay_slot.h"
#include "ps/job_model.h"
#include "ps/stage_tables.h"

#include <math.h>
#include <stdlib.h>

typedef struct stage_bench {
    bench *b;
    const job *j;
    const char *stage_name;
    uint32_t stage;
    replay_slot slot;
    double flops; /* of a slot, expected */
} stage_bench;

static double seconds_since(uint64_t begin)
{
    return (double)(clock_now_us() - begin) / 1e6;
}

static void add(stage_bench *s, const char *part, const char *what, double rate, const char *unit,
                double used, double limit, const char *of)
{
    bench_add(s->b, (bench_row){.part = part,
                                .what = xprintf("%s %s", s->stage_name, what),
                                .rate = rate,
                                .unit = unit,
                                .used = used,
                                .limit = limit,
                                .of = of});
}

/* ---- Sampler ---- */

static uint64_t sampled_edges(const microbatch *m)
{
    uint64_t n = 0;
    for (uint32_t c = 0; c < m->chunks; c++) {
        if (m->kind == MICROBATCH_TOWER) n += m->tower[c].history_indptr[m->tower[c].rows];
        const subgraph *g = m->kind == MICROBATCH_GRAPH ? &m->graph[c] : NULL;
        for (uint32_t k = 1; g && k <= g->layers; k++) {
            for (uint32_t r = 0; r < g->relations; r++)
                n += g->layer[k][r].indptr[g->rows[k][g->relation[r].destination]];
        }
    }
    return n;
}

/* Builds one slot after the other, as a sampler with all partitions does. */
static err_code bench_sampler(stage_bench *s)
{
    double bytes = 0, edges = 0, pairs = 0, took = 0;
    uint32_t builds = 0, steps = plan_steps(s->j->plan, s->stage);
    slot_name first = s->slot.asked.name;
    err_code rc = ERR_OK;
    for (uint32_t step = 1; rc == ERR_OK && took < s->b->seconds; step = step % steps + 1) {
        blob *batch;
        microbatch *m = NULL;
        plan_work work;
        s->slot.asked.name = plan_name(s->j->plan, s->stage, step, 0);
        uint64_t begin = clock_now_us();
        rc = replay_slot_build(&s->slot, &batch);
        took += seconds_since(begin);
        if (rc == ERR_OK) rc = microbatch_decode(s->j->manifest, batch, &m);
        if (rc == ERR_OK && plan_slot(s->j->plan, s->slot.asked.name, &work)) {
            bytes += (double)blob_size(batch);
            edges += (double)sampled_edges(m);
            pairs += work.count;
            builds++;
        }
        microbatch_free(m);
        blob_unref(batch);
    }
    s->slot.asked.name = first;
    if (rc != ERR_OK) return rc;
    char what[96];
    snprintf(what, sizeof what, "slots, %.0f bytes a pair", pairs > 0 ? bytes / pairs : 0);
    add(s, "sampler", what, builds / took, "slots", bytes / took, s->b->speed.copy_bytes,
        "bytes of memory copy");
    bool graph = s->stage == STAGE_HGNN;
    add(s, "sampler", graph ? "edges" : "history items", edges / took, graph ? "edges" : "items", 0,
        0, "");
    return rc;
}

/* ---- Worker ---- */

static err_code bench_worker(stage_bench *s, slot_result *last)
{
    uint32_t threads = s->j->config->cluster.threads, slots = 0;
    slot_work *work = slot_work_new(s->j, threads);
    double best = INFINITY;
    uint64_t start = clock_now_us();
    err_code rc = ERR_OK;
    while (rc == ERR_OK && (slots < 3 || seconds_since(start) < s->b->seconds)) {
        slot_result_fini(last);
        uint64_t begin = clock_now_us();
        rc = slot_work_compute(work, s->slot.task, &s->slot.asked, last);
        if (slots++ > 0)
            best = fmin(best, fmax(seconds_since(begin), 1e-6)); /* the first takes its memory */
    }
    slot_work_free(work);
    if (rc != ERR_OK) return rc;
    uint32_t chunks = s->j->config->train.chunks_per_slot;
    double used = threads < chunks ? threads : chunks;
    add(s, "worker", "pairs", (double)last->examples / best, "pairs", s->flops / best,
        s->b->speed.sgemm_flops * used, "flops of sgemm");
    return rc;
}

/* ---- Server ---- */

/* Commits of a step whose slots all pushed what the worker computed. */
static err_code bench_commits(stage_bench *s, stage_tables *t, const push_view *slot,
                              uint32_t slots)
{
    uint64_t start = clock_now_us();
    uint32_t commits = 0, steps = plan_steps(s->j->plan, s->stage);
    double best = INFINITY, floats = (double)slot->head.dense_floats;
    double rows = slot->head.sections ? slot->section[0].n : 0;
    do {
        uint64_t begin = clock_now_us();
        stage_tables_train(t, commits % steps + 1, commits + 1, slot, slots);
        commits++;
        best = fmin(best, fmax(seconds_since(begin), 1e-6));
    } while (seconds_since(start) < s->b->seconds);
    /* Read: the pushes, weights, state; written: sum, weights, state.  A copy reads and writes. */
    double moved =
        4 * (floats + rows * (slot->head.sections ? slot->section[0].dim : 0)) * (slots + 7) / 2;
    add(s, "server", "commits", 1 / best, "commits", moved / best, s->b->speed.copy_bytes,
        "bytes of memory copy");
    if (rows > 0) add(s, "server", "pushed rows", rows * slots / best, "rows", 0, 0, "");
    return ERR_OK;
}

static err_code bench_pulls(stage_bench *s, stage_tables *t, const push_section *p)
{
    uint64_t start = clock_now_us(), absent;
    double best = INFINITY;
    err_code rc = ERR_OK;
    do {
        blob *rows = NULL;
        uint64_t begin = clock_now_us();
        rc = stage_tables_rows(t, p->table, UINT32_MAX, p->dim, p->keys, p->n, &rows, &absent);
        best = fmin(best, fmax(seconds_since(begin), 1e-6)); /* the clock's own step */
        blob_unref(rows);
    } while (rc == ERR_OK && seconds_since(start) < s->b->seconds);
    double n = p->n / best;
    add(s, "server", "pulled rows", n, "rows", n * 4 * p->dim, s->b->speed.copy_bytes,
        "bytes of memory copy");
    return rc;
}

static err_code bench_server(stage_bench *s, const slot_result *pushed)
{
    uint32_t slots = plan_slots(s->j->plan, s->stage, 1);
    shard_model model = job_shard_model(s->j);
    shard_map *map = xcalloc(1, sizeof *map);
    shard_map_init(map, 1, s->j->config->cluster.virtual_shards, 1);
    blob *body = push_encode(&pushed->push, map, 0);
    push_view *view = xcalloc(slots, sizeof *view);
    stage_tables *t = stage_tables_new(&model, map, 0, s->stage, NULL);
    err_code rc = body ? ERR_OK : ERR_NO_MEMORY;
    for (uint32_t i = 0; rc == ERR_OK && i < slots; i++) rc = push_decode(body, &view[i]);
    if (rc == ERR_OK) rc = bench_commits(s, t, view, slots);
    if (rc == ERR_OK && view[0].head.sections) rc = bench_pulls(s, t, &view[0].section[0]);
    stage_tables_free(t);
    blob_unref(body);
    free(view);
    free(map);
    return rc;
}

static err_code bench_stage(stage_bench *s, const char *store_folder)
{
    blob *batch = NULL;
    slot_result pushed = {0};
    err_code rc =
        replay_slot_open(&s->slot, s->j, store_folder, NULL, plan_name(s->j->plan, s->stage, 1, 0));
    if (rc == ERR_OK) rc = bench_sampler(s);
    if (rc == ERR_OK) rc = replay_slot_build(&s->slot, &batch);
    if (rc == ERR_OK) rc = replay_slot_begin(&s->slot, batch);
    if (rc == ERR_OK) rc = replay_slot_gather(&s->slot, NULL, NULL);
    if (rc == ERR_OK) rc = bench_worker(s, &pushed);
    if (rc == ERR_OK) rc = bench_server(s, &pushed);
    slot_result_fini(&pushed);
    replay_slot_close(&s->slot);
    return rc;
}

err_code bench_slots(bench *b, const job *j, const char *store_folder)
{
    /* Without an export there is no z: the towers without it are of the same size. */
    uint32_t tower = j->two_tower_no_z ? STAGE_TWO_TOWER_NO_Z : STAGE_TWO_TOWER;
    const uint32_t stages[2] = {STAGE_HGNN, tower};
    outlook *o = NULL;
    err_code rc = outlook_make(j->config, NULL, &o);
    for (int i = 0; rc == ERR_OK && i < 2; i++) {
        forecast_slot slot;
        stage_bench *s = xcalloc(1, sizeof *s);
        *s = (stage_bench){.b = b, .j = j, .stage_name = stage_name(stages[i]), .stage = stages[i]};
        if (i == 0) {
            forecast_slot_hgnn(j, o, &slot);
        } else {
            forecast_slot_tower(j, o, stages[i], &slot);
        }
        s->flops = slot.flops;
        bool has_rows = i == 0 || !job_spec(j, stages[i])->use_z; /* z is nowhere before a run */
        if (has_rows) rc = bench_stage(s, store_folder);
        free(s);
    }
    outlook_free(o);
    return rc;
}
