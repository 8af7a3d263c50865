/* Network and time of each stage (forecast.h), and what bounds the cluster. */
#include "common/mem.h"
#include "common/table_id.h"
#include "deploy/forecast.h"
#include "ps/optimizer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Of sgemm's rate a slot reaches: gathers, losses and short products take the rest (measured: 0.3
 * to 0.6). */
static const double efficiency = 0.45;
/* Seconds of prepare, one thread, measured: a text through the embedded encoder, a byte of input, a
 * pair of items of one user. */
static const double text_s = 1.2e-3, input_s = 2.5e-8, pair_s = 8e-9;
static const double slot_s_min = 0.2; /* below it messages and barriers are a large share */

typedef struct machine {
    const calibration *speed;
    const job *job;
    const outlook *outlook;
    double crowd; /* how much slower a thread is where processes share this machine's cores */
} machine;

static double most(double a, double b)
{
    return a > b ? a : b;
}

static double compute_s(const machine *m, double flops, double workers)
{
    const config *c = m->job->config;
    double threads = c->cluster.threads < c->train.chunks_per_slot ? c->cluster.threads
                                                                   : c->train.chunks_per_slot;
    double busy = workers * threads, crowd = 1;
    if (forecast_is_one_machine(c) && busy > m->speed->cores) crowd = busy / m->speed->cores;
    return flops / (m->speed->sgemm_flops * efficiency) / threads * crowd;
}

static double row_bytes(const job *j)
{
    return 24.0 + 4.0 * j->manifest->item_attributes + 2.0 * j->manifest->text_dim;
}

/* Bytes of feature rows that a slot must still ask for, once the cache is warm. */
static double missed_bytes(const job *j, double nodes)
{
    double all = j->manifest->items * (row_bytes(j) + 2.0 * j->config->hgnn.random_features);
    double held = (double)j->config->worker.cache * 0.75;
    return all <= held ? 0 : nodes * row_bytes(j) * (1 - held / all);
}

static double server_commit_s(const machine *m, const forecast_stage *s, double states)
{
    double n = m->job->config->cluster.servers;
    return s->pull / n * (s->slots + 3 + 2 * states) / m->speed->copy_bytes;
}

typedef struct step_times {
    double compute, network, server, commit, all;
} step_times;

static step_times step_with(const machine *m, const forecast_stage *s, double flops, double states,
                            double workers)
{
    double active = workers < s->slots ? workers : s->slots, rounds = ceil(s->slots / active);
    double rate = m->speed->loopback_bytes, servers = m->job->config->cluster.servers;
    step_times t;
    t.compute = rounds * compute_s(m, flops, active);
    t.network = (s->pull + rounds * (s->push + s->body + s->features)) / rate;
    t.server = (active * s->pull + s->slots * s->push) / servers / rate;
    t.commit = server_commit_s(m, s, states) + 6 * m->speed->round_trip_s + 3e-4;
    /* Fetching overlaps with computing; the last push and the commit do not, unless late weights
     * do. */
    double busy = most(most(t.compute, t.network), t.server);
    t.all = m->job->config->train.delay ? most(busy, t.commit) : busy + s->push / rate + t.commit;
    return t;
}

static const char *bound_of(const step_times *t)
{
    if (t->compute >= t->network && t->compute >= t->server && t->compute >= t->commit)
        return "compute";
    if (t->commit >= t->network && t->commit >= t->server) return "commit";
    return t->server >= t->network ? "servers' network" : "worker's network";
}

/* The fewest workers within a tenth of the best. */
static uint32_t useful_workers(const machine *m, const forecast_stage *s, double flops,
                               double states)
{
    double best = INFINITY;
    for (uint32_t w = 1; w <= s->slots; w++)
        best = fmin(best, step_with(m, s, flops, states, w).all);
    for (uint32_t w = 1; w <= s->slots; w++) {
        if (step_with(m, s, flops, states, w).all <= best * 1.1) return w;
    }
    return 1;
}

static forecast_stage *add_stage(forecast *f, const char *name, double seconds)
{
    forecast_stage *s = &f->stage[f->stages++];
    *s = (forecast_stage){.name = name, .seconds = seconds, .bound = "compute"};
    f->seconds += seconds;
    return s;
}

/* ---- Stages ---- */

/* One pass of layer-wise inference over `share` of the nodes in the last layer. */
static double embed_s(const machine *m, double share)
{
    const job *j = m->job;
    double workers = j->config->cluster.workers, s = 0;
    for (uint32_t k = 1; k <= j->config->hgnn.layers; k++) {
        forecast_slot slot;
        forecast_slot_layer(j, m->outlook, k, &slot);
        double slots = slot.pairs > 0 ? ceil(j->manifest->items / slot.pairs) : 0;
        if (k == j->config->hgnn.layers) slots = ceil(slots * share);
        s += slots / workers *
             (compute_s(m, slot.flops, workers) +
              (slot.body_bytes + slot.pairs * 4 * j->config->hgnn.dims[k - 1]) /
                  m->speed->loopback_bytes +
              4 * m->speed->round_trip_s);
    }
    return s;
}

static double sample_share(const job *j)
{
    double most_items = j->config->validate.items, n = j->manifest->items;
    return most_items > 0 && most_items < n ? most_items / n : 1;
}

static double valid_users(const job *j)
{
    double n = 0;
    for (uint32_t p = 0; p < j->manifest->partitions; p++) n += plan_sample_users(j->plan, p);
    return n;
}

static double validation_s(const machine *m, uint32_t stage, const model_spec *s)
{
    const job *j = m->job;
    double items = sample_share(j) * j->manifest->items, users = valid_users(j);
    double workers = j->config->cluster.workers, d = s->output_dim;
    if (stage == STAGE_HGNN) {
        d = s->z_dim;
    }
    double flops = 2 * users * items * d;
    double vectors = stage == STAGE_HGNN
                         ? embed_s(m, sample_share(j))
                         : compute_s(m, 2 * items * (double)s->values, workers) / workers;
    return vectors + compute_s(m, flops, workers) / workers * 2; /* ranks cost as much as scores */
}

static void train_stage(const machine *m, uint32_t stage, const model_spec *spec, forecast *f)
{
    const job *j = m->job;
    const config *c = j->config;
    if (!spec || !plan_steps(j->plan, stage)) return;
    bool graph = stage == STAGE_HGNN;
    const config_optimizer *opt = graph ? &c->hgnn.optimizer : &c->two_tower.optimizer;
    forecast_slot slot;
    if (graph) {
        forecast_slot_hgnn(j, m->outlook, &slot);
    } else {
        forecast_slot_tower(j, m->outlook, stage, &slot);
    }
    forecast_stage *s = add_stage(f, stage_name(stage), 0);
    double dim = spec->tables ? spec->table[0].dim : 0, states = optimizer_states(opt->name);
    s->steps = plan_steps(j->plan, stage);
    s->slots = plan_slots(j->plan, stage, 1);
    s->pairs = slot.pairs * s->slots;
    s->pull = 4.0 * (double)spec->values;
    s->push = s->pull + slot.nodes * dim * 4 + (dim > 0 ? slot.nodes * 8 : 0);
    s->body = slot.body_bytes + slot.nodes * dim * 4;
    s->features = missed_bytes(j, slot.nodes);
    step_times t = step_with(m, s, slot.flops, states, c->cluster.workers);
    double active = c->cluster.workers < s->slots ? c->cluster.workers : s->slots;
    s->slot_s = compute_s(m, slot.flops, active);
    s->step_s = t.all;
    s->bound = c->cluster.workers > s->slots && strcmp(bound_of(&t), "compute") == 0
                   ? "slots of a step"
                   : bound_of(&t);
    double rounds = ceil(s->slots / active);
    s->worker_network = (s->pull + rounds * (s->push + s->body + s->features)) / t.all;
    s->server_network = (active * s->pull + s->slots * s->push) / c->cluster.servers / t.all;
    s->sampler_network = s->slots * (s->body + s->features) / c->cluster.samplers / t.all;
    double validations = ceil((double)s->steps / c->validate.every);
    s->seconds = s->steps * t.all + validations * validation_s(m, stage, spec);
    f->seconds += s->seconds;
    uint32_t useful = useful_workers(m, s, slot.flops, states);
    if (useful > f->workers_useful) f->workers_useful = useful;
}

static double prepare_s(const machine *m)
{
    const outlook *o = m->outlook;
    const config *c = m->job->config;
    if (o->prepared) return 0;
    double threads = c->prepare.threads ? c->prepare.threads : m->speed->cores;
    double users = m->job->manifest->users ? m->job->manifest->users : 1;
    double list = (double)o->history / users;
    double texts = (double)o->encode_texts * text_s / threads;
    return (double)o->input_bytes * input_s + texts + (double)o->history * list * pair_s / threads +
           (double)(o->partition_bytes + o->dataset_bytes) / 1e8;
}

static double evaluate_s(const machine *m)
{
    const job *j = m->job;
    const config *c = j->config;
    double threads = c->prepare.threads ? c->prepare.threads : m->speed->cores;
    double users = (double)m->outlook->tested, n = (double)m->outlook->ease_items;
    if (users > j->manifest->users) users = j->manifest->users;
    double items = j->manifest->items, models = 2;
    for (uint32_t i = 0; i < 6; i++) models += c->evaluate.baselines >> i & 1;
    double scores = users * items * models;
    double ease = c->evaluate.baselines & BASELINE_EASE ? 3 * 2 * n * n * n : 0;
    double rate = m->speed->sgemm_flops * efficiency * threads;
    return (2 * scores * j->two_tower->output_dim + ease) / rate + scores * 4e-9 / threads +
           c->evaluate.bootstrap * users * models * 2e-9;
}

/* ---- What bounds the cluster ---- */

static void note(forecast *f, char *owned)
{
    if (f->notes == FORECAST_NOTES) {
        free(owned);
        return;
    }
    f->note[f->notes++] = owned;
}

static const char *section_of(const forecast_stage *s)
{
    return strcmp(s->name, "hgnn") == 0 ? "hgnn" : "two_tower";
}

static void note_stage(const config *c, const forecast_stage *s, forecast *f)
{
    if (!s->steps || strcmp(s->name, "two_tower_no_z") == 0) return;
    note(f, xprintf("%s: a step of %.2f s is bound by %s", s->name, s->step_s, s->bound));
    if (s->slot_s < slot_s_min && c->cluster.workers > 1) {
        note(f, xprintf("%s: a slot computes for %.0f ms, less than 200: with larger %s.batch or "
                        "train.chunks_per_slot more of a worker's time is computing",
                        s->name, s->slot_s * 1e3, section_of(s)));
    }
    if (strcmp(section_of(s), "two_tower") == 0 && c->two_tower.batch < 1024 &&
        c->cluster.workers > 1) {
        note(f, xprintf("two_tower: %.1f MB move for each slot of %u rows; below 1024 rows more "
                        "workers do not help (two_tower.batch)",
                        (s->pull + s->push) / 1e6, c->two_tower.batch));
    }
}

static void make_notes(const job *j, forecast *f)
{
    const config *c = j->config;
    uint32_t slots = c->train.microbatches_per_step;
    note(f,
         xprintf("a step has %u slot%s (train.microbatches_per_step): at most %u worker%s help%s, "
                 "and about %u %s worth it; cluster.workers is %u",
                 slots, slots == 1 ? "" : "s", slots, slots == 1 ? "" : "s", slots == 1 ? "s" : "",
                 f->workers_useful, f->workers_useful == 1 ? "is" : "are", c->cluster.workers));
    for (uint32_t i = 0; i < f->stages; i++) note_stage(c, &f->stage[i], f);
    if (c->hgnn.aggregator == AGG_MAX_POOL) {
        note(f,
             xstrdup("hgnn: with aggregator max_pool features, not gradients, fill the network"));
    }
}

void forecast_time(const job *j, const outlook *o, const calibration *speed, forecast *f)
{
    const config *c = j->config;
    machine m = {.speed = speed, .job = j, .outlook = o};
    f->workers_useful = 1;
    if (!o->prepared) add_stage(f, "prepare", prepare_s(&m))->bound = "reading, text and pairs";
    train_stage(&m, STAGE_HGNN, j->hgnn, f);
    add_stage(f, "embed", embed_s(&m, 1));
    train_stage(&m, STAGE_TWO_TOWER, j->two_tower, f);
    train_stage(&m, STAGE_TWO_TOWER_NO_Z, j->two_tower_no_z, f);
    double rows = (double)j->manifest->items + j->manifest->users, sets = j->two_tower_no_z ? 2 : 1;
    double vectors =
        compute_s(&m, 2 * rows * sets * (double)j->two_tower->values, c->cluster.workers);
    add_stage(f, "vectors", vectors / c->cluster.workers);
    add_stage(f, "evaluate", evaluate_s(&m));
    make_notes(j, f);
}
