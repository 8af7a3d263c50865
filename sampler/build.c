#include "sampler/build.h"

#include "common/feature_row.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/microbatch.h"
#include "common/panic.h"
#include "common/rng.h"
#include "common/wire.h"
#include "sampler/chunk_graph.h"
#include "sampler/chunk_tower.h"
#include "sampler/draw.h"
#include "sampler/history.h"
#include "sampler/hop.h"

#include <stdlib.h>
#include <string.h>

struct build_env {
    const config *c;
    const manifest *m;
    const plan *p;
    const store *s;
    hop_relations into;
    history_rule rule;
    uint64_t **positives; /* [partitions] running sums over the partition's users; NULL: not here */
    size_t answer_max;    /* bytes of a reply */
};

/* A training pair by node numbers. */
typedef struct node_pair {
    uint32_t anchor, positive;
} node_pair;

typedef struct graph_chunk {
    uint32_t pairs;
    const node_pair *pair; /* within build.pair */
    node_list negative[CONFIG_TYPES_MAX];
    chunk_graph *graph;
    subgraph_pair *row_pair;
    uint64_t *mask;
} graph_chunk;

struct build {
    const build_env *e;
    slot_name name;
    plan_work work;
    bool layers; /* the body is a graph: hops are needed */
    /* Graphs. */
    node_pair *pair; /* [work.count] */
    uint64_t *exclude;
    size_t excludes;
    graph_chunk *chunk; /* [chunks] */
    uint32_t chunks;
    uint32_t hops, hop_number; /* hops in all; of `hop`, 0 = none so far */
    hop hop;
    build_leaf *leaf; /* [partitions] */
};

/* --- Environment -------------------------------------------------------------------------------
 */

static err_code count_positives(build_env *e, uint32_t partition)
{
    uint32_t first = e->m->user_base[partition], n = e->m->user_base[partition + 1] - first;
    uint64_t *sum = try_calloc((size_t)n + 1, sizeof *sum);
    if (!sum) return ERR_NO_MEMORY;
    e->positives[partition] = sum;
    for (uint32_t i = 0; i < n; i++) {
        store_user u;
        if (!store_user_get(e->s, first + i, &u)) return ERR_CORRUPT;
        sum[i + 1] = sum[i] + history_positives(&e->rule, e->m, &u);
    }
    if (sum[n] == e->m->positives[partition]) return ERR_OK;
    log_error("positives_differ", "partition=%u store=%llu manifest=%llu", partition,
              (unsigned long long)sum[n], (unsigned long long)e->m->positives[partition]);
    return ERR_MISMATCH;
}

err_code build_env_new(const config *c, const manifest *m, const plan *p, const store *s,
                       build_env **out)
{
    build_env *e = xcalloc(1, sizeof *e);
    e->c = c;
    e->m = m;
    e->p = p;
    e->s = s;
    e->answer_max = WIRE_BODY_MAX;
    hop_relations_init(&e->into, m);
    history_rule_init(&e->rule, c, m);
    e->positives = xcalloc(m->partitions, sizeof *e->positives);
    err_code rc = ERR_OK;
    for (uint32_t i = 0; rc == ERR_OK && i < m->partitions; i++) {
        if (store_has(s, i)) rc = count_positives(e, i);
    }
    if (rc != ERR_OK) {
        build_env_free(e);
        return rc;
    }
    *out = e;
    return ERR_OK;
}

void build_env_limit(build_env *e, size_t bytes)
{
    e->answer_max = bytes;
}

void build_env_free(build_env *e)
{
    if (!e) return;
    for (uint32_t i = 0; i < e->m->partitions; i++) free(e->positives[i]);
    free(e->positives);
    hop_relations_fini(&e->into);
    free(e);
}

/* --- Training pairs ----------------------------------------------------------------------------
 */

/* Pair i of (epoch, relation, partition). */
static bool find_pair(const build *b, uint32_t relation, uint64_t i, node_pair *out)
{
    const build_env *e = b->e;
    uint32_t partition = b->work.partition;
    const manifest_relation *r = &e->m->relation[relation];
    uint64_t key = rng_key(e->c->seed, STAGE_HGNN, b->name.epoch, relation, partition, USE_PAIRS);
    store_edge edge;
    bool found;
    if (e->c->hgnn.pairs == PAIRS_EDGES) {
        uint64_t index = rng_permute(key, r->partition_edges[partition], i);
        found = store_edge_at(e->s, relation, partition, index, &edge);
    } else {
        uint64_t point = rng_below(key, i, 0, r->partition_pair_weight[partition]);
        found = store_edge_at_weight(e->s, relation, partition, point, &edge);
    }
    if (found) *out = (node_pair){edge.destination, edge.source};
    return found;
}

static err_code find_pairs(build *b)
{
    const build_env *e = b->e;
    b->pair = xcalloc((size_t)b->work.count + 1, sizeof *b->pair);
    for (uint32_t i = 0; i < b->work.count; i++) {
        uint64_t index =
            plan_position(e->p, STAGE_HGNN, b->name.epoch, b->work.partition, b->work.first + i);
        uint32_t relation;
        uint64_t at;
        plan_pair(e->p, b->work.partition, index, &relation, &at);
        if (!find_pair(b, relation, at, &b->pair[i])) return ERR_CORRUPT;
    }
    return ERR_OK;
}

static int edge_order(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Target edges of the whole slot and their reverses, sorted, without repeats. */
static void exclude_pairs(build *b)
{
    size_t n = 0;
    b->exclude = xcalloc(2 * (size_t)b->work.count + 1, sizeof *b->exclude);
    for (uint32_t i = 0; i < b->work.count; i++) {
        b->exclude[n++] = draw_edge(b->pair[i].anchor, b->pair[i].positive);
        b->exclude[n++] = draw_edge(b->pair[i].positive, b->pair[i].anchor);
    }
    qsort(b->exclude, n, sizeof *b->exclude, edge_order);
    for (size_t i = 0; i < n; i++) {
        if (b->excludes && b->exclude[b->excludes - 1] == b->exclude[i]) continue;
        b->exclude[b->excludes++] = b->exclude[i];
    }
}

/* k nodes of a type, uniform without repeats, ascending: appended. */
static void draw_nodes(const build_env *e, uint64_t key, uint64_t node, uint32_t type, uint32_t k,
                       node_list *out)
{
    uint32_t begin = manifest_type_begin(e->m, type);
    uint32_t n = manifest_type_begin(e->m, type + 1) - begin;
    if (k > n) k = n;
    size_t at = out->n;
    for (uint32_t i = 0; i < k; i++) node_list_add(out, 0);
    if (!k) return;
    draw_scratch s;
    draw_scratch_init(&s);
    draw_uniform(out->node + at, key, node, 0, n, k, &s);
    draw_scratch_fini(&s);
    for (uint32_t i = 0; i < k; i++) out->node[at + i] += begin;
}

static void start_chunk(build *b, uint32_t number)
{
    const build_env *e = b->e;
    graph_chunk *c = &b->chunk[number];
    uint64_t first;
    plan_chunk(&b->work, number, &first, &c->pairs);
    c->pair = b->pair + (first - b->work.first);
    node_list seeds = {0};
    uint64_t types = 0;
    for (uint32_t i = 0; i < c->pairs; i++) {
        node_list_add(&seeds, c->pair[i].anchor);
        node_list_add(&seeds, c->pair[i].positive);
        types |= UINT64_C(1) << manifest_type_of(e->m, c->pair[i].positive);
    }
    uint64_t key = rng_slot_key(e->c->seed, b->name, USE_NEGATIVES);
    for (uint32_t t = 0; t < e->m->types.n; t++) {
        if (!(types >> t & 1)) continue;
        draw_nodes(e, key, (uint64_t)number * CONFIG_TYPES_MAX + t, t, e->c->hgnn.negatives,
                   &c->negative[t]);
        node_list_append(&seeds, c->negative[t].node, c->negative[t].n);
    }
    bool weighted = e->c->hgnn.aggregator == AGG_WEIGHTED_MEAN;
    c->graph = chunk_graph_new(e->m, &e->into, b->hops, weighted, &seeds);
}

static err_code start_training(build *b)
{
    err_code rc = find_pairs(b);
    if (rc != ERR_OK) return rc;
    exclude_pairs(b);
    b->hops = (uint32_t)b->e->c->hgnn.layers;
    b->chunks = b->work.chunks;
    b->chunk = xcalloc(b->chunks, sizeof *b->chunk);
    for (uint32_t i = 0; i < b->chunks; i++) start_chunk(b, i);
    return ERR_OK;
}

static void start_layer(build *b)
{
    const build_env *e = b->e;
    b->hops = b->chunks = 1;
    b->chunk = xcalloc(1, sizeof *b->chunk);
    node_list seeds = {0};
    for (uint32_t i = 0; i < b->work.count; i++) {
        node_list_add(&seeds, (uint32_t)b->work.first + i);
    }
    bool weighted = e->c->hgnn.aggregator == AGG_WEIGHTED_MEAN;
    b->chunk[0].graph = chunk_graph_new(e->m, &e->into, 1, weighted, &seeds);
}

/* --- Hops --------------------------------------------------------------------------------------
 */

/* The number by which the hop is drawn: 1 is nearest the target, layer L. */
static uint32_t hop_name(const build *b)
{
    if (b->work.kind == PLAN_TRAIN) return b->hop_number;
    return (uint32_t)b->e->c->hgnn.layers - b->work.layer + 1;
}

static err_code answer_local(build *b)
{
    const build_env *e = b->e;
    for (uint32_t p = 0; p < e->m->partitions; p++) {
        if (!b->hop.request[p] || !store_has(e->s, p)) continue;
        blob *reply = NULL;
        err_code rc = hop_answer(e->c, e->m, &e->into, e->s, b->name, b->hop.request[p],
                                 e->answer_max, &reply);
        if (rc == ERR_OK) rc = hop_take(&b->hop, p, reply, e->m, &e->into);
        blob_unref(reply);
        if (rc != ERR_OK) return rc;
    }
    return ERR_OK;
}

static err_code next_hop(build *b)
{
    const build_env *e = b->e;
    node_list nodes = {0};
    for (uint32_t i = 0; i < b->chunks; i++) chunk_graph_nodes(b->chunk[i].graph, &nodes);
    node_list_unique(&nodes);
    b->hop_number++;
    err_code rc = nodes.n <= UINT32_MAX
                      ? hop_init(&b->hop, b->name, hop_name(b), nodes.node, (uint32_t)nodes.n,
                                 b->exclude, b->excludes, e->m, &e->into)
                      : ERR_LIMIT;
    if (rc != ERR_OK) {
        node_list_fini(&nodes);
        return rc;
    }
    return answer_local(b);
}

static void expand(build *b)
{
    for (uint32_t i = 0; i < b->chunks; i++) chunk_graph_expand(b->chunk[i].graph, &b->hop);
    hop_fini(&b->hop);
}

/* --- Finished graphs ---------------------------------------------------------------------------
 */

static uint32_t relation_between(const manifest *m, uint32_t source, uint32_t destination)
{
    for (uint32_t r = 0; r < m->relations; r++) {
        if (m->relation[r].source == source && m->relation[r].destination == destination) return r;
    }
    return UINT32_MAX;
}

static void set_bit(uint64_t *mask, size_t i)
{
    mask[i / 64] |= UINT64_C(1) << i % 64;
}

/* Masks the pair's own ends, then neighbours of the anchor among the negatives, chosen at random
 * where masking all would leave fewer than hgnn.reject_keep. */
static void mask_pair(const build *b, const graph_chunk *c, uint32_t i, uint64_t *mask)
{
    const build_env *e = b->e;
    node_pair pair = c->pair[i];
    uint32_t type = manifest_type_of(e->m, pair.positive);
    const node_list *negative = &c->negative[type];
    uint32_t relation = relation_between(e->m, type, manifest_type_of(e->m, pair.anchor));
    ASSERT(relation != UINT32_MAX);
    store_list l = store_neighbours(e->s, relation, pair.anchor);
    node_list hits = {0};
    uint32_t left = (uint32_t)negative->n;
    for (size_t j = 0; j < negative->n; j++) {
        uint32_t node = negative->node[j];
        size_t at;
        if (node == pair.anchor || node == pair.positive) {
            set_bit(mask, j);
            left--;
        } else if (node_list_find(l.source, l.n, node, &at)) {
            node_list_add(&hits, (uint32_t)j);
        }
    }
    uint32_t most = left > e->c->hgnn.reject_keep ? left - e->c->hgnn.reject_keep : 0;
    uint32_t *ranks = xcalloc(hits.n + 1, sizeof *ranks);
    draw_scratch s;
    draw_scratch_init(&s);
    uint64_t key = rng_slot_key(e->c->seed, b->name, USE_NEGATIVES);
    uint64_t counter = UINT64_C(1) << 32 | (uint64_t)(c->pair + i - b->pair);
    uint32_t n = draw_uniform(ranks, key, counter, 0, (uint32_t)hits.n, most, &s);
    for (uint32_t j = 0; j < n; j++) set_bit(mask, hits.node[ranks[j]]);
    draw_scratch_fini(&s);
    free(ranks);
    node_list_fini(&hits);
}

static void set_mask(const build *b, graph_chunk *c, subgraph *g)
{
    uint32_t most = 0;
    for (uint32_t t = 0; t < g->types; t++) most = g->negatives[t] > most ? g->negatives[t] : most;
    g->mask_words = (most + 63) / 64;
    if (!g->mask_words) return;
    c->mask = xcalloc((size_t)c->pairs * g->mask_words, sizeof *c->mask);
    for (uint32_t i = 0; i < c->pairs; i++) {
        mask_pair(b, c, i, c->mask + (size_t)i * g->mask_words);
    }
    g->mask = c->mask;
}

static void set_training(const build *b, graph_chunk *c, subgraph *g)
{
    const manifest *m = b->e->m;
    c->row_pair = xcalloc((size_t)c->pairs + 1, sizeof *c->row_pair);
    for (uint32_t i = 0; i < c->pairs; i++) {
        c->row_pair[i] = (subgraph_pair){
            .anchor_type = manifest_type_of(m, c->pair[i].anchor),
            .anchor = chunk_graph_row(c->graph, c->pair[i].anchor),
            .positive_type = manifest_type_of(m, c->pair[i].positive),
            .positive = chunk_graph_row(c->graph, c->pair[i].positive),
        };
    }
    g->pairs = c->pairs;
    g->pair = c->row_pair;
    for (uint32_t t = 0; t < g->types; t++) g->negatives[t] = (uint32_t)c->negative[t].n;
    if (b->e->c->hgnn.reject_neighbours) set_mask(b, c, g);
    for (uint32_t t = 0; t < g->types; t++) {
        node_list *l = &c->negative[t];
        for (size_t i = 0; i < l->n; i++) l->node[i] = chunk_graph_row(c->graph, l->node[i]);
        g->negative[t] = l->node;
    }
}

static err_code finish_graph(build *b, blob **out)
{
    subgraph *views = xcalloc(b->chunks, sizeof *views);
    for (uint32_t i = 0; i < b->chunks; i++) {
        subgraph *g = chunk_graph_view(b->chunk[i].graph);
        if (b->work.kind == PLAN_TRAIN) set_training(b, &b->chunk[i], g);
        views[i] = *g;
    }
    err_code rc = microbatch_encode_graph(b->name, views, b->chunks, out);
    free(views);
    return rc;
}

/* --- Towers ------------------------------------------------------------------------------------
 */

/* The user whose positives hold index `index` of the partition, and which of them it is. */
static uint32_t find_user(const build_env *e, uint32_t partition, uint64_t index, uint32_t *j)
{
    const uint64_t *sum = e->positives[partition];
    uint32_t low = 0, high = e->m->user_base[partition + 1] - e->m->user_base[partition];
    while (high - low > 1) {
        uint32_t mid = low + (high - low) / 2;
        if (sum[mid] <= index) {
            low = mid;
        } else {
            high = mid;
        }
    }
    *j = (uint32_t)(index - sum[low]);
    return e->m->user_base[partition] + low;
}

static bool training_row(const build *b, uint64_t position, chunk_tower *out, node_list *history)
{
    const build_env *e = b->e;
    uint64_t index = plan_position(e->p, b->name.stage, b->name.epoch, b->work.partition, position);
    uint32_t j, user = find_user(e, b->work.partition, index, &j);
    store_user u;
    if (!store_user_get(e->s, user, &u)) return false;
    uint32_t event = history_positive(&e->rule, e->m, b->name.stage, b->name.epoch, user, &u, j);
    history_before(history, &e->rule, e->m, user, &u, event);
    uint32_t node = u.node[event];
    node_list target = {&node, 1, 1};
    chunk_tower_row(out, user, &u, history, &target, NULL);
    return true;
}

/* uniform_negatives, split evenly over the types of the chunk's targets. */
static void tower_negatives(const build *b, uint32_t number, chunk_tower *out)
{
    const build_env *e = b->e;
    uint64_t types = chunk_tower_types(out);
    uint32_t n = (uint32_t)__builtin_popcountll(types), seen = 0;
    uint32_t all = e->c->two_tower.uniform_negatives;
    uint64_t key = rng_slot_key(e->c->seed, b->name, USE_UNIFORM_ITEMS);
    node_list negatives = {0};
    for (uint32_t t = 0; t < e->m->types.n; t++) {
        if (!(types >> t & 1)) continue;
        uint32_t k = all / n + (seen++ < all % n);
        draw_nodes(e, key, (uint64_t)number * CONFIG_TYPES_MAX + t, t, k, &negatives);
    }
    chunk_tower_negatives(out, &negatives);
    node_list_fini(&negatives);
}

static err_code tower_chunk(const build *b, uint32_t number, chunk_tower *out)
{
    uint64_t first;
    uint32_t count;
    plan_chunk(&b->work, number, &first, &count);
    node_list history = {0};
    bool good = true;
    for (uint32_t i = 0; good && i < count; i++) {
        good = training_row(b, first + i, out, &history);
    }
    node_list_fini(&history);
    if (good) tower_negatives(b, number, out);
    return good ? ERR_OK : ERR_CORRUPT;
}

static void keep_sample(const build_env *e, node_list *l)
{
    size_t n = 0;
    for (size_t i = 0; i < l->n; i++) {
        if (plan_in_sample(e->p, l->node[i])) l->node[n++] = l->node[i];
    }
    l->n = n;
}

typedef struct user_lists {
    node_list history, targets, seen;
} user_lists;

/* A user as of the end of train; scoring: with validation positives and seen items of the sample.
 */
static bool user_row(const build *b, uint32_t user, user_lists *l, chunk_tower *out)
{
    const build_env *e = b->e;
    store_user u;
    if (!store_user_get(e->s, user, &u)) return false;
    history_at_end(&l->history, &e->rule, e->m, user, &u);
    if (b->work.kind == PLAN_SCORE) {
        bool hgnn = b->name.stage == STAGE_HGNN_VALID;
        uint64_t types = hgnn ? UINT64_MAX : e->rule.target_types;
        history_targets(&l->targets, types, e->m, &u, STORE_VALID);
        history_seen(&l->seen, &u, STORE_TRAIN);
        keep_sample(e, &l->targets);
        keep_sample(e, &l->seen);
        if (hgnn) keep_sample(e, &l->history);
    }
    chunk_tower_row(out, user, &u, &l->history, &l->targets, &l->seen);
    return true;
}

static err_code user_chunk(const build *b, chunk_tower *out)
{
    user_lists l = {0};
    bool good = true;
    for (uint32_t i = 0; good && i < b->work.count; i++) {
        good = user_row(b, (uint32_t)b->work.first + i, &l, out);
    }
    node_list_fini(&l.history);
    node_list_fini(&l.targets);
    node_list_fini(&l.seen);
    return good ? ERR_OK : ERR_CORRUPT;
}

static err_code finish_tower(const build *b, blob **out)
{
    uint32_t n = b->work.kind == PLAN_TRAIN ? b->work.chunks : 1;
    chunk_tower **chunk = xcalloc(n, sizeof(chunk_tower *));
    microbatch_tower *view = xcalloc(n, sizeof *view);
    err_code rc = ERR_OK;
    for (uint32_t i = 0; rc == ERR_OK && i < n; i++) {
        chunk[i] = chunk_tower_new(b->e->m);
        rc = b->work.kind == PLAN_TRAIN ? tower_chunk(b, i, chunk[i]) : user_chunk(b, chunk[i]);
        if (rc == ERR_OK) view[i] = *chunk_tower_view(chunk[i]);
    }
    if (rc == ERR_OK) rc = microbatch_encode_tower(b->name, view, n, out);
    for (uint32_t i = 0; i < n; i++) chunk_tower_free(chunk[i]);
    free(chunk);
    free(view);
    return rc;
}

/* --- The machine -------------------------------------------------------------------------------
 */

err_code build_new(const build_env *e, slot_name name, build **out)
{
    build *b = xcalloc(1, sizeof *b);
    b->e = e;
    b->name = name;
    if (!plan_slot(e->p, name, &b->work)) {
        free(b);
        return ERR_NOT_FOUND;
    }
    b->layers = name.stage == STAGE_HGNN || b->work.layer > 0;
    b->leaf = xcalloc(e->m->partitions, sizeof *b->leaf);
    bool reads_store = b->work.kind == PLAN_TRAIN || b->work.users;
    err_code rc = reads_store && !store_has(e->s, b->work.partition) ? ERR_MISMATCH : ERR_OK;
    if (rc == ERR_OK && name.stage == STAGE_HGNN) {
        rc = start_training(b);
    } else if (rc == ERR_OK && b->layers) {
        start_layer(b);
    }
    if (rc != ERR_OK) {
        build_free(b);
        return rc;
    }
    *out = b;
    return ERR_OK;
}

void build_free(build *b)
{
    if (!b) return;
    for (uint32_t i = 0; b->chunk && i < b->chunks; i++) {
        graph_chunk *c = &b->chunk[i];
        for (uint32_t t = 0; t < CONFIG_TYPES_MAX; t++) node_list_fini(&c->negative[t]);
        chunk_graph_free(c->graph);
        free(c->row_pair);
        free(c->mask);
    }
    if (b->hop.node) hop_fini(&b->hop);
    free(b->chunk);
    free(b->pair);
    free(b->exclude);
    free(b->leaf);
    free(b);
}

static void list_leaves(build *b, build_result *out)
{
    uint32_t n = 0;
    for (uint32_t p = 0; p < b->e->m->partitions; p++) {
        if (!b->hop.request[p]) continue;
        uint32_t part = (b->hop_number - 1) * b->e->m->partitions + p;
        b->leaf[n++] = (build_leaf){p, part, b->hop.request[p]};
    }
    *out = (build_result){.leaf = b->leaf, .leaves = n};
}

static err_code finish_body(build *b, blob **out)
{
    const plan_work *w = &b->work;
    if (b->layers) return finish_graph(b, out);
    if (w->kind == PLAN_TRAIN || w->users) return finish_tower(b, out);
    return microbatch_encode_items(b->name, (uint32_t)w->first, w->count, out);
}

err_code build_step(build *b, build_result *out)
{
    while (b->layers) {
        if (b->hop.node && b->hop.open) {
            list_leaves(b, out);
            return ERR_OK;
        }
        if (b->hop.node) expand(b);
        if (b->hop_number == b->hops) break;
        err_code rc = next_hop(b);
        if (rc != ERR_OK) return rc;
    }
    *out = (build_result){.state = BUILD_DONE};
    err_code rc = finish_body(b, &out->body);
    if (rc != ERR_OK || !store_failed(b->e->s)) return rc;
    blob_unref(out->body);
    out->body = NULL;
    return ERR_CORRUPT;
}

err_code build_leaf_reply(build *b, uint32_t part, blob *body)
{
    const build_env *e = b->e;
    if (!b->hop.node || part / e->m->partitions != b->hop_number - 1) return ERR_OK;
    return hop_take(&b->hop, part % e->m->partitions, body, e->m, &e->into);
}

/* --- Answers from local data -------------------------------------------------------------------
 */

err_code leaf_answer(const build_env *e, slot_name name, const blob *body, blob **out)
{
    return hop_answer(e->c, e->m, &e->into, e->s, name, body, e->answer_max, out);
}

/* Columns of the reply in one block. */
typedef struct feature_columns {
    uint64_t *key;
    uint32_t *positives, *attribute;
    uint16_t *f16;
    int8_t *q8;
    float *scale;
} feature_columns;

static bool columns_new(feature_columns *k, const manifest *m, uint32_t n)
{
    size_t values;
    if (!size_mul((size_t)n + 1, (size_t)m->text_dim + 1, &values)) return false;
    bool half = m->storage == STORAGE_F16;
    k->key = try_calloc((size_t)n + 1, sizeof *k->key);
    k->positives = try_calloc((size_t)n + 1, sizeof *k->positives);
    k->attribute = try_calloc(((size_t)n + 1) * ((size_t)m->item_attributes + 1), 4);
    k->f16 = half ? try_calloc(values, sizeof *k->f16) : NULL;
    k->q8 = half ? NULL : try_calloc(values, sizeof *k->q8);
    k->scale = half ? NULL : try_calloc((size_t)n + 1, sizeof *k->scale);
    return k->key && k->positives && k->attribute && (half ? k->f16 != NULL : k->q8 && k->scale);
}

static void columns_free(feature_columns *k)
{
    free(k->key);
    free(k->positives);
    free(k->attribute);
    free(k->f16);
    free(k->q8);
    free(k->scale);
}

static bool columns_fill(feature_columns *k, const build_env *e, const feature_row_request *r)
{
    size_t attributes = e->m->item_attributes, dim = e->m->text_dim;
    for (uint32_t i = 0; i < r->nodes; i++) {
        store_item item;
        if (!store_item_get(e->s, r->node[i], &item)) return false;
        k->key[i] = item.key;
        k->positives[i] = item.positives;
        if (attributes) memcpy(k->attribute + i * attributes, item.attribute, attributes * 4);
        if (dim && k->f16) memcpy(k->f16 + i * dim, item.text_f16, dim * sizeof *k->f16);
        if (dim && k->q8) memcpy(k->q8 + i * dim, item.text_int8, dim);
        if (k->scale) k->scale[i] = item.scale;
    }
    return true;
}

static err_code answer_features(const build_env *e, const feature_row_request *r, blob **out)
{
    if (!store_has(e->s, r->partition)) return ERR_MISMATCH;
    feature_columns k = {0};
    size_t row = 16 + 4 * (size_t)e->m->item_attributes + 2 * (size_t)e->m->text_dim, bytes;
    if (!size_mul(row, r->nodes, &bytes) || bytes > e->answer_max) return ERR_LIMIT;
    err_code rc = columns_new(&k, e->m, r->nodes) ? ERR_OK : ERR_NO_MEMORY;
    if (rc == ERR_OK && !columns_fill(&k, e, r)) rc = ERR_CORRUPT;
    if (rc == ERR_OK) {
        feature_row_reply reply = {
            r->nodes,    e->m->item_attributes, e->m->text_dim, e->m->storage, k.key,
            k.positives, k.attribute,           k.f16,          k.q8,          k.scale};
        *out = feature_row_encode_reply(&reply);
        if (!*out) rc = ERR_NO_MEMORY;
    }
    columns_free(&k);
    return rc;
}

err_code features_answer(const build_env *e, const blob *body, blob **out)
{
    blob *copy = NULL;
    if ((uintptr_t)blob_data(body) % 8) {
        copy = blob_copy(blob_data(body), blob_size(body));
        if (!copy) return ERR_NO_MEMORY;
    }
    feature_row_request r;
    err_code rc = feature_row_decode_request(e->m, copy ? copy : body, &r);
    if (rc == ERR_OK) rc = answer_features(e, &r, out);
    blob_unref(copy);
    return rc;
}
