#include "ps/optimizer.h"

#include "common/panic.h"
#include "common/reduce.h"
#include "common/vmath.h"

#include <math.h>
#include <string.h>

uint32_t optimizer_states(optimizer_kind name)
{
    switch (name) {
    case OPT_SGD: return 0;
    case OPT_MOMENTUM:
    case OPT_ADAGRAD: return 1;
    case OPT_ADAM:
    case OPT_ADAMW: return 2;
    }
    UNREACHABLE();
}

static void apply_sgd(float *out, const float *w, const float *g, float lr, float decay, size_t n)
{
    for (size_t i = 0; i < n; i++) out[i] = w[i] - lr * (g[i] + decay * w[i]);
}

/* PyTorch: buf = momentum * buf + g; its first step, buf = g, is the same from zeros. */
static void apply_momentum(const config_optimizer *o, float lr, float *out, float *buf_new,
                           const float *w, const float *buf, const float *g, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        float b = o->momentum * buf[i] + (g[i] + o->weight_decay * w[i]);
        buf_new[i] = b;
        out[i] = w[i] - lr * b;
    }
}

static void apply_adagrad(const config_optimizer *o, float lr, float *out, float *sum_new,
                          const float *w, const float *sum, const float *g, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        float x = g[i] + o->weight_decay * w[i];
        float s = sum[i] + x * x;
        sum_new[i] = s;
        out[i] = w[i] - lr * x / (sqrtf(s) + o->eps);
    }
}

typedef struct adam_step {
    float beta1, beta2, eps, step_size, root; /* root = sqrt(1 - beta2^t) */
    float couple, shrink;                     /* L2 in the gradient (adam); w *= shrink (adamw) */
} adam_step;

static adam_step adam_prepare(const config_optimizer *o, float lr, uint64_t step, bool decoupled)
{
    double c1 = 1.0 - vmath_powi((double)o->beta1, step);
    double c2 = 1.0 - vmath_powi((double)o->beta2, step);
    adam_step a = {.beta1 = o->beta1, .beta2 = o->beta2, .eps = o->eps};
    a.step_size = (float)((double)lr / c1);
    a.root = (float)sqrt(c2);
    a.couple = decoupled ? 0.0f : o->weight_decay;
    a.shrink = decoupled ? (float)(1.0 - (double)lr * (double)o->weight_decay) : 1.0f;
    return a;
}

static void apply_adam(const adam_step *a, float *out, float *m_new, float *v_new, const float *w,
                       const float *m, const float *v, const float *g, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        float x = g[i] + a->couple * w[i];
        float mi = a->beta1 * m[i] + (1.0f - a->beta1) * x;
        float vi = a->beta2 * v[i] + (1.0f - a->beta2) * (x * x);
        m_new[i] = mi;
        v_new[i] = vi;
        out[i] = w[i] * a->shrink - a->step_size * mi / (sqrtf(vi) / a->root + a->eps);
    }
}

void optimizer_apply(const config_optimizer *o, float lr, uint64_t step, float *w_new,
                     float *const *state_new, const float *w, const float *const *state,
                     const float *g, size_t n)
{
    ASSERT(step >= 1);
    switch (o->name) {
    case OPT_SGD: apply_sgd(w_new, w, g, lr, o->weight_decay, n); return;
    case OPT_MOMENTUM: apply_momentum(o, lr, w_new, state_new[0], w, state[0], g, n); return;
    case OPT_ADAGRAD: apply_adagrad(o, lr, w_new, state_new[0], w, state[0], g, n); return;
    case OPT_ADAM:
    case OPT_ADAMW: {
        adam_step a = adam_prepare(o, lr, step, o->name == OPT_ADAMW);
        apply_adam(&a, w_new, state_new[0], state_new[1], w, state[0], state[1], g, n);
        return;
    }
    }
    UNREACHABLE();
}

uint32_t optimizer_sparse_states(sparse_kind kind, uint32_t d)
{
    return kind == SPARSE_ROWWISE_ADAGRAD ? 1 : 2 * d + 1;
}

static void apply_rowwise_adagrad(const config_optimizer *o, float lr, float *w, float *state,
                                  const float *g, size_t d)
{
    state[0] += (float)(reduce_squares_f64(g, d) / (double)d);
    const float scale = lr / (sqrtf(state[0]) + o->eps);
    for (size_t i = 0; i < d; i++) w[i] -= scale * g[i];
}

void optimizer_sparse_apply(const config_optimizer *o, float lr, float *w, float *state,
                            const float *g, size_t d)
{
    if (d == 0) return;
    if (o->sparse == SPARSE_ROWWISE_ADAGRAD) {
        apply_rowwise_adagrad(o, lr, w, state, g, d);
        return;
    }
    state[2 * d] += 1.0f; /* exact up to 2^24 steps of one row */
    adam_step a = adam_prepare(o, lr, (uint64_t)state[2 * d], false);
    a.couple = 0.0f; /* decay of a row must not depend on how often it is seen */
    apply_adam(&a, w, state, state + d, w, state, state + d, g, d);
}
