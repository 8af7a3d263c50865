/* Expected sizes of a slot (forecast.h): how many different rows it touches, and the arithmetic. */
#include "common/feature_row.h"
#include "common/table_id.h"
#include "deploy/forecast.h"

#include <math.h>
#include <string.h>

static double least(double a, double b)
{
    return a < b ? a : b;
}

static double type_items(const job *j, uint32_t t)
{
    return manifest_type_begin(j->manifest, t + 1) - manifest_type_begin(j->manifest, t);
}

/* Mean neighbours of a node of the relation's destination. */
static double degree(const job *j, uint32_t r)
{
    const manifest_relation *rel = &j->manifest->relation[r];
    double n = type_items(j, rel->destination);
    return n > 0 ? (double)rel->edges / n : 0;
}

static uint32_t relations_into(const job *j, uint32_t t)
{
    uint32_t n = 0;
    for (uint32_t r = 0; r < j->manifest->relations; r++)
        n += j->manifest->relation[r].destination == t;
    return n;
}

/* Neighbours drawn for a node; hop 0 is nearest the target. */
static double drawn(const job *j, uint32_t r, uint32_t hop)
{
    const config *c = j->config;
    uint32_t into = relations_into(j, j->manifest->relation[r].destination);
    double k = c->hgnn.fanout[hop];
    if (c->hgnn.fanout_total && into) {
        uint32_t share = c->hgnn.fanout_total / into;
        k = least(k, share ? share : 1);
    }
    return least(k, degree(j, r)) * (1 - c->hgnn.neighbour_drop);
}

static double epoch_pairs(const job *j)
{
    double n = 0;
    for (uint32_t p = 0; p < j->manifest->partitions; p++)
        n += (double)plan_positives(j->plan, STAGE_HGNN, p);
    return n;
}

/* The share of an epoch's pairs that are of relation r. */
static double quota_share(const job *j, uint32_t r)
{
    double n = 0, all = epoch_pairs(j);
    for (uint32_t p = 0; p < j->manifest->partitions; p++) n += (double)plan_quota(j->plan, r, p);
    return all > 0 ? n / all : 0;
}

/* Flops of one layer over rows[] destinations: forward, and backward where `train`. */
static double layer_flops(const job *j, uint32_t k, const double *rows, const double *below,
                          bool train)
{
    const config *c = j->config;
    double d_in = k == 1 ? j->hgnn->input_dim : c->hgnn.dims[k - 2], d_out = c->hgnn.dims[k - 1];
    double n = 0;
    for (uint32_t t = 0; t < j->manifest->types.n; t++) n += rows[t];
    for (uint32_t r = 0; r < j->manifest->relations; r++) {
        const manifest_relation *rel = &j->manifest->relation[r];
        bool pool = c->hgnn.aggregator == AGG_MAX_POOL;
        n += pool ? least(below[rel->source], rows[rel->destination] * degree(j, r))
                  : rows[rel->destination] * (degree(j, r) > 0 ? 1 : 0);
    }
    double times = !train ? 1 : k == 1 ? 2 : 3; /* no gradient of the input */
    return 2 * n * d_in * d_out * times;
}

static double slot_chunks(const job *j)
{
    return j->config->train.chunks_per_slot;
}

/* Examples of a full slot. */
static double slot_examples(const job *j, uint32_t stage, double batch)
{
    double most = 0;
    uint32_t steps = plan_steps(j->plan, stage);
    if (steps) {
        uint32_t slots = plan_slots(j->plan, stage, 1);
        most = (double)plan_step_examples(j->plan, stage, 1) / (slots ? slots : 1);
    }
    return least(batch * slot_chunks(j), most);
}

/* Adds what a hop draws to the rows below. */
static void expand(const job *j, const outlook *o, uint32_t hop, const double *rows, double *below,
                   double *edges)
{
    double draws[CONFIG_TYPES_MAX] = {0};
    for (uint32_t r = 0; r < j->manifest->relations; r++) {
        const manifest_relation *rel = &j->manifest->relation[r];
        double n = rows[rel->destination] * drawn(j, r, hop);
        draws[rel->source] += n;
        *edges += n;
    }
    for (uint32_t t = 0; t < j->manifest->types.n; t++) {
        double n = type_items(j, t);
        below[t] = outlook_distinct(&o->popularity[t], draws[t], n > 0 ? rows[t] / n : 0);
    }
}

void forecast_slot_hgnn(const job *j, const outlook *o, forecast_slot *out)
{
    const config *c = j->config;
    const manifest *m = j->manifest;
    uint32_t layers = (uint32_t)c->hgnn.layers;
    *out = (forecast_slot){.pairs = slot_examples(j, STAGE_HGNN, c->hgnn.batch)};
    double pairs = out->pairs / slot_chunks(j), ends[CONFIG_TYPES_MAX] = {0};
    double positives[CONFIG_TYPES_MAX] = {0}, scored = 0;
    for (uint32_t r = 0; r < m->relations; r++) {
        double n = pairs * quota_share(j, r);
        ends[m->relation[r].destination] += n;
        ends[m->relation[r].source] += n;
        positives[m->relation[r].source] += n;
    }
    for (uint32_t t = 0; t < m->types.n; t++) {
        double n = type_items(j, t);
        double negatives = positives[t] > 0 ? least(c->hgnn.negatives, n) : 0;
        scored += positives[t] * negatives;
        out->rows[layers][t] =
            outlook_distinct(&o->popularity[t], ends[t], n > 0 ? negatives / n : 0);
    }
    for (uint32_t k = layers; k >= 1; k--)
        expand(j, o, layers - k, out->rows[k], out->rows[k - 1], &out->edges);
    for (uint32_t k = 1; k <= layers; k++)
        out->flops += layer_flops(j, k, out->rows[k], out->rows[k - 1], true);
    out->flops = (out->flops + 6 * scored * c->hgnn.dims[layers - 1]) * slot_chunks(j);
    double chunk_rows = 0;
    for (uint32_t t = 0; t < m->types.n; t++) {
        chunk_rows += out->rows[0][t];
        out->nodes += outlook_distinct(&o->popularity[t], out->rows[0][t] * slot_chunks(j) * 2, 0);
    }
    if (slot_chunks(j) <= 1) out->nodes = chunk_rows;
    double mask = c->hgnn.reject_neighbours ? pairs * c->hgnn.negatives / 8.0 : 0;
    out->body_bytes = slot_chunks(j) * (chunk_rows * (4 + 8 * relations_into(j, 0)) +
                                        out->edges * 6 + pairs * 16 + mask);
}

void forecast_slot_layer(const job *j, const outlook *o, uint32_t k, forecast_slot *out)
{
    const manifest *m = j->manifest;
    *out = (forecast_slot){0};
    double worst = -1;
    for (uint32_t t = 0; t < m->types.n; t++) { /* the type whose chunk is largest */
        forecast_slot s = {.pairs =
                               least(PLAN_CHUNK_NODES, ceil(type_items(j, t) / m->partitions))};
        double draws[CONFIG_TYPES_MAX] = {0};
        bool all = j->config->hgnn.aggregator != AGG_MAX_POOL;
        s.rows[1][t] = s.pairs;
        for (uint32_t r = 0; r < m->relations; r++) {
            const manifest_relation *rel = &m->relation[r];
            if (rel->destination != t) continue;
            double n = s.pairs *
                       (all ? degree(j, r) : drawn(j, r, (uint32_t)(j->config->hgnn.layers - k)));
            draws[rel->source] += n;
            s.edges += n;
        }
        for (uint32_t u = 0; u < m->types.n; u++) {
            double n = type_items(j, u);
            s.rows[0][u] =
                outlook_distinct(&o->popularity[u], draws[u], n > 0 ? s.rows[1][u] / n : 0);
            s.nodes += s.rows[0][u];
        }
        s.body_bytes = s.nodes * 12 + s.edges * 6;
        s.flops = layer_flops(j, k, s.rows[1], s.rows[0], false);
        if (s.nodes + s.pairs <= worst) continue;
        worst = s.nodes + s.pairs;
        *out = s;
    }
}

/* Multiplications of both towers for a row. */
static double tower_weights(const job *j, const model_spec *s, double input)
{
    double n = 0, width = input;
    for (size_t k = 0; k < j->config->two_tower.layers; k++) {
        n += width * j->config->two_tower.dims[k];
        width = j->config->two_tower.dims[k];
    }
    return n + (j->config->two_tower.skip_shared ? (double)s->skip_dim * s->tower_dim : 0);
}

void forecast_slot_tower(const job *j, const outlook *o, uint32_t stage, forecast_slot *out)
{
    const config *c = j->config;
    const manifest *m = j->manifest;
    const model_spec *s = job_spec(j, stage);
    *out = (forecast_slot){.pairs = slot_examples(j, stage, c->two_tower.batch)};
    double rows = out->pairs / slot_chunks(j), all = 0, users = m->users ? m->users : 1;
    double length = least((double)o->history / users * 1.5, /* users of positives have more */
                          c->history.max_items ? c->history.max_items : 1e9);
    bool target[CONFIG_TYPES_MAX] = {0};
    double types = 0;
    if (manifest_target_types(m, c, target) != ERR_OK) return;
    for (uint32_t t = 0; t < m->types.n; t++) {
        all += o->popularity[t].users_all;
        types += target[t];
    }
    for (uint32_t t = 0; t < m->types.n && all > 0; t++) {
        double n = type_items(j, t), share = o->popularity[t].users_all / all;
        double uniform = n > 0 && target[t] ? c->two_tower.uniform_negatives / types / n : 0;
        out->targets += target[t] ? outlook_distinct(&o->popularity[t], rows * share, uniform) : 0;
        out->unique += outlook_distinct(&o->popularity[t], rows * (1 + length) * share, uniform);
    }
    out->history = rows * length;
    double items = rows + c->two_tower.uniform_negatives;
    double forward =
        rows * tower_weights(j, s, s->user_dim) + out->targets * tower_weights(j, s, s->item_dim);
    double pooled = out->history * ((double)s->v_dim + (double)s->skip_dim);
    out->flops = slot_chunks(j) * (2 * 3 * (forward + rows * items * s->output_dim) + 4 * pooled);
    out->nodes = out->unique;
    out->body_bytes =
        slot_chunks(j) * (out->unique * 4 + out->history * 4 +
                          rows * (20 + 4 * (double)m->types.n + 4.0 * m->user_attributes +
                                  4.0 * m->user_vector_dim) +
                          items * 4);
}
