#include "testing_plan.h"

#include "common/mem.h"

#include <stdlib.h>
#include <string.h>

config *testing_plan_config(void)
{
    config *c = xcalloc(1, sizeof *c);
    c->seed = 1;
    c->hgnn.dims[0] = c->hgnn.dims[1] = 128;
    c->hgnn.layers = c->hgnn.fanout_n = 2;
    c->hgnn.fanout[0] = 10;
    c->hgnn.fanout[1] = 5;
    c->hgnn.fanout_total = 25;
    c->hgnn.aggregator = AGG_WEIGHTED_MEAN;
    c->hgnn.neighbour_drop = 0.1;
    c->hgnn.negatives = 256;
    c->hgnn.reject_keep = 16;
    c->hgnn.pairs = PAIRS_USER_NORM;
    c->hgnn.balance = BALANCE_MIN;
    c->hgnn.balance_floor = 20000;
    c->hgnn.batch = 256;
    c->hgnn.epochs = 50;
    c->hgnn.max_steps = 1500;
    c->hgnn.patience = c->two_tower.patience = 10;
    c->hgnn.optimizer = (config_optimizer){.lr = 1e-3f, .warmup_steps = 100};
    c->two_tower.optimizer = c->hgnn.optimizer;
    c->two_tower.use_z = true;
    c->two_tower.uniform_negatives = 512;
    c->two_tower.positives_per_user = 50;
    c->two_tower.batch = 512;
    c->two_tower.epochs = 10;
    c->two_tower.max_steps = 1500;
    c->history.max_items = 100;
    c->train.microbatches_per_step = 2;
    c->train.chunks_per_slot = 1;
    c->validate.every = 100;
    c->validate.items = 20000;
    c->validate.users = 5000;
    c->evaluate.baselines = BASELINE_TWO_TOWER_NO_Z;
    return c;
}

enum { PARTITIONS = 4, TYPES = 3 };

static void fill_relation(manifest_relation *r, uint32_t source, uint32_t destination)
{
    static const uint64_t edges[TYPES][TYPES] = {{30000, 900, 44}, {800, 300, 10}, {40, 9, 0}};
    r->source = source;
    r->destination = destination;
    r->edges = edges[source][destination];
    r->partition_edges = xcalloc(PARTITIONS, sizeof(uint64_t));
    r->partition_pair_weight = xcalloc(PARTITIONS, sizeof(uint64_t));
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        r->partition_edges[p] = r->edges * (p + 1) / 10 - r->edges * p / 10;
        if (p == PARTITIONS - 1) r->partition_edges[p] = r->edges - r->edges * p / 10;
        r->partition_pair_weight[p] = r->partition_edges[p] * (1000 + p);
    }
}

manifest *testing_plan_manifest(void)
{
    static const char *const names[TYPES] = {"a", "b", "c"};
    static const uint32_t items[TYPES] = {700, 50, 9};
    manifest *m = xcalloc(1, sizeof *m);
    m->partitions = PARTITIONS;
    m->types.items = xcalloc(TYPES, sizeof(char *));
    m->types.n = TYPES;
    m->node_base = xcalloc(TYPES * PARTITIONS + 1, sizeof(uint32_t));
    for (uint32_t t = 0; t < TYPES; t++) {
        m->types.items[t] = xstrdup(names[t]);
        for (uint32_t p = 0; p < PARTITIONS; p++) {
            uint32_t i = t * PARTITIONS + p;
            m->node_base[i + 1] =
                m->node_base[i] + items[t] * (p + 1) / PARTITIONS - items[t] * p / PARTITIONS;
        }
        m->items += items[t];
    }
    static const uint32_t users[PARTITIONS] = {100, 120, 103, 7};
    m->user_base = xcalloc(PARTITIONS + 1, sizeof(uint32_t));
    m->positives = xcalloc(PARTITIONS, sizeof(uint64_t));
    m->valid_users = xcalloc(PARTITIONS, sizeof(uint32_t));
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        m->user_base[p + 1] = m->user_base[p] + users[p];
        m->positives[p] = users[p] * 13;
        m->valid_users[p] = users[p] / 2;
        m->users += users[p];
    }
    m->relations = TYPES * TYPES;
    m->relation = xcalloc(m->relations, sizeof *m->relation);
    for (uint32_t i = 0; i < m->relations; i++) {
        fill_relation(&m->relation[i], i / TYPES, i % TYPES);
    }
    m->type_positives = xcalloc(TYPES, sizeof(uint64_t));
    m->text_dim = 8;
    m->order = ORDER_TIME;
    return m;
}
