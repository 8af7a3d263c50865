/* Proves: micro-batches are what the plan promises: every pair of an epoch with the right
 * multiplicity, nothing of the future in a history, no target edge at any hop, and the same bytes
 * whatever is local and in whatever order it comes. */
#include "common/feature_row.h"
#include "common/hash.h"
#include "common/mem.h"
#include "common/microbatch.h"
#include "common/plan.h"
#include "common/rng.h"
#include "sampler/build.h"

#include "common/wire.h"
#include "sampler/draw.h"
#include "sampler/history.h"
#include "sampler/store.h"
#include "testing_files.h"
#include "testing_prepare.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SAMPLERS = 3 };

/* One sampler with everything, and three that share the partitions. */
typedef struct world {
    config *c;
    char *folder;
    store *store;
    manifest *m;
    plan *p;
    build_env *env;
    store *part_store[SAMPLERS];
    build_env *part_env[SAMPLERS];
} world;

static world w;

static void open_parts(void)
{
    for (uint32_t i = 0; i < SAMPLERS; i++) {
        uint32_t mine[16], n = 0;
        for (uint32_t k = 0; k < w.m->partitions; k++) {
            if (k % SAMPLERS == i) mine[n++] = k;
        }
        ck_assert_int_eq(store_open(w.folder, mine, n, VERIFY_OPEN, &w.part_store[i]), ERR_OK);
        ck_assert_int_eq(build_env_new(w.c, w.m, w.p, w.part_store[i], &w.part_env[i]), ERR_OK);
    }
}

static void open_world(void)
{
    w.c = testing_prepare_config(
        "hgnn: {batch: 40, negatives: 12, fanout: [4, 3], balance_floor: 150}\n"
        "two_tower: {batch: 48, uniform_negatives: 10}\n"
        "train: {chunks_per_slot: 2}\nvalidate: {every: 5}\n");
    w.folder = testing_prepare_run(w.c);
    ck_assert_int_eq(store_open(w.folder, NULL, 0, VERIFY_OPEN, &w.store), ERR_OK);
    ck_assert_int_eq(manifest_load(w.folder, &w.m), ERR_OK);
    ck_assert_int_eq(manifest_count_positives(w.folder, w.c, w.m), ERR_OK);
    ck_assert_int_eq(plan_new(w.c, w.m, &w.p), ERR_OK);
    ck_assert_int_eq(build_env_new(w.c, w.m, w.p, w.store, &w.env), ERR_OK);
    open_parts();
}

static void setup(void)
{
    testing_enter_folder();
    testing_prepare_write(150, 120, 4000, 7);
    memset(&w, 0, sizeof w);
}

static void teardown(void)
{
    for (uint32_t i = 0; i < SAMPLERS; i++) {
        build_env_free(w.part_env[i]);
        store_close(w.part_store[i]);
    }
    build_env_free(w.env);
    plan_free(w.p);
    store_close(w.store);
    manifest_free(w.m);
    free(w.folder);
    config_free(w.c);
    testing_leave_folder();
}

/* --- Running builds --- */

static blob *build_here(slot_name name)
{
    build *b;
    build_result r;
    ck_assert_int_eq(build_new(w.env, name, &b), ERR_OK);
    ck_assert_int_eq(build_step(b, &r), ERR_OK);
    ck_assert_int_eq(r.state, BUILD_DONE);
    build_free(b);
    return r.body;
}

/* Answers all leaves in an order drawn from `salt`, some twice, some from misaligned memory. */
static uint32_t answer_leaves(build *b, slot_name name, const build_result *r, uint64_t salt)
{
    uint32_t n = r->leaves, asked = 0;
    build_leaf *leaf = xcalloc(n, sizeof *leaf);
    for (uint32_t i = 0; i < n; i++) {
        leaf[i] = r->leaf[i];
        blob_ref(leaf[i].body);
    }
    for (uint32_t i = 0; i < n; i++) {
        const build_leaf *l = &leaf[rng_permute(salt, n, i)];
        blob *reply;
        uint32_t owner = l->partition % SAMPLERS;
        ck_assert_int_eq(leaf_answer(w.part_env[owner], name, l->body, &reply), ERR_OK);
        if ((salt + i) % 3 == 0) {
            uint8_t *odd = xmalloc(blob_size(reply) + 1);
            memcpy(odd + 1, blob_data(reply), blob_size(reply));
            blob *moved = blob_wrap(odd + 1, blob_size(reply), NULL, NULL);
            ck_assert_int_eq(build_leaf_reply(b, l->part, moved), ERR_OK);
            blob_unref(moved);
            free(odd);
        }
        ck_assert_int_eq(build_leaf_reply(b, l->part, reply), ERR_OK);
        blob_unref(reply);
        asked++;
    }
    for (uint32_t i = 0; i < n; i++) blob_unref(leaf[i].body);
    free(leaf);
    return asked;
}

static blob *build_apart(slot_name name, uint64_t salt, uint32_t *asked)
{
    plan_work work;
    ck_assert(plan_slot(w.p, name, &work));
    build *b;
    build_result r;
    ck_assert_int_eq(build_new(w.part_env[work.partition % SAMPLERS], name, &b), ERR_OK);
    for (;;) {
        ck_assert_int_eq(build_step(b, &r), ERR_OK);
        if (r.state == BUILD_DONE) break;
        ck_assert_uint_gt(r.leaves, 0);
        *asked += answer_leaves(b, name, &r, salt);
    }
    build_free(b);
    return r.body;
}

static microbatch *decode(blob *body)
{
    microbatch *b;
    ck_assert_int_eq(microbatch_decode(w.m, body, &b), ERR_OK);
    return b;
}

static microbatch *built(slot_name name)
{
    blob *body = build_here(name);
    microbatch *b = decode(body);
    blob_unref(body);
    ck_assert(slot_equal(b->name, name));
    return b;
}

/* --- The same bytes --- */

static void check_same(slot_name name, uint32_t *asked)
{
    blob *a = build_here(name), *again = build_here(name);
    blob *x = build_apart(name, 1, asked), *y = build_apart(name, 5, asked);
    const blob *other[] = {again, x, y};
    for (int i = 0; i < 3; i++) {
        ck_assert_uint_eq(blob_size(a), blob_size(other[i]));
        ck_assert_mem_eq(blob_data(a), blob_data(other[i]), blob_size(a));
    }
    microbatch *b = decode(a);
    blob *encoded = NULL;
    if (b->kind == MICROBATCH_GRAPH) {
        ck_assert_int_eq(microbatch_encode_graph(name, b->graph, b->chunks, &encoded), ERR_OK);
    } else if (b->kind == MICROBATCH_TOWER) {
        ck_assert_int_eq(microbatch_encode_tower(name, b->tower, b->chunks, &encoded), ERR_OK);
    } else {
        ck_assert_int_eq(microbatch_encode_items(name, b->first, b->count, &encoded), ERR_OK);
    }
    ck_assert_uint_eq(blob_size(a), blob_size(encoded));
    ck_assert_mem_eq(blob_data(a), blob_data(encoded), blob_size(a));
    microbatch_free(b);
    blob_unref(encoded);
    blob_unref(a);
    blob_unref(again);
    blob_unref(x);
    blob_unref(y);
}

static uint32_t check_stage(uint32_t stage, uint32_t epoch, uint32_t step)
{
    uint32_t asked = 0, n = plan_slots(w.p, stage, step);
    ck_assert_uint_gt(n, 0);
    for (uint32_t i = 0; i < n; i++) check_same((slot_name){stage, epoch, step, i}, &asked);
    return asked;
}

START_TEST(every_stage_gives_the_same_bytes_from_one_sampler_and_from_three)
{
    open_world();
    ck_assert_uint_gt(check_stage(STAGE_HGNN, 1, 1), 0);
    ck_assert_uint_gt(check_stage(STAGE_HGNN, 1, 2), 0);
    ck_assert_uint_eq(check_stage(STAGE_EMBED, 1, 1), 0); /* lists are their owner's */
    check_stage(STAGE_EMBED, 2, 2);
    check_stage(STAGE_TWO_TOWER, 1, 1);
    check_stage(STAGE_TWO_TOWER_NO_Z, 1, 1);
    for (uint32_t step = 1; step <= 4; step++) check_stage(STAGE_VECTORS, 1, step);
    for (uint32_t step = 1; step <= 3; step++) check_stage(STAGE_HGNN_VALID, 5, step);
    for (uint32_t step = 1; step <= 2; step++) check_stage(STAGE_TWO_TOWER_VALID, 5, step);
}
END_TEST

/* --- HGNN training --- */

/* Multiplicity of every edge among the pairs of an epoch. */
typedef struct edge_count {
    uint64_t edge;
    uint32_t n;
} edge_count;

static uint32_t edge_number(uint64_t edge, edge_count *list, uint32_t *n)
{
    for (uint32_t i = 0; i < *n; i++) {
        if (list[i].edge == edge) return i;
    }
    list[*n] = (edge_count){edge, 0};
    return (*n)++;
}

static uint32_t collect_epoch(uint32_t epoch, edge_count *list, uint64_t *per_relation)
{
    uint32_t n = 0, per = plan_steps_per_epoch(w.p, STAGE_HGNN);
    for (uint32_t s = (epoch - 1) * per + 1; s <= epoch * per; s++) {
        for (uint32_t j = 0; j < plan_slots(w.p, STAGE_HGNN, s); j++) {
            microbatch *b = built(plan_name(w.p, STAGE_HGNN, s, j));
            for (uint32_t k = 0; k < b->chunks; k++) {
                const subgraph *g = &b->graph[k];
                for (uint32_t i = 0; i < g->pairs; i++) {
                    const subgraph_pair *p = &g->pair[i];
                    uint64_t e = draw_edge(g->node[p->anchor_type][p->anchor],
                                           g->node[p->positive_type][p->positive]);
                    list[edge_number(e, list, &n)].n++;
                    for (uint32_t r = 0; r < w.m->relations; r++) {
                        per_relation[r] += w.m->relation[r].source == p->positive_type &&
                                           w.m->relation[r].destination == p->anchor_type;
                    }
                }
            }
            microbatch_free(b);
        }
    }
    return n;
}

static uint64_t relation_quota(uint32_t r)
{
    uint64_t sum = 0;
    for (uint32_t p = 0; p < w.m->partitions; p++) sum += plan_quota(w.p, r, p);
    return sum;
}

START_TEST(an_epoch_by_edges_holds_each_edge_at_most_once_and_all_of_small_relations)
{
    open_world();
    plan_free(w.p);
    w.c->hgnn.pairs = PAIRS_EDGES;
    ck_assert_int_eq(plan_new(w.c, w.m, &w.p), ERR_OK);
    build_env_free(w.env);
    ck_assert_int_eq(build_env_new(w.c, w.m, w.p, w.store, &w.env), ERR_OK);
    edge_count *list = xcalloc(20000, sizeof *list);
    uint64_t relation[16] = {0}, small = 0;
    uint32_t n = collect_epoch(1, list, relation);
    for (uint32_t i = 0; i < n; i++) ck_assert_uint_eq(list[i].n, 1);
    for (uint32_t r = 0; r < w.m->relations; r++) {
        ck_assert_uint_eq(relation[r], relation_quota(r));
        small += w.m->relation[r].edges && relation[r] == w.m->relation[r].edges;
        for (uint32_t i = 0; i < n; i++) { /* every pair is an edge of the store */
            uint32_t d = (uint32_t)(list[i].edge >> 32), s = (uint32_t)list[i].edge;
            if (manifest_type_of(w.m, d) != w.m->relation[r].destination) continue;
            if (manifest_type_of(w.m, s) != w.m->relation[r].source) continue;
            store_list l = store_neighbours(w.store, r, d);
            bool found = false;
            for (uint32_t j = 0; j < l.n; j++) found = found || l.source[j] == s;
            ck_assert(found);
        }
    }
    ck_assert_uint_gt(small, 0);
    free(list);
}
END_TEST

START_TEST(pairs_by_user_norm_follow_their_weights)
{
    open_world();
    edge_count *list = xcalloc(20000, sizeof *list), *all = xcalloc(20000, sizeof *all);
    uint64_t relation[16] = {0};
    enum { EPOCHS = 12 };
    uint32_t n = 0;
    for (uint32_t epoch = 1; epoch <= EPOCHS; epoch++) {
        uint32_t got = collect_epoch(epoch, list, relation);
        for (uint32_t i = 0; i < got; i++) {
            all[edge_number(list[i].edge, all, &n)].n += list[i].n;
        }
    }
    double x = 0, freedom = 0;
    for (uint32_t r = 0; r < w.m->relations; r++) {
        ck_assert_uint_eq(relation[r], EPOCHS * relation_quota(r));
        for (uint32_t p = 0; p < w.m->partitions; p++) {
            double quota = (double)plan_quota(w.p, r, p) * EPOCHS;
            uint64_t mass = w.m->relation[r].partition_pair_weight[p];
            for (uint64_t e = 0; quota > 0 && e < w.m->relation[r].partition_edges[p]; e++) {
                store_edge edge;
                ck_assert(store_edge_at(w.store, r, p, e, &edge));
                store_list l = store_neighbours(w.store, r, edge.destination);
                double expect = quota * l.pair[e - l.first_edge] / (double)mass;
                uint32_t at = edge_number(draw_edge(edge.destination, edge.source), all, &n);
                x += (all[at].n - expect) * (all[at].n - expect) / expect;
                freedom++;
            }
        }
    }
    ck_assert_msg(x < freedom + 6 * sqrt(2 * freedom), "chi2 %.0f of %.0f", x, freedom);
    ck_assert_uint_eq(n, (uint32_t)freedom);
    free(list);
    free(all);
}
END_TEST

static void check_canonical(const subgraph *g)
{
    for (uint32_t t = 0; t < g->types; t++) {
        for (uint32_t i = 0; i < g->rows[0][t]; i++) {
            for (uint32_t j = 0; j < i; j++) ck_assert(g->node[t][i] != g->node[t][j]);
        }
    }
}

static void check_layer(const subgraph *g, uint32_t k, const uint64_t *target, uint32_t targets)
{
    uint32_t fan = w.c->hgnn.fanout[g->layers - k];
    for (uint32_t r = 0; r < g->relations; r++) {
        const subgraph_adjacency *a = &g->layer[k][r];
        uint32_t s = g->relation[r].source, d = g->relation[r].destination;
        for (uint32_t i = 0; i < g->rows[k][d]; i++) {
            ck_assert_uint_le(a->indptr[i + 1] - a->indptr[i], fan);
            store_list l = store_neighbours(w.store, r, g->node[d][i]);
            uint32_t last = 0;
            for (uint64_t e = a->indptr[i]; e < a->indptr[i + 1]; e++) {
                uint32_t node = g->node[s][a->index[e]];
                bool found = false;
                for (uint32_t j = 0; j < l.n; j++) {
                    found = found || (l.source[j] == node && l.aggregation[j] == a->weight[e]);
                }
                bool good = found && (e == a->indptr[i] || node > last);
                for (uint32_t j = 0; j < targets; j++) {
                    good = good && target[j] != draw_edge(g->node[d][i], node) &&
                           target[j] != draw_edge(node, g->node[d][i]);
                }
                ck_assert(good);
                last = node;
            }
        }
    }
}

START_TEST(target_edges_and_reverses_are_out_at_every_hop)
{
    open_world();
    uint64_t dropped = 0, rows = 0;
    for (uint32_t j = 0; j < plan_slots(w.p, STAGE_HGNN, 1); j++) {
        microbatch *b = built(plan_name(w.p, STAGE_HGNN, 1, j));
        uint64_t target[1000];
        uint32_t n = 0;
        for (uint32_t k = 0; k < b->chunks; k++) {
            const subgraph *g = &b->graph[k];
            for (uint32_t i = 0; i < g->pairs; i++) {
                const subgraph_pair *p = &g->pair[i];
                target[n++] = draw_edge(g->node[p->anchor_type][p->anchor],
                                        g->node[p->positive_type][p->positive]);
            }
        }
        for (uint32_t k = 0; k < b->chunks; k++) {
            const subgraph *g = &b->graph[k];
            ck_assert_uint_eq(g->layers, 2);
            check_canonical(g);
            for (uint32_t layer = 1; layer <= 2; layer++) check_layer(g, layer, target, n);
            for (uint32_t t = 0; t < g->types; t++) {
                for (uint32_t i = 0; i < g->rows[2][t]; i++) {
                    uint64_t edges = 0;
                    for (uint32_t r = 0; r < g->relations; r++) {
                        if (g->relation[r].destination != t) continue;
                        edges += g->layer[2][r].indptr[i + 1] - g->layer[2][r].indptr[i];
                    }
                    dropped += edges == 0;
                    rows++;
                }
            }
        }
        microbatch_free(b);
    }
    ck_assert(dropped > 0 && dropped < rows / 3); /* neighbour_drop 0.1 */
}
END_TEST

/* Lists of the seeds in the two layers that were drawn from more than they hold: how many are the
 * same. */
static void compare_layers(const subgraph *g, uint32_t *same, uint32_t *all)
{
    for (uint32_t r = 0; r < g->relations; r++) {
        const subgraph_adjacency *x = &g->layer[2][r], *y = &g->layer[1][r];
        uint32_t s = g->relation[r].source, d = g->relation[r].destination;
        for (uint32_t i = 0; i < g->rows[2][d]; i++) {
            uint64_t n = x->indptr[i + 1] - x->indptr[i];
            if (n != 4 || store_neighbours(w.store, r, g->node[d][i]).n < 10) continue;
            ck_assert_uint_eq(y->indptr[i + 1] - y->indptr[i], n);
            uint32_t equal = 0;
            for (uint32_t j = 0; j < n; j++) {
                equal += g->node[s][x->index[x->indptr[i] + j]] ==
                         g->node[s][y->index[y->indptr[i] + j]];
            }
            *same += equal == n;
            ++*all;
        }
    }
}

START_TEST(the_two_hops_of_a_node_are_drawn_independently)
{
    open_world();
    w.c->hgnn.fanout[0] = w.c->hgnn.fanout[1] = 4;
    uint32_t same = 0, all = 0;
    for (uint32_t j = 0; j < plan_slots(w.p, STAGE_HGNN, 1); j++) {
        microbatch *b = built(plan_name(w.p, STAGE_HGNN, 1, j));
        for (uint32_t k = 0; k < b->chunks; k++) compare_layers(&b->graph[k], &same, &all);
        microbatch_free(b);
    }
    ck_assert_uint_gt(all, 50);
    ck_assert_uint_lt(same, all / 10);
}
END_TEST

START_TEST(negatives_are_of_the_positives_types_and_distinct)
{
    open_world();
    microbatch *b = built(plan_name(w.p, STAGE_HGNN, 1, 0));
    for (uint32_t k = 0; k < b->chunks; k++) {
        const subgraph *g = &b->graph[k];
        uint64_t types = 0;
        for (uint32_t i = 0; i < g->pairs; i++) types |= UINT64_C(1) << g->pair[i].positive_type;
        for (uint32_t t = 0; t < g->types; t++) {
            uint32_t all = manifest_type_begin(w.m, t + 1) - manifest_type_begin(w.m, t);
            uint32_t want = types >> t & 1 ? (all < 12 ? all : 12) : 0;
            ck_assert_uint_eq(g->negatives[t], want);
            for (uint32_t i = 1; i < want; i++) {
                ck_assert_uint_gt(g->negative[t][i], g->negative[t][i - 1]);
            }
        }
        ck_assert_ptr_null(g->mask);
    }
    microbatch_free(b);
}
END_TEST

START_TEST(rejected_neighbours_are_masked_down_to_the_number_kept)
{
    open_world();
    w.c->hgnn.reject_neighbours = true;
    w.c->hgnn.reject_keep = 8;
    uint32_t masked = 0, limited = 0;
    for (uint32_t s = 1; s <= 3; s++) {
        microbatch *b = built(plan_name(w.p, STAGE_HGNN, s, 0));
        for (uint32_t k = 0; k < b->chunks; k++) {
            const subgraph *g = &b->graph[k];
            ck_assert_ptr_nonnull(g->mask);
            for (uint32_t i = 0; i < g->pairs; i++) {
                const subgraph_pair *p = &g->pair[i];
                uint32_t t = p->positive_type, left = 0, own = 0, unmasked = 0;
                uint32_t anchor = g->node[p->anchor_type][p->anchor];
                uint32_t r = 0;
                while (w.m->relation[r].source != t ||
                       w.m->relation[r].destination != p->anchor_type) {
                    r++;
                }
                store_list l = store_neighbours(w.store, r, anchor);
                for (uint32_t j = 0; j < g->negatives[t]; j++) {
                    uint32_t node = g->node[t][g->negative[t][j]];
                    bool is_own = node == anchor || node == g->node[t][p->positive];
                    bool neighbour = false;
                    for (uint32_t q = 0; q < l.n; q++) neighbour |= l.source[q] == node;
                    bool bit = g->mask[(size_t)i * g->mask_words + j / 64] >> j % 64 & 1;
                    ck_assert(!bit || is_own || neighbour);
                    ck_assert(bit || !is_own);
                    own += is_own;
                    left += !bit;
                    unmasked += neighbour && !bit;
                    masked += bit && !is_own;
                }
                uint32_t others = g->negatives[t] - own;
                ck_assert_uint_ge(left, others < 8 ? others : 8);
                if (unmasked) ck_assert_uint_eq(left, others < 8 ? others : 8);
                limited += unmasked > 0;
            }
        }
        microbatch_free(b);
    }
    ck_assert(masked > 0 && limited > 0);
}
END_TEST

START_TEST(embedding_takes_all_neighbours_with_means)
{
    open_world();
    uint32_t n = plan_slots(w.p, STAGE_EMBED, 1), nodes = 0;
    for (uint32_t i = 0; i < n; i++) {
        microbatch *b = built(plan_name(w.p, STAGE_EMBED, 1, i));
        const subgraph *g = b->graph;
        ck_assert(b->chunks == 1 && g->layers == 1 && g->pairs == 0);
        for (uint32_t t = 0; t < g->types; t++) {
            nodes += g->rows[1][t];
            for (uint32_t r = 0; r < g->relations; r++) {
                if (g->relation[r].destination != t) continue;
                for (uint32_t j = 0; j < g->rows[1][t]; j++) {
                    ck_assert_uint_eq(g->layer[1][r].indptr[j + 1] - g->layer[1][r].indptr[j],
                                      store_neighbours(w.store, r, g->node[t][j]).n);
                }
            }
        }
        microbatch_free(b);
    }
    ck_assert_uint_eq(nodes, w.m->items);
}
END_TEST

/* The same lists of at most fan-out; returns how many were drawn from longer ones. */
static uint32_t check_limited(const subgraph *a, const subgraph *b)
{
    uint32_t limited = 0;
    for (uint32_t r = 0; r < w.m->relations; r++) {
        const subgraph_adjacency *x = &a->layer[1][r], *y = &b->layer[1][r];
        uint32_t d = a->relation[r].destination, rows = a->rows[1][d];
        ck_assert_ptr_null(x->weight);
        ck_assert_mem_eq(x->indptr, y->indptr, (rows + 1) * sizeof *x->indptr);
        ck_assert_mem_eq(x->index, y->index, x->indptr[rows] * sizeof *x->index);
        for (uint32_t i = 0; i < rows; i++) {
            uint32_t n = store_neighbours(w.store, r, a->node[d][i]).n;
            /* Layer 2 is hop 1. */
            ck_assert_uint_eq(x->indptr[i + 1] - x->indptr[i], n < 4 ? n : 4);
            limited += n > 4;
        }
    }
    return limited;
}

START_TEST(max_pool_embeds_with_the_fan_out_of_training)
{
    open_world();
    w.c->hgnn.aggregator = AGG_MAX_POOL;
    uint32_t asked = 0, limited = 0;
    for (uint32_t slot = 0; slot < plan_slots(w.p, STAGE_EMBED, 2); slot++) {
        slot_name name = plan_name(w.p, STAGE_EMBED, 2, slot);
        check_same(name, &asked);
        /* All nodes are in the sample: validation has the same slots, and draws the same. */
        microbatch *b = built(name), *v = built((slot_name){STAGE_HGNN_VALID, 5, 2, slot});
        limited += check_limited(b->graph, v->graph);
        microbatch_free(b);
        microbatch_free(v);
    }
    ck_assert_uint_gt(limited, 20);
}
END_TEST

/* --- Towers --- */

/* What history_before must give, written naively. */
static bool in_history(const store_user *u, uint32_t item, uint32_t target, int64_t now)
{
    if (item == target) return false;
    for (uint32_t i = 0; i < u->n; i++) {
        if (u->node[i] == item && u->part[i] == STORE_TRAIN && u->role[i] & ROLE_HISTORY) {
            return u->time[i] < now;
        }
    }
    return false;
}

static void check_row(const microbatch_tower *t, uint32_t i)
{
    store_user u;
    ck_assert(store_user_get(w.store, t->user[i], &u));
    ck_assert_uint_eq(t->target_indptr[i + 1] - t->target_indptr[i], 1);
    uint32_t target = t->node[t->target[t->target_indptr[i]]], event = UINT32_MAX, expect = 0;
    for (uint32_t e = 0; e < u.n; e++) {
        bool positive = u.node[e] == target && u.role[e] & ROLE_POSITIVE;
        if (positive && u.part[e] == STORE_TRAIN) event = e;
    }
    ck_assert_uint_ne(event, UINT32_MAX);
    for (uint32_t e = 0; e < u.n; e++) {
        expect += u.part[e] == STORE_TRAIN && u.role[e] & ROLE_HISTORY &&
                  in_history(&u, u.node[e], target, u.time[event]);
    }
    uint32_t counts[64] = {0}, n = 0;
    for (uint64_t h = t->history_indptr[i]; h < t->history_indptr[i + 1]; h++, n++) {
        uint32_t node = t->node[t->history[h]];
        ck_assert(in_history(&u, node, target, u.time[event]));
        ck_assert(h == t->history_indptr[i] || t->history[h] > t->history[h - 1]);
        counts[manifest_type_of(w.m, node)]++;
    }
    ck_assert_uint_eq(n, expect < w.c->history.max_items ? expect : w.c->history.max_items);
    ck_assert_mem_eq(counts, t->count + (size_t)i * t->types, t->types * sizeof *counts);
    ck_assert(t->weight[i] == 1);
    ck_assert_uint_eq(t->seen_indptr[i + 1], 0);
}

START_TEST(a_training_row_sees_only_what_came_strictly_before)
{
    open_world();
    uint64_t rows = 0, positives = 0;
    uint32_t steps = plan_steps_per_epoch(w.p, STAGE_TWO_TOWER);
    uint8_t *seen = xcalloc((size_t)w.m->users * w.m->items, 1);
    for (uint32_t s = 1; s <= steps; s++) {
        for (uint32_t j = 0; j < plan_slots(w.p, STAGE_TWO_TOWER, s); j++) {
            microbatch *b = built(plan_name(w.p, STAGE_TWO_TOWER, s, j));
            for (uint32_t k = 0; k < b->chunks; k++) {
                const microbatch_tower *t = &b->tower[k];
                for (uint32_t i = 0; i < t->rows; i++, rows++) {
                    check_row(t, i);
                    uint32_t node = t->node[t->target[i]];
                    ck_assert_uint_eq(seen[(size_t)t->user[i] * w.m->items + node]++, 0);
                }
            }
            microbatch_free(b);
        }
    }
    for (uint32_t p = 0; p < w.m->partitions; p++) positives += w.m->positives[p];
    ck_assert_uint_eq(rows, positives);
    free(seen);
}
END_TEST

START_TEST(positives_are_capped_and_drawn_anew_each_epoch)
{
    open_world();
    history_rule r;
    history_rule_init(&r, w.c, w.m);
    r.positives_max = 3;
    uint32_t differ = 0;
    for (uint32_t user = 0; user < w.m->users; user++) {
        store_user u;
        ck_assert(store_user_get(w.store, user, &u));
        uint32_t n = history_positives(&r, w.m, &u);
        ck_assert_uint_le(n, 3);
        uint32_t a[3], b[3];
        for (uint32_t j = 0; j < n; j++) {
            a[j] = history_positive(&r, w.m, STAGE_TWO_TOWER, 1, user, &u, j);
            b[j] = history_positive(&r, w.m, STAGE_TWO_TOWER, 2, user, &u, j);
            for (uint32_t i = 0; i < j; i++) ck_assert(a[i] != a[j] && b[i] != b[j]);
            differ += a[j] != b[j];
        }
    }
    ck_assert_uint_gt(differ, 50);
}
END_TEST

START_TEST(uniform_negatives_are_split_over_the_types_of_the_targets)
{
    open_world();
    microbatch *b = built(plan_name(w.p, STAGE_TWO_TOWER, 1, 0));
    for (uint32_t k = 0; k < b->chunks; k++) {
        const microbatch_tower *t = &b->tower[k];
        uint32_t targets[8] = {0}, negatives[8] = {0}, types = 0;
        for (uint32_t i = 0; i < t->rows; i++) {
            targets[manifest_type_of(w.m, t->node[t->target[i]])]++;
        }
        for (uint32_t i = 0; i < t->negatives; i++) {
            negatives[manifest_type_of(w.m, t->node[t->negative[i]])]++;
        }
        for (uint32_t i = 0; i < t->types; i++) types += targets[i] > 0;
        for (uint32_t i = 0; i < t->types; i++) {
            uint32_t all = manifest_type_begin(w.m, i + 1) - manifest_type_begin(w.m, i);
            uint32_t most = 10 / types + 1;
            ck_assert_uint_le(negatives[i], most);
            if (!targets[i]) ck_assert_uint_eq(negatives[i], 0);
            if (targets[i]) ck_assert_uint_ge(negatives[i], all < most - 1 ? all : most - 1);
        }
    }
    microbatch_free(b);
}
END_TEST

START_TEST(scoring_holds_validation_positives_and_train_items)
{
    open_world();
    uint32_t users = 0, with_targets = 0;
    uint32_t last = plan_steps(w.p, STAGE_TWO_TOWER);
    for (uint32_t j = 0; j < plan_slots(w.p, STAGE_TWO_TOWER_VALID, 2); j++) {
        microbatch *b = built((slot_name){STAGE_TWO_TOWER_VALID, last, 2, j});
        const microbatch_tower *t = b->tower;
        for (uint32_t i = 0; i < t->rows; i++, users++) {
            store_user u;
            ck_assert(store_user_get(w.store, t->user[i], &u));
            uint32_t targets = 0, seen = 0, history = 0;
            for (uint32_t e = 0; e < u.n; e++) {
                targets += u.part[e] == STORE_VALID && u.role[e] & ROLE_POSITIVE;
                seen += u.part[e] == STORE_TRAIN && u.role[e] & ROLE_SEEN;
                history += u.part[e] == STORE_TRAIN && u.role[e] & ROLE_HISTORY;
            }
            ck_assert_uint_eq(t->target_indptr[i + 1] - t->target_indptr[i], targets);
            ck_assert_uint_eq(t->seen_indptr[i + 1] - t->seen_indptr[i], seen);
            ck_assert_uint_eq(t->history_indptr[i + 1] - t->history_indptr[i],
                              history < 100 ? history : 100);
            with_targets += targets > 0;
            for (uint64_t x = t->target_indptr[i]; x < t->target_indptr[i + 1]; x++) {
                for (uint64_t y = t->seen_indptr[i]; y < t->seen_indptr[i + 1]; y++) {
                    ck_assert_uint_ne(t->target[x], t->seen[y]);
                }
            }
        }
        ck_assert_uint_eq(t->negatives, 0);
        microbatch_free(b);
    }
    ck_assert_uint_gt(users, 20);
    ck_assert_uint_eq(with_targets, users); /* the plan lists only users with a positive */
}
END_TEST

START_TEST(a_bounded_sample_bounds_targets_and_what_is_seen)
{
    open_world();
    w.c->validate.items = 40;
    w.c->validate.users = 10;
    plan_free(w.p);
    ck_assert_int_eq(plan_new(w.c, w.m, &w.p), ERR_OK);
    build_env_free(w.env);
    ck_assert_int_eq(build_env_new(w.c, w.m, w.p, w.store, &w.env), ERR_OK);
    uint32_t users = 0;
    for (uint32_t j = 0; j < plan_slots(w.p, STAGE_HGNN_VALID, 3); j++) {
        microbatch *b = built((slot_name){STAGE_HGNN_VALID, 5, 3, j});
        const microbatch_tower *t = b->tower;
        users += t->rows;
        for (uint32_t i = 0; i < t->nodes; i++) ck_assert(plan_in_sample(w.p, t->node[i]));
        microbatch_free(b);
    }
    ck_assert_uint_eq(users, 10);
}
END_TEST

/* --- Histories of events made by hand --- */

typedef struct hand {
    uint32_t node[6];
    int64_t time[6];
    uint8_t role[6], part[6];
    store_user u;
} hand;

static void hand_init(hand *h, history_rule *r, order_kind order)
{
    open_world();
    history_rule_init(r, w.c, w.m);
    r->order = order;
    static const int64_t times[6] = {100, 200, 200, 300, 300, 90000};
    for (uint32_t i = 0; i < 6; i++) {
        h->node[i] = 10 + i;
        h->time[i] = times[i];
        h->role[i] = ROLE_ALL;
        h->part[i] = STORE_TRAIN;
    }
    h->u = (store_user){.n = 6, .node = h->node, .time = h->time, .role = h->role, .part = h->part};
}

static void expect_list(const node_list *l, size_t n, const uint32_t *node)
{
    ck_assert_uint_eq(l->n, n);
    for (size_t i = 0; i < n; i++) ck_assert_uint_eq(l->node[i], node[i]);
}

#define EXPECT(list, ...)                                                                          \
    expect_list(list, sizeof((uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t),                        \
                (uint32_t[]){__VA_ARGS__})

START_TEST(events_of_the_same_time_are_not_before_each_other)
{
    hand h;
    history_rule r;
    node_list l = {0};
    hand_init(&h, &r, ORDER_TIME);
    history_before(&l, &r, w.m, 0, &h.u, 2);
    EXPECT(&l, 10);
    history_before(&l, &r, w.m, 0, &h.u, 4);
    EXPECT(&l, 10, 11, 12);
    history_before(&l, &r, w.m, 0, &h.u, 0);
    ck_assert_uint_eq(l.n, 0);
    node_list_fini(&l);
}
END_TEST

START_TEST(the_window_and_the_cap_keep_the_latest)
{
    hand h;
    history_rule r;
    node_list l = {0};
    hand_init(&h, &r, ORDER_TIME);
    r.max_items = 2;
    history_before(&l, &r, w.m, 0, &h.u, 5);
    EXPECT(&l, 13, 14);
    r.max_items = 100;
    r.window_s = 86400 + 3400; /* back to 200 of 90000 */
    history_before(&l, &r, w.m, 0, &h.u, 5);
    EXPECT(&l, 11, 12, 13, 14);
    r.as_of = 86700;
    r.window_s = 86400;
    history_at_end(&l, &r, w.m, 0, &h.u);
    EXPECT(&l, 13, 14, 15);
    node_list_fini(&l);
}
END_TEST

START_TEST(an_item_of_another_kind_and_held_out_items_are_left_out)
{
    hand h;
    history_rule r;
    node_list l = {0};
    hand_init(&h, &r, ORDER_TIME);
    h.node[4] = h.node[0];     /* the target was previewed before */
    h.role[4] = ROLE_POSITIVE; /* its first positive event; history: at the preview */
    h.role[0] = ROLE_HISTORY;
    h.part[1] = STORE_VALID;
    h.part[2] = STORE_TEST;
    history_before(&l, &r, w.m, 0, &h.u, 4);
    ck_assert_uint_eq(l.n, 0);
    history_before(&l, &r, w.m, 0, &h.u, 5);
    EXPECT(&l, 10, 13);
    history_at_end(&l, &r, w.m, 0, &h.u);
    EXPECT(&l, 10, 13, 15);
    node_list_fini(&l);
}
END_TEST

START_TEST(unknown_times_are_not_early)
{
    hand h;
    history_rule r;
    node_list l = {0};
    hand_init(&h, &r, ORDER_TIME);
    h.time[0] = 0;
    history_before(&l, &r, w.m, 0, &h.u, 3);
    EXPECT(&l, 11, 12);
    history_before(&l, &r, w.m, 0, &h.u, 0); /* of unknown time itself: the others */
    EXPECT(&l, 11, 12, 13, 14, 15);
    node_list_fini(&l);
}
END_TEST

START_TEST(without_times_history_is_the_others_drawn_and_by_rows_the_earlier_ones)
{
    hand h;
    history_rule r;
    node_list l = {0}, again = {0};
    hand_init(&h, &r, ORDER_NONE);
    for (uint32_t i = 0; i < 6; i++) h.time[i] = 0;
    history_before(&l, &r, w.m, 0, &h.u, 2);
    EXPECT(&l, 10, 11, 13, 14, 15);
    r.max_items = 2;
    uint32_t count[6] = {0};
    for (uint32_t user = 0; user < 600; user++) {
        history_before(&l, &r, w.m, user, &h.u, 2);
        history_before(&again, &r, w.m, user, &h.u, 2);
        ck_assert_uint_eq(l.n, 2);
        expect_list(&again, 2, l.node);
        for (size_t i = 0; i < 2; i++) count[l.node[i] - 10]++;
    }
    ck_assert_uint_eq(count[2], 0);
    for (uint32_t i = 0; i < 6; i++) ck_assert(i == 2 || (count[i] > 180 && count[i] < 300));
    r.order = ORDER_FILE;
    history_before(&l, &r, w.m, 0, &h.u, 4);
    EXPECT(&l, 12, 13);
    history_at_end(&l, &r, w.m, 0, &h.u);
    EXPECT(&l, 14, 15);
    node_list_fini(&l);
    node_list_fini(&again);
}
END_TEST

/* --- Errors and features --- */

START_TEST(builds_of_unknown_slots_and_absent_partitions_are_refused)
{
    open_world();
    build *b;
    ck_assert_int_eq(build_new(w.env, (slot_name){STAGE_HGNN, 9, 1, 0}, &b), ERR_NOT_FOUND);
    slot_name name = plan_name(w.p, STAGE_HGNN, 1, 0);
    plan_work work;
    ck_assert(plan_slot(w.p, name, &work));
    ck_assert_int_eq(build_new(w.part_env[(work.partition + 1) % SAMPLERS], name, &b),
                     ERR_MISMATCH);
}
END_TEST

START_TEST(hostile_leaf_messages_are_refused)
{
    open_world();
    slot_name name = plan_name(w.p, STAGE_HGNN, 1, 0);
    plan_work work;
    ck_assert(plan_slot(w.p, name, &work));
    build *b;
    build_result r;
    ck_assert_int_eq(build_new(w.part_env[work.partition % SAMPLERS], name, &b), ERR_OK);
    ck_assert_int_eq(build_step(b, &r), ERR_OK);
    ck_assert(r.state == BUILD_WAIT && r.leaves > 0);
    build_leaf leaf = r.leaf[0];
    build_env *owner = w.part_env[leaf.partition % SAMPLERS];
    blob *reply, *other;
    slot_name wrong = name;
    wrong.slot++;
    testing_capture_start();
    ck_assert_int_eq(leaf_answer(owner, wrong, leaf.body, &other), ERR_INVALID);
    ck_assert_int_eq(
        leaf_answer(w.part_env[(leaf.partition + 1) % SAMPLERS], name, leaf.body, &other),
        ERR_MISMATCH);
    build_env_limit(owner, 8);
    ck_assert_int_eq(leaf_answer(owner, name, leaf.body, &other), ERR_LIMIT);
    build_env_limit(owner, WIRE_BODY_MAX);
    ck_assert_int_eq(leaf_answer(owner, name, leaf.body, &reply), ERR_OK);
    for (size_t cut = 0; cut < blob_size(leaf.body); cut += 3) {
        blob *part = blob_copy(blob_data(leaf.body), cut);
        ck_assert_int_eq(leaf_answer(owner, name, part, &other), ERR_INVALID);
        blob_unref(part);
    }
    for (size_t cut = 0; cut < blob_size(reply); cut += 5) {
        blob *part = blob_copy(blob_data(reply), cut);
        ck_assert_int_eq(build_leaf_reply(b, leaf.part, part), ERR_INVALID);
        blob_unref(part);
    }
    for (uint32_t i = 0; i < 2000; i++) { /* changed bytes: any answer but a crash */
        blob *part =
            blob_copy(blob_data(i % 2 ? reply : leaf.body), blob_size(i % 2 ? reply : leaf.body));
        size_t at = rng_below(9, i, 0, blob_size(part));
        blob_writable(part)[at] ^= (uint8_t)(1u << rng_below(9, i, 1, 8));
        if (i % 2) {
            build *fresh;
            build_result state;
            ck_assert_int_eq(build_new(w.part_env[work.partition % SAMPLERS], name, &fresh),
                             ERR_OK);
            ck_assert_int_eq(build_step(fresh, &state), ERR_OK);
            (void)!build_leaf_reply(fresh, leaf.part, part);
            build_free(fresh);
        } else if (leaf_answer(owner, name, part, &other) == ERR_OK) {
            blob_unref(other);
        }
        blob_unref(part);
    }
    testing_capture_end();
    ck_assert_int_eq(build_leaf_reply(b, leaf.part, reply), ERR_OK);
    blob_unref(reply);
    build_free(b);
}
END_TEST

/* Gives the reply with u16 number `at` replaced. */
static err_code reply_changed(build *b, uint32_t part, const blob *reply, size_t at, uint16_t value)
{
    blob *changed = blob_copy(blob_data(reply), blob_size(reply));
    memcpy(blob_writable(changed) + 2 * at, &value, 2);
    err_code rc = build_leaf_reply(b, part, changed);
    blob_unref(changed);
    return rc;
}

START_TEST(a_reply_with_impossible_neighbours_is_refused)
{
    open_world();
    slot_name name = plan_name(w.p, STAGE_HGNN, 1, 0);
    plan_work work;
    ck_assert(plan_slot(w.p, name, &work));
    build *b;
    build_result r;
    ck_assert_int_eq(build_new(w.part_env[work.partition % SAMPLERS], name, &b), ERR_OK);
    ck_assert_int_eq(build_step(b, &r), ERR_OK);
    build_leaf leaf = r.leaf[0];
    blob *reply;
    build_env *owner = w.part_env[leaf.partition % SAMPLERS];
    ck_assert_int_eq(leaf_answer(owner, name, leaf.body, &reply), ERR_OK);
    /* u32 magic, lists; u64 edges; then counts, sources, weights. */
    uint32_t lists;
    uint64_t edges;
    memcpy(&lists, blob_data(reply) + 4, 4);
    memcpy(&edges, blob_data(reply) + 8, 8);
    ck_assert(lists > 0 && edges > 0);
    size_t source = 8 + 2 * (size_t)lists, weight = source + 2 * (size_t)edges;
    testing_capture_start();
    ck_assert_int_eq(reply_changed(b, leaf.part, reply, source + 1, 0xffff), ERR_INVALID);
    ck_assert_int_eq(reply_changed(b, leaf.part, reply, weight, 0), ERR_INVALID);
    testing_capture_end();
    ck_assert_int_eq(build_leaf_reply(b, leaf.part, reply), ERR_OK);
    ck_assert_int_eq(reply_changed(b, leaf.part, reply, weight, 0), ERR_OK); /* too late: ignored */
    blob_unref(reply);
    build_free(b);
}
END_TEST

START_TEST(features_are_the_stores_rows)
{
    open_world();
    uint32_t nodes[3], n = 0;
    for (uint32_t i = 0; i < w.m->items && n < 3; i += 7) {
        if (manifest_partition_of(w.m, i) == 0) nodes[n++] = i;
    }
    ck_assert_uint_eq(n, 3);
    feature_row_request q = {0, 3, nodes};
    blob *body = feature_row_encode_request(&q), *reply;
    ck_assert_int_eq(features_answer(w.env, body, &reply), ERR_OK);
    feature_row_reply rows;
    ck_assert_int_eq(feature_row_decode_reply(w.m, reply, &rows), ERR_OK);
    float *text = xcalloc(w.m->text_dim, sizeof *text), *want = xcalloc(w.m->text_dim, 4);
    for (uint32_t i = 0; i < 3; i++) {
        store_item item;
        ck_assert(store_item_get(w.store, nodes[i], &item));
        ck_assert_uint_eq(rows.key[i], item.key);
        ck_assert_uint_eq(rows.positives[i], item.positives);
        ck_assert_mem_eq(rows.attribute + i * rows.attributes, item.attribute, 4 * rows.attributes);
        feature_row_text(text, &rows, i);
        ck_assert(store_text(w.store, nodes[i], want));
        ck_assert_mem_eq(text, want, 4 * w.m->text_dim);
    }
    blob *elsewhere = NULL;
    ck_assert_int_eq(features_answer(w.part_env[1], body, &elsewhere), ERR_MISMATCH);
    build_env_limit(w.env, 8);
    ck_assert_int_eq(features_answer(w.env, body, &elsewhere), ERR_LIMIT);
    build_env_limit(w.env, WIRE_BODY_MAX);
    testing_capture_start();
    for (size_t cut = 0; cut < blob_size(body); cut++) {
        blob *part = blob_copy(blob_data(body), cut);
        ck_assert_int_eq(features_answer(w.env, part, &elsewhere), ERR_INVALID);
        blob_unref(part);
    }
    for (size_t cut = 0; cut < blob_size(reply); cut++) {
        blob *part = blob_copy(blob_data(reply), cut);
        ck_assert_int_eq(feature_row_decode_reply(w.m, part, &rows), ERR_INVALID);
        blob_unref(part);
    }
    testing_capture_end();
    free(text);
    free(want);
    blob_unref(body);
    blob_unref(reply);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("build");
    TCase *c = tcase_create("build");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, every_stage_gives_the_same_bytes_from_one_sampler_and_from_three);
    tcase_add_test(c, an_epoch_by_edges_holds_each_edge_at_most_once_and_all_of_small_relations);
    tcase_add_test(c, pairs_by_user_norm_follow_their_weights);
    tcase_add_test(c, target_edges_and_reverses_are_out_at_every_hop);
    tcase_add_test(c, the_two_hops_of_a_node_are_drawn_independently);
    tcase_add_test(c, negatives_are_of_the_positives_types_and_distinct);
    tcase_add_test(c, rejected_neighbours_are_masked_down_to_the_number_kept);
    tcase_add_test(c, embedding_takes_all_neighbours_with_means);
    tcase_add_test(c, max_pool_embeds_with_the_fan_out_of_training);
    tcase_add_test(c, a_training_row_sees_only_what_came_strictly_before);
    tcase_add_test(c, positives_are_capped_and_drawn_anew_each_epoch);
    tcase_add_test(c, uniform_negatives_are_split_over_the_types_of_the_targets);
    tcase_add_test(c, scoring_holds_validation_positives_and_train_items);
    tcase_add_test(c, a_bounded_sample_bounds_targets_and_what_is_seen);
    tcase_add_test(c, events_of_the_same_time_are_not_before_each_other);
    tcase_add_test(c, the_window_and_the_cap_keep_the_latest);
    tcase_add_test(c, an_item_of_another_kind_and_held_out_items_are_left_out);
    tcase_add_test(c, unknown_times_are_not_early);
    tcase_add_test(c, without_times_history_is_the_others_drawn_and_by_rows_the_earlier_ones);
    tcase_add_test(c, builds_of_unknown_slots_and_absent_partitions_are_refused);
    tcase_add_test(c, hostile_leaf_messages_are_refused);
    tcase_add_test(c, a_reply_with_impossible_neighbours_is_refused);
    tcase_add_test(c, features_are_the_stores_rows);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
