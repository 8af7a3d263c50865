/* bench_hgnn [rounds] - the HGNN on a chunk of the default shape: prints `name shape median_us`.
 * 256 pairs, 3 types, 9 relations, fan-out 8 and 5 per relation, 640 text + 64 random channels,
 * [128, 128]. */
#include "common/blas.h"
#include "common/clock.h"
#include "common/f16.h"
#include "common/mem.h"
#include "common/rng.h"
#include "worker/hgnn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TYPES = 3, RELATIONS = 9, INPUT = 704, D = 128, ROUNDS_MAX = 100, PHASES = 3 };

typedef struct bench {
    subgraph graph;
    subgraph_relation relation[RELATIONS];
    subgraph_adjacency adjacency[3][RELATIONS];
    hgnn_shape shape;
    size_t offset[2 * 2 * (TYPES + RELATIONS)];
    hgnn_input input;
    float *params, *grads;
    size_t values;
} bench;

static void add_parameters(bench *b)
{
    size_t *self_w = b->offset, *self_b = self_w + 2 * TYPES, *rel_w = self_b + 2 * TYPES;
    size_t *rel_b = rel_w + 2 * RELATIONS;
    for (size_t k = 0; k < 2; k++) {
        const size_t n = (k ? D : INPUT) * D;
        for (size_t t = 0; t < TYPES; t++) {
            self_w[k * TYPES + t] = b->values;
            self_b[k * TYPES + t] = b->values + n;
            b->values += n + D;
        }
        for (size_t r = 0; r < RELATIONS; r++) {
            rel_w[k * RELATIONS + r] = b->values;
            rel_b[k * RELATIONS + r] = b->values + n;
            b->values += n + D;
        }
    }
    b->shape.self_w = self_w, b->shape.self_b = self_b;
    b->shape.relation_w = rel_w, b->shape.relation_b = rel_b;
    b->params = try_aligned(b->values, sizeof(float));
    b->grads = try_aligned(b->values, sizeof(float));
    for (size_t i = 0; i < b->values; i++) b->params[i] = (rng_unit(1, i, 0) - 0.5f) * 0.1f;
}

static void add_edges(bench *b, uint32_t k, uint32_t r, uint32_t fanout)
{
    const uint32_t n = b->graph.rows[k][b->relation[r].destination];
    uint64_t *indptr = xcalloc(n + 1, sizeof *indptr);
    uint32_t *index = xcalloc((size_t)n * fanout, sizeof *index);
    uint16_t *weight = xcalloc((size_t)n * fanout, sizeof *weight);
    for (uint64_t e = 0; e < (uint64_t)n * fanout; e++) {
        index[e] =
            (uint32_t)rng_below(k * 10 + r, e, 0, b->graph.rows[k - 1][b->relation[r].source]);
        weight[e] = (uint16_t)(1 + rng_below(k * 10 + r, e, 1, 65535));
    }
    for (uint32_t v = 0; v < n; v++) indptr[v + 1] = indptr[v] + (v % 10 ? fanout : 0);
    b->adjacency[k][r] = (subgraph_adjacency){indptr, index, weight};
}

static void add_graph(bench *b, uint32_t scale)
{
    subgraph *g = &b->graph;
    *g = (subgraph){.layers = 2,
                    .types = TYPES,
                    .relations = RELATIONS,
                    .relation = b->relation,
                    .pairs = 256 / scale};
    subgraph_pair *pair = xcalloc(g->pairs, sizeof *pair);
    for (uint32_t t = 0; t < TYPES; t++) {
        g->rows[2][t] = 426 / scale, g->rows[1][t] = 2300 / scale, g->rows[0][t] = 2700 / scale;
        uint32_t *negative = xcalloc(256, sizeof *negative);
        for (uint32_t i = 0; i < 256 / scale; i++) negative[i] = i;
        g->negatives[t] = 256 / scale;
        g->negative[t] = negative;
        uint16_t *x = xcalloc((size_t)g->rows[0][t] * INPUT, sizeof *x);
        for (uint64_t i = 0; i < (uint64_t)g->rows[0][t] * INPUT; i++) {
            x[i] = f16_from_f32(rng_unit(2, i, t) * 0.1f - 0.05f);
        }
        b->input.f16[t] = x;
    }
    for (uint32_t i = 0; i < g->pairs; i++) pair[i] = (subgraph_pair){i % 3, 300 / scale, i % 2, i};
    g->pair = pair;
    for (uint32_t r = 0; r < RELATIONS; r++) {
        b->relation[r] = (subgraph_relation){r / 3, r % 3};
        add_edges(b, 2, r, 8);
        add_edges(b, 1, r, 5);
    }
    g->layer[1] = b->adjacency[1];
    g->layer[2] = b->adjacency[2];
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void run(bench *b, const char *name, size_t rounds)
{
    static const char *const phase[PHASES] = {"forward", "loss", "backward"};
    double us[PHASES][ROUNDS_MAX], loss;
    hgnn *m = hgnn_new_shape(&b->shape);
    for (size_t i = 0; i < rounds; i++) {
        uint64_t at[PHASES + 1];
        memset(b->grads, 0, b->values * sizeof *b->grads);
        at[0] = clock_now_us();
        if (hgnn_forward(m, b->params, &b->graph, &b->input) != ERR_OK) abort();
        at[1] = clock_now_us();
        if (hgnn_loss(m, &b->graph, &loss) != ERR_OK) abort();
        at[2] = clock_now_us();
        if (hgnn_backward(m, b->params, &b->graph, &b->input, b->grads, NULL) != ERR_OK) abort();
        at[3] = clock_now_us();
        for (size_t p = 0; p < PHASES; p++) us[p][i] = (double)(at[p + 1] - at[p]);
    }
    for (size_t p = 0; p < PHASES; p++) {
        qsort(us[p], rounds, sizeof us[p][0], by_value);
        printf("hgnn_%s_%s %ux%u %.0f\n", name, phase[p], 3 * b->graph.rows[0][0], (unsigned)INPUT,
               us[p][rounds / 2]);
    }
    hgnn_free(m);
}

int main(int argc, char **argv)
{
    size_t rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : 15;
    if (rounds < 1 || rounds > ROUNDS_MAX) return 2;
    blas_start();
    bench *b = xcalloc(1, sizeof *b);
    add_graph(b, rounds == 1 ? 16 : 1);
    b->input.f16_dim = INPUT;
    b->shape = (hgnn_shape){.layers = 2,
                            .types = TYPES,
                            .relations = RELATIONS,
                            .relation = b->relation,
                            .dims = {INPUT, D, D},
                            .loss = LOSS_SOFTMAX,
                            .temperature = 0.1f};
    add_parameters(b);
    b->shape.aggregator = AGG_WEIGHTED_MEAN;
    run(b, "weighted_mean", rounds);
    b->shape.aggregator = AGG_MAX_POOL;
    run(b, "max_pool", rounds);
    return 0; /* the process ends: nothing is freed */
}
