#include "sim/sim_model.h"

#include "common/hash.h"
#include "common/mem.h"
#include "common/panic.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    T_HGNN_ID = 1,
    T_ITEM_ID = 2,
    T_Z = 8,
    T_VECTORS = 9,
    T_LAYER = 16,
    T_HGNN_VALID = 32,
    T_TOWER_VALID = 48
};
enum { HGNN_FLOATS = DENSE_BLOCK_FLOATS + 60, TOWER_FLOATS = 50 };
enum { PLANNED = 8, DIGITS = 32, ROW_DIGITS = 7 };
enum { VALID_PUT = 1, VALID_SCORE = 2, PAST_STEPS = 16 };

static uint64_t mix(uint64_t a, uint64_t b)
{
    uint64_t x[2] = {a, b};
    return hash64(x, sizeof x, 7);
}

static uint64_t hash_name(slot_name n)
{
    uint32_t x[4] = {n.stage, n.epoch, n.step, n.slot};
    return hash64(x, sizeof x, 11);
}

/* A float in [-1, 1). */
static float unit(uint64_t h)
{
    return (float)(int32_t)(h >> 40) / (float)(1 << 23) - 1.0f;
}

static bool is_train(uint32_t stage)
{
    return stage == STAGE_HGNN || stage == STAGE_TWO_TOWER || stage == STAGE_TWO_TOWER_NO_Z;
}

static uint32_t main_stage(uint32_t stage)
{
    if (stage == STAGE_HGNN_VALID) return STAGE_HGNN;
    if (stage == STAGE_TWO_TOWER_VALID) return STAGE_TWO_TOWER;
    if (stage == STAGE_TWO_TOWER_NO_Z_VALID) return STAGE_TWO_TOWER_NO_Z;
    return stage;
}

static uint32_t valid_stage(uint32_t stage)
{
    return stage == STAGE_HGNN        ? STAGE_HGNN_VALID
           : stage == STAGE_TWO_TOWER ? STAGE_TWO_TOWER_VALID
                                      : STAGE_TWO_TOWER_NO_Z_VALID;
}

/* ---- plan ---- */

static uint32_t plan_steps_of(void *ctx, uint32_t stage)
{
    (void)ctx;
    return stage == STAGE_HGNN ? 7 : stage == STAGE_EMBED ? 2 : stage == STAGE_VECTORS ? 1 : 3;
}

static plan_round plan_round_of(void *ctx, uint32_t stage, uint32_t step)
{
    (void)ctx;
    if (!is_train(stage)) return (plan_round){stage, step, step, ROUND_PUT, 2};
    bool last = step == plan_steps_of(NULL, stage);
    return (plan_round){stage, 1 + step / 4, step, ROUND_TRAIN, last ? 2 : 3};
}

static scheduler_stopped plan_stops_by(void *ctx, uint32_t stage)
{
    (void)ctx;
    return is_train(stage) ? STOPPED_MAX_STEPS : STOPPED_END;
}

static uint32_t plan_valid_rounds(void *ctx, uint32_t stage, uint32_t step)
{
    (void)ctx;
    if (!is_train(stage)) return 0;
    if (stage == STAGE_HGNN) return step % 2 == 0 || step == 7 ? 2 : 0;
    return step == 3 ? 2 : 0;
}

static plan_round plan_valid_round(void *ctx, uint32_t stage, uint32_t step, uint32_t i)
{
    (void)ctx;
    return (plan_round){valid_stage(stage), step, i + 1, i ? ROUND_SCORE : ROUND_PUT, i ? 3 : 2};
}

/* Any change of the sums, also of the order in which they were added, is another value. */
static double plan_score(void *ctx, uint32_t stage, const double *sums, uint32_t n)
{
    (void)ctx;
    (void)stage;
    return (double)(hash64(sums, n * sizeof *sums, 7) >> 11) / (double)(1ULL << 53);
}

static uint32_t plan_patience_of(void *ctx, uint32_t stage)
{
    (void)ctx;
    return stage == STAGE_HGNN ? 2 : 0;
}

static const char *plan_metric_of(void *ctx, uint32_t stage)
{
    (void)ctx;
    return is_train(stage) ? "score" : "";
}

const scheduler_plan *sim_plan(void)
{
    static const scheduler_plan p = {
        .stages = 5,
        .stage = {STAGE_HGNN, STAGE_EMBED, STAGE_TWO_TOWER, STAGE_TWO_TOWER_NO_Z, STAGE_VECTORS},
        .steps = plan_steps_of,
        .round = plan_round_of,
        .stops_by = plan_stops_by,
        .valid_rounds = plan_valid_rounds,
        .valid_round = plan_valid_round,
        .score = plan_score,
        .patience = plan_patience_of,
        .metric = plan_metric_of};
    return &p;
}

scheduler_plan sim_plan_of(staleness how)
{
    scheduler_plan p = *sim_plan();
    p.staleness = how;
    return p;
}

/* ---- model ---- */

static size_t dense_floats(void *ctx, uint32_t stage)
{
    (void)ctx;
    return stage == STAGE_HGNN ? HGNN_FLOATS : is_train(stage) ? TOWER_FLOATS : 0;
}

static uint32_t dense_state(void *ctx, uint32_t stage)
{
    (void)ctx;
    (void)stage;
    return 1;
}

static void init_dense(void *ctx, uint32_t stage, size_t offset, size_t n, float *out)
{
    (void)ctx;
    for (size_t i = 0; i < n; i++) out[i] = unit(mix(stage, offset + i));
}

static uint32_t tables_of(void *ctx, uint32_t stage, shard_table *t)
{
    (void)ctx;
    switch (stage) {
    case STAGE_HGNN:
        t[0] = (shard_table){.id = T_HGNN_ID, .dim = 3, .state = 1};
        t[1] = (shard_table){.id = T_HGNN_VALID, .dim = 2, .is_put = true, .scratch = true};
        return 2;
    case STAGE_EMBED:
        t[0] = (shard_table){.id = T_LAYER, .dim = 2, .is_put = true, .scratch = true};
        t[1] = (shard_table){.id = T_Z, .dim = 4, .is_put = true};
        return 2;
    case STAGE_VECTORS: t[0] = (shard_table){.id = T_VECTORS, .dim = 2, .is_put = true}; return 1;
    default:
        t[0] = (shard_table){.id = T_ITEM_ID, .dim = 2, .state = 1};
        t[1] = (shard_table){.id = T_TOWER_VALID, .dim = 2, .is_put = true, .scratch = true};
        return 2;
    }
}

static uint32_t dim_of(uint32_t stage, uint32_t table)
{
    shard_table t[SHARD_TABLES_MAX];
    uint32_t n = tables_of(NULL, stage, t);
    for (uint32_t i = 0; i < n; i++) {
        if (t[i].id == table) return t[i].dim;
    }
    return 0;
}

static void init_row(void *ctx, uint32_t stage, uint32_t table, uint64_t key, float *out)
{
    (void)ctx;
    for (uint32_t d = 0; d < dim_of(stage, table); d++)
        out[d] = unit(mix(mix(stage, table), mix(key, d)));
}

static void init_dense_arrival(void *ctx, uint32_t stage, size_t offset, size_t n, float *out)
{
    (void)ctx, (void)stage, (void)offset;
    memset(out, 0, n * sizeof *out);
}

static void init_row_arrival(void *ctx, uint32_t stage, uint32_t table, uint64_t key, float *out)
{
    (void)ctx, (void)key;
    memset(out, 0, dim_of(stage, table) * sizeof *out);
}

static uint64_t examples_of(void *ctx, uint32_t stage, uint32_t step)
{
    (void)ctx, (void)stage, (void)step;
    return PLANNED;
}

/* Exact: whole numbers, and a scale that is a power of two. */
static void apply_dense_arrival(void *ctx, uint32_t stage, shard_update u, size_t offset, size_t n,
                                float *w_new, const float *w_old, float *state, const float *g)
{
    (void)ctx, (void)stage, (void)offset, (void)state;
    for (size_t i = 0; i < n; i++) w_new[i] = w_old[i] + g[i] * (u.lr_scale * PLANNED);
}

static void apply_row_arrival(void *ctx, uint32_t stage, shard_update u, uint32_t table,
                              uint64_t key, float *w, float *state, const float *g)
{
    (void)ctx, (void)key, (void)state;
    for (uint32_t d = 0; d < dim_of(stage, table); d++) w[d] += g[d] * (u.lr_scale * PLANNED);
}

static void apply(float *w, const float *old, float *state, const float *g, size_t n, uint32_t step)
{
    for (size_t i = 0; i < n; i++) {
        state[i] = 0.9f * state[i] + g[i];
        w[i] = old[i] - 0.1f / (float)step * state[i];
    }
}

static void apply_dense(void *ctx, uint32_t stage, shard_update u, size_t offset, size_t n,
                        float *w_new, const float *w_old, float *state, const float *g)
{
    (void)ctx;
    (void)stage;
    (void)offset;
    apply(w_new, w_old, state, g, n, u.step);
}

static void apply_row(void *ctx, uint32_t stage, shard_update u, uint32_t table, uint64_t key,
                      float *w, float *state, const float *g)
{
    (void)ctx;
    (void)key;
    uint32_t dim = dim_of(stage, table);
    for (uint32_t d = 0; d < dim; d++) state[0] += g[d] * g[d];
    for (uint32_t d = 0; d < dim; d++)
        w[d] -= 0.1f / (float)u.step * g[d] / (1.0f + sqrtf(state[0]));
}

const shard_model *sim_shard_model(void)
{
    static const shard_model m = {.dense_floats = dense_floats,
                                  .dense_state = dense_state,
                                  .init_dense = init_dense,
                                  .tables = tables_of,
                                  .init_row = init_row,
                                  .apply_dense = apply_dense,
                                  .apply_row = apply_row};
    return &m;
}

shard_model sim_shard_model_of(staleness how)
{
    shard_model m = *sim_shard_model();
    m.staleness = how;
    if (!how.on_arrival) return m;
    m.init_dense = init_dense_arrival;
    m.init_row = init_row_arrival;
    m.apply_dense = apply_dense_arrival;
    m.apply_row = apply_row_arrival;
    m.examples = examples_of;
    return m;
}

/* ---- builds ---- */

uint32_t sim_leaf_partition(slot_name name, uint32_t hop, uint64_t so_far)
{
    return (uint32_t)(mix(hash_name(name) + hop, so_far) % SIM_PARTITIONS);
}

blob *sim_leaf_question(slot_name name, uint32_t hop, uint64_t so_far)
{
    uint64_t q = mix(so_far, hash_name(name) ^ hop);
    return blob_copy(&q, sizeof q);
}

static blob *store_reply(uint32_t partition, const blob *question, uint64_t seed)
{
    uint64_t x[2] = {hash64(blob_data(question), blob_size(question), seed), partition};
    return blob_copy(x, sizeof x);
}

blob *sim_leaf(uint32_t partition, const blob *question)
{
    return store_reply(partition, question, 21);
}

blob *sim_features(uint32_t partition, const blob *question)
{
    return store_reply(partition, question, 22);
}

uint64_t sim_leaf_fold(uint64_t so_far, const blob *reply)
{
    return hash64(blob_data(reply), blob_size(reply), so_far);
}

blob *sim_build(slot_name name)
{
    uint64_t h = hash_name(name);
    for (uint32_t hop = 0; hop < 2; hop++) {
        blob *q = sim_leaf_question(name, hop, h);
        blob *a = sim_leaf(sim_leaf_partition(name, hop, h), q);
        h = sim_leaf_fold(h, a);
        blob_unref(q);
        blob_unref(a);
    }
    return blob_copy(&h, sizeof h);
}

/* ---- needs ---- */

static uint64_t item_key(uint32_t item)
{
    return mix(99, item);
}

static int compare_keys(const void *a, const void *b)
{
    uint64_t x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return x < y ? -1 : x > y;
}

/* n keys of items first, first + stride, ..., ascending. */
static uint64_t *item_keys(uint32_t first, uint32_t stride, uint32_t n)
{
    uint64_t *k = xmalloc(n * sizeof *k);
    for (uint32_t i = 0; i < n; i++) k[i] = item_key((first + i * stride) % SIM_ITEMS);
    qsort(k, n, sizeof *k, compare_keys);
    return k;
}

static worker_need rows(uint32_t stage, uint32_t table, bool final, uint32_t first, uint32_t n)
{
    uint64_t *k = item_keys(first, 7, n);
    worker_need need = {.kind = NEED_ROWS, .stage = stage, .table = table, .final = final};
    need.dim = dim_of(stage, table);
    need.body = blob_copy(k, n * sizeof *k);
    free(k);
    return need;
}

static worker_need dense(uint32_t stage, bool final)
{
    return (worker_need){
        .kind = NEED_DENSE, .stage = stage, .final = final, .floats = dense_floats(NULL, stage)};
}

static worker_need features(slot_name name, uint32_t i)
{
    uint64_t q = mix(hash_name(name), 1000 + i);
    return (worker_need){.kind = NEED_FEATURES,
                         .partition = (uint32_t)(q % SIM_PARTITIONS),
                         .body = blob_copy(&q, sizeof q)};
}

static uint32_t first_item(slot_name name)
{
    return (uint32_t)(hash_name(name) % SIM_ITEMS);
}

static uint32_t train_needs(slot_name name, uint32_t pass, worker_need *need, bool *again)
{
    bool hgnn = name.stage == STAGE_HGNN;
    *again = pass == 0;
    if (pass) {
        need[0] = rows(name.stage, hgnn ? T_HGNN_ID : T_ITEM_ID, false, first_item(name), 5);
        return 1;
    }
    need[0] = features(name, 0);
    need[1] = dense(name.stage, false);
    need[2] = hgnn ? features(name, 1) : rows(STAGE_EMBED, T_Z, true, first_item(name), 4);
    return 3;
}

static uint32_t valid_needs(slot_name name, worker_need *need)
{
    uint32_t stage = main_stage(name.stage);
    bool hgnn = stage == STAGE_HGNN;
    if (name.step == VALID_SCORE) {
        need[0] = rows(stage, hgnn ? T_HGNN_VALID : T_TOWER_VALID, false, first_item(name), 8);
        return 1;
    }
    need[0] = dense(stage, false);
    need[1] = rows(stage, hgnn ? T_HGNN_ID : T_ITEM_ID, false, first_item(name), 6);
    return 2;
}

uint32_t sim_needs(slot_name name, uint32_t pass, worker_need *need, bool *again)
{
    *again = false;
    if (is_train(name.stage)) return train_needs(name, pass, need, again);
    if (main_stage(name.stage) != name.stage) return valid_needs(name, need);
    if (name.stage == STAGE_EMBED && name.step == 1) {
        need[0] = dense(STAGE_HGNN, true);
        need[1] = rows(STAGE_HGNN, T_HGNN_ID, true, first_item(name), 6);
        return 2;
    }
    if (name.stage == STAGE_EMBED) {
        need[0] = rows(STAGE_EMBED, T_LAYER, false, first_item(name), 9);
        return 1;
    }
    need[0] = dense(STAGE_TWO_TOWER, true);
    need[1] = dense(STAGE_TWO_TOWER_NO_Z, true);
    need[2] = rows(STAGE_TWO_TOWER, T_ITEM_ID, true, first_item(name), 6);
    need[3] = rows(STAGE_EMBED, T_Z, true, first_item(name), 6);
    return 4;
}

/* ---- computing ---- */

static push_section section(uint32_t stage, uint32_t table, uint64_t *keys, uint32_t n, uint64_t h)
{
    uint32_t dim = dim_of(stage, table);
    float *w = xmalloc((size_t)n * dim * sizeof *w);
    for (uint32_t i = 0; i < n * dim; i++) w[i] = unit(mix(h, 5000 + i));
    return (push_section){.table = table, .dim = dim, .n = n, .keys = keys, .rows = w};
}

static void compute_train(slot_name name, sim_output *o)
{
    uint64_t x = o->hash | 1;
    o->is_void = o->hash % 13 == 0;
    o->examples = o->is_void ? 0 : 1 + o->hash % 7;
    o->loss = o->is_void ? 0 : (double)(o->hash >> 20) / 1e9;
    if (o->is_void) return;
    o->dense_floats = dense_floats(NULL, name.stage);
    o->dense = xmalloc(o->dense_floats * sizeof *o->dense);
    for (size_t i = 0; i < o->dense_floats; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        o->dense[i] = unit(x) * (float)(1 + (x & 1023));
    }
    uint32_t table = name.stage == STAGE_HGNN ? T_HGNN_ID : T_ITEM_ID;
    /* Sometimes no row at all, so that a server may get nothing. */
    uint32_t n = o->hash % 3 ? 5 : 0;
    o->section[0] = section(name.stage, table, item_keys(first_item(name), 7, n), n, o->hash);
    o->sections = 1;
}

/* The number of a slot of training in its stage, < DIGITS. */
static uint32_t digit_of(slot_name name)
{
    return (name.step - 1) * 3 + name.slot;
}

/* On arrival: 0 for a void slot, else 1, 2 or 4. */
static uint64_t examples_on_arrival(slot_name name)
{
    uint64_t h = hash_name(name);
    return h % 7 == 0 ? 0 : 1ULL << h / 7 % 3;
}

/* Dense parameter i counts slot i % DIGITS; a row counts slots in base 8, ROW_DIGITS a float. */
static void compute_on_arrival(slot_name name, sim_output *o)
{
    uint32_t digit = digit_of(name), hgnn = name.stage == STAGE_HGNN;
    o->examples = examples_on_arrival(name);
    o->is_void = !o->examples;
    o->loss = (double)o->examples / 4;
    if (o->is_void) return;
    ASSERT(digit < DIGITS);
    o->dense_floats = dense_floats(NULL, name.stage);
    o->dense = xcalloc(o->dense_floats, sizeof *o->dense);
    for (size_t i = digit; i < o->dense_floats; i += DIGITS) o->dense[i] = (float)o->examples;
    uint32_t table = hgnn ? T_HGNN_ID : T_ITEM_ID, n = hash_name(name) % 3 ? 5 : 0;
    o->section[0] = section(name.stage, table, item_keys(first_item(name), 7, n), n, 0);
    float *rows = (float *)(uintptr_t)o->section[0].rows;
    uint32_t dim = o->section[0].dim, at = digit / ROW_DIGITS;
    ASSERT(at < dim);
    for (uint32_t i = 0; i < n; i++) {
        memset(rows + i * dim, 0, dim * sizeof *rows);
        rows[i * dim + at] = (float)(o->examples << 3 * (digit % ROW_DIGITS));
    }
    o->sections = 1;
}

static void compute_put(slot_name name, sim_output *o)
{
    static const uint32_t tables[STAGE_COUNT] = {[STAGE_HGNN_VALID] = T_HGNN_VALID,
                                                 [STAGE_TWO_TOWER_VALID] = T_TOWER_VALID,
                                                 [STAGE_TWO_TOWER_NO_Z_VALID] = T_TOWER_VALID,
                                                 [STAGE_VECTORS] = T_VECTORS};
    uint32_t table = tables[name.stage], half = SIM_ITEMS / 2;
    if (name.stage == STAGE_EMBED) table = name.step == 1 ? T_LAYER : T_Z;
    uint64_t *keys = item_keys(name.slot * half, 1, half);
    o->examples = half;
    o->section[0] = section(main_stage(name.stage), table, keys, half, o->hash);
    o->sections = 1;
}

static void compute_score(sim_output *o)
{
    o->examples = 3;
    o->sums_n = SIM_SUMS;
    for (uint32_t i = 0; i < SIM_SUMS; i++)
        o->sums[i] = ldexp((double)(mix(o->hash, i) >> 12), (int)(mix(o->hash, i + 9) % 60));
}

void sim_compute(staleness how, slot_name name, round_kind kind, const blob *build,
                 blob *const *reply, uint32_t replies, sim_output *out)
{
    memset(out, 0, sizeof *out);
    out->hash = hash64(blob_data(build), blob_size(build), hash_name(name));
    for (uint32_t i = 0; i < replies; i++)
        out->hash = hash64(blob_data(reply[i]), blob_size(reply[i]), out->hash);
    if (kind == ROUND_TRAIN && how.on_arrival)
        compute_on_arrival(name, out);
    else if (kind == ROUND_TRAIN)
        compute_train(name, out);
    else if (kind == ROUND_PUT)
        compute_put(name, out);
    else
        compute_score(out);
}

void sim_output_fini(sim_output *o)
{
    for (uint32_t i = 0; i < o->sections; i++) {
        free((void *)(uintptr_t)o->section[i].keys);
        free((void *)(uintptr_t)o->section[i].rows);
    }
    free(o->dense);
    memset(o, 0, sizeof *o);
}

uint32_t sim_version_of(uint32_t stage, uint32_t step)
{
    uint32_t version = 0;
    for (uint32_t t = 1; t < step; t++) version += 1 + plan_valid_rounds(NULL, stage, t);
    return version;
}

const char *sim_check_arrival(uint32_t stage, uint32_t all, uint32_t none, const float *dense,
                              size_t n)
{
    for (uint32_t digit = 0; digit < DIGITS && digit < n; digit++) {
        slot_name name = {.stage = stage, .step = 1 + digit / 3, .slot = digit % 3};
        if (name.step > plan_steps_of(NULL, stage)) break;
        plan_round r = plan_round_of(NULL, stage, name.step);
        name.epoch = r.epoch;
        float want = name.slot < r.slots ? (float)examples_on_arrival(name) : 0;
        if (dense[digit] != 0 && dense[digit] != want) return "a slot was not applied once";
        if (name.step <= all && dense[digit] != want) return "a slot is missing";
        if (name.step > none && dense[digit] != 0) return "a slot came too early";
    }
    return NULL;
}

/* ---- the oracle: one process, one thread, one slot after the other ---- */

typedef struct known_slot {
    slot_name name;
    uint64_t hash;
} known_slot;

typedef struct version {
    uint32_t stage, version;
    float *dense;
} version;

/* The tables after a step of the running stage. */
typedef struct past {
    float *dense;
    sim_row *row;
    size_t rows;
} past;

struct sim_oracle {
    staleness how;
    past past[PAST_STEPS];
    float *dense[STAGE_COUNT], *state[STAGE_COUNT], *best[STAGE_COUNT];
    sim_row *row, *best_row;
    size_t rows, rows_cap, best_rows, best_cap;
    known_slot *slot;
    size_t slots, slots_cap;
    version *version;
    size_t versions, versions_cap;
    core_metric *metric;
    size_t metrics, metrics_cap;
    uint32_t stage, at; /* running */
};

static sim_row *row_among(sim_row *row, size_t n, uint32_t stage, uint32_t table, uint64_t key)
{
    for (size_t i = 0; i < n; i++) {
        if (row[i].stage == stage && row[i].table == table && row[i].key == key) return &row[i];
    }
    return NULL;
}

static sim_row *find_row(sim_oracle *o, uint32_t stage, uint32_t table, uint64_t key)
{
    return row_among(o->row, o->rows, stage, table, key);
}

static void remember_step(sim_oracle *o, uint32_t step)
{
    size_t bytes = dense_floats(NULL, o->stage) * sizeof(float);
    ASSERT(step < PAST_STEPS);
    past *p = &o->past[step];
    free(p->dense);
    free(p->row);
    p->dense = xmalloc(bytes + 1);
    memcpy(p->dense, o->dense[o->stage], bytes);
    p->rows = o->rows;
    p->row = xmalloc((o->rows + 1) * sizeof *p->row);
    if (o->rows) memcpy(p->row, o->row, o->rows * sizeof *p->row);
}

/* What a slot of training is computed on: what step t - 1 - k left. */
static past tables_for(sim_oracle *o, slot_name name)
{
    past now = {o->dense[o->stage], o->row, o->rows};
    uint32_t t = name.step, k = o->how.steps;
    return is_train(name.stage) && !o->how.on_arrival ? o->past[t > k ? t - 1 - k : 0] : now;
}

static sim_row *add_row(sim_oracle *o, uint32_t stage, uint32_t table, uint64_t key)
{
    grow(&o->row, &o->rows_cap, o->rows + 1, sizeof *o->row);
    sim_row *r = &o->row[o->rows++];
    *r = (sim_row){.stage = stage, .table = table, .key = key, .dim = dim_of(stage, table)};
    shard_model m = sim_shard_model_of(o->how);
    m.init_row(NULL, stage, table, key, r->w);
    return r;
}

static blob *oracle_rows(const sim_oracle *o, const past *on, const worker_need *need)
{
    size_t n = blob_size(need->body) / 8;
    const uint64_t *keys = (const void *)blob_data(need->body);
    shard_model m = sim_shard_model_of(o->how);
    blob *b = blob_new(n * need->dim * sizeof(float));
    float *out = (float *)(void *)blob_writable(b);
    for (size_t i = 0; i < n; i++, out += need->dim) {
        const sim_row *r = row_among(on->row, on->rows, need->stage, need->table, keys[i]);
        if (r)
            memcpy(out, r->w, need->dim * sizeof *out);
        else
            m.init_row(NULL, need->stage, need->table, keys[i], out);
    }
    return b;
}

static blob *oracle_reply(sim_oracle *o, const past *on, const worker_need *need)
{
    if (need->kind == NEED_FEATURES) return sim_features(need->partition, need->body);
    if (need->kind == NEED_ROWS) return oracle_rows(o, on, need);
    const float *dense = need->stage == o->stage ? on->dense : o->dense[need->stage];
    return blob_copy(dense, need->floats * sizeof(float));
}

static void oracle_slot(sim_oracle *o, slot_name name, round_kind kind, sim_output *out)
{
    worker_need need[SIM_NEEDS_MAX];
    blob *reply[SIM_NEEDS_MAX], *build = sim_build(name);
    bool again;
    past on = tables_for(o, name);
    uint32_t n = sim_needs(name, 0, need, &again);
    if (again) n += sim_needs(name, 1, need + n, &again);
    for (uint32_t i = 0; i < n; i++) reply[i] = oracle_reply(o, &on, &need[i]);
    sim_compute(o->how, name, kind, build, reply, n, out);
    for (uint32_t i = 0; i < n; i++) {
        blob_unref(reply[i]);
        blob_unref(need[i].body);
    }
    blob_unref(build);
    grow(&o->slot, &o->slots_cap, o->slots + 1, sizeof *o->slot);
    o->slot[o->slots++] = (known_slot){name, out->hash};
}

static void remember_version(sim_oracle *o)
{
    size_t floats = dense_floats(NULL, o->stage);
    grow(&o->version, &o->versions_cap, o->versions + 1, sizeof *o->version);
    version *v = &o->version[o->versions++];
    *v = (version){o->stage, o->at, xmalloc((floats + 1) * sizeof(float))};
    if (floats) memcpy(v->dense, o->dense[o->stage], floats * sizeof(float));
}

static void oracle_train_rows(sim_oracle *o, uint32_t step, const sim_output *x, uint32_t slots,
                              float by)
{
    uint32_t table = o->stage == STAGE_HGNN ? T_HGNN_ID : T_ITEM_ID, dim = dim_of(o->stage, table);
    for (uint32_t item = 0; item < SIM_ITEMS; item++) {
        uint64_t key = item_key(item);
        float g[4] = {0};
        bool any = false;
        for (uint32_t j = 0; j < slots; j++) {
            for (uint32_t i = 0; x[j].sections && i < x[j].section[0].n; i++) {
                if (x[j].section[0].keys[i] != key) continue;
                any = true;
                for (uint32_t d = 0; d < dim; d++) g[d] += x[j].section[0].rows[i * dim + d];
            }
        }
        if (!any) continue;
        sim_row *r = find_row(o, o->stage, table, key);
        if (!r) r = add_row(o, o->stage, table, key);
        for (uint32_t d = 0; d < dim && !o->how.on_arrival; d++) g[d] /= by;
        shard_update u = {.step = step, .number = step, .lr_scale = 1};
        if (o->how.on_arrival)
            for (uint32_t d = 0; d < dim; d++) r->w[d] += g[d];
        else
            apply_row(NULL, o->stage, u, table, key, r->w, r->state, g);
    }
}

static void oracle_train(sim_oracle *o, const plan_round *r, const sim_output *x)
{
    size_t floats = dense_floats(NULL, o->stage);
    float *g = xcalloc(floats, sizeof *g), *w = xmalloc(floats * sizeof *w);
    core_metric m = {.kind = METRIC_STEP, .stage = o->stage, .epoch = r->epoch, .step = r->step};
    for (uint32_t j = 0; j < r->slots; j++) {
        m.examples += x[j].examples;
        m.loss += x[j].loss;
        m.voids += x[j].is_void;
        for (size_t k = 0; k < x[j].dense_floats; k++) g[k] += x[j].dense[k];
    }
    if (m.examples) {
        float *now = o->dense[o->stage], by = o->how.on_arrival ? 1 : (float)m.examples;
        for (size_t k = 0; k < floats; k++) g[k] /= by;
        if (o->how.on_arrival)
            for (size_t k = 0; k < floats; k++) w[k] = now[k] + g[k];
        else
            apply(w, now, o->state[o->stage], g, floats, r->step);
        memcpy(now, w, floats * sizeof *w);
        oracle_train_rows(o, r->step, x, r->slots, (float)m.examples);
        m.loss /= (double)m.examples;
    }
    free(g);
    free(w);
    m.index = o->metrics;
    grow(&o->metric, &o->metrics_cap, o->metrics + 1, sizeof *o->metric);
    o->metric[o->metrics++] = m;
}

static void oracle_put(sim_oracle *o, const plan_round *r, const sim_output *x)
{
    for (uint32_t j = 0; j < r->slots; j++) {
        const push_section *s = &x[j].section[0];
        for (uint32_t i = 0; i < s->n; i++) {
            sim_row *row = find_row(o, o->stage, s->table, s->keys[i]);
            if (!row) row = add_row(o, o->stage, s->table, s->keys[i]);
            memcpy(row->w, s->rows + i * s->dim, s->dim * sizeof *row->w);
        }
    }
}

static core_metric *add_metric(sim_oracle *o, metric_kind kind, uint32_t epoch, uint32_t step)
{
    grow(&o->metric, &o->metrics_cap, o->metrics + 1, sizeof *o->metric);
    core_metric *m = &o->metric[o->metrics];
    *m = (core_metric){.kind = kind, .index = o->metrics, .stage = o->stage};
    m->epoch = epoch;
    m->step = step;
    o->metrics++;
    return m;
}

/* Runs one round; SCORE: the sums. */
static void oracle_round(sim_oracle *o, const plan_round *r, double *sums)
{
    sim_output *x = xcalloc(r->slots, sizeof *x);
    for (uint32_t j = 0; j < r->slots; j++)
        oracle_slot(o, (slot_name){r->stage, r->epoch, r->step, j}, r->kind, &x[j]);
    if (r->kind == ROUND_TRAIN) oracle_train(o, r, x);
    if (r->kind == ROUND_TRAIN) remember_step(o, r->step);
    if (r->kind == ROUND_PUT) oracle_put(o, r, x);
    if (r->kind == ROUND_PUT && r->stage == o->stage)
        add_metric(o, METRIC_PUT, r->epoch, r->step)->examples = SIM_ITEMS;
    for (uint32_t j = 0; r->kind == ROUND_SCORE && j < r->slots; j++) {
        for (uint32_t i = 0; i < SIM_SUMS; i++) sums[i] += x[j].sums[i];
    }
    for (uint32_t j = 0; j < r->slots; j++) sim_output_fini(&x[j]);
    free(x);
    o->at++;
    remember_version(o);
}

static void keep_best(sim_oracle *o)
{
    size_t bytes = dense_floats(NULL, o->stage) * sizeof(float);
    if (!o->best[o->stage]) o->best[o->stage] = xmalloc(bytes);
    memcpy(o->best[o->stage], o->dense[o->stage], bytes);
    o->best_rows = 0;
    for (size_t i = 0; i < o->rows; i++) {
        if (o->row[i].stage != o->stage) continue;
        grow(&o->best_row, &o->best_cap, o->best_rows + 1, sizeof *o->best_row);
        o->best_row[o->best_rows++] = o->row[i];
    }
}

/* Takes the best back and drops scratch tables. */
static void finish_stage(sim_oracle *o)
{
    bool best = o->best[o->stage] != NULL;
    if (best)
        memcpy(o->dense[o->stage], o->best[o->stage], dense_floats(NULL, o->stage) * sizeof(float));
    size_t kept = 0;
    for (size_t i = 0; i < o->rows; i++) {
        const sim_row *r = &o->row[i];
        bool scratch = r->table == T_HGNN_VALID || r->table == T_TOWER_VALID || r->table == T_LAYER;
        if (r->stage == o->stage && (best || scratch)) continue;
        o->row[kept++] = *r;
    }
    o->rows = kept;
    for (size_t i = 0; best && i < o->best_rows; i++) {
        uint32_t t = o->best_row[i].table;
        if (t == T_HGNN_VALID || t == T_TOWER_VALID) continue;
        sim_row *r = add_row(o, o->best_row[i].stage, t, o->best_row[i].key);
        *r = o->best_row[i];
    }
}

typedef struct selection {
    bool any;
    double best;
    uint32_t best_step, bad;
} selection;

/* True: patience ran out. */
static bool oracle_validate(sim_oracle *o, uint32_t step, selection *s)
{
    double sums[SIM_SUMS] = {0};
    for (uint32_t i = 0; i < plan_valid_rounds(NULL, o->stage, step); i++) {
        plan_round r = plan_valid_round(NULL, o->stage, step, i);
        oracle_round(o, &r, sums);
    }
    core_metric *m = add_metric(o, METRIC_VALID, plan_round_of(NULL, o->stage, step).epoch, step);
    m->value = plan_score(NULL, o->stage, sums, SIM_SUMS);
    m->sums_n = SIM_SUMS;
    memcpy(m->sums, sums, sizeof sums);
    m->best = !s->any || m->value > s->best;
    s->any = true;
    s->bad = m->best ? 0 : s->bad + 1;
    if (m->best) {
        s->best = m->value;
        s->best_step = step;
        keep_best(o);
    }
    uint32_t patience = plan_patience_of(NULL, o->stage);
    return patience && s->bad >= patience;
}

static void stage_metric(sim_oracle *o, const selection *s, uint32_t step, bool impatient)
{
    bool train = is_train(o->stage);
    core_metric *m = add_metric(o, METRIC_STAGE, s->best_step, step);
    for (size_t i = 0; i + 1 < o->metrics; i++) {
        const core_metric *x = &o->metric[i];
        if (x->stage != o->stage) continue;
        if (x->kind == METRIC_STEP) {
            m->examples += x->examples;
            m->voids += x->voids;
            m->loss = x->loss;
        }
        if (x->kind == METRIC_PUT) m->examples = x->examples;
    }
    if (!train) m->loss = 0;
    m->value = s->best;
    m->stopped = impatient ? STOPPED_PATIENCE : plan_stops_by(NULL, o->stage);
}

static void oracle_stage(sim_oracle *o, uint32_t stage)
{
    size_t floats = dense_floats(NULL, stage);
    selection s = {0};
    bool impatient = false;
    uint32_t step = 0;
    o->stage = stage;
    o->at = 0;
    o->dense[stage] = xcalloc(floats + 1, sizeof(float));
    o->state[stage] = xcalloc(floats + 1, sizeof(float));
    shard_model m = sim_shard_model_of(o->how);
    m.init_dense(NULL, stage, 0, floats, o->dense[stage]);
    remember_version(o);
    remember_step(o, 0);
    while (step < plan_steps_of(NULL, stage) && !impatient) {
        plan_round r = plan_round_of(NULL, stage, ++step);
        oracle_round(o, &r, NULL);
        if (plan_valid_rounds(NULL, stage, step)) impatient = oracle_validate(o, step, &s);
    }
    stage_metric(o, &s, step, impatient);
    finish_stage(o);
}

sim_oracle *sim_oracle_new(staleness how)
{
    sim_oracle *o = xcalloc(1, sizeof *o);
    o->how = how;
    for (uint32_t i = 0; i < sim_plan()->stages; i++) oracle_stage(o, sim_plan()->stage[i]);
    return o;
}

void sim_oracle_free(sim_oracle *o)
{
    if (!o) return;
    for (uint32_t i = 0; i < STAGE_COUNT; i++) {
        free(o->dense[i]);
        free(o->state[i]);
        free(o->best[i]);
    }
    for (uint32_t i = 0; i < PAST_STEPS; i++) {
        free(o->past[i].dense);
        free(o->past[i].row);
    }
    for (size_t i = 0; i < o->versions; i++) free(o->version[i].dense);
    free(o->version);
    free(o->row);
    free(o->best_row);
    free(o->slot);
    free(o->metric);
    free(o);
}

bool sim_oracle_slot(const sim_oracle *o, slot_name name, uint64_t *hash)
{
    for (size_t i = 0; i < o->slots; i++) {
        if (!slot_equal(o->slot[i].name, name)) continue;
        *hash = o->slot[i].hash;
        return true;
    }
    return false;
}

const float *sim_oracle_dense(const sim_oracle *o, uint32_t stage, uint32_t at, size_t *floats)
{
    *floats = dense_floats(NULL, stage);
    for (size_t i = 0; i < o->versions; i++) {
        if (o->version[i].stage == stage && o->version[i].version == at) return o->version[i].dense;
    }
    return NULL;
}

const float *sim_oracle_final(const sim_oracle *o, uint32_t stage, size_t *floats)
{
    *floats = dense_floats(NULL, stage);
    return o->dense[stage];
}

size_t sim_oracle_metrics(const sim_oracle *o, const core_metric **m)
{
    *m = o->metric;
    return o->metrics;
}

size_t sim_oracle_rows(const sim_oracle *o, const sim_row **out)
{
    *out = o->row;
    return o->rows;
}
