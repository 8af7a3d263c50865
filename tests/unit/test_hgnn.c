/* Proves: the HGNN's forward equals a naive node-by-node one, every gradient equals central
 * differences for every aggregator, loss and way of sharing, and layer-wise inference equals the
 * whole forward. */
#include "common/blas.h"
#include "common/f16.h"
#include "common/mem.h"
#include "common/rng.h"
#include "testing_gradient.h"
#include "worker/hgnn.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TYPES = 3, RELATIONS = 5, LAYERS = 2, HALF = 6, FULL = 3, PAIRS = 12, NEGATIVES = 7 };

static const subgraph_relation relation[RELATIONS] = {{0, 0}, {1, 0}, {0, 1}, {2, 1}, {1, 2}};
static const char *const type_name[TYPES] = {"movie", "book", "song"};

typedef struct world {
    config *config;
    model_facts facts;
    model_spec *spec;
    hgnn *model;
    subgraph graph;
    subgraph_adjacency adjacency[LAYERS + 1][RELATIONS];
    subgraph_pair pair[PAIRS];
    hgnn_input input;
    float *params, *grads;
    float *id[TYPES], *did[TYPES];
    void *owned[200];
    size_t owned_n;
} world;

static void *own(world *w, size_t n, size_t size)
{
    return w->owned[w->owned_n++] = xcalloc(n + 1, size);
}

static void make_adjacency(world *w, uint32_t k, uint32_t r)
{
    const uint32_t n = w->graph.rows[k][relation[r].destination];
    uint64_t *indptr = own(w, n + 1, sizeof *indptr);
    uint32_t *index = own(w, n * 4, sizeof *index);
    uint16_t *weight = own(w, n * 4, sizeof *weight);
    uint64_t key = rng_key(5, k, r, 0, 0, USE_TEST);
    for (uint32_t v = 0; v < n; v++) {
        uint64_t e = indptr[v], size = rng_below(key, v, 0, 4);
        if (k == 2 && r == 3) size = 0;            /* a relation without any edge */
        if (k == 1 && r == 1) size = 1 + size % 3; /* one where every node has some */
        for (uint64_t i = 0; i < size; i++, e++) {
            index[e] = (uint32_t)rng_below(key, v, (uint32_t)(10 + i),
                                           w->graph.rows[k - 1][relation[r].source]);
            weight[e] = (uint16_t)(1 + rng_below(key, v, (uint32_t)(20 + i), 65535));
        }
        indptr[v + 1] = e;
    }
    w->adjacency[k][r] = (subgraph_adjacency){.indptr = indptr, .index = index, .weight = weight};
}

static void make_graph(world *w)
{
    static const uint32_t rows[LAYERS + 1][TYPES] = {{20, 18, 15}, {12, 9, 8}, {9, 8, 5}};
    subgraph *g = &w->graph;
    *g = (subgraph){.layers = LAYERS, .types = TYPES, .relations = RELATIONS, .relation = relation};
    for (size_t k = 0; k <= LAYERS; k++) memcpy(g->rows[k], rows[k], sizeof rows[k]);
    for (uint32_t k = 1; k <= LAYERS; k++) {
        for (uint32_t r = 0; r < RELATIONS; r++) make_adjacency(w, k, r);
        g->layer[k] = w->adjacency[k];
    }
    for (uint32_t i = 0; i < PAIRS; i++) {
        uint32_t a = (uint32_t)rng_below(1, i, 0, TYPES), p = (uint32_t)rng_below(1, i, 1, 2);
        w->pair[i] = (subgraph_pair){a, (uint32_t)rng_below(1, i, 2, rows[LAYERS][a]), p,
                                     (uint32_t)rng_below(1, i, 3, rows[LAYERS][p])};
    }
    g->pairs = PAIRS;
    g->pair = w->pair;
    for (uint32_t t = 0; t < 2; t++) {
        uint32_t *n = own(w, NEGATIVES, sizeof *n);
        for (uint32_t i = 0; i < NEGATIVES; i++)
            n[i] = (uint32_t)rng_below(2, i, t, rows[LAYERS][t]);
        g->negatives[t] = NEGATIVES;
        g->negative[t] = n;
    }
    uint64_t *mask = own(w, PAIRS, sizeof *mask);
    for (uint32_t i = 0; i < PAIRS; i += 3) mask[i] = 1u << (i % NEGATIVES);
    g->mask = mask;
    g->mask_words = 1;
}

static void make_input(world *w)
{
    w->input = (hgnn_input){.f16_dim = HALF, .f32_dim = FULL};
    for (uint32_t t = 0; t < TYPES; t++) {
        const uint32_t n = w->graph.rows[0][t];
        uint16_t *half = own(w, n * HALF, sizeof *half);
        w->id[t] = own(w, n * FULL, sizeof(float));
        w->did[t] = own(w, n * FULL, sizeof(float));
        for (uint64_t i = 0; i < n * HALF; i++) half[i] = f16_from_f32(2 * rng_unit(3, i, t) - 1);
        gradient_fill(w->id[t], n * FULL, 40 + t, 0.5f);
        w->input.f16[t] = half;
        w->input.f32[t] = w->id[t];
    }
}

static world *make_world(const char *aggregator, const char *loss, bool shared, bool in_batch)
{
    world *w = xcalloc(1, sizeof *w);
    char *sets[7] = {xprintf("hgnn.aggregator=%s", aggregator),
                     xprintf("hgnn.loss=%s", loss),
                     xprintf("hgnn.parameters=%s", shared ? "shared" : "per_relation"),
                     xprintf("hgnn.in_batch=%s", in_batch ? "true" : "false"),
                     xstrdup("hgnn.dims=[8, 5]"),
                     xstrdup("hgnn.temperature=0.5"),
                     xprintf("hgnn.id_embedding=%d", FULL)};
    ck_assert_int_eq(config_load(NULL, (const char *const *)sets, 7, &w->config), ERR_OK);
    w->config->hgnn.random_features = 2;
    for (size_t i = 0; i < 7; i++) free(sets[i]);
    w->facts = (model_facts){.types = TYPES,
                             .type = type_name,
                             .relations = RELATIONS,
                             .relation = relation,
                             .text_dim = HALF - 2};
    w->spec = model_spec_new(w->config, &w->facts, STAGE_HGNN);
    w->model = hgnn_new(w->config, &w->facts, w->spec);
    make_graph(w);
    make_input(w);
    w->params = own(w, w->spec->values, sizeof(float));
    w->grads = own(w, w->spec->values, sizeof(float));
    for (size_t i = 0; i < w->spec->tensors; i++) {
        const model_tensor *t = &w->spec->tensor[i];
        model_spec_init(t, 1, 0, t->n, w->params + t->offset);
        if (t->rank == 1) gradient_fill(w->params + t->offset, t->n, 60 + i, 0.3f);
    }
    return w;
}

static void free_world(world *w)
{
    hgnn_free(w->model);
    model_spec_free(w->spec);
    config_free(w->config);
    for (size_t i = 0; i < w->owned_n; i++) free(w->owned[i]);
    free(w);
}

static double loss_of(void *context)
{
    world *w = context;
    double sum;
    ck_assert_int_eq(hgnn_forward(w->model, w->params, &w->graph, &w->input), ERR_OK);
    ck_assert_int_eq(hgnn_loss(w->model, &w->graph, &sum), ERR_OK);
    return sum;
}

static void backward(world *w)
{
    (void)loss_of(w);
    memset(w->grads, 0, w->spec->values * sizeof *w->grads);
    ck_assert_int_eq(hgnn_backward(w->model, w->params, &w->graph, &w->input, w->grads, w->did),
                     ERR_OK);
}

static void check_gradients(const char *aggregator, const char *loss, bool shared, bool in_batch)
{
    world *w = make_world(aggregator, loss, shared, in_batch);
    backward(w);
    for (size_t i = 0; i < w->spec->tensors; i++) {
        const model_tensor *t = &w->spec->tensor[i];
        double error = gradient_error(loss_of, w, w->params + t->offset, w->grads + t->offset, t->n,
                                      1e-3f, 3, 0.1);
        ck_assert_msg(error < 0.02, "%s %s %s: %g", aggregator, loss, t->name, error);
    }
    for (uint32_t t = 0; t < TYPES; t++) {
        double error = gradient_error(loss_of, w, w->id[t], w->did[t], w->graph.rows[0][t] * FULL,
                                      1e-3f, 3, 0.1);
        ck_assert_msg(error < 0.02, "%s %s id %u: %g", aggregator, loss, t, error);
    }
    free_world(w);
}

START_TEST(gradients_of_weighted_mean_and_softmax)
{
    check_gradients("weighted_mean", "softmax", false, false);
    check_gradients("weighted_mean", "softmax", false, true);
}
END_TEST

START_TEST(gradients_of_mean_and_hinge)
{
    check_gradients("mean", "hinge", false, false);
}
END_TEST

START_TEST(gradients_of_max_pool)
{
    check_gradients("max_pool", "hinge", false, true);
    check_gradients("max_pool", "softmax", false, false);
}
END_TEST

START_TEST(gradients_of_shared_parameters)
{
    check_gradients("mean", "softmax", true, false);
    check_gradients("max_pool", "softmax", true, false);
}
END_TEST

/* --- the naive forward: one node at a time, in double
 * ---------------------------------------------- */

/* other NULL: a type's own tensor. */
static const float *tensor_of(const world *w, uint32_t k, const char *type, const char *other,
                              char part)
{
    char *name = other ? xprintf("hgnn.%u.rel.%s.%s.%c", k, type, other, part)
                       : xprintf("hgnn.%u.self.%s.%c", k, type, part);
    const model_tensor *t = model_spec_find(w->spec, name);
    ck_assert_ptr_nonnull(t);
    free(name);
    return w->params + t->offset;
}

static void affine(double *out, const float *weights, const float *bias, const double *h, size_t in,
                   size_t n)
{
    for (size_t j = 0; j < n; j++) {
        out[j] = bias[j];
        for (size_t i = 0; i < in; i++) out[j] += (double)weights[j * in + i] * h[i];
    }
}

static void slow_node(const world *w, uint32_t k, uint32_t t, uint32_t v, double *out);

static void slow_message(const world *w, uint32_t k, uint32_t r, uint32_t v, double *out)
{
    const size_t in = k == 1 ? HALF + FULL : 8, n = k == 1 ? 8 : 5;
    const subgraph_adjacency *a = &w->adjacency[k][r];
    const char *source = type_name[relation[r].source],
               *destination = type_name[relation[r].destination];
    const float *weights = tensor_of(w, k, source, destination, 'w');
    const float *bias = tensor_of(w, k, source, destination, 'b');
    double mean[16] = {0}, total = 0, h[16], y[8];
    const aggregator_kind kind = w->config->hgnn.aggregator;
    for (uint64_t e = a->indptr[v]; e < a->indptr[v + 1]; e++) {
        slow_node(w, k - 1, relation[r].source, a->index[e], h);
        if (kind == AGG_MAX_POOL) {
            affine(y, weights, bias, h, in, n);
            for (size_t j = 0; j < n; j++) out[j] = fmax(e == a->indptr[v] ? 0 : out[j], y[j]);
        } else {
            double x = kind == AGG_MEAN ? 1 : a->weight[e];
            for (size_t i = 0; i < in; i++) mean[i] += x * h[i];
            total += x;
        }
    }
    if (kind == AGG_MAX_POOL || total <= 0) return;
    for (size_t i = 0; i < in; i++) mean[i] /= total;
    affine(out, weights, bias, mean, in, n);
}

static void slow_node(const world *w, uint32_t k, uint32_t t, uint32_t v, double *out)
{
    if (k == 0) {
        for (size_t i = 0; i < HALF; i++) out[i] = f16_to_f32(w->input.f16[t][v * HALF + i]);
        for (size_t i = 0; i < FULL; i++) out[HALF + i] = w->input.f32[t][v * FULL + i];
        return;
    }
    const size_t in = k == 1 ? HALF + FULL : 8, n = k == 1 ? 8 : 5;
    double h[16], message[8];
    slow_node(w, k - 1, t, v, h);
    affine(out, tensor_of(w, k, type_name[t], NULL, 'w'), tensor_of(w, k, type_name[t], NULL, 'b'),
           h, in, n);
    for (uint32_t r = 0; r < RELATIONS; r++) {
        if (relation[r].destination != t) continue;
        memset(message, 0, sizeof message);
        slow_message(w, k, r, v, message);
        for (size_t j = 0; j < n; j++) out[j] += message[j];
    }
    for (size_t j = 0; k < LAYERS && j < n; j++) out[j] = fmax(out[j], 0);
}

START_TEST(forward_equals_the_naive_one)
{
    static const char *const aggregators[] = {"weighted_mean", "mean", "max_pool"};
    for (size_t a = 0; a < 3; a++) {
        world *w = make_world(aggregators[a], "softmax", false, false);
        (void)loss_of(w);
        for (uint32_t t = 0; t < TYPES; t++) {
            for (uint32_t v = 0; v < w->graph.rows[LAYERS][t]; v++) {
                double h[8], norm = 0;
                slow_node(w, LAYERS, t, v, h);
                for (size_t j = 0; j < 5; j++) norm += h[j] * h[j];
                for (size_t j = 0; j < 5; j++) {
                    double z = hgnn_z(w->model, t)[v * 5 + j];
                    ck_assert_double_lt(fabs(z - h[j] / sqrt(norm)), 1e-5);
                }
            }
        }
        free_world(w);
    }
}
END_TEST

/* --- inference, masks, determinism
 * ------------------------------------------------------------------ */

static subgraph one_hop(const world *w, uint32_t k)
{
    subgraph g = w->graph;
    g.layers = 1;
    memcpy(g.rows[0], w->graph.rows[k - 1], sizeof g.rows[0]);
    memcpy(g.rows[1], w->graph.rows[k], sizeof g.rows[1]);
    g.layer[1] = w->graph.layer[k];
    return g;
}

START_TEST(layer_by_layer_gives_the_same_bits_as_the_whole)
{
    static const char *const aggregators[] = {"weighted_mean", "max_pool"};
    for (size_t a = 0; a < 2; a++) {
        world *w = make_world(aggregators[a], "softmax", false, false);
        (void)loss_of(w);
        float h[TYPES][20 * 8], z[TYPES][20 * 5];
        float *out1[TYPES] = {h[0], h[1], h[2]}, *out2[TYPES] = {z[0], z[1], z[2]};
        subgraph first = one_hop(w, 1), second = one_hop(w, 2);
        hgnn_input in = {.f16_dim = 0, .f32_dim = 8, .f32 = {h[0], h[1], h[2]}};
        ck_assert_int_eq(hgnn_layer(w->model, w->params, 1, &first, &w->input, out1), ERR_OK);
        ck_assert_int_eq(hgnn_layer(w->model, w->params, 2, &second, &in, out2), ERR_OK);
        for (uint32_t t = 0; t < TYPES; t++) {
            ck_assert_mem_eq(z[t], hgnn_z(w->model, t), w->graph.rows[2][t] * 5 * sizeof(float));
        }
        backward(w); /* what backward needs was not touched */
        free_world(w);
    }
}
END_TEST

START_TEST(aggregates_from_elsewhere_give_the_same_layer)
{
    world *w = make_world("weighted_mean", "softmax", false, false);
    (void)loss_of(w);
    const uint32_t n = w->graph.rows[1][2]; /* type song: relation 4 only, from book */
    const subgraph_adjacency *a = &w->adjacency[1][4];
    float self[20 * 9], mean[20 * 9], out[20 * 8], expected[TYPES][20 * 8];
    uint32_t row[20];
    size_t rows = 0;
    for (uint32_t v = 0; v < n; v++) {
        double total = 0;
        for (size_t i = 0; i < 9; i++) {
            self[v * 9 + i] = i < HALF ? f16_to_f32(w->input.f16[2][v * HALF + i])
                                       : w->input.f32[2][v * FULL + i - HALF];
            mean[rows * 9 + i] = 0;
        }
        if (a->indptr[v] == a->indptr[v + 1]) continue;
        for (uint64_t e = a->indptr[v]; e < a->indptr[v + 1]; e++) total += a->weight[e];
        for (uint64_t e = a->indptr[v]; e < a->indptr[v + 1]; e++) {
            double h[16];
            slow_node(w, 0, 1, a->index[e], h);
            for (size_t i = 0; i < 9; i++)
                mean[rows * 9 + i] += (float)(h[i] * a->weight[e] / total);
        }
        row[rows++] = v;
    }
    hgnn_aggregate aggregate = {.relation = 4, .n = rows, .row = row, .mean = mean};
    ck_assert_int_eq(hgnn_layer_forward(w->model, w->params, 1, 2, out, self, n, &aggregate, 1),
                     ERR_OK);
    float *all[TYPES] = {expected[0], expected[1], expected[2]};
    subgraph g = one_hop(w, 1);
    ck_assert_int_eq(hgnn_layer(w->model, w->params, 1, &g, &w->input, all), ERR_OK);
    for (size_t i = 0; i < n * 8; i++) ck_assert_float_eq_tol(out[i], expected[2][i], 1e-5f);
    free_world(w);
}
END_TEST

START_TEST(the_same_work_gives_the_same_bits)
{
    world *a = make_world("weighted_mean", "softmax", false, true);
    world *b = make_world("weighted_mean", "softmax", false, true);
    backward(a);
    backward(b);
    backward(b); /* whatever the arena held before */
    ck_assert_mem_eq(a->grads, b->grads, a->spec->values * sizeof(float));
    free_world(a);
    free_world(b);
}
END_TEST

START_TEST(masked_negatives_do_not_count)
{
    world *w = make_world("mean", "softmax", false, false);
    double with = loss_of(w);
    uint64_t all[PAIRS];
    for (size_t i = 0; i < PAIRS; i++) all[i] = UINT64_MAX;
    w->graph.mask = all; /* everything masked: the positive is alone */
    ck_assert(loss_of(w) == 0);
    w->graph.mask = NULL;
    ck_assert_double_gt(loss_of(w), with);
    /* The only negatives are the pair's own ends: masked without any bit. */
    subgraph_pair own_pair = {0, 1, 0, 2};
    const uint32_t own_rows[2] = {1, 2};
    w->graph.pairs = 1;
    w->graph.pair = &own_pair;
    w->graph.negatives[0] = 2;
    w->graph.negative[0] = own_rows;
    ck_assert(loss_of(w) == 0);
    own_pair.anchor_type = 1; /* row 1 of another type is no anchor of this one */
    ck_assert_double_gt(loss_of(w), 0);
    free_world(w);
}
END_TEST

START_TEST(a_graph_without_pairs_has_no_loss_and_no_gradient)
{
    world *w = make_world("weighted_mean", "softmax", false, false);
    w->graph.pairs = 0;
    ck_assert(loss_of(w) == 0);
    backward(w);
    for (size_t i = 0; i < w->spec->values; i++) ck_assert(w->grads[i] == 0);
    free_world(w);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("hgnn");
    TCase *c = tcase_create("hgnn");
    blas_start();
    tcase_add_test(c, gradients_of_weighted_mean_and_softmax);
    tcase_add_test(c, gradients_of_mean_and_hinge);
    tcase_add_test(c, gradients_of_max_pool);
    tcase_add_test(c, gradients_of_shared_parameters);
    tcase_add_test(c, forward_equals_the_naive_one);
    tcase_add_test(c, layer_by_layer_gives_the_same_bits_as_the_whole);
    tcase_add_test(c, aggregates_from_elsewhere_give_the_same_layer);
    tcase_add_test(c, the_same_work_gives_the_same_bits);
    tcase_add_test(c, masked_negatives_do_not_count);
    tcase_add_test(c, a_graph_without_pairs_has_no_loss_and_no_gradient);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
