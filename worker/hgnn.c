#include "worker/hgnn.h"

#include "common/mem.h"
#include "common/panic.h"
#include "worker/kernels.h"
#include "worker/layer.h"
#include "worker/pair_loss.h"

#include <stdlib.h>
#include <string.h>

struct hgnn {
    hgnn_shape shape; /* its arrays are the hgnn's own */
    arena *kept;      /* activations, from one forward to the next */
    arena *scratch;   /* hgnn_layer and hgnn_layer_forward */
    layer_state layer[CONFIG_LAYERS_MAX + 1];
    uint32_t rows[CONFIG_TYPES_MAX]; /* of z */
    float *z[CONFIG_TYPES_MAX], *norm[CONFIG_TYPES_MAX], *dz[CONFIG_TYPES_MAX];
};

static void *copy_array(const void *from, size_t n, size_t size)
{
    void *p = xmalloc(n * size);
    if (n) memcpy(p, from, n * size);
    return p;
}

hgnn *hgnn_new_shape(const hgnn_shape *s)
{
    ASSERT(s->layers >= 1 && s->layers <= CONFIG_LAYERS_MAX && s->types <= CONFIG_TYPES_MAX);
    hgnn *m = xcalloc(1, sizeof *m);
    const size_t self = (size_t)s->layers * s->types, relation = (size_t)s->layers * s->relations;
    m->shape = *s;
    m->shape.relation = copy_array(s->relation, s->relations, sizeof *s->relation);
    m->shape.self_w = copy_array(s->self_w, self, sizeof(size_t));
    m->shape.self_b = copy_array(s->self_b, self, sizeof(size_t));
    m->shape.relation_w = copy_array(s->relation_w, relation, sizeof(size_t));
    m->shape.relation_b = copy_array(s->relation_b, relation, sizeof(size_t));
    m->kept = arena_new();
    m->scratch = arena_new();
    return m;
}

static size_t offset_of(const model_spec *s, char *name)
{
    const model_tensor *t = model_spec_find(s, name);
    ASSERT(t != NULL);
    free(name);
    return t->offset;
}

/* "hgnn.1.self.movie" + ".w", or "hgnn.1.self.w" where parameters are shared. */
static void fill_offsets(const config *c, const model_facts *f, const model_spec *s, size_t *self_w,
                         size_t *self_b, size_t *relation_w, size_t *relation_b)
{
    for (uint32_t k = 1; k <= c->hgnn.layers; k++) {
        for (uint32_t t = 0; t < f->types; t++) {
            char *base = c->hgnn.shared ? xprintf("hgnn.%u.self", k)
                                        : xprintf("hgnn.%u.self.%s", k, f->type[t]);
            *self_w++ = offset_of(s, xprintf("%s.w", base));
            *self_b++ = offset_of(s, xprintf("%s.b", base));
            free(base);
        }
        for (uint32_t r = 0; r < f->relations; r++) {
            char *base = c->hgnn.shared
                             ? xprintf("hgnn.%u.rel", k)
                             : xprintf("hgnn.%u.rel.%s.%s", k, f->type[f->relation[r].source],
                                       f->type[f->relation[r].destination]);
            *relation_w++ = offset_of(s, xprintf("%s.w", base));
            *relation_b++ = offset_of(s, xprintf("%s.b", base));
            free(base);
        }
    }
}

hgnn *hgnn_new(const config *c, const model_facts *f, const model_spec *s)
{
    const size_t self = c->hgnn.layers * f->types, relation = c->hgnn.layers * f->relations;
    size_t *offsets = xcalloc(2 * (self + relation) + 1, sizeof *offsets);
    hgnn_shape shape = {
        .layers = (uint32_t)c->hgnn.layers,
        .types = f->types,
        .relations = f->relations,
        .relation = f->relation,
        .aggregator = c->hgnn.aggregator,
        .output_relu = c->hgnn.output_relu,
        .loss = c->hgnn.loss,
        .temperature = c->hgnn.temperature,
        .margin = c->hgnn.margin,
        .in_batch = c->hgnn.in_batch,
        .self_w = offsets,
        .self_b = offsets + self,
        .relation_w = offsets + 2 * self,
        .relation_b = offsets + 2 * self + relation,
    };
    shape.dims[0] = s->input_dim;
    for (size_t k = 1; k <= c->hgnn.layers; k++) shape.dims[k] = c->hgnn.dims[k - 1];
    fill_offsets(c, f, s, offsets, offsets + self, offsets + 2 * self,
                 offsets + 2 * self + relation);
    hgnn *m = hgnn_new_shape(&shape);
    free(offsets);
    return m;
}

static void free_const(const void *p)
{
    union {
        const void *from;
        void *to;
    } u = {.from = p};
    free(u.to);
}

void hgnn_free(hgnn *m)
{
    if (!m) return;
    free_const(m->shape.relation);
    free_const(m->shape.self_w);
    free_const(m->shape.self_b);
    free_const(m->shape.relation_w);
    free_const(m->shape.relation_b);
    arena_free(m->kept);
    arena_free(m->scratch);
    free(m);
}

const hgnn_shape *hgnn_get_shape(const hgnn *m)
{
    return &m->shape;
}

/* The input of layer k >= 2: the output of layer k - 1. */
static hgnn_input output_as_input(const hgnn *m, uint32_t k)
{
    hgnn_input in = {.f16_dim = 0, .f32_dim = m->shape.dims[k - 1]};
    for (uint32_t t = 0; t < m->shape.types; t++) in.f32[t] = m->layer[k - 1].out[t];
    return in;
}

static layer_context context_of(const hgnn *m, const float *params, const subgraph *g, uint32_t k,
                                const hgnn_input *in)
{
    return (layer_context){.shape = &m->shape,
                           .params = params,
                           .k = k,
                           .graph = g,
                           .hop = k,
                           .in = in,
                           .memory = m->kept};
}

err_code hgnn_forward(hgnn *m, const float *params, const subgraph *g, const hgnn_input *in)
{
    const uint32_t last = m->shape.layers;
    ASSERT(g->layers == last);
    arena_reset(m->kept);
    for (uint32_t k = 1; k <= last; k++) {
        hgnn_input above = k == 1 ? *in : output_as_input(m, k);
        layer_context c = context_of(m, params, g, k, &above);
        err_code rc = layer_forward(&c, &m->layer[k]);
        if (rc != ERR_OK) return rc;
    }
    const size_t d = m->shape.dims[last];
    for (uint32_t t = 0; t < m->shape.types; t++) {
        const size_t n = m->rows[t] = g->rows[last][t];
        m->z[t] = arena_take(m->kept, n * d, sizeof(float));
        m->norm[t] = arena_take(m->kept, n, sizeof(float));
        m->dz[t] = arena_take_zeroed(m->kept, n * d, sizeof(float));
        if (!m->z[t] || !m->norm[t] || !m->dz[t]) return ERR_NO_MEMORY;
        normalise_forward(m->z[t], m->norm[t], m->layer[last].out[t], n, d);
    }
    return ERR_OK;
}

const float *hgnn_z(const hgnn *m, uint32_t type)
{
    return m->z[type];
}

err_code hgnn_loss(hgnn *m, const subgraph *g, double *sum)
{
    const size_t d = m->shape.dims[m->shape.layers];
    const float *z[CONFIG_TYPES_MAX];
    for (uint32_t t = 0; t < m->shape.types; t++) {
        z[t] = m->z[t];
        memset(m->dz[t], 0, m->rows[t] * d * sizeof(float));
    }
    return pair_loss(&m->shape, g, z, m->dz, m->kept, sum);
}

/* Gradients of the output of layer k - 1, [rows[k-1][t], dims[k-1]]. */
static err_code take_gradients(hgnn *m, const subgraph *g, uint32_t k, float **d)
{
    for (uint32_t t = 0; t < m->shape.types; t++) {
        d[t] = arena_take(m->kept, (size_t)g->rows[k - 1][t] * m->shape.dims[k - 1], sizeof(float));
        if (!d[t]) return ERR_NO_MEMORY;
    }
    return ERR_OK;
}

err_code hgnn_backward(hgnn *m, const float *params, const subgraph *g, const hgnn_input *in,
                       float *grads, float *const *dinput)
{
    const uint32_t last = m->shape.layers;
    const arena_mark mark = arena_get_mark(m->kept);
    float *dout[CONFIG_TYPES_MAX] = {0}, *din[CONFIG_TYPES_MAX] = {0};
    err_code rc = take_gradients(m, g, last + 1, dout);
    if (rc != ERR_OK) goto done;
    for (uint32_t t = 0; t < m->shape.types; t++) {
        normalise_backward(dout[t], m->dz[t], m->z[t], m->norm[t], m->rows[t], m->shape.dims[last]);
    }
    for (uint32_t k = last; k >= 1 && rc == ERR_OK; k--) {
        hgnn_input above = k == 1 ? *in : output_as_input(m, k);
        layer_context c = context_of(m, params, g, k, &above);
        if (k > 1) {
            rc = take_gradients(m, g, k, din);
            if (rc != ERR_OK) goto done;
        }
        rc = layer_backward(&c, &m->layer[k], dout, grads, k > 1 ? din : dinput);
        memcpy(dout, din, sizeof dout);
    }
done:
    arena_rewind(m->kept, mark);
    return rc;
}

static err_code finish_layer(hgnn *m, uint32_t k, float *out, const float *h, size_t n)
{
    const size_t d = m->shape.dims[k];
    if (k < m->shape.layers) {
        if (out != h) gather_rows(out, h, NULL, n, d);
        return ERR_OK;
    }
    float *norm = arena_take(m->scratch, n, sizeof *norm);
    if (!norm) return ERR_NO_MEMORY;
    normalise_forward(out, norm, h, n, d);
    return ERR_OK;
}

err_code hgnn_layer(hgnn *m, const float *params, uint32_t k, const subgraph *g,
                    const hgnn_input *in, float *const *out)
{
    ASSERT(g->layers == 1 && k >= 1 && k <= m->shape.layers);
    arena_reset(m->scratch);
    layer_context c = context_of(m, params, g, k, in);
    c.hop = 1;
    c.memory = m->scratch;
    layer_state state;
    err_code rc = layer_forward(&c, &state);
    for (uint32_t t = 0; t < m->shape.types && rc == ERR_OK; t++) {
        rc = finish_layer(m, k, out[t], state.out[t], g->rows[1][t]);
    }
    return rc;
}

err_code hgnn_layer_forward(hgnn *m, const float *params, uint32_t k, uint32_t type, float *out,
                            const float *self, size_t n, const hgnn_aggregate *aggregate,
                            size_t aggregates)
{
    const hgnn_shape *s = &m->shape;
    const size_t d_in = s->dims[k - 1], d_out = s->dims[k];
    const size_t at = (size_t)(k - 1) * s->types + type;
    ASSERT(s->aggregator != AGG_MAX_POOL && k >= 1 && k <= s->layers);
    arena_reset(m->scratch);
    linear_forward(out, self, params + s->self_w[at], params + s->self_b[at], n, d_in, d_out);
    for (size_t i = 0; i < aggregates; i++) {
        const hgnn_aggregate *a = &aggregate[i];
        const size_t r = (size_t)(k - 1) * s->relations + a->relation;
        ASSERT(s->relation[a->relation].destination == type && a->n <= n);
        float *message = arena_take(m->scratch, a->n * d_out, sizeof *message);
        if (!message) return ERR_NO_MEMORY;
        linear_forward(message, a->mean, params + s->relation_w[r], params + s->relation_b[r], a->n,
                       d_in, d_out);
        scatter_add_rows(out, message, a->row, a->n, d_out);
    }
    if (layer_has_relu(s, k)) relu_forward(out, out, n * d_out);
    return finish_layer(m, k, out, out, n);
}
