#include "worker/two_tower.h"

#include "common/arena.h"
#include "common/f16.h"
#include "common/feature_row.h"
#include "common/mem.h"
#include "common/panic.h"
#include "common/rng.h"
#include "common/vmath.h"
#include "worker/kernels.h"
#include "worker/tower.h"

#include <stdlib.h>
#include <string.h>

/* Frequent items have to say what unknown ones are like, too. */
#define UNKNOWN_CHANCE_MIN 0.05f

/* Embedding tables of one side's attributes: [n] offsets. */
typedef struct attribute_tables {
    uint32_t n;
    size_t *offset;
} attribute_tables;

struct two_tower {
    uint32_t types, v_dim, text_dim, id_dim, attribute_dim, type_dim, dense_dim, tower_dim,
        output_dim;
    uint32_t user_dim, item_dim, skip_dim;
    bool use_z, item_text, skip_text, popularity, pool_all, pool_types, same_type, skip;
    float temperature, logq, id_drop, item_drop, dropout;
    size_t type_table, popularity_w, popularity_b, popularity_unknown;
    attribute_tables user_attributes, item_attributes;
    tower *user, *item;
    arena *memory;
    /* Of the current chunk, in memory. */
    uint8_t *kept;          /* [unique] the id is not dropped */
    uint8_t *unknown;       /* [targets] the item is one of which only the text is known */
    float *user_x, *user_s; /* [users, user_dim], [users, skip_dim] */
    float *item_x, *item_s; /* [targets, item_dim], [targets, skip_dim] */
    const float *user_out, *item_out; /* [users | targets, output_dim] */
};

/* --- making one --------------------------------------------------------------------------------
 */

static const char *prefix_of(const model_spec *s)
{
    return s->stage == STAGE_TWO_TOWER ? "two_tower" : "two_tower_no_z";
}

static size_t offset_of(const model_spec *s, char *name)
{
    const model_tensor *t = model_spec_find(s, name);
    ASSERT(t != NULL);
    free(name);
    return t->offset;
}

static tower *make_tower(const config *c, const model_spec *s, const char *side, uint32_t input)
{
    tower_shape shape = {.layers = (uint32_t)c->two_tower.layers};
    shape.dims[0] = input;
    for (uint32_t k = 1; k <= shape.layers; k++) {
        shape.dims[k] = c->two_tower.dims[k - 1];
        shape.w[k] = offset_of(s, xprintf("%s.%s.%u.w", prefix_of(s), side, k));
        shape.b[k] = offset_of(s, xprintf("%s.%s.%u.b", prefix_of(s), side, k));
    }
    if (c->two_tower.skip_shared) {
        shape.skip_dim = s->skip_dim;
        shape.skip_w = offset_of(s, xprintf("%s.skip.w", prefix_of(s)));
    }
    return tower_new(&shape);
}

static attribute_tables make_tables(const config *c, const model_spec *s, const char *side,
                                    const model_attribute *a, uint32_t n)
{
    attribute_tables t = {.n = c->two_tower.attribute_embedding ? n : 0};
    t.offset = xcalloc((size_t)t.n + 1, sizeof *t.offset);
    for (uint32_t i = 0; i < t.n; i++) {
        t.offset[i] = offset_of(s, xprintf("%s.attribute.%s.%s", prefix_of(s), side, a[i].key));
    }
    return t;
}

two_tower *two_tower_new(const config *c, const model_facts *f, const model_spec *s)
{
    two_tower *m = xcalloc(1, sizeof *m);
    *m = (two_tower){
        .types = f->types,
        .v_dim = s->v_dim,
        .text_dim = f->text_dim,
        .id_dim = c->two_tower.item_id,
        .attribute_dim = c->two_tower.attribute_embedding,
        .type_dim = c->two_tower.type_embedding,
        .dense_dim = f->user_dense_dim,
        .tower_dim = s->tower_dim,
        .output_dim = s->output_dim,
        .user_dim = s->user_dim,
        .item_dim = s->item_dim,
        .skip_dim = s->skip_dim,
        .use_z = s->use_z,
        .item_text = s->item_text,
        .skip_text = s->skip_text,
        .popularity = c->two_tower.popularity,
        .pool_all = c->history.pool != POOL_PER_TYPE,
        .pool_types = c->history.pool != POOL_ALL,
        .same_type = !c->two_tower.negatives_all,
        .skip = c->two_tower.skip_shared,
        .temperature = c->two_tower.temperature,
        .logq = c->two_tower.logq,
        .id_drop = (float)c->two_tower.id_drop,
        .item_drop = (float)c->two_tower.item_drop,
        .dropout = (float)c->two_tower.dropout,
    };
    if (m->type_dim) m->type_table = offset_of(s, xprintf("%s.type", prefix_of(s)));
    if (m->popularity) {
        m->popularity_w = offset_of(s, xprintf("%s.popularity.w", prefix_of(s)));
        m->popularity_b = offset_of(s, xprintf("%s.popularity.b", prefix_of(s)));
        if (m->item_drop > 0)
            m->popularity_unknown = offset_of(s, xprintf("%s.popularity.unknown", prefix_of(s)));
    }
    m->user_attributes = make_tables(c, s, "user", f->user_attribute, f->user_attributes);
    m->item_attributes = make_tables(c, s, "item", f->item_attribute, f->item_attributes);
    m->user = make_tower(c, s, "user", m->user_dim);
    m->item = make_tower(c, s, "item", m->item_dim);
    m->memory = arena_new();
    return m;
}

void two_tower_free(two_tower *m)
{
    if (!m) return;
    free(m->user_attributes.offset);
    free(m->item_attributes.offset);
    tower_free(m->user);
    tower_free(m->item);
    arena_free(m->memory);
    free(m);
}

/* --- inputs ------------------------------------------------------------------------------------
 */

/* Width of the pooled v part of the user input. */
static size_t pool_width(const two_tower *m)
{
    return (size_t)m->v_dim * ((m->pool_all ? 1 : 0) + (m->pool_types ? m->types : 0));
}

/* Where the id part of the skip input begins. */
static size_t skip_id(const two_tower *m)
{
    return m->skip_dim - m->id_dim;
}

/* v of a unique row: where it lies, or decoded into row [v_dim]. */
static const float *v_row(const two_tower *m, const two_tower_batch *b, uint32_t unique, float *row)
{
    if (m->use_z) return b->z + (size_t)unique * m->v_dim;
    f16_decode(row, b->text + (size_t)unique * m->text_dim, m->text_dim);
    return row;
}

static void add_row(float *restrict out, const float *restrict in, size_t d)
{
    for (size_t j = 0; j < d; j++) out[j] += in[j];
}

static void scale_row(float *out, float scale, size_t d)
{
    for (size_t j = 0; j < d; j++) out[j] *= scale;
}

/* Attribute embeddings side by side at `x`. */
static float *put_attributes(const two_tower *m, const attribute_tables *t, const float *params,
                             const uint32_t *value, float *x)
{
    for (uint32_t i = 0; i < t->n; i++, x += m->attribute_dim) {
        const float *table = params + t->offset[i];
        memcpy(x, table + (size_t)value[i] * m->attribute_dim, m->attribute_dim * sizeof *x);
    }
    return x;
}

/* Sums over the history into s [v | text | id] and, by type, into `types` [types, v_dim]; both are
 * zero. counts [types + 1]: per type, and the ids that are kept. */
static void sum_history(const two_tower *m, const two_tower_batch *b, size_t user, float *s,
                        float *types, uint32_t *counts, float *row)
{
    for (uint64_t e = b->history_indptr[user]; e < b->history_indptr[user + 1]; e++) {
        const uint32_t u = b->history[e], t = b->type[u];
        ASSERT(u < b->unique && t < m->types);
        const float *v = v_row(m, b, u, row);
        add_row(s, v, m->v_dim);
        if (types) add_row(types + (size_t)t * m->v_dim, v, m->v_dim);
        if (m->skip_text) {
            f16_decode(row, b->text + (size_t)u * m->text_dim, m->text_dim);
            add_row(s + m->v_dim, row, m->text_dim);
        }
        counts[t]++;
        if (m->id_dim && m->kept[u]) {
            add_row(s + skip_id(m), b->id + (size_t)u * m->id_dim, m->id_dim);
            counts[m->types]++;
        }
    }
}

static void user_row(const two_tower *m, const two_tower_batch *b, const float *params, size_t user,
                     float *x, float *s, float *row)
{
    const uint64_t n = b->history_indptr[user + 1] - b->history_indptr[user];
    uint32_t counts[CONFIG_TYPES_MAX + 1] = {0};
    memset(x, 0, m->user_dim * sizeof *x);
    memset(s, 0, m->skip_dim * sizeof *s);
    float *types = m->pool_types ? x + (m->pool_all ? m->v_dim : 0) : NULL;
    sum_history(m, b, user, s, types, counts, row);
    if (n) scale_row(s, 1.0f / (float)n, skip_id(m));
    if (counts[m->types]) scale_row(s + skip_id(m), 1.0f / (float)counts[m->types], m->id_dim);
    for (uint32_t t = 0; types && t < m->types; t++) {
        if (counts[t]) scale_row(types + (size_t)t * m->v_dim, 1.0f / (float)counts[t], m->v_dim);
    }
    if (m->pool_all) memcpy(x, s, m->v_dim * sizeof *x);
    float *at = x + pool_width(m);
    memcpy(at, s + skip_id(m), m->id_dim * sizeof *at);
    at += m->id_dim;
    for (uint32_t t = 0; t < m->types; t++)
        *at++ = MODEL_COUNT_SCALE * vmath_log1pf((float)counts[t]);
    if (m->user_attributes.n) {
        at = put_attributes(m, &m->user_attributes, params,
                            b->user_attribute + user * m->user_attributes.n, at);
    }
    if (m->dense_dim) memcpy(at, b->user_dense + user * m->dense_dim, m->dense_dim * sizeof *at);
}

static bool item_has_id(const two_tower *m, size_t item)
{
    return m->id_dim && m->kept[item] && !m->unknown[item];
}

static void item_row(const two_tower *m, const two_tower_batch *b, const float *params, size_t item,
                     float *x, float *s)
{
    const float *v = v_row(m, b, (uint32_t)item, x);
    if (v != x) memcpy(x, v, m->v_dim * sizeof *x);
    if (m->use_z && m->unknown[item]) memset(x, 0, m->v_dim * sizeof *x);
    memcpy(s, x, m->v_dim * sizeof *s);
    if (m->skip_text) {
        f16_decode(s + m->v_dim, b->text + item * m->text_dim, m->text_dim);
    }
    float *at = x + m->v_dim;
    if (m->item_text) {
        f16_decode(at, b->text + item * m->text_dim, m->text_dim);
        at += m->text_dim;
    }
    if (m->type_dim) {
        const float *table = params + m->type_table;
        memcpy(at, table + (size_t)b->type[item] * m->type_dim, m->type_dim * sizeof *at);
        at += m->type_dim;
    }
    if (m->item_attributes.n) {
        at = put_attributes(m, &m->item_attributes, params,
                            b->item_attribute + item * m->item_attributes.n, at);
    }
    if (item_has_id(m, item)) {
        memcpy(at, b->id + item * m->id_dim, m->id_dim * sizeof *at);
    } else {
        memset(at, 0, m->id_dim * sizeof *at);
    }
    memcpy(s + skip_id(m), at, m->id_dim * sizeof *s);
}

static err_code choose_ids(two_tower *m, const two_tower_batch *b)
{
    m->kept = arena_take(m->memory, b->unique, 1);
    if (!m->kept) return ERR_NO_MEMORY;
    for (size_t i = 0; i < b->unique; i++) {
        bool drop = b->training && rng_unit(b->id_drop_key, b->node[i], 0) < m->id_drop;
        m->kept[i] = !drop;
    }
    return ERR_OK;
}

static err_code choose_unknown(two_tower *m, const two_tower_batch *b)
{
    m->unknown = arena_take_zeroed(m->memory, b->targets, 1);
    if (!m->unknown) return ERR_NO_MEMORY;
    ASSERT(b->positives || !(m->item_drop > 0 || m->popularity));
    for (size_t i = 0; i < b->targets && m->item_drop > 0; i++) {
        float chance = m->item_drop / (m->item_drop + (float)b->positives[i]);
        if (chance < UNKNOWN_CHANCE_MIN) chance = UNKNOWN_CHANCE_MIN;
        bool drop = b->training && rng_unit(b->id_drop_key, b->node[i], 1) < chance;
        m->unknown[i] = drop || !feature_is_trained(b->positives[i]);
    }
    return ERR_OK;
}

/* --- popularity: a last coordinate of both vectors -----------------------------------------------
 */

/* The counts of user row i in the user inputs: 0.3 log1p per type. */
static const float *user_counts(const two_tower *m, size_t i)
{
    return m->user_x + i * m->user_dim + pool_width(m) + m->id_dim;
}

/* out [n, output_dim]: rows of a tower with room for one more column. */
static float *widen(two_tower *m, const float *from, size_t n)
{
    float *out = arena_take(m->memory, n * m->output_dim, sizeof *out);
    for (size_t i = 0; out && i < n; i++) {
        memcpy(out + i * m->output_dim, from + i * m->tower_dim, m->tower_dim * sizeof *out);
    }
    return out;
}

/* Nothing is known of this user: no history, no attributes, no vector. */
static bool is_stranger(const two_tower *m, const two_tower_batch *b, size_t i)
{
    return b->history_indptr[i] == b->history_indptr[i + 1] && !m->user_attributes.n &&
           !m->dense_dim;
}

static err_code finish_users(two_tower *m, const float *params, const two_tower_batch *b)
{
    m->user_out = tower_output(m->user);
    if (!m->popularity) return ERR_OK;
    float *out = widen(m, m->user_out, b->users);
    if (!out) return ERR_NO_MEMORY;
    for (size_t i = 0; i < b->users; i++) {
        const float *w = params + m->popularity_w, *counts = user_counts(m, i);
        float sum = params[m->popularity_b];
        for (uint32_t t = 0; t < m->types; t++) sum += w[t] * counts[t];
        float *row = out + i * m->output_dim;
        row[m->tower_dim] = sum;
        if (is_stranger(m, b, i)) memset(row, 0, m->tower_dim * sizeof *row);
    }
    m->user_out = out;
    return ERR_OK;
}

static err_code finish_items(two_tower *m, const float *params, const two_tower_batch *b)
{
    m->item_out = tower_output(m->item);
    if (!m->popularity) return ERR_OK;
    float *out = widen(m, m->item_out, b->targets);
    if (!out) return ERR_NO_MEMORY;
    for (size_t i = 0; i < b->targets; i++) {
        out[i * m->output_dim + m->tower_dim] =
            m->unknown[i] ? params[m->popularity_unknown + b->type[i]]
                          : MODEL_COUNT_SCALE * vmath_log1pf((float)b->positives[i]);
    }
    m->item_out = out;
    return ERR_OK;
}

/* Of row i of d [n, output_dim]: takes the last column away, and returns it. */
static float narrow(const two_tower *m, float *d, size_t i)
{
    const float last = d[i * m->output_dim + m->tower_dim];
    memmove(d + i * m->tower_dim, d + i * m->output_dim, m->tower_dim * sizeof *d);
    return last;
}

/* The gradients of the towers' own columns, in place: [n, output_dim] becomes [n, tower_dim]. */
static void narrow_users(const two_tower *m, const two_tower_batch *b, float *du, float *grads)
{
    for (size_t i = 0; m->popularity && i < b->users; i++) {
        const float last = narrow(m, du, i);
        if (is_stranger(m, b, i)) memset(du + i * m->tower_dim, 0, m->tower_dim * sizeof *du);
        const float *counts = user_counts(m, i);
        grads[m->popularity_b] += last;
        for (uint32_t t = 0; t < m->types; t++) grads[m->popularity_w + t] += last * counts[t];
    }
}

static void narrow_items(const two_tower *m, const two_tower_batch *b, float *dv, float *grads)
{
    for (size_t i = 0; m->popularity && i < b->targets; i++) {
        const float last = narrow(m, dv, i);
        if (m->unknown[i]) grads[m->popularity_unknown + b->type[i]] += last;
    }
}

static tower_dropout dropout_of(const two_tower *m, const two_tower_batch *b, uint64_t first_row)
{
    return (tower_dropout){
        .chance = b->training ? m->dropout : 0, .key = b->dropout_key, .first_row = first_row};
}

static err_code user_forward(two_tower *m, const float *params, const two_tower_batch *b)
{
    m->user_x = arena_take(m->memory, (size_t)b->users * m->user_dim, sizeof(float));
    m->user_s = arena_take(m->memory, (size_t)b->users * m->skip_dim, sizeof(float));
    float *row = arena_take(m->memory, m->text_dim + 1, sizeof *row);
    if (!m->user_x || !m->user_s || !row) return ERR_NO_MEMORY;
    for (size_t i = 0; i < b->users; i++) {
        user_row(m, b, params, i, m->user_x + i * m->user_dim, m->user_s + i * m->skip_dim, row);
    }
    const tower_dropout drop = dropout_of(m, b, 0);
    err_code rc =
        tower_forward(m->user, params, m->user_x, m->skip ? m->user_s : NULL, b->users, &drop);
    return rc == ERR_OK ? finish_users(m, params, b) : rc;
}

static err_code item_forward(two_tower *m, const float *params, const two_tower_batch *b)
{
    ASSERT(b->targets <= b->unique);
    m->item_x = arena_take(m->memory, (size_t)b->targets * m->item_dim, sizeof(float));
    m->item_s = arena_take(m->memory, (size_t)b->targets * m->skip_dim, sizeof(float));
    if (!m->item_x || !m->item_s) return ERR_NO_MEMORY;
    err_code rc = choose_unknown(m, b);
    if (rc != ERR_OK) return rc;
    for (size_t i = 0; i < b->targets; i++) {
        item_row(m, b, params, i, m->item_x + i * m->item_dim, m->item_s + i * m->skip_dim);
    }
    const tower_dropout drop = dropout_of(m, b, (uint64_t)1 << 32);
    rc = tower_forward(m->item, params, m->item_x, m->skip ? m->item_s : NULL, b->targets, &drop);
    return rc == ERR_OK ? finish_items(m, params, b) : rc;
}

err_code two_tower_users(two_tower *m, const float *params, const two_tower_batch *b,
                         const float **out)
{
    arena_reset(m->memory);
    err_code rc = choose_ids(m, b);
    if (rc == ERR_OK) rc = user_forward(m, params, b);
    *out = m->user_out;
    return rc;
}

err_code two_tower_items(two_tower *m, const float *params, const two_tower_batch *b,
                         const float **out)
{
    arena_reset(m->memory);
    err_code rc = choose_ids(m, b);
    if (rc == ERR_OK) rc = item_forward(m, params, b);
    *out = m->item_out;
    return rc;
}

/* --- gradients ---------------------------------------------------------------------------------
 */

/* Adds embedding gradients lying side by side at `dx`; returns what follows them. */
static const float *take_attributes(const two_tower *m, const attribute_tables *t, float *grads,
                                    const uint32_t *value, const float *dx)
{
    for (uint32_t i = 0; i < t->n; i++, dx += m->attribute_dim) {
        float *table = grads + t->offset[i];
        add_row(table + (size_t)value[i] * m->attribute_dim, dx, m->attribute_dim);
    }
    return dx;
}

/* dx [users, user_dim - pool]: [pooled id | counts | attributes | dense];  ds [users, id_dim]. */
static void scatter_users(const two_tower *m, const two_tower_batch *b, const float *dx, float *ds,
                          float *grads, float *did)
{
    const size_t width = m->user_dim - pool_width(m), d = m->id_dim;
    for (size_t i = 0; i < b->users; i++, dx += width, ds += d) {
        if (m->user_attributes.n) {
            (void)take_attributes(m, &m->user_attributes, grads,
                                  b->user_attribute + i * m->user_attributes.n, dx + d + m->types);
        }
        uint32_t kept = 0;
        for (uint64_t e = b->history_indptr[i]; d && e < b->history_indptr[i + 1]; e++) {
            kept += m->kept[b->history[e]];
        }
        if (kept == 0) continue;
        add_row(ds, dx, d);
        scale_row(ds, 1.0f / (float)kept, d);
        for (uint64_t e = b->history_indptr[i]; e < b->history_indptr[i + 1]; e++) {
            if (m->kept[b->history[e]]) add_row(did + (size_t)b->history[e] * d, ds, d);
        }
    }
}

/* dx [targets, item_dim - v - text]: [type | attributes | id];  ds [targets, id_dim]. */
static void scatter_items(const two_tower *m, const two_tower_batch *b, const float *dx,
                          const float *ds, float *grads, float *did)
{
    const size_t d = m->id_dim;
    for (size_t i = 0; i < b->targets; i++, ds += d) {
        if (m->type_dim)
            add_row(grads + m->type_table + (size_t)b->type[i] * m->type_dim, dx, m->type_dim);
        dx += m->type_dim;
        if (m->item_attributes.n) {
            dx = take_attributes(m, &m->item_attributes, grads,
                                 b->item_attribute + i * m->item_attributes.n, dx);
        }
        if (item_has_id(m, i)) {
            add_row(did + i * d, dx, d);
            add_row(did + i * d, ds, d);
        }
        dx += d;
    }
}

static err_code user_backward(two_tower *m, const float *params, const two_tower_batch *b,
                              float *du, float *grads, float *did)
{
    const size_t first = pool_width(m), width = m->user_dim - first;
    float *dx = arena_take(m->memory, b->users * width, sizeof *dx);
    float *ds = arena_take_zeroed(m->memory, (size_t)b->users * m->id_dim, sizeof *ds);
    if (!dx || !ds) return ERR_NO_MEMORY;
    narrow_users(m, b, du, grads);
    err_code rc =
        tower_backward(m->user, params, grads, dx, first, m->skip ? ds : NULL, skip_id(m), du);
    if (rc == ERR_OK) scatter_users(m, b, dx, ds, grads, did);
    return rc;
}

static err_code item_backward(two_tower *m, const float *params, const two_tower_batch *b,
                              float *dv, float *grads, float *did)
{
    const size_t first = (size_t)m->v_dim + (m->item_text ? m->text_dim : 0);
    float *dx = arena_take(m->memory, b->targets * (m->item_dim - first), sizeof *dx);
    float *ds = arena_take_zeroed(m->memory, (size_t)b->targets * m->id_dim, sizeof *ds);
    if (!dx || !ds) return ERR_NO_MEMORY;
    narrow_items(m, b, dv, grads);
    err_code rc =
        tower_backward(m->item, params, grads, dx, first, m->skip ? ds : NULL, skip_id(m), dv);
    if (rc == ERR_OK) scatter_items(m, b, dx, ds, grads, did);
    return rc;
}

/* The loss over rows [users] and items [items]; du [users, d], *dtarget [targets, d]. */
static err_code chunk_loss(two_tower *m, const two_tower_batch *b, float **du, float **dtarget,
                           double *loss, double *weight)
{
    const size_t d = m->output_dim, n = b->items;
    float *v = arena_take(m->memory, n * d, sizeof *v),
          *dv = arena_take(m->memory, n * d, sizeof *dv);
    float *score = arena_take(m->memory, b->users * n, sizeof *score);
    uint32_t *item = arena_take(m->memory, n, sizeof *item);
    uint32_t *type = arena_take(m->memory, n, sizeof *type);
    *du = arena_take(m->memory, b->users * d, sizeof **du);
    *dtarget = arena_take_zeroed(m->memory, b->targets * d, sizeof **dtarget);
    if (!v || !dv || !score || !item || !type || !*du || !*dtarget) return ERR_NO_MEMORY;
    for (size_t i = 0; i < n; i++) {
        ASSERT(b->item[i] < b->targets);
        item[i] = b->node[b->item[i]];
        type[i] = b->type[b->item[i]];
    }
    gather_rows(v, m->item_out, b->item, n, d);
    tower_loss l = {.rows = b->users,
                    .items = n,
                    .d = d,
                    .u = m->user_out,
                    .v = v,
                    .item = item,
                    .item_type = m->same_type ? type : NULL,
                    .log_q = b->log_q,
                    .weight = b->weight,
                    .temperature = m->temperature,
                    .logq = m->logq};
    *loss = two_tower_loss(*du, dv, weight, &l, score);
    scatter_add_rows(*dtarget, dv, b->item, n, d);
    return ERR_OK;
}

err_code two_tower_train(two_tower *m, const float *params, const two_tower_batch *b, float *grads,
                         float *did, double *loss, double *weight)
{
    float *du = NULL, *dv = NULL;
    arena_reset(m->memory);
    if (did) memset(did, 0, (size_t)b->unique * m->id_dim * sizeof *did);
    err_code rc = choose_ids(m, b);
    if (rc == ERR_OK) rc = user_forward(m, params, b);
    if (rc == ERR_OK) rc = item_forward(m, params, b);
    if (rc == ERR_OK) rc = chunk_loss(m, b, &du, &dv, loss, weight);
    if (rc == ERR_OK) rc = user_backward(m, params, b, du, grads, did);
    if (rc == ERR_OK) rc = item_backward(m, params, b, dv, grads, did);
    return rc;
}
