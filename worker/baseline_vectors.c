#include "worker/baseline_vectors.h"

#include "common/blas.h"
#include "common/f16.h"
#include "common/mem.h"
#include "common/panic.h"
#include "common/reduce.h"
#include "worker/baseline_popularity.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* out [dim] overwritten: an item's vector; a cosine needs it at length 1. */
static void item_vector(float *out, const baseline_vectors *v, uint32_t item)
{
    size_t d = v->dim, at = (size_t)item * d;
    if (v->item) {
        memcpy(out, v->item + at, d * sizeof *out);
    } else {
        f16_decode(out, v->item_f16 + at, d);
    }
    if (v->user) return;
    double length = sqrt(reduce_squares_f64(out, d));
    float scale = (float)(1 / (length > 1e-12 ? length : 1e-12));
    for (size_t k = 0; k < d; k++) out[k] *= scale;
}

/* The mean up to a factor that the user's ranking does not see. x [dim], row [dim] scratch. */
static void history_vector(float *x, float *row, const baseline_vectors *v,
                           const evaluation_lists *history, uint32_t user)
{
    memset(x, 0, v->dim * sizeof *x);
    uint64_t begin = history->indptr[user], end = history->indptr[user + 1];
    for (uint64_t p = begin; p < end; p++) {
        item_vector(row, v, history->item[p]);
        for (size_t k = 0; k < v->dim; k++) x[k] += row[k];
    }
    for (size_t k = 0; k < v->dim && end > begin; k++) x[k] /= (float)(end - begin);
}

static void multiply_tiles(float *scores, const float *x, float *tile, const baseline_vectors *v,
                           const candidates *c, uint32_t type, size_t n)
{
    size_t count = candidates_count(c, type);
    for (size_t begin = 0; begin < count; begin += SCORING_TILE) {
        size_t m = begin + SCORING_TILE < count ? SCORING_TILE : count - begin;
        for (size_t i = 0; i < m; i++) {
            item_vector(tile + i * v->dim, v, c->item[c->begin[type] + begin + i]);
        }
        blas_nt(scores + begin, x, tile, n, m, v->dim, 1, 0, count, v->dim, v->dim);
    }
}

static err_code vectors_score(const void *state, const candidates *c, uint32_t type,
                              const uint32_t *users, size_t n, float *scores)
{
    const baseline_vectors *v = state;
    const evaluation_lists *history = &c->in->history;
    float *x = try_aligned(n * v->dim, sizeof *x);
    float *tile = try_aligned((size_t)SCORING_TILE * v->dim, sizeof *tile);
    err_code rc = x && tile ? ERR_OK : ERR_NO_MEMORY;
    for (size_t i = 0; rc == ERR_OK && i < n; i++) {
        if (v->user) {
            memcpy(x + i * v->dim, v->user + (size_t)users[i] * v->dim, v->dim * sizeof *x);
        } else {
            history_vector(x + i * v->dim, tile, v, history, users[i]);
        }
    }
    if (rc == ERR_OK) multiply_tiles(scores, x, tile, v, c, type, n);
    for (size_t i = 0; rc == ERR_OK && i < n && !v->user; i++) {
        if (history->indptr[users[i]] < history->indptr[users[i] + 1]) continue;
        baseline_popularity_fill(scores + i * candidates_count(c, type), c, type);
    }
    free(x);
    free(tile);
    return rc;
}

scorer baseline_vectors_scorer(const baseline_vectors *v, evaluation_model model)
{
    ASSERT(v->dim > 0 && (v->item || v->item_f16));
    return (scorer){vectors_score, v, model};
}
