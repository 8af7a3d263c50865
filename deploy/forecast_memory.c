/* Memory of each role (forecast.h), as it is at its highest: what the code allocates, in its own
 * terms.  The constants are of the libraries: what a process of each role takes with nothing to do.
 */
#include "common/panic.h"
#include "common/staleness.h"
#include "common/table_id.h"
#include "deploy/forecast.h"
#include "ps/optimizer.h"

#include <math.h>

static const double mib = 1048576.0;

/* Measured on x86-64 Debian 12: libraries, stacks, sockets, the job's own tables. */
#define IDLE_SCHEDULER 13.0
#define IDLE_PS        12.0
#define IDLE_SAMPLER   13.0
#define IDLE_WORKER    28.0 /* OpenBLAS' buffers */
#define IDLE_TRAIN     38.0 /* and what prepare leaves in the heap */

/* Leases that a worker holds, with those ahead of the open round. */
enum { LEASES = 4 };

static double at_least(double a, double b)
{
    return a > b ? a : b;
}

static forecast_role *add_role(forecast *f, const char *name, uint32_t processes, double idle)
{
    forecast_role *r = &f->role[f->roles++];
    *r = (forecast_role){.name = name, .processes = processes};
    r->part[r->parts++] = (forecast_part){"process", idle * mib};
    r->memory = idle * mib;
    return r;
}

static void add_part(forecast_role *r, const char *name, double bytes)
{
    ASSERT(r->parts < FORECAST_PARTS);
    r->part[r->parts++] = (forecast_part){name, bytes};
    r->memory += bytes;
}

/* ---- Workers ---- */

static double feature_bytes(const job *j)
{
    const manifest *m = j->manifest;
    return 16 + 8 * ceil(m->item_attributes / 2.0) +
           2.0 * (m->text_dim + j->config->hgnn.random_features);
}

/* Floats that a forward and a backward over a chunk keep. */
static double graph_floats(const job *j, const forecast_slot *s)
{
    const config *c = j->config;
    const manifest *m = j->manifest;
    bool pool = c->hgnn.aggregator == AGG_MAX_POOL;
    uint32_t layers = (uint32_t)c->hgnn.layers;
    double sum = 0, scratch = 0, z = c->hgnn.dims[layers - 1];
    for (uint32_t k = 1; k <= layers; k++) {
        double d_in = k == 1 ? j->hgnn->input_dim : c->hgnn.dims[k - 2], d = c->hgnn.dims[k - 1];
        for (uint32_t t = 0; t < m->types.n; t++) {
            sum += s->rows[k][t] * ((k == 1 ? d_in : 0) + d);
            if (k > 1) sum += s->rows[k - 1][t] * d_in; /* its gradient */
        }
        for (uint32_t r = 0; r < m->relations; r++) {
            double n = m->relation[r].edges ? s->rows[k][m->relation[r].destination] : 0;
            double used = s->rows[k - 1][m->relation[r].source] * 0.6;
            sum += pool ? used * (d_in + d) + n * d : n * d_in;
            scratch = at_least(scratch, n * (d + d_in));
        }
    }
    double pairs = s->pairs / c->train.chunks_per_slot;
    for (uint32_t t = 0; t < m->types.n; t++) sum += s->rows[layers][t] * 3 * z;
    sum += pairs * (4 * z + c->hgnn.negatives) + 2.0 * (double)m->types.n * c->hgnn.negatives * z;
    return sum + scratch;
}

static double layer_floats(const job *j, uint32_t k, const forecast_slot *s)
{
    const config *c = j->config;
    double d_in = k == 1 ? j->hgnn->input_dim : c->hgnn.dims[k - 2], d = c->hgnn.dims[k - 1];
    double into = (double)j->manifest->types.n;
    bool pool = c->hgnn.aggregator == AGG_MAX_POOL;
    return s->pairs * (d_in + d + into * (d_in + d)) + (pool ? s->nodes * (d_in + d) : 0) +
           s->nodes * (k == 1 ? d_in / 2 : d_in);
}

static double tower_floats(const job *j, const model_spec *spec, const forecast_slot *s)
{
    const config *c = j->config;
    double rows = s->pairs / c->train.chunks_per_slot,
           items = rows + c->two_tower.uniform_negatives;
    double hidden = 0, d = spec->output_dim;
    for (size_t k = 0; k < c->two_tower.layers; k++) hidden += c->two_tower.dims[k];
    double skip = (double)spec->skip_dim;
    double users = rows * ((double)spec->user_dim + skip + 2 * hidden + 3 * d);
    double targets = s->targets * ((double)spec->item_dim + skip + 2 * hidden + 3 * d);
    return users + targets + 2 * items * d + rows * items +
           s->unique * (spec->use_z ? spec->v_dim : 0);
}

/* What the chunks of a slot and its answers take besides the models' own memory. */
static double slot_bytes(const job *j, const forecast_slot *s, double row_floats)
{
    return s->body_bytes * 2 + s->nodes * (feature_bytes(j) + 21 + 4 * row_floats);
}

typedef struct worker_sizes {
    double models, slots, gradients, weights, candidates;
} worker_sizes;

static void most(worker_sizes *w, double slots, double gradients, double weights)
{
    w->slots = at_least(w->slots, slots);
    w->gradients = at_least(w->gradients, gradients);
    w->weights = at_least(w->weights, weights);
}

static double threads(const job *j)
{
    double n = j->config->cluster.threads, chunks = j->config->train.chunks_per_slot;
    return n < chunks ? n : chunks;
}

/* Slots that a worker has in hand at a time. */
static double leases(const job *j, double slots)
{
    double share = ceil(2 * slots / j->config->cluster.workers);
    return share < LEASES ? at_least(share, 1) : LEASES;
}

static void worker_graph(const job *j, const outlook *o, worker_sizes *w)
{
    forecast_slot s;
    double chunks = j->config->train.chunks_per_slot, layer = 0;
    double dense = 4.0 * (double)j->hgnn->values, ids = j->config->hgnn.id_embedding;
    double slots = plan_steps(j->plan, STAGE_HGNN) ? plan_slots(j->plan, STAGE_HGNN, 1) : 0;
    forecast_slot_hgnn(j, o, &s);
    w->models += threads(j) * 4 * graph_floats(j, &s);
    most(w, leases(j, slots) * slot_bytes(j, &s, ids), (chunks + 1) * dense, 3 * dense);
    for (uint32_t k = 1; k <= j->config->hgnn.layers; k++) {
        forecast_slot_layer(j, o, k, &s);
        layer = at_least(layer, 4 * layer_floats(j, k, &s));
        double above = k > 1 ? j->config->hgnn.dims[k - 2] : 0;
        most(w, LEASES * slot_bytes(j, &s, ids + above), 0, dense);
    }
    w->models += layer;
}

static void worker_tower(const job *j, const outlook *o, const model_spec *spec, worker_sizes *w)
{
    forecast_slot s;
    if (!spec) return;
    double chunks = j->config->train.chunks_per_slot, dense = 4.0 * (double)spec->values;
    double ids = spec->tables ? spec->table[0].dim : 0, z = spec->use_z ? spec->v_dim : 0;
    double slots = plan_steps(j->plan, spec->stage) ? plan_slots(j->plan, spec->stage, 1) : 0;
    forecast_slot_tower(j, o, spec->stage, &s);
    w->models += threads(j) * 4 * tower_floats(j, spec, &s);
    most(w, leases(j, slots) * slot_bytes(j, &s, ids + z),
         (chunks + 1) * (dense + 4 * s.nodes * ids), 3 * dense);
}

static double sample_nodes(const job *j)
{
    double n = 0;
    for (uint32_t t = 0; t < j->manifest->types.n; t++) {
        for (uint32_t p = 0; p < j->manifest->partitions; p++)
            n += plan_sample_nodes(j->plan, t, p);
    }
    return n;
}

/* What a cache of `budget` holds of `rows` rows. */
static double cached(double rows, double bytes, double budget)
{
    double all = rows * (bytes + 16);
    return all < budget ? all : budget;
}

static void worker_role(const job *j, const outlook *o, forecast *f)
{
    const config *c = j->config;
    worker_sizes w = {0};
    forecast_role *r = add_role(f, "worker", c->cluster.workers, IDLE_WORKER);
    worker_graph(j, o, &w);
    worker_tower(j, o, j->two_tower, &w);
    worker_tower(j, o, j->two_tower_no_z, &w);
    double budget = (double)c->worker.cache, items = j->manifest->items;
    double d = j->two_tower->output_dim, n = sample_nodes(j);
    add_part(r, "features",
             cached(items, feature_bytes(j), budget * 3 / 4) +
                 cached(items, 4.0 * c->hgnn.dims[c->hgnn.layers - 1], budget / 4));
    add_part(r, "models", w.models * 1.1); /* blocks of an arena are larger than what is in them */
    add_part(r, "slots", w.slots);
    add_part(r, "weights", w.weights + w.gradients);
    add_part(r, "validation", 2 * 4 * n * d + 4 * n * PLAN_CHUNK_USERS / 8);
}

/* ---- Servers ---- */

typedef struct server_sizes {
    double kept;        /* of stages that are over */
    double highest;     /* with the open one's */
    double disk, final; /* of the open stage's checkpoints; of stages that are over */
} server_sizes;

/* Pushes that a server has at a time, and weights of versions that are not its own any more.  In
 * bsp all slots of a round, and the last k versions with what changed.  In ssp and asp a push is
 * applied when it comes: each worker has one on its way and an answer with weights that have moved
 * on, and one is at work. */
static double held_bytes(const job *j, double dense, double slots, double push)
{
    const config *c = j->config;
    staleness how = staleness_of(c);
    double workers = c->cluster.workers, open = slots * staleness_window(how);
    if (!how.on_arrival) return slots * push + staleness_past(how) * (dense + push);
    double busy = workers < open ? workers : open;
    return (busy + 1) * push + busy * dense;
}

/* A training stage: weights of this version, the next, the best and those of a copy that is being
 * written, with its buffers; optimizer state twice (the copy); the sum; held_bytes. */
static void server_train(const job *j, const outlook *o, const model_spec *s, server_sizes *z)
{
    if (!s) return;
    const config *c = j->config;
    bool graph = s->stage == STAGE_HGNN;
    const config_optimizer *opt = graph ? &c->hgnn.optimizer : &c->two_tower.optimizer;
    double dense = 4.0 * (double)s->values, states = optimizer_states(opt->name);
    double slots = plan_steps(j->plan, s->stage) ? plan_slots(j->plan, s->stage, 1) : 0;
    double dim = s->tables ? s->table[0].dim : 0, row = 0;
    if (dim > 0) row = 4 * (dim + optimizer_sparse_states(opt->sparse, s->table[0].dim)) + 16;
    forecast_slot slot;
    if (graph) {
        forecast_slot_hgnn(j, o, &slot);
    } else {
        forecast_slot_tower(j, o, s->stage, &slot);
    }
    double rows = j->manifest->items * row;
    double held = held_bytes(j, dense, slots, dense + slot.nodes * (4 * dim + 8));
    double open = dense * (7 + 2 * states) + 4 * rows + held;
    z->highest = at_least(z->highest, z->kept + open);
    z->kept += dense + rows;
    z->disk = at_least(z->disk, 2 * (dense * (2 + states) + 2 * rows));
    z->final += dense + rows;
}

/* A stage that puts `rows` of `dim`: the pushes of all chunks are held until the commit. */
static void server_put(double rows, double dim, server_sizes *z)
{
    double table = rows * (4 * dim + 24), pushed = rows * (4 * dim + 8);
    z->highest = at_least(z->highest, z->kept + table + 2 * pushed);
    z->kept += table;
    z->final += rows * (4 * dim + 8);
}

static void server_role(const job *j, const outlook *o, forecast *f)
{
    const config *c = j->config;
    double items = j->manifest->items, users = j->manifest->users, n = c->cluster.servers;
    server_sizes z = {0};
    forecast_role *r = add_role(f, "ps", c->cluster.servers, IDLE_PS);
    server_train(j, o, j->hgnn, &z);
    for (uint32_t k = 1; k <= c->hgnn.layers; k++) server_put(items, c->hgnn.dims[k - 1], &z);
    server_train(j, o, j->two_tower, &z);
    server_train(j, o, j->two_tower_no_z, &z);
    double before = z.kept, widest = 0;
    for (int i = 0; i < (j->two_tower_no_z ? 2 : 1); i++) {
        server_put(items, j->two_tower->output_dim, &z);
        server_put(users, j->two_tower->output_dim, &z);
        widest = at_least(items, users) * 4 * j->two_tower->output_dim;
    }
    /* The last stage is copied for its snapshot, while the driver reads a table. */
    z.highest = at_least(z.highest, z.kept + (z.kept - before) + widest);
    add_part(r, "tables", z.kept / n);
    add_part(r, "open round, copies", (z.highest - z.kept) / n);
    r->disk = z.disk + z.final; /* the last two (the best is often one), and the ends of stages */
    f->checkpoints = r->disk;
}

/* ---- Samplers, scheduler, weft train ---- */

static void sampler_role(const job *j, const outlook *o, forecast *f)
{
    const config *c = j->config;
    forecast_slot graph, layer, tower;
    forecast_role *r = add_role(f, "sampler", c->cluster.samplers, IDLE_SAMPLER);
    forecast_slot_hgnn(j, o, &graph);
    forecast_slot_layer(j, o, 1, &layer);
    forecast_slot_tower(j, o, STAGE_TWO_TOWER, &tower);
    double body = at_least(graph.body_bytes, at_least(layer.body_bytes, tower.body_bytes));
    double n = c->cluster.samplers;
    add_part(r, "partitions", (double)o->partition_bytes / n);
    add_part(r, "users", 8.0 * j->manifest->users / n);
    add_part(r, "answers", body * (1 + c->cluster.workers / n)); /* one in the making */
}

/* item_knn keeps at most this many pairs, 16 bytes each while lists are turned round
 * (worker/baseline_item_knn.c). */
#define KNN_PAIRS_MAX 33554432.0

/* Baselines are made one after the other. */
static double baseline_bytes(const job *j, const outlook *o)
{
    uint32_t on = j->config->evaluate.baselines;
    double ease = 4.0 * (double)o->ease_items * (double)o->ease_items;
    double pairs = o->neighbours < KNN_PAIRS_MAX ? o->neighbours : KNN_PAIRS_MAX;
    double scores = 4 * 64 * 2.0 * j->manifest->items;
    if (on & BASELINE_EASE) scores = at_least(scores, ease);
    return on & BASELINE_ITEM_KNN ? at_least(scores, 16 * pairs) : scores;
}

static double evaluation_bytes(const job *j, const outlook *o)
{
    const config *c = j->config;
    double items = j->manifest->items, users = j->manifest->users, d = j->two_tower->output_dim;
    double sets = j->two_tower_no_z ? 2 : 1;
    double vectors =
        4 * (items * (c->hgnn.dims[c->hgnn.layers - 1] + (double)c->two_tower.item_id) +
             sets * d * (items + users));
    return (double)o->dataset_bytes + vectors + baseline_bytes(j, o) + (double)o->tested * 7 * 16 +
           users * 1000;
}

static double prepare_bytes(const job *j, const outlook *o)
{
    const config *c = j->config;
    const manifest *m = j->manifest;
    double edges = 0, events = o->events ? (double)o->events : (double)o->history * 1.3;
    for (uint32_t k = 0; k < m->relations; k++) edges += (double)m->relation[k].edges;
    double graph = edges * 14 + m->items * 24.0 + (double)o->history * 4;
    double memory = (double)c->prepare.memory;
    double model = c->features.encoder == ENCODER_EMBEDDED ? 60 * mib : 0;
    return events * 36 + (double)o->string_bytes * 1.4 + m->items * (60.0 + 2.0 * m->text_dim) +
           m->users * 60.0 + (graph < memory ? graph : memory) + model;
}

static void train_role(const job *j, const outlook *o, forecast *f)
{
    forecast_role *r = add_role(f, "weft train", 1, IDLE_TRAIN);
    double prepare = o->prepared ? 0 : prepare_bytes(j, o), evaluate = evaluation_bytes(j, o);
    add_part(r, evaluate > prepare ? "evaluation" : "prepare", at_least(prepare, evaluate));
}

void forecast_memory(const job *j, const outlook *o, forecast *f)
{
    forecast_role *r = add_role(f, "scheduler", 1, IDLE_SCHEDULER);
    add_part(r, "plan", j->manifest->partitions * (double)j->manifest->types.n * 8);
    r->disk = 64 * 1024;
    server_role(j, o, f);
    sampler_role(j, o, f);
    worker_role(j, o, f);
    train_role(j, o, f);
}
