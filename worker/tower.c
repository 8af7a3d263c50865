#include "worker/tower.h"

#include "common/arena.h"
#include "common/blas.h"
#include "common/mem.h"
#include "common/panic.h"
#include "common/reduce.h"
#include "common/rng.h"
#include "common/vmath.h"
#include "worker/kernels.h"

#include <stdlib.h>

struct tower {
    tower_shape shape;
    arena *memory;
    size_t n;
    const float *x, *s;
    float *h[CONFIG_LAYERS_MAX +
             1]; /* [k]: output of layer k, after relu; the last before normalising */
    float *out, *norm;
    float kept; /* what the hidden values that dropout kept were multiplied with */
};

tower *tower_new(const tower_shape *shape)
{
    ASSERT(shape->layers >= 1 && shape->layers <= CONFIG_LAYERS_MAX);
    tower *t = xcalloc(1, sizeof *t);
    t->shape = *shape;
    t->memory = arena_new();
    return t;
}

void tower_free(tower *t)
{
    if (!t) return;
    arena_free(t->memory);
    free(t);
}

const float *tower_output(const tower *t)
{
    return t->out;
}

/* Values in 256ths: the chance that is meant, and what is left is scaled by. */
static uint32_t dropped_of_256(const tower_dropout *drop)
{
    const uint32_t of_256 = drop ? (uint32_t)(drop->chance * 256.0f) : 0;
    return of_256 < 256 ? of_256 : 255; /* A chance just below 1 may be rounded to it. */
}

/* h [n, d], the output of layer k. */
static void drop_hidden(float *h, size_t n, size_t d, uint32_t k, const tower_dropout *drop,
                        float kept)
{
    enum { PER_BLOCK = 16 }; /* a byte of a Philox block for each value */
    const uint32_t limit = dropped_of_256(drop);
    uint32_t block[4] = {0};
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < d; j++, h++) {
            const uint32_t at = j % PER_BLOCK;
            if (at == 0)
                rng_block(drop->key, drop->first_row + i, (uint32_t)(j / PER_BLOCK), k, block);
            const uint32_t draw = block[at / 4] >> at % 4 * 8 & 255;
            *h = draw < limit ? 0.0f : *h * kept;
        }
    }
}

err_code tower_forward(tower *t, const float *params, const float *x, const float *s, size_t n,
                       const tower_dropout *drop)
{
    const tower_shape *p = &t->shape;
    const uint32_t last = p->layers;
    const size_t d = p->dims[last];
    arena_reset(t->memory);
    t->n = n;
    t->x = x;
    t->s = s;
    t->kept = 256.0f / (float)(256 - dropped_of_256(drop));
    for (uint32_t k = 1; k <= last; k++) {
        t->h[k] = arena_take(t->memory, n * p->dims[k], sizeof(float));
        if (!t->h[k]) return ERR_NO_MEMORY;
        linear_forward(t->h[k], k == 1 ? x : t->h[k - 1], params + p->w[k], params + p->b[k], n,
                       p->dims[k - 1], p->dims[k]);
        if (k == last) break;
        relu_forward(t->h[k], t->h[k], n * p->dims[k]);
        if (t->kept > 1) drop_hidden(t->h[k], n, p->dims[k], k, drop, t->kept);
    }
    if (p->skip_dim) {
        blas_nt(t->h[last], s, params + p->skip_w, n, d, p->skip_dim, 1.0f, 1.0f, d, p->skip_dim,
                p->skip_dim);
    }
    t->out = arena_take(t->memory, n * d, sizeof(float));
    t->norm = arena_take(t->memory, n, sizeof(float));
    if (!t->out || !t->norm) return ERR_NO_MEMORY;
    normalise_forward(t->out, t->norm, t->h[last], n, d);
    return ERR_OK;
}

/* dx [n, d_in - first] = dy w, from column `first` of w on. */
static void columns_backward(float *dx, size_t first, const float *dy, const float *w, size_t n,
                             size_t d_in, size_t d_out)
{
    ASSERT(first <= d_in);
    const size_t width = d_in - first;
    blas_nn(dx, dy, w + first, n, width, d_out, 1.0f, 0.0f, width, d_out, d_in);
}

err_code tower_backward(tower *t, const float *params, float *grads, float *dx, size_t dx_first,
                        float *ds, size_t ds_first, float *dout)
{
    const tower_shape *p = &t->shape;
    const uint32_t last = p->layers;
    const size_t n = t->n, d = p->dims[last];
    const arena_mark mark = arena_get_mark(t->memory);
    err_code rc = ERR_NO_MEMORY;
    float *dy = dout;
    normalise_backward(dy, dout, t->out, t->norm, n, d);
    if (p->skip_dim) {
        blas_tn(grads + p->skip_w, dy, t->s, d, p->skip_dim, n, 1.0f, 1.0f, p->skip_dim, d,
                p->skip_dim);
        if (ds) columns_backward(ds, ds_first, dy, params + p->skip_w, n, p->skip_dim, d);
    }
    for (uint32_t k = last; k >= 1; k--) {
        const size_t in = p->dims[k - 1], out = p->dims[k];
        float *below = NULL;
        if (k > 1) {
            below = arena_take(t->memory, n * in, sizeof *below);
            if (!below) goto done;
        }
        linear_backward(below, grads + p->w[k], grads + p->b[k], dy, k == 1 ? t->x : t->h[k - 1],
                        params + p->w[k], n, in, out);
        if (k == 1 && dx) columns_backward(dx, dx_first, dy, params + p->w[1], n, in, out);
        if (below) relu_backward(below, below, t->h[k - 1], n * in); /* 0 where dropped, too */
        for (size_t i = 0; below && t->kept > 1 && i < n * in; i++) below[i] *= t->kept;
        dy = below;
    }
    rc = ERR_OK;
done:
    arena_rewind(t->memory, mark);
    return rc;
}

/* Row i's logits in place of its scores; -inf: no candidate. */
static void row_logits(const tower_loss *l, size_t i, float *logit)
{
    const float scale = 1.0f / l->temperature;
    for (size_t j = 0; j < l->items; j++) {
        float correction = l->log_q ? l->logq * l->log_q[j] : 0.0f;
        bool same = j != i && l->item[j] == l->item[i];
        bool other = l->item_type && l->item_type[j] != l->item_type[i];
        logit[j] = same || other ? -__builtin_inff() : logit[j] * scale - correction;
    }
}

/* Logits become weight x dloss/dscore; returns weight x cross-entropy. */
static double row_loss(const tower_loss *l, size_t i, float *logit, float weight)
{
    const float own = logit[i];
    float largest = own;
    for (size_t j = 0; j < l->items; j++) largest = logit[j] > largest ? logit[j] : largest;
    vmath_expf_array(logit, logit, largest, l->items);
    const double total = reduce_sum_f64(logit, l->items);
    const float scale = (float)((double)weight / (total * (double)l->temperature));
    for (size_t j = 0; j < l->items; j++) logit[j] *= scale;
    logit[i] -= weight / l->temperature;
    return (double)weight * (vmath_log(total) - ((double)own - (double)largest));
}

double two_tower_loss(float *du, float *dv, double *weight_sum, const tower_loss *l, float *score)
{
    const size_t n = l->rows, c = l->items, d = l->d;
    ASSERT(c >= n);
    double sum = 0.0;
    *weight_sum = 0.0;
    blas_nt(score, l->u, l->v, n, c, d, 1.0f, 0.0f, c, d, d);
    for (size_t i = 0; i < n; i++) {
        const float weight = l->weight ? l->weight[i] : 1.0f;
        row_logits(l, i, score + i * c);
        sum += row_loss(l, i, score + i * c, weight);
        *weight_sum += (double)weight;
    }
    blas_nn(du, score, l->v, n, d, c, 1.0f, 0.0f, d, c, d);
    blas_tn(dv, score, l->u, c, d, n, 1.0f, 0.0f, d, c, d);
    return sum;
}
