#include "common/model_spec.h"

#include "common/hash.h"
#include "common/mem.h"
#include "common/panic.h"
#include "common/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Standard deviations of what is not a weight matrix. */
#define EMBEDDING_DEVIATION 0.1
#define ID_DEVIATION        0.02
#define START_LENGTH        0.1
#define SQRT_3              1.7320508075688772

typedef struct builder {
    model_spec *spec;
    size_t cap;
} builder;

static model_tensor *add(builder *b, char *name, uint32_t rows, uint32_t cols, uint32_t rank)
{
    model_spec *s = b->spec;
    grow(&s->tensor, &b->cap, s->tensors + 1, sizeof *s->tensor);
    model_tensor *t = &s->tensor[s->tensors++];
    *t = (model_tensor){.name = name, .rows = rows, .cols = cols, .rank = rank};
    t->n = (size_t)rows * cols;
    return t;
}

/* base.w [out, in] and base.b [out]. */
static void add_linear(builder *b, const char *base, uint32_t out, uint32_t in, double bound)
{
    model_tensor *w = add(b, xprintf("%s.w", base), out, in, 2);
    w->init = MODEL_INIT_UNIFORM;
    w->bound = (float)bound;
    add(b, xprintf("%s.b", base), 1, out, 1);
}

static void add_embedding(builder *b, char *name, uint32_t values, uint32_t width)
{
    model_tensor *t = add(b, name, values, width, 2);
    t->init = MODEL_INIT_UNIFORM;
    t->bound = (float)(EMBEDDING_DEVIATION * SQRT_3);
}

static double weight_bound(uint32_t in, uint32_t out, bool last, double divisor)
{
    double span = last ? (double)in + (double)out : (double)in;
    return sqrt(6.0 / span) / divisor;
}

static uint32_t relations_into(const model_facts *f, uint32_t type)
{
    uint32_t n = 0;
    for (uint32_t r = 0; r < f->relations; r++) n += f->relation[r].destination == type;
    return n;
}

static void add_shared_layer(builder *b, const model_facts *f, uint32_t k, uint32_t in,
                             uint32_t out, bool last)
{
    uint32_t most = 0;
    for (uint32_t t = 0; t < f->types; t++) {
        uint32_t n = relations_into(f, t);
        most = n > most ? n : most;
    }
    const char *const kind[2] = {"self", "rel"};
    for (size_t i = 0; i < 2; i++) {
        char *base = xprintf("hgnn.%u.%s", k, kind[i]);
        add_linear(b, base, out, in, weight_bound(in, out, last, sqrt(1.0 + (double)most)));
        free(base);
    }
}

static void add_layer(builder *b, const model_facts *f, uint32_t k, uint32_t in, uint32_t out,
                      bool last)
{
    for (uint32_t t = 0; t < f->types; t++) {
        char *base = xprintf("hgnn.%u.self.%s", k, f->type[t]);
        double divisor = sqrt(1.0 + (double)relations_into(f, t));
        add_linear(b, base, out, in, weight_bound(in, out, last, divisor));
        free(base);
    }
    for (uint32_t r = 0; r < f->relations; r++) {
        const uint32_t source = f->relation[r].source, destination = f->relation[r].destination;
        char *base = xprintf("hgnn.%u.rel.%s.%s", k, f->type[source], f->type[destination]);
        double divisor = sqrt(1.0 + (double)relations_into(f, destination));
        add_linear(b, base, out, in, weight_bound(in, out, last, divisor));
        free(base);
    }
}

static void add_table(model_spec *s, char *name, uint32_t dim)
{
    s->table[s->tables++] =
        (model_table){.name = name, .dim = dim, .bound = (float)(ID_DEVIATION * SQRT_3)};
}

static void build_hgnn(builder *b, const config *c, const model_facts *f)
{
    uint32_t in = b->spec->input_dim;
    for (uint32_t k = 1; k <= c->hgnn.layers; k++) {
        const uint32_t out = c->hgnn.dims[k - 1];
        const bool last = k == c->hgnn.layers;
        if (c->hgnn.shared) {
            add_shared_layer(b, f, k, in, out, last);
        } else {
            add_layer(b, f, k, in, out, last);
        }
        in = out;
    }
    if (c->hgnn.id_embedding) add_table(b->spec, xstrdup("hgnn.id"), c->hgnn.id_embedding);
}

static void add_attributes(builder *b, const char *prefix, const char *side,
                           const model_attribute *a, uint32_t n, uint32_t width)
{
    for (uint32_t i = 0; width && i < n; i++) {
        add_embedding(b, xprintf("%s.attribute.%s.%s", prefix, side, a[i].key), a[i].values + 1,
                      width);
    }
}

static void add_tower(builder *b, const config *c, const char *prefix, const char *side,
                      uint32_t in)
{
    for (uint32_t k = 1; k <= c->two_tower.layers; k++) {
        const uint32_t out = c->two_tower.dims[k - 1];
        const bool last = k == c->two_tower.layers;
        const double divisor = last && c->two_tower.skip_shared ? 10.0 : 1.0;
        char *base = xprintf("%s.%s.%u", prefix, side, k);
        add_linear(b, base, out, in, weight_bound(in, out, last, divisor));
        free(base);
        in = out;
    }
}

/* A user without history and attributes is nothing but biases: zeros would have no direction, and
 * the first steps away from them gradients without measure. */
static void start_bias(builder *b, const config *c, const char *prefix)
{
    char *name = xprintf("%s.user.%u.b", prefix, (uint32_t)c->two_tower.layers);
    for (size_t i = 0; i < b->spec->tensors; i++) {
        model_tensor *t = &b->spec->tensor[i];
        if (strcmp(t->name, name) != 0) continue;
        t->init = MODEL_INIT_UNIFORM;
        t->bound = (float)(START_LENGTH * sqrt(3.0 / (double)t->n));
    }
    free(name);
}

/* At the start a logit has log1p(positives) in it. */
static void add_popularity(builder *b, const config *c, const model_facts *f, const char *prefix)
{
    add(b, xprintf("%s.popularity.w", prefix), 1, f->types, 2);
    if (c->two_tower.item_drop > 0) {
        model_tensor *unknown = add(b, xprintf("%s.popularity.unknown", prefix), f->types, 1, 2);
        unknown->init = MODEL_INIT_VALUE;
        unknown->bound = MODEL_COUNT_SCALE;
    }
    model_tensor *t = add(b, xprintf("%s.popularity.b", prefix), 1, 1, 1);
    t->init = MODEL_INIT_VALUE;
    t->bound = c->two_tower.temperature / MODEL_COUNT_SCALE;
}

static void build_two_tower(builder *b, const config *c, const model_facts *f)
{
    model_spec *s = b->spec;
    const char *prefix = s->stage == STAGE_TWO_TOWER ? "two_tower" : "two_tower_no_z";
    add_tower(b, c, prefix, "user", s->user_dim);
    add_tower(b, c, prefix, "item", s->item_dim);
    start_bias(b, c, prefix);
    if (c->two_tower.skip_shared) {
        model_tensor *t = add(b, xprintf("%s.skip.w", prefix), s->tower_dim, s->skip_dim, 2);
        t->init = MODEL_INIT_SKIP;
        t->identity = s->v_dim;
    }
    if (c->two_tower.popularity) add_popularity(b, c, f, prefix);
    if (c->two_tower.type_embedding) {
        add_embedding(b, xprintf("%s.type", prefix), f->types, c->two_tower.type_embedding);
    }
    const uint32_t width = c->two_tower.attribute_embedding;
    add_attributes(b, prefix, "user", f->user_attribute, f->user_attributes, width);
    add_attributes(b, prefix, "item", f->item_attribute, f->item_attributes, width);
    if (c->two_tower.item_id) add_table(s, xprintf("%s.item_id", prefix), c->two_tower.item_id);
}

static void set_widths(model_spec *s, const config *c, const model_facts *f)
{
    const uint32_t width = c->two_tower.attribute_embedding;
    uint32_t blocks = 1;
    if (c->history.pool != POOL_ALL) blocks = f->types + (c->history.pool == POOL_BOTH);
    s->input_dim = f->text_dim + c->hgnn.random_features + c->hgnn.id_embedding;
    s->z_dim = c->hgnn.dims[c->hgnn.layers - 1];
    s->use_z = s->stage == STAGE_TWO_TOWER && c->two_tower.use_z;
    s->item_text = s->use_z && c->two_tower.use_text;
    s->v_dim = s->use_z ? s->z_dim : f->text_dim;
    s->user_dim = blocks * s->v_dim + c->two_tower.item_id + f->types + f->user_attributes * width +
                  f->user_dense_dim;
    s->item_dim = s->v_dim + (s->item_text ? f->text_dim : 0) + c->two_tower.type_embedding +
                  f->item_attributes * width + c->two_tower.item_id;
    s->skip_text = s->use_z && c->two_tower.skip_shared && c->two_tower.skip_text;
    s->skip_dim = s->v_dim + (s->skip_text ? f->text_dim : 0) + c->two_tower.item_id;
    s->tower_dim = c->two_tower.dims[c->two_tower.layers - 1];
    s->output_dim = s->tower_dim + c->two_tower.popularity;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const model_tensor *)a)->name, ((const model_tensor *)b)->name);
}

static stage_id training_stage(stage_id stage)
{
    switch (stage) {
    case STAGE_HGNN:
    case STAGE_HGNN_VALID: return STAGE_HGNN;
    case STAGE_TWO_TOWER:
    case STAGE_TWO_TOWER_VALID: return STAGE_TWO_TOWER;
    case STAGE_TWO_TOWER_NO_Z:
    case STAGE_TWO_TOWER_NO_Z_VALID: return STAGE_TWO_TOWER_NO_Z;
    default: UNREACHABLE();
    }
}

model_spec *model_spec_new(const config *c, const model_facts *f, stage_id stage)
{
    builder b = {.spec = xcalloc(1, sizeof(model_spec))};
    b.spec->stage = training_stage(stage);
    ASSERT(c->hgnn.layers >= 1 && c->two_tower.layers >= 1);
    set_widths(b.spec, c, f);
    if (b.spec->stage == STAGE_HGNN) {
        build_hgnn(&b, c, f);
    } else {
        build_two_tower(&b, c, f);
    }
    qsort(b.spec->tensor, b.spec->tensors, sizeof *b.spec->tensor, by_name);
    for (size_t i = 0; i < b.spec->tensors; i++) {
        b.spec->tensor[i].offset = b.spec->values;
        b.spec->values += b.spec->tensor[i].n;
    }
    return b.spec;
}

void model_spec_free(model_spec *s)
{
    if (!s) return;
    for (size_t i = 0; i < s->tensors; i++) free(s->tensor[i].name);
    for (uint32_t i = 0; i < s->tables; i++) free(s->table[i].name);
    free(s->tensor);
    free(s);
}

const model_tensor *model_spec_find(const model_spec *s, const char *name)
{
    size_t low = 0, high = s->tensors;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = strcmp(name, s->tensor[middle].name);
        if (order == 0) return &s->tensor[middle];
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return NULL;
}

static uint64_t name_key(uint64_t seed, const char *name)
{
    return rng_key(seed, hash64_string(name, 0), 0, 0, 0, USE_INIT);
}

static float uniform(uint64_t key, uint64_t node, uint32_t draw, float bound)
{
    return (2.0f * rng_unit(key, node, draw) - 1.0f) * bound;
}

static float skip_value(const model_tensor *t, uint64_t key, uint64_t element)
{
    const uint64_t row = element / t->cols, col = element % t->cols;
    if (col < t->identity && t->identity <= t->rows) return row == col ? 1.0f : 0.0f;
    return rng_normal(key, element, 0) / sqrtf((float)t->rows);
}

void model_spec_init(const model_tensor *t, uint64_t seed, size_t first, size_t n, float *out)
{
    ASSERT(first + n <= t->n);
    const uint64_t key = name_key(seed, t->name);
    for (size_t i = 0; i < n; i++) {
        switch (t->init) {
        case MODEL_INIT_ZERO: out[i] = 0.0f; break;
        case MODEL_INIT_UNIFORM: out[i] = uniform(key, first + i, 0, t->bound); break;
        case MODEL_INIT_VALUE: out[i] = t->bound; break;
        case MODEL_INIT_SKIP: out[i] = skip_value(t, key, first + i); break;
        }
    }
}

void model_spec_init_row(const model_table *t, uint64_t seed, uint64_t key, float *out)
{
    const uint64_t name = name_key(seed, t->name);
    for (uint32_t j = 0; j < t->dim; j++) out[j] = uniform(name, key, j, t->bound);
}
