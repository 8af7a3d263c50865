#include "ps/stage_arrival.h"

#include "common/mem.h"
#include "common/panic.h"
#include "ps/stage_tables_state.h"

#include <stdlib.h>
#include <string.h>

static bool is_done(const uint64_t *shards, uint32_t vshard)
{
    return shards && applied_shards_has(shards, vshard);
}

static shard_update update_of(stage_tables *t, uint32_t step, uint64_t examples)
{
    const shard_model *m = t->model;
    uint64_t planned = m->examples ? m->examples(m->ctx, t->stage, step) : examples;
    bool own = core_rule(t->mutations, CORE_RULE_OWN_COUNT);
    if (examples > planned) examples = planned; /* a count is a worker's word */
    float scale = own && planned ? (float)((double)examples / (double)planned) : 1.0f;
    return (shard_update){.step = step, .number = ++t->updates, .lr_scale = scale};
}

static void arrive_dense(stage_tables *t, shard_update u, const push_view *slot, float by,
                         const uint64_t *shards)
{
    for (size_t k = 0; k < t->own; k++) t->sum[k] = slot->dense[k] / by;
    blob *next = blob_new(t->own * sizeof(float));
    ASSERT(next);
    float *w = (float *)(void *)blob_writable(next);
    const float *old = (const float *)(const void *)blob_data(t->dense);
    block_walk b = stage_tables_blocks(t);
    while (stage_tables_walk(t, &b)) {
        if (is_done(shards, table_shard_of(&t->map, table_block_key(t->stage, b.block))))
            memcpy(w + b.at, old + b.at, b.n * sizeof *w);
        else
            t->model->apply_dense(t->model->ctx, t->stage, u, b.offset, b.n, w + b.at, old + b.at,
                                  t->state + b.at * t->dense_state, t->sum + b.at);
    }
    blob_unref(t->dense);
    t->dense = next;
}

static void arrive_rows(stage_tables *t, shard_update u, const push_section *x, float by,
                        const uint64_t *shards)
{
    uint32_t i = stage_tables_index(t, x->table), dim = x->dim;
    float *g = xmalloc(dim * sizeof *g);
    for (uint32_t k = 0; k < x->n; k++) {
        if (is_done(shards, table_shard_of(&t->map, x->keys[k]))) continue;
        for (uint32_t d = 0; d < dim; d++) g[d] = x->rows[(size_t)k * dim + d] / by;
        float *row = stage_tables_row_for(t, i, x->keys[k]);
        t->model->apply_row(t->model->ctx, t->stage, u, x->table, x->keys[k], row, row + dim, g);
    }
    free(g);
}

void stage_tables_arrive(stage_tables *t, uint32_t step, const push_view *slot,
                         const uint64_t *shards)
{
    uint64_t examples = slot->head.examples;
    if (!examples) return;
    float by = core_rule(t->mutations, CORE_RULE_OWN_COUNT) ? (float)examples : 1.0f;
    shard_update u = update_of(t, step, examples);
    if (slot->head.dense_floats) arrive_dense(t, u, slot, by, shards);
    for (uint32_t k = 0; k < slot->head.sections; k++)
        arrive_rows(t, u, &slot->section[k], by, shards);
}

applied_set *stage_tables_applied(stage_tables *t)
{
    return &t->applied;
}
