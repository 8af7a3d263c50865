#include "worker/layer.h"

#include "common/blas.h"
#include "common/f16.h"
#include "common/panic.h"
#include "worker/kernels.h"

#include <string.h>

bool layer_has_relu(const hgnn_shape *s, uint32_t k)
{
    return k < s->layers || s->output_relu;
}

static size_t width_in(const layer_context *c)
{
    return c->shape->dims[c->k - 1];
}

static size_t width_out(const layer_context *c)
{
    return c->shape->dims[c->k];
}

static size_t self_at(const layer_context *c, uint32_t t)
{
    return (size_t)(c->k - 1) * c->shape->types + t;
}

static size_t relation_at(const layer_context *c, uint32_t r)
{
    return (size_t)(c->k - 1) * c->shape->relations + r;
}

static const subgraph_adjacency *adjacency(const layer_context *c, uint32_t r)
{
    return &c->graph->layer[c->hop][r];
}

/* out [n, d_in] = rows `index` (NULL: 0..n-1) of type t's input, both parts side by side. */
static void gather_input(float *out, const hgnn_input *in, uint32_t t, const uint32_t *index,
                         size_t n)
{
    const size_t half = in->f16_dim, full = in->f32_dim, d = half + full;
    for (size_t i = 0; i < n; i++) {
        const size_t v = index ? index[i] : i;
        if (half) f16_decode(out + i * d, in->f16[t] + v * half, half);
        if (full) memcpy(out + i * d + half, in->f32[t] + v * full, full * sizeof *out);
    }
}

static err_code self_forward(const layer_context *c, layer_state *s, uint32_t t)
{
    const size_t n = c->graph->rows[c->hop][t], at = self_at(c, t);
    const float *params = c->params;
    if (c->in->f16_dim == 0) {
        s->self[t] = c->in->f32[t];
    } else {
        float *x = arena_take(c->memory, n * width_in(c), sizeof *x);
        if (!x) return ERR_NO_MEMORY;
        gather_input(x, c->in, t, NULL, n);
        s->self[t] = x;
    }
    s->out[t] = arena_take(c->memory, n * width_out(c), sizeof(float));
    if (!s->out[t]) return ERR_NO_MEMORY;
    linear_forward(s->out[t], s->self[t], params + c->shape->self_w[at],
                   params + c->shape->self_b[at], n, width_in(c), width_out(c));
    return ERR_OK;
}

/* Fills rows and dst. */
static err_code find_destinations(const layer_context *c, layer_relation *s, uint32_t r)
{
    const size_t n = c->graph->rows[c->hop][c->shape->relation[r].destination];
    const uint64_t *indptr = adjacency(c, r)->indptr;
    s->rows = 0;
    s->dst = NULL;
    if (n == 0 || indptr == NULL || indptr[n] == 0) return ERR_OK;
    uint32_t *dst = arena_take(c->memory, n, sizeof *dst);
    if (!dst) return ERR_NO_MEMORY;
    for (uint32_t v = 0; v < n; v++) {
        if (indptr[v] < indptr[v + 1]) dst[s->rows++] = v;
    }
    if (s->rows < n) s->dst = dst;
    return ERR_OK;
}

static err_code mean_relation_forward(const layer_context *c, layer_relation *s, uint32_t r,
                                      float *out)
{
    const subgraph_adjacency *a = adjacency(c, r);
    const uint16_t *weight = c->shape->aggregator == AGG_WEIGHTED_MEAN ? a->weight : NULL;
    const hgnn_input *in = c->in;
    const uint32_t source = c->shape->relation[r].source;
    const size_t d = width_in(c), half = in->f16_dim, at = relation_at(c, r);
    s->mean = arena_take(c->memory, s->rows * d, sizeof(float));
    arena_mark mark = arena_get_mark(c->memory);
    float *message = arena_take(c->memory, s->rows * width_out(c), sizeof(float));
    if (!s->mean || !message) return ERR_NO_MEMORY;
    if (half) {
        mean_f16_forward(s->mean, d, in->f16[source], half, a->indptr, a->index, weight, s->dst,
                         s->rows, half);
    }
    if (in->f32_dim) {
        mean_forward(s->mean + half, d, in->f32[source], in->f32_dim, a->indptr, a->index, weight,
                     s->dst, s->rows, in->f32_dim);
    }
    linear_forward(message, s->mean, c->params + c->shape->relation_w[at],
                   c->params + c->shape->relation_b[at], s->rows, d, width_out(c));
    scatter_add_rows(out, message, s->dst, s->rows, width_out(c));
    arena_rewind(c->memory, mark);
    return ERR_OK;
}

/* Fills used and src; *map [rows of the source type]: place of a row in src. */
static err_code find_sources(const layer_context *c, layer_relation *s, uint32_t r, uint32_t **map)
{
    const subgraph_adjacency *a = adjacency(c, r);
    const size_t n = c->graph->rows[c->hop - 1][c->shape->relation[r].source];
    const size_t edges = a->indptr[c->graph->rows[c->hop][c->shape->relation[r].destination]];
    uint32_t *src = arena_take(c->memory, n, sizeof *src);
    uint32_t *place = arena_take_zeroed(c->memory, n, sizeof *place);
    if (!src || !place) return ERR_NO_MEMORY;
    for (size_t e = 0; e < edges; e++) place[a->index[e]] = 1;
    s->used = 0;
    for (uint32_t u = 0; u < n; u++) {
        if (!place[u]) continue;
        place[u] = (uint32_t)s->used;
        src[s->used++] = u;
    }
    s->src = src;
    *map = place;
    return ERR_OK;
}

static err_code max_relation_forward(const layer_context *c, layer_relation *s, uint32_t r,
                                     float *out)
{
    const subgraph_adjacency *a = adjacency(c, r);
    const size_t at = relation_at(c, r), d_out = width_out(c);
    uint32_t *map;
    err_code rc = find_sources(c, s, r, &map);
    if (rc != ERR_OK) return rc;
    s->source = arena_take(c->memory, s->used * width_in(c), sizeof(float));
    s->pooled = arena_take(c->memory, s->used * d_out, sizeof(float));
    s->arg = arena_take(c->memory, s->rows * d_out, sizeof(uint32_t));
    arena_mark mark = arena_get_mark(c->memory);
    float *message = arena_take(c->memory, s->rows * d_out, sizeof(float));
    if (!s->source || !s->pooled || !s->arg || !message) return ERR_NO_MEMORY;
    gather_input(s->source, c->in, c->shape->relation[r].source, s->src, s->used);
    linear_forward(s->pooled, s->source, c->params + c->shape->relation_w[at],
                   c->params + c->shape->relation_b[at], s->used, width_in(c), d_out);
    relu_forward(s->pooled, s->pooled, s->used * d_out);
    max_pool_forward(message, s->arg, s->pooled, a->indptr, a->index, map, s->dst, s->rows, d_out);
    scatter_add_rows(out, message, s->dst, s->rows, d_out);
    arena_rewind(c->memory, mark);
    return ERR_OK;
}

static err_code relation_forward(const layer_context *c, layer_state *s, uint32_t r)
{
    layer_relation *state = &s->relation[r];
    float *out = s->out[c->shape->relation[r].destination];
    err_code rc = find_destinations(c, state, r);
    if (rc != ERR_OK || state->rows == 0) return rc;
    return c->shape->aggregator == AGG_MAX_POOL ? max_relation_forward(c, state, r, out)
                                                : mean_relation_forward(c, state, r, out);
}

err_code layer_forward(const layer_context *c, layer_state *s)
{
    const hgnn_shape *shape = c->shape;
    ASSERT(c->graph->types == shape->types && c->graph->relations == shape->relations);
    ASSERT(c->in->f16_dim + c->in->f32_dim == shape->dims[c->k - 1]);
    *s = (layer_state){0};
    s->relation = arena_take_zeroed(c->memory, shape->relations, sizeof *s->relation);
    if (!s->relation) return ERR_NO_MEMORY;
    for (uint32_t t = 0; t < shape->types; t++) {
        err_code rc = self_forward(c, s, t);
        if (rc != ERR_OK) return rc;
    }
    for (uint32_t r = 0; r < shape->relations; r++) {
        err_code rc = relation_forward(c, s, r);
        if (rc != ERR_OK) return rc;
    }
    for (uint32_t t = 0; layer_has_relu(shape, c->k) && t < shape->types; t++) {
        relu_forward(s->out[t], s->out[t], c->graph->rows[c->hop][t] * width_out(c));
    }
    return ERR_OK;
}

/* dx [n, f32_dim] = dy w, the columns of the f32 part. */
static void input_backward(const layer_context *c, float *dx, const float *dy, const float *w,
                           size_t n)
{
    blas_nn(dx, dy, w + c->in->f16_dim, n, c->in->f32_dim, width_out(c), 1.0f, 0.0f, c->in->f32_dim,
            width_out(c), width_in(c));
}

static void self_backward(const layer_context *c, const layer_state *s, uint32_t t, const float *dy,
                          float *grads, float *din)
{
    const size_t n = c->graph->rows[c->hop][t], all = c->graph->rows[c->hop - 1][t];
    const size_t w = c->shape->self_w[self_at(c, t)], b = c->shape->self_b[self_at(c, t)];
    linear_backward(NULL, grads + w, grads + b, dy, s->self[t], c->params + w, n, width_in(c),
                    width_out(c));
    if (!din) return;
    input_backward(c, din, dy, c->params + w, n);
    memset(din + n * c->in->f32_dim, 0, (all - n) * c->in->f32_dim * sizeof *din);
}

static err_code mean_relation_backward(const layer_context *c, const layer_relation *s, uint32_t r,
                                       const float *dy, float *grads, float *din)
{
    const subgraph_adjacency *a = adjacency(c, r);
    const uint16_t *weight = c->shape->aggregator == AGG_WEIGHTED_MEAN ? a->weight : NULL;
    const size_t w = c->shape->relation_w[relation_at(c, r)], d = c->in->f32_dim;
    const size_t b = c->shape->relation_b[relation_at(c, r)];
    linear_backward(NULL, grads + w, grads + b, dy, s->mean, c->params + w, s->rows, width_in(c),
                    width_out(c));
    if (!din) return ERR_OK;
    float *dmean = arena_take(c->memory, s->rows * d, sizeof *dmean);
    if (!dmean) return ERR_NO_MEMORY;
    input_backward(c, dmean, dy, c->params + w, s->rows);
    mean_backward(din, d, dmean, d, a->indptr, a->index, weight, s->dst, s->rows, d);
    return ERR_OK;
}

static err_code max_relation_backward(const layer_context *c, const layer_relation *s, uint32_t r,
                                      const float *dy, float *grads, float *din)
{
    const size_t w = c->shape->relation_w[relation_at(c, r)], d = c->in->f32_dim;
    const size_t b = c->shape->relation_b[relation_at(c, r)], d_out = width_out(c);
    float *dpooled = arena_take_zeroed(c->memory, s->used * d_out, sizeof *dpooled);
    if (!dpooled) return ERR_NO_MEMORY;
    max_pool_backward(dpooled, dy, s->arg, s->rows, d_out);
    relu_backward(dpooled, dpooled, s->pooled, s->used * d_out);
    linear_backward(NULL, grads + w, grads + b, dpooled, s->source, c->params + w, s->used,
                    width_in(c), d_out);
    if (!din) return ERR_OK;
    float *dsource = arena_take(c->memory, s->used * d, sizeof *dsource);
    if (!dsource) return ERR_NO_MEMORY;
    input_backward(c, dsource, dpooled, c->params + w, s->used);
    scatter_add_rows(din, dsource, s->src, s->used, d);
    return ERR_OK;
}

static err_code relation_backward(const layer_context *c, const layer_state *s, uint32_t r,
                                  const float *dout, float *grads, float *din)
{
    const layer_relation *state = &s->relation[r];
    const float *dy = dout;
    if (state->rows == 0) return ERR_OK;
    const arena_mark mark = arena_get_mark(c->memory);
    if (state->dst) {
        float *gathered = arena_take(c->memory, state->rows * width_out(c), sizeof *gathered);
        if (!gathered) return ERR_NO_MEMORY;
        gather_rows(gathered, dout, state->dst, state->rows, width_out(c));
        dy = gathered;
    }
    err_code rc = c->shape->aggregator == AGG_MAX_POOL
                      ? max_relation_backward(c, state, r, dy, grads, din)
                      : mean_relation_backward(c, state, r, dy, grads, din);
    arena_rewind(c->memory, mark);
    return rc;
}

err_code layer_backward(const layer_context *c, const layer_state *s, float *const *dout,
                        float *grads, float *const *din)
{
    const hgnn_shape *shape = c->shape;
    for (uint32_t t = 0; t < shape->types; t++) {
        const size_t n = c->graph->rows[c->hop][t];
        if (layer_has_relu(shape, c->k)) {
            relu_backward(dout[t], dout[t], s->out[t], n * width_out(c));
        }
        self_backward(c, s, t, dout[t], grads, din ? din[t] : NULL);
    }
    for (uint32_t r = 0; r < shape->relations; r++) {
        float *d = din ? din[shape->relation[r].source] : NULL;
        err_code rc = relation_backward(c, s, r, dout[shape->relation[r].destination], grads, d);
        if (rc != ERR_OK) return rc;
    }
    return ERR_OK;
}
