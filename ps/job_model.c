#include "ps/job_model.h"

#include "common/panic.h"
#include "common/table_id.h"
#include "ps/optimizer.h"

static const job *job_of(void *ctx)
{
    return ctx;
}

static const config_optimizer *optimizer_of(const job *j, uint32_t stage)
{
    return stage == STAGE_HGNN ? &j->config->hgnn.optimizer : &j->config->two_tower.optimizer;
}

/* ---- shard_model ---- */

static size_t dense_floats(void *ctx, uint32_t stage)
{
    if (!plan_is_training(stage)) return 0;
    return job_spec(job_of(ctx), stage)->values;
}

static uint32_t dense_state(void *ctx, uint32_t stage)
{
    return optimizer_states(optimizer_of(job_of(ctx), stage)->name);
}

static void init_dense(void *ctx, uint32_t stage, size_t offset, size_t n, float *out)
{
    const job *j = job_of(ctx);
    const model_spec *s = job_spec(j, stage);
    for (size_t i = 0; i < s->tensors; i++) {
        const model_tensor *t = &s->tensor[i];
        size_t first = t->offset > offset ? t->offset : offset;
        size_t end = t->offset + t->n < offset + n ? t->offset + t->n : offset + n;
        if (first < end) {
            model_spec_init(t, j->config->seed, first - t->offset, end - first,
                            out + (first - offset));
        }
    }
}

static uint32_t add_put_tables(const job *j, uint32_t stage, uint32_t steps, bool scratch,
                               shard_table *tables)
{
    uint32_t n = 0;
    for (uint32_t step = 1; step <= steps; step++) {
        uint32_t id = table_of_step(j->config, stage, step);
        if (id == TABLE_COUNT) continue;
        tables[n++] = (shard_table){
            .id = id, .dim = table_dim(j->config, id), .is_put = true, .scratch = scratch};
    }
    return n;
}

static uint32_t tables_of(void *ctx, uint32_t stage, shard_table *tables)
{
    const job *j = job_of(ctx);
    if (!plan_is_training(stage))
        return add_put_tables(j, stage, plan_steps(j->plan, stage), false, tables);
    uint32_t n = 0, id = table_sparse(j->config, stage);
    if (id != TABLE_COUNT) {
        uint32_t dim = table_dim(j->config, id);
        tables[n++] =
            (shard_table){.id = id,
                          .dim = dim,
                          .state = optimizer_sparse_states(optimizer_of(j, stage)->sparse, dim)};
    }
    uint32_t valid = plan_valid_stage(stage);
    return n + add_put_tables(j, valid, plan_steps(j->plan, valid), true, tables + n);
}

static void init_row(void *ctx, uint32_t stage, uint32_t table, uint64_t key, float *out)
{
    const job *j = job_of(ctx);
    (void)table;
    model_spec_init_row(&job_spec(j, stage)->table[0], j->config->seed, key, out);
}

static void apply_dense(void *ctx, uint32_t stage, shard_update u, size_t offset, size_t n,
                        float *w_new, const float *w_old, float *state, const float *g)
{
    (void)offset; /* Every optimizer works element by element. */
    const job *j = job_of(ctx);
    const config_optimizer *o = optimizer_of(j, stage);
    float *arrays[OPTIMIZER_STATES_MAX];
    const float *old[OPTIMIZER_STATES_MAX];
    for (uint32_t i = 0; i < optimizer_states(o->name); i++) old[i] = arrays[i] = state + i * n;
    float lr = plan_lr(j->plan, stage, u.step) * u.lr_scale;
    optimizer_apply(o, lr, u.number, w_new, arrays, w_old, old, g, n);
}

static void apply_row(void *ctx, uint32_t stage, shard_update u, uint32_t table, uint64_t key,
                      float *w, float *state, const float *g)
{
    (void)key;
    const job *j = job_of(ctx);
    const config_optimizer *o = optimizer_of(j, stage);
    float lr = o->sparse_lr * plan_lr_scale(j->plan, stage, u.step) * u.lr_scale;
    optimizer_sparse_apply(o, lr, w, state, g, table_dim(j->config, table));
}

static uint32_t slots_of(void *ctx, uint32_t stage, uint32_t step)
{
    return plan_slots(job_of(ctx)->plan, stage, step);
}

static uint64_t examples_of(void *ctx, uint32_t stage, uint32_t step)
{
    return plan_step_examples(job_of(ctx)->plan, stage, step);
}

shard_model job_shard_model(const job *j)
{
    return (shard_model){
        .ctx = (void *)(uintptr_t)j,
        .dense_floats = dense_floats,
        .dense_state = dense_state,
        .init_dense = init_dense,
        .tables = tables_of,
        .init_row = init_row,
        .apply_dense = apply_dense,
        .apply_row = apply_row,
        .slots = slots_of,
        .examples = examples_of,
        .staleness = staleness_of(j->config),
    };
}

/* ---- scheduler_plan ---- */

static uint32_t steps(void *ctx, uint32_t stage)
{
    return plan_steps(job_of(ctx)->plan, stage);
}

static plan_round round_of(void *ctx, uint32_t stage, uint32_t step)
{
    const job *j = job_of(ctx);
    return (plan_round){
        .stage = stage,
        .epoch = plan_epoch(j->plan, stage, step),
        .step = step,
        .kind = plan_is_training(stage) ? ROUND_TRAIN : ROUND_PUT,
        .slots = plan_slots(j->plan, stage, step),
    };
}

static scheduler_stopped stops_by(void *ctx, uint32_t stage)
{
    const job *j = job_of(ctx);
    if (!plan_is_training(stage)) return STOPPED_END;
    uint32_t max = stage == STAGE_HGNN ? j->config->hgnn.max_steps : j->config->two_tower.max_steps;
    return max && plan_steps(j->plan, stage) == max ? STOPPED_MAX_STEPS : STOPPED_EPOCHS;
}

static uint32_t valid_rounds(void *ctx, uint32_t stage, uint32_t step)
{
    const job *j = job_of(ctx);
    if (!plan_is_training(stage) || !plan_validates(j->plan, stage, step)) return 0;
    return plan_steps(j->plan, plan_valid_stage(stage));
}

static plan_round valid_round(void *ctx, uint32_t stage, uint32_t step, uint32_t i)
{
    const job *j = job_of(ctx);
    uint32_t valid = plan_valid_stage(stage);
    bool puts = table_of_step(j->config, valid, i + 1) != TABLE_COUNT;
    return (plan_round){
        .stage = valid,
        .epoch = step,
        .step = i + 1,
        .kind = puts ? ROUND_PUT : ROUND_SCORE,
        .slots = plan_slots(j->plan, valid, i + 1),
    };
}

/* sums: per type {sum of the metric, users}.  Mean over types with at least 50 users, or over all
 * that have any. */
static double score(void *ctx, uint32_t stage, const double *sums, uint32_t n)
{
    enum { USERS_MIN = 50 };
    (void)ctx, (void)stage;
    double total = 0, all = 0;
    uint32_t types = 0, any = 0;
    for (uint32_t t = 0; t + 1 < n; t += 2) {
        if (sums[t + 1] < 1) continue;
        double mean = sums[t] / sums[t + 1];
        all += mean;
        any++;
        if (sums[t + 1] >= USERS_MIN) {
            total += mean;
            types++;
        }
    }
    if (types) return total / types;
    return any ? all / any : 0;
}

static uint32_t patience(void *ctx, uint32_t stage)
{
    return plan_patience(job_of(ctx)->plan, stage);
}

static const char *metric(void *ctx, uint32_t stage)
{
    (void)ctx;
    return plan_metric(stage);
}

scheduler_plan job_scheduler_plan(const job *j)
{
    scheduler_plan p = {
        .ctx = (void *)(uintptr_t)j,
        .steps = steps,
        .round = round_of,
        .stops_by = stops_by,
        .valid_rounds = valid_rounds,
        .valid_round = valid_round,
        .score = score,
        .patience = patience,
        .metric = metric,
        .staleness = staleness_of(j->config),
    };
    uint32_t stages[STAGE_COUNT];
    p.stages = plan_stages(j->plan, stages);
    ASSERT(p.stages <= SCHEDULER_STAGES_MAX);
    for (uint32_t i = 0; i < p.stages; i++) p.stage[i] = stages[i];
    return p;
}
