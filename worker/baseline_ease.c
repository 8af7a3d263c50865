#include "worker/baseline_ease.h"

#include "common/log.h"
#include "common/mem.h"
#include "worker/baseline_popularity.h"
#include "worker/spd_inverse.h"

#include <stdlib.h>
#include <string.h>

enum { EASE_LAMBDAS = 3, EASE_LAMBDA_DEFAULT = 100, EASE_USERS_MIN = 2 };
/* The one that is most often the best comes last: what is solved last needs no second solve. */
static const uint32_t ease_lambdas[EASE_LAMBDAS] = {20, 400, EASE_LAMBDA_DEFAULT};
static const uint32_t ease_none = UINT32_MAX;

struct baseline_ease {
    const baseline_matrix *matrix;
    uint32_t n;
    uint32_t *begin; /* [types + 1]: numbers of a type's items; ordered by (type, row) */
    uint32_t *item;  /* [n] rows */
    uint32_t *index; /* [items] row -> number, or ease_none */
    float *p;        /* [n, n] of the last solve */
    float *diagonal; /* [n] of p */
    uint32_t types;
};

static int frequency_compare(const void *pa, const void *pb, void *context)
{
    const void *const *both = context;
    const candidates *c = both[0];
    const baseline_matrix *m = both[1];
    uint32_t a = *(const uint32_t *)pa, b = *(const uint32_t *)pb;
    uint32_t na = baseline_matrix_users(m, a), nb = baseline_matrix_users(m, b);
    if (na != nb) return na > nb ? -1 : 1;
    return c->tie[a] < c->tie[b] ? -1 : c->tie[a] > c->tie[b];
}

/* Marks the items of the model in e->index. */
static void mark_items(baseline_ease *e, const candidates *c, uint32_t *order, uint32_t items_max)
{
    const void *both[2] = {c, e->matrix};
    uint32_t n = 0;
    for (uint32_t i = 0; i < c->in->items; i++) {
        e->index[i] = ease_none;
        if (baseline_matrix_users(e->matrix, i) >= EASE_USERS_MIN) order[n++] = i;
    }
    qsort_r(order, n, sizeof *order, frequency_compare, both);
    e->n = n < items_max ? n : items_max;
    for (uint32_t k = 0; k < e->n; k++) e->index[order[k]] = 0;
}

/* Numbers them by (type, row). */
static void number_items(baseline_ease *e, const candidates *c)
{
    uint32_t n = 0;
    for (uint32_t t = 0; t < c->in->types; t++) {
        e->begin[t] = n;
        for (uint32_t k = c->begin[t]; k < c->begin[t + 1]; k++) {
            if (e->index[c->item[k]] == ease_none) continue;
            e->index[c->item[k]] = n;
            e->item[n++] = c->item[k];
        }
    }
    e->begin[c->in->types] = n;
}

err_code baseline_ease_new(const candidates *c, const baseline_matrix *m, uint32_t items_max,
                           baseline_ease **out)
{
    baseline_ease *e = xcalloc(1, sizeof *e);
    e->matrix = m;
    e->types = c->in->types;
    e->begin = xcalloc((size_t)e->types + 1, sizeof *e->begin);
    e->index = try_malloc((size_t)c->in->items + 1, sizeof *e->index);
    e->item = try_malloc((size_t)c->in->items + 1, sizeof *e->item);
    if (e->index && e->item) {
        mark_items(e, c, e->item, items_max);
        number_items(e, c);
        size_t cells;
        if (size_mul(e->n, e->n, &cells)) e->p = try_aligned(cells + 1, sizeof *e->p);
        e->diagonal = try_malloc((size_t)e->n + 1, sizeof *e->diagonal);
    }
    if (!e->p || !e->diagonal) {
        baseline_ease_free(e);
        return ERR_NO_MEMORY;
    }
    *out = e;
    return ERR_OK;
}

void baseline_ease_free(baseline_ease *e)
{
    if (!e) return;
    free(e->begin);
    free(e->item);
    free(e->index);
    free(e->p);
    free(e->diagonal);
    free(e);
}

uint32_t baseline_ease_items(const baseline_ease *e)
{
    return e->n;
}

/* Upper triangle of X^T X + lambda I: counts, exact in float. */
static void fill_gram(baseline_ease *e, double lambda)
{
    size_t n = e->n;
    memset(e->p, 0, n * n * sizeof *e->p);
    const baseline_matrix *m = e->matrix;
    for (size_t a = 0; a < n; a++) {
        float *row = e->p + a * n;
        uint32_t item = e->item[a];
        for (uint64_t p = m->indptr[item]; p < m->indptr[item + 1]; p++) {
            uint32_t u = m->user[p];
            for (uint64_t q = m->rows->indptr[u]; q < m->rows->indptr[u + 1]; q++) {
                uint32_t b = e->index[m->rows->item[q]];
                if (b != ease_none && b >= a) row[b] += 1;
            }
        }
        row[a] += (float)lambda;
    }
}

err_code baseline_ease_solve(baseline_ease *e, const evaluation_input *in, double lambda)
{
    fill_gram(e, lambda);
    err_code rc = spd_inverse(e->p, e->n, in->threads, in->progress);
    if (rc == ERR_INVALID) {
        log_user_error("evaluation: EASE with lambda %g cannot be solved in float", lambda);
    }
    if (rc != ERR_OK) return rc;
    for (size_t i = 0; i < e->n; i++) e->diagonal[i] = e->p[i * e->n + i];
    return ERR_OK;
}

static uint32_t items_of(const baseline_ease *e, uint32_t type)
{
    return e->begin[type + 1] - e->begin[type];
}

/* sum [items of type] overwritten: over the user's items j of p[j, i], j != i.  False: she has
 * none. */
static bool sum_user(float *sum, const baseline_ease *e, uint32_t type, uint32_t user)
{
    const evaluation_lists *rows = e->matrix->rows;
    uint32_t n = items_of(e, type), first = e->begin[type];
    bool used = false;
    memset(sum, 0, n * sizeof *sum);
    for (uint64_t q = rows->indptr[user]; q < rows->indptr[user + 1]; q++) {
        uint32_t j = e->index[rows->item[q]];
        if (j == ease_none) continue;
        used = true;
        const float *row = e->p + (size_t)j * e->n + first;
        uint32_t self = j >= first && j - first < n ? j - first : n;
        for (uint32_t i = 0; i < self; i++) sum[i] += row[i];
        for (uint32_t i = self + 1; i < n; i++) sum[i] += row[i];
    }
    return used;
}

static err_code ease_score(const void *state, const candidates *c, uint32_t type,
                           const uint32_t *users, size_t n, float *scores)
{
    const baseline_ease *e = state;
    size_t count = candidates_count(c, type);
    const float *diagonal = e->diagonal + e->begin[type];
    const uint32_t *item = e->item + e->begin[type];
    float *sum = try_malloc((size_t)e->n + 1, sizeof *sum);
    if (!sum) return ERR_NO_MEMORY;
    for (size_t u = 0; u < n; u++) {
        float *row = scores + u * count;
        if (!sum_user(sum, e, type, users[u])) {
            baseline_popularity_fill(row, c, type);
            continue;
        }
        memset(row, 0, count * sizeof *row);
        for (uint32_t i = 0; i < items_of(e, type); i++) {
            row[c->place[item[i]]] = -sum[i] / diagonal[i];
        }
    }
    free(sum);
    return ERR_OK;
}

scorer baseline_ease_scorer(const baseline_ease *e)
{
    return (scorer){ease_score, e, MODEL_EASE};
}

/* Solves, and notes where it is the best so far; of equal ones the smaller lambda is taken. */
static err_code try_lambda(baseline_ease *e, const candidates *c, const scoring_sink *sink,
                           uint32_t lambda, evaluation_choice *best)
{
    err_code rc = baseline_ease_solve(e, c->in, lambda);
    scorer s = baseline_ease_scorer(e);
    for (uint32_t t = 0; rc == ERR_OK && t < e->types; t++) {
        if (sink->wanted[t].users == 0 || best[t].valid_users == 0) continue;
        double hr = 0;
        rc = scoring_valid_hr(&hr, c, t, &sink->valid[t], &s);
        bool as_good = hr >= best[t].valid_hr && lambda < best[t].lambda;
        if (rc != ERR_OK || (hr <= best[t].valid_hr && !as_good)) continue;
        best[t].valid_hr = hr;
        best[t].lambda = lambda;
    }
    return rc;
}

static bool is_lambda_needed(const scoring_sink *sink, uint32_t types, uint32_t lambda)
{
    bool tuned = false;
    for (uint32_t t = 0; t < types; t++) {
        tuned = tuned || (sink->wanted[t].users > 0 && sink->valid[t].users > 0);
    }
    return tuned || lambda == EASE_LAMBDA_DEFAULT;
}

/* Hands over the types that chose `lambda`, solving for it unless it was solved last: a copy of
 * what an earlier solve gave would take as much memory as the model. */
static err_code test_lambda(baseline_ease *e, const candidates *c, const scoring_sink *sink,
                            uint32_t lambda, uint32_t *solved, const evaluation_choice *best)
{
    err_code rc = ERR_OK;
    for (uint32_t t = 0; rc == ERR_OK && t < e->types; t++) {
        if (sink->wanted[t].users == 0 || best[t].lambda != lambda) continue;
        if (*solved != lambda) rc = baseline_ease_solve(e, c->in, lambda);
        *solved = lambda;
        scorer s = baseline_ease_scorer(e);
        if (rc == ERR_OK) rc = sink->test(sink->context, t, &s, &best[t]);
    }
    return rc;
}

static err_code run(baseline_ease *e, const candidates *c, const scoring_sink *sink,
                    evaluation_choice *best)
{
    err_code rc = ERR_OK;
    uint32_t solved = 0;
    for (int l = 0; rc == ERR_OK && l < EASE_LAMBDAS; l++) {
        if (!is_lambda_needed(sink, e->types, ease_lambdas[l])) continue;
        rc = try_lambda(e, c, sink, ease_lambdas[l], best);
        solved = ease_lambdas[l];
    }
    for (int l = EASE_LAMBDAS - 1; rc == ERR_OK && l >= 0; l--) {
        rc = test_lambda(e, c, sink, ease_lambdas[l], &solved, best);
    }
    return rc;
}

err_code baseline_ease_run(const candidates *c, const baseline_matrix *m, const scoring_sink *sink,
                           uint32_t items_max, bool *ran)
{
    baseline_ease *e = NULL;
    err_code rc = baseline_ease_new(c, m, items_max, &e);
    if (rc != ERR_OK) return rc;
    evaluation_choice *best = xcalloc(c->in->types + 1, sizeof *best);
    for (uint32_t t = 0; t < c->in->types; t++) {
        best[t] = (evaluation_choice){.type = t, .model = MODEL_EASE, .items = items_of(e, t)};
        best[t].lambda = EASE_LAMBDA_DEFAULT;
        best[t].valid_users = sink->valid[t].users;
        best[t].valid_hr = best[t].valid_users > 0 ? -1 : 0;
    }
    *ran = e->n >= 2;
    if (*ran) rc = run(e, c, sink, best);
    free(best);
    baseline_ease_free(e);
    return rc;
}
