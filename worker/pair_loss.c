#include "worker/pair_loss.h"

#include "common/blas.h"
#include "common/reduce.h"
#include "worker/kernels.h"

/* The pairs whose positive has type t. */
typedef struct group {
    uint32_t type;
    size_t n, candidates, d;
    uint32_t *pair;      /* [n] */
    uint32_t *candidate; /* [candidates] rows of type t */
    float *a, *p, *c;    /* z of anchors [n, d], positives [n, d], candidates [candidates, d] */
    float *da, *dp, *dc;
    float *score; /* [n, candidates] */
} group;

static err_code group_take(group *g, const hgnn_shape *s, const subgraph *graph, arena *memory)
{
    g->n = 0;
    g->d = s->dims[s->layers];
    g->pair = arena_take(memory, graph->pairs, sizeof *g->pair);
    if (!g->pair) return ERR_NO_MEMORY;
    for (uint32_t i = 0; i < graph->pairs; i++) {
        if (graph->pair[i].positive_type == g->type) g->pair[g->n++] = i;
    }
    const size_t negatives = graph->negatives[g->type];
    g->candidates = negatives + (s->in_batch ? g->n : 0);
    g->candidate = arena_take(memory, g->candidates, sizeof *g->candidate);
    float **rows[] = {&g->a, &g->p, &g->da, &g->dp};
    for (size_t i = 0; i < 4; i++) *rows[i] = arena_take(memory, g->n * g->d, sizeof(float));
    g->c = arena_take(memory, g->candidates * g->d, sizeof(float));
    g->dc = arena_take(memory, g->candidates * g->d, sizeof(float));
    g->score = arena_take(memory, g->n * g->candidates, sizeof(float));
    bool ok = g->candidate && g->a && g->p && g->da && g->dp && g->c && g->dc && g->score;
    return ok ? ERR_OK : ERR_NO_MEMORY;
}

static void group_gather(group *g, const subgraph *graph, const float *const *z)
{
    const size_t negatives = graph->negatives[g->type];
    for (size_t i = 0; i < g->n; i++) {
        const subgraph_pair *p = &graph->pair[g->pair[i]];
        gather_rows(g->a + i * g->d, z[p->anchor_type], &p->anchor, 1, g->d);
        gather_rows(g->p + i * g->d, z[g->type], &p->positive, 1, g->d);
        if (g->candidates > negatives) g->candidate[negatives + i] = p->positive;
    }
    for (size_t j = 0; j < negatives; j++) g->candidate[j] = graph->negative[g->type][j];
    gather_rows(g->c, z[g->type], g->candidate, g->candidates, g->d);
}

static void mask_row(const group *g, const hgnn_shape *s, const subgraph *graph, uint32_t pair,
                     float *score)
{
    const subgraph_pair *p = &graph->pair[pair];
    for (size_t j = 0; !s->mask_off && j < g->candidates; j++) {
        bool own = g->candidate[j] == p->positive ||
                   (p->anchor_type == g->type && g->candidate[j] == p->anchor);
        if (own) score[j] = -__builtin_inff();
    }
    if (!graph->mask) return;
    const uint64_t *bits = graph->mask + (size_t)pair * graph->mask_words;
    for (size_t j = 0; j < graph->negatives[g->type]; j++) {
        if (bits[j / 64] >> (j % 64) & 1) score[j] = -__builtin_inff();
    }
}

/* Scores become their gradients; da and dp hold the positive's part. */
static double group_rows(const group *g, const hgnn_shape *s, const subgraph *graph)
{
    double sum = 0.0;
    for (size_t i = 0; i < g->n; i++) {
        const float *a = g->a + i * g->d, *p = g->p + i * g->d;
        float *score = g->score + i * g->candidates, positive = reduce_dot(a, p, g->d), dpositive;
        mask_row(g, s, graph, g->pair[i], score);
        sum += s->loss == LOSS_SOFTMAX
                   ? softmax_loss(score, &dpositive, positive, g->candidates, s->temperature)
                   : hinge_loss(score, &dpositive, positive, g->candidates, s->margin);
        for (size_t j = 0; j < g->d; j++) {
            g->da[i * g->d + j] = dpositive * p[j];
            g->dp[i * g->d + j] = dpositive * a[j];
        }
    }
    return sum;
}

static void group_scatter(const group *g, const subgraph *graph, float *const *dz)
{
    for (size_t i = 0; i < g->n; i++) {
        const subgraph_pair *p = &graph->pair[g->pair[i]];
        scatter_add_rows(dz[p->anchor_type], g->da + i * g->d, &p->anchor, 1, g->d);
        scatter_add_rows(dz[g->type], g->dp + i * g->d, &p->positive, 1, g->d);
    }
    scatter_add_rows(dz[g->type], g->dc, g->candidate, g->candidates, g->d);
}

static double group_loss(group *g, const hgnn_shape *s, const subgraph *graph,
                         const float *const *z, float *const *dz)
{
    const size_t n = g->n, c = g->candidates, d = g->d;
    group_gather(g, graph, z);
    blas_nt(g->score, g->a, g->c, n, c, d, 1.0f, 0.0f, c, d, d);
    const double sum = group_rows(g, s, graph);
    blas_nn(g->da, g->score, g->c, n, d, c, 1.0f, 1.0f, d, c, d);
    blas_tn(g->dc, g->score, g->a, c, d, n, 1.0f, 0.0f, d, c, d);
    group_scatter(g, graph, dz);
    return sum;
}

err_code pair_loss(const hgnn_shape *s, const subgraph *g, const float *const *z, float *const *dz,
                   arena *memory, double *sum)
{
    *sum = 0.0;
    for (uint32_t t = 0; t < s->types; t++) {
        arena_mark mark = arena_get_mark(memory);
        group pairs = {.type = t};
        err_code rc = group_take(&pairs, s, g, memory);
        if (rc == ERR_OK && pairs.n) *sum += group_loss(&pairs, s, g, z, dz);
        arena_rewind(memory, mark);
        if (rc != ERR_OK) return rc;
    }
    return ERR_OK;
}
