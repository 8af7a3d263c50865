/* golden_check DIR... - compares the models and optimizers with reference cases computed elsewhere.
 *
 * Each DIR holds a case.yaml (kind: hgnn | two_tower | optimizers) and .npy arrays.  Prints one
 * line a tensor (`case tensor rel_error`), then `N cases, M tensors, worst E`; exit 1 when a tensor
 * is over 1e-4 (norm-wise relative), missing or not computed, 77 when there is no case at all. */
#include "common/blas.h"
#include "common/mem.h"
#include "ps/optimizer.h"
#include "worker/hgnn.h"
#include "worker/tower.h"

#include <dirent.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <yaml.h>

#define BOUND 1e-4

static size_t cases, tensors, failures, absent;
static double worst;

/* --- one case ----------------------------------------------------------------------------------
 */

enum { CHECKED_MAX = 4096, NAME_MAX_BYTES = 512 };

typedef struct golden {
    const char *dir, *name;
    yaml_document_t yaml;
    yaml_node_t *root;
    char *checked[CHECKED_MAX];
    size_t checked_n;
    void *owned[8 * CHECKED_MAX]; /* freed with the case */
    size_t owned_n;
} golden;

static void *own(golden *c, void *p)
{
    if (c->owned_n == sizeof c->owned / sizeof *c->owned) abort();
    c->owned[c->owned_n++] = p;
    return p;
}

static void fail(const golden *c, const char *what, const char *why)
{
    printf("%s %s %s\n", c->name, what, why);
    failures++;
}

/* --- yaml --------------------------------------------------------------------------------------
 */

static yaml_node_t *yaml_get(golden *c, yaml_node_t *map, const char *key)
{
    if (!map || map->type != YAML_MAPPING_NODE) return NULL;
    for (yaml_node_pair_t *p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top;
         p++) {
        yaml_node_t *k = yaml_document_get_node(&c->yaml, p->key);
        if (k->type == YAML_SCALAR_NODE && !strcmp((char *)k->data.scalar.value, key)) {
            return yaml_document_get_node(&c->yaml, p->value);
        }
    }
    return NULL;
}

static yaml_node_t *yaml_item(golden *c, yaml_node_t *list, size_t i)
{
    if (!list || list->type != YAML_SEQUENCE_NODE) return NULL;
    yaml_node_item_t *at = list->data.sequence.items.start + i;
    return at < list->data.sequence.items.top ? yaml_document_get_node(&c->yaml, *at) : NULL;
}

static size_t yaml_length(yaml_node_t *list)
{
    if (!list || list->type != YAML_SEQUENCE_NODE) return 0;
    return (size_t)(list->data.sequence.items.top - list->data.sequence.items.start);
}

static const char *yaml_text(yaml_node_t *n)
{
    return n && n->type == YAML_SCALAR_NODE ? (char *)n->data.scalar.value : "";
}

static double yaml_number(golden *c, yaml_node_t *map, const char *key, double otherwise)
{
    yaml_node_t *n = yaml_get(c, map, key);
    return n ? strtod(yaml_text(n), NULL) : otherwise;
}

/* --- npy ---------------------------------------------------------------------------------------
 */

typedef struct array {
    bool ok;
    float *f;   /* of '<f4' and '<f8' */
    int32_t *i; /* of '<i4' and '<i8' */
    size_t n;
} array;

static void convert(golden *c, array *a, const char *type, const uint8_t *data)
{
    bool integer = type[1] == 'i', wide = type[2] == '8';
    a->ok = true;
    if (integer) a->i = own(c, xcalloc(a->n + 1, sizeof *a->i));
    a->f = own(c, xcalloc(a->n + 1, sizeof *a->f));
    for (size_t j = 0; j < a->n; j++) {
        double d = 0;
        float f = 0;
        int64_t l = 0;
        int32_t s = 0;
        const uint8_t *at = data + j * (wide ? 8 : 4);
        if (integer) {
            memcpy(wide ? (void *)&l : (void *)&s, at, wide ? 8 : 4);
            a->i[j] = wide ? (int32_t)l : s;
            a->f[j] = (float)a->i[j];
        } else {
            memcpy(wide ? (void *)&d : (void *)&f, at, wide ? 8 : 4);
            a->f[j] = wide ? (float)d : f;
        }
    }
}

static array load(golden *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
static array load(golden *c, const char *format, ...)
{
    char name[NAME_MAX_BYTES], path[2 * NAME_MAX_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(name, sizeof name, format, args);
    va_end(args);
    snprintf(path, sizeof path, "%s/%s.npy", c->dir, name);
    array a = {0};
    FILE *file = fopen(path, "rb");
    if (!file) return a;
    fseek(file, 0, SEEK_END);
    size_t bytes = (size_t)ftell(file);
    rewind(file);
    uint8_t *data = own(c, xcalloc(bytes + 1, 1));
    bool read = fread(data, 1, bytes, file) == bytes;
    fclose(file);
    if (!read || bytes < 12 || memcmp(data, "\x93NUMPY", 6) != 0) return a;
    size_t header = data[6] == 1 ? 10u + data[8] + 256u * data[9]
                                 : 12u + data[8] + 256u * data[9] + 65536u * data[10];
    char *type = strstr((char *)data + 10, "'descr'");
    if (header > bytes || !type || strstr((char *)data + 10, "'fortran_order': True")) return a;
    type = strchr(type + 7, '\'') + 1;
    size_t size = type[2] == '8' ? 8 : 4;
    if (type[0] != '<' || (type[1] != 'f' && type[1] != 'i')) return a;
    a.n = (bytes - header) / size;
    convert(c, &a, type, data + header);
    return a;
}

/* --- comparing ---------------------------------------------------------------------------------
 */

static void compare(golden *c, const char *name, const float *got, size_t n)
{
    array e = load(c, "expect_%s", name);
    if (c->checked_n < CHECKED_MAX) c->checked[c->checked_n++] = own(c, xprintf("expect_%s", name));
    tensors++;
    if (!e.ok || e.n != n) {
        fail(c, name, e.ok ? "has another size" : "missing");
        return;
    }
    double difference = 0, norm = 0;
    for (size_t i = 0; i < n; i++) {
        difference += ((double)got[i] - (double)e.f[i]) * ((double)got[i] - (double)e.f[i]);
        norm += (double)e.f[i] * (double)e.f[i];
    }
    double error = sqrt(difference) / fmax(sqrt(norm), 1e-6);
    printf("%s %s %.3e\n", c->name, name, error);
    if (!(error <= BOUND)) failures++;
    if (!(error <= worst)) worst = error;
}

/* Whatever the folder expects must have been looked at. */
static void check_all_seen(golden *c)
{
    DIR *dir = opendir(c->dir);
    for (struct dirent *e; dir && (e = readdir(dir));) {
        size_t n = strlen(e->d_name), seen = 0;
        if (strncmp(e->d_name, "expect_", 7) || n < 4 || strcmp(e->d_name + n - 4, ".npy"))
            continue;
        for (size_t i = 0; i < c->checked_n; i++) {
            seen += strlen(c->checked[i]) == n - 4 && !strncmp(c->checked[i], e->d_name, n - 4);
        }
        if (!seen) fail(c, e->d_name, "not computed");
    }
    if (dir) closedir(dir);
}

/* --- parameters: a flat array made of the case's tensors ----------------------------------------
 */

typedef struct parameters {
    float *values, *grads;
    size_t n;
    char *name[CHECKED_MAX];
    size_t offset[CHECKED_MAX], size[CHECKED_MAX], tensors;
} parameters;

static size_t add_parameter(golden *c, parameters *p, char *name, size_t n)
{
    for (size_t i = 0; i < p->tensors; i++) {
        if (!strcmp(p->name[i], name)) return p->offset[i];
    }
    array a = load(c, "%s", name);
    if (!a.ok || a.n != n) fail(c, name, "missing or of another size");
    p->values = xrealloc(p->values, p->n + n + 1, sizeof(float));
    for (size_t i = 0; i < n; i++) p->values[p->n + i] = a.ok && i < a.n ? a.f[i] : 0.0f;
    size_t at = p->tensors++;
    p->name[at] = name;
    p->offset[at] = p->n;
    p->size[at] = n;
    p->n += n;
    return p->offset[at];
}

static void compare_grads(golden *c, const parameters *p, double divisor)
{
    for (size_t i = 0; i < p->tensors; i++) {
        float *g = p->grads + p->offset[i];
        for (size_t j = 0; j < p->size[i]; j++) g[j] = (float)((double)g[j] / divisor);
        char *name = own(c, xprintf("grad_%s", p->name[i]));
        compare(c, name, g, p->size[i]);
    }
}

/* --- kind: hgnn --------------------------------------------------------------------------------
 */

typedef struct hgnn_case {
    hgnn_shape shape;
    const char *type[CONFIG_TYPES_MAX];
    subgraph_relation *relation;
    size_t *offsets;
    subgraph graph;
    hgnn_input input;
    parameters params;
} hgnn_case;

static uint32_t type_index(const hgnn_case *h, const char *name)
{
    for (uint32_t t = 0; t < h->shape.types; t++) {
        if (!strcmp(h->type[t], name)) return t;
    }
    return 0;
}

static void read_shape(golden *c, hgnn_case *h)
{
    yaml_node_t *types = yaml_get(c, c->root, "types"), *dims = yaml_get(c, c->root, "dims");
    yaml_node_t *relations = yaml_get(c, c->root, "relations");
    const char *aggregator = yaml_text(yaml_get(c, c->root, "aggregator"));
    hgnn_shape *s = &h->shape;
    s->types = (uint32_t)yaml_length(types);
    s->relations = (uint32_t)yaml_length(relations);
    s->layers = (uint32_t)yaml_length(dims) - 1;
    for (uint32_t t = 0; t < s->types; t++) h->type[t] = yaml_text(yaml_item(c, types, t));
    for (uint32_t k = 0; k <= s->layers; k++) {
        s->dims[k] = (uint32_t)strtoul(yaml_text(yaml_item(c, dims, k)), NULL, 10);
    }
    h->relation = own(c, xcalloc(s->relations + 1, sizeof *h->relation));
    for (uint32_t r = 0; r < s->relations; r++) {
        yaml_node_t *pair = yaml_item(c, relations, r);
        h->relation[r].source = type_index(h, yaml_text(yaml_item(c, pair, 0)));
        h->relation[r].destination = type_index(h, yaml_text(yaml_item(c, pair, 1)));
    }
    s->relation = h->relation;
    s->aggregator = !strcmp(aggregator, "max_pool") ? AGG_MAX_POOL
                    : !strcmp(aggregator, "mean")   ? AGG_MEAN
                                                    : AGG_WEIGHTED_MEAN;
    s->loss = !strcmp(yaml_text(yaml_get(c, c->root, "loss")), "hinge") ? LOSS_HINGE : LOSS_SOFTMAX;
    s->output_relu = !strcmp(yaml_text(yaml_get(c, c->root, "output_activation")), "relu");
    s->margin = (float)yaml_number(c, c->root, "margin", 0);
    s->temperature = (float)yaml_number(c, c->root, "temperature", 1);
    s->mask_off = true;
}

static void read_parameters(golden *c, hgnn_case *h)
{
    hgnn_shape *s = &h->shape;
    size_t self = (size_t)s->layers * s->types, relation = (size_t)s->layers * s->relations;
    size_t *at = own(c, xcalloc(2 * (self + relation) + 1, sizeof *at));
    s->self_w = at, s->self_b = at + self;
    s->relation_w = at + 2 * self, s->relation_b = at + 2 * self + relation;
    for (uint32_t k = 1; k <= s->layers; k++) {
        size_t in = s->dims[k - 1], out = s->dims[k];
        for (uint32_t t = 0; t < s->types; t++) {
            char *base = own(c, xprintf("self_%u_%s", k, h->type[t]));
            size_t i = (k - 1) * s->types + t;
            at[i] = add_parameter(c, &h->params, own(c, xprintf("%s_w", base)), in * out);
            at[self + i] = add_parameter(c, &h->params, own(c, xprintf("%s_b", base)), out);
        }
        for (uint32_t r = 0; r < s->relations; r++) {
            char *base = own(c, xprintf("rel_%u_%s_%s", k, h->type[h->relation[r].source],
                                        h->type[h->relation[r].destination]));
            size_t i = 2 * self + (k - 1) * s->relations + r;
            at[i] = add_parameter(c, &h->params, own(c, xprintf("%s_w", base)), in * out);
            at[relation + i] = add_parameter(c, &h->params, own(c, xprintf("%s_b", base)), out);
        }
    }
}

/* Weights that are not integers are scaled list by list to 1..65535 (only their ratios count). */
static uint16_t *read_weights(golden *c, const array *w, const uint64_t *indptr, size_t n)
{
    uint16_t *out = own(c, xcalloc(w->n + 1, sizeof *out));
    bool integers = true;
    for (size_t e = 0; e < w->n; e++) {
        integers = integers && w->f[e] == floorf(w->f[e]) && w->f[e] >= 1 && w->f[e] <= 65535;
    }
    for (size_t v = 0; v < n; v++) {
        float largest = 0;
        for (uint64_t e = indptr[v]; e < indptr[v + 1]; e++) largest = fmaxf(largest, w->f[e]);
        for (uint64_t e = indptr[v]; e < indptr[v + 1]; e++) {
            double x = integers ? (double)w->f[e] : (double)w->f[e] / (double)largest * 65535.0;
            out[e] = (uint16_t)lrint(x);
        }
    }
    return out;
}

static void read_adjacency(golden *c, hgnn_case *h, uint32_t k, uint32_t r, subgraph_adjacency *out)
{
    const char *source = h->type[h->relation[r].source];
    const char *destination = h->type[h->relation[r].destination];
    array indptr = load(c, "indptr_%u_%s_%s", k, source, destination);
    array index = load(c, "indices_%u_%s_%s", k, source, destination);
    array weight = load(c, "weights_%u_%s_%s", k, source, destination);
    size_t n = h->graph.rows[k][h->relation[r].destination];
    if (!indptr.ok || !indptr.i || indptr.n != n + 1 || (!index.ok && indptr.i[n] > 0)) {
        fail(c, "indptr/indices", "missing or of another size");
        return;
    }
    uint64_t *p = own(c, xcalloc(n + 1, sizeof *p));
    for (size_t v = 0; v <= n; v++) p[v] = (uint64_t)indptr.i[v];
    uint32_t *i = own(c, xcalloc(index.n + 1, sizeof *i));
    for (size_t e = 0; e < index.n; e++) i[e] = (uint32_t)index.i[e];
    *out = (subgraph_adjacency){.indptr = p, .index = i};
    if (weight.ok) out->weight = read_weights(c, &weight, p, n);
}

static void read_graph(golden *c, hgnn_case *h)
{
    subgraph *g = &h->graph;
    g->layers = h->shape.layers, g->types = h->shape.types, g->relations = h->shape.relations;
    g->relation = h->relation;
    yaml_node_t *nodes = yaml_get(c, c->root, "nodes");
    for (uint32_t k = 0; k <= g->layers; k++) {
        for (uint32_t t = 0; t < g->types; t++) {
            g->rows[k][t] = (uint32_t)yaml_number(c, yaml_item(c, nodes, k), h->type[t], 0);
        }
    }
    for (uint32_t k = 1; k <= g->layers; k++) {
        subgraph_adjacency *a = own(c, xcalloc(g->relations + 1, sizeof *a));
        for (uint32_t r = 0; r < g->relations; r++) read_adjacency(c, h, k, r, &a[r]);
        g->layer[k] = a;
    }
    h->input.f32_dim = h->shape.dims[0];
    for (uint32_t t = 0; t < g->types; t++) {
        array x = load(c, "x_%s", h->type[t]);
        if (x.n != (size_t)g->rows[0][t] * h->shape.dims[0])
            fail(c, h->type[t], "x of another size");
        h->input.f32[t] = x.f;
    }
}

static void read_pairs(golden *c, hgnn_case *h)
{
    subgraph *g = &h->graph;
    array pairs = load(c, "pairs");
    if (!pairs.ok || !pairs.i || pairs.n % 4 || pairs.n == 0) fail(c, "pairs", "missing");
    subgraph_pair *p = own(c, xcalloc(pairs.n / 4 + 1, sizeof *p));
    g->pairs = (uint32_t)(pairs.n / 4);
    for (size_t i = 0; i < g->pairs; i++) {
        p[i] = (subgraph_pair){(uint32_t)pairs.i[4 * i], (uint32_t)pairs.i[4 * i + 1],
                               (uint32_t)pairs.i[4 * i + 2], (uint32_t)pairs.i[4 * i + 3]};
    }
    g->pair = p;
    for (uint32_t t = 0; t < g->types; t++) {
        array negatives = load(c, "negatives_%s", h->type[t]);
        uint32_t *rows = own(c, xcalloc(negatives.n + 1, sizeof *rows));
        for (size_t i = 0; i < negatives.n; i++) rows[i] = (uint32_t)negatives.i[i];
        g->negatives[t] = (uint32_t)negatives.n;
        g->negative[t] = rows;
    }
}

static void run_hgnn(golden *c)
{
    hgnn_case *h = own(c, xcalloc(1, sizeof *h));
    size_t before = failures;
    read_shape(c, h);
    read_parameters(c, h);
    read_graph(c, h);
    read_pairs(c, h);
    own(c, h->params.values);
    if (failures > before) return;
    h->params.grads = own(c, xcalloc(h->params.n + 1, sizeof(float)));
    hgnn *m = hgnn_new_shape(&h->shape);
    double sum = 0;
    if (hgnn_forward(m, h->params.values, &h->graph, &h->input) != ERR_OK ||
        hgnn_loss(m, &h->graph, &sum) != ERR_OK ||
        hgnn_backward(m, h->params.values, &h->graph, &h->input, h->params.grads, NULL) != ERR_OK) {
        abort();
    }
    for (uint32_t t = 0; t < h->shape.types; t++) {
        size_t n = (size_t)h->graph.rows[h->shape.layers][t] * h->shape.dims[h->shape.layers];
        compare(c, own(c, xprintf("z_%s", h->type[t])), hgnn_z(m, t), n);
    }
    float loss = (float)(sum / h->graph.pairs);
    compare(c, "loss", &loss, 1);
    compare_grads(c, &h->params, h->graph.pairs);
    hgnn_free(m);
}

/* --- kind: two_tower ---------------------------------------------------------------------------
 */

static void read_tower(golden *c, parameters *p, const char *side, uint32_t input, tower_shape *s)
{
    yaml_node_t *dims = yaml_get(c, c->root, "dims");
    s->layers = (uint32_t)yaml_length(dims);
    s->dims[0] = input;
    for (uint32_t k = 1; k <= s->layers; k++) {
        s->dims[k] = (uint32_t)strtoul(yaml_text(yaml_item(c, dims, k - 1)), NULL, 10);
        size_t n = s->dims[k];
        s->w[k] = add_parameter(c, p, own(c, xprintf("%s_%u_w", side, k)), n * s->dims[k - 1]);
        s->b[k] = add_parameter(c, p, own(c, xprintf("%s_%u_b", side, k)), n);
    }
}

static void check_towers(golden *c, parameters *p, tower *user, tower *item, tower_loss *l,
                         const array *x, const array *y, const tower_shape *us,
                         const tower_shape *is)
{
    float *du = own(c, xcalloc(l->rows * l->d + 1, sizeof *du));
    float *dv = own(c, xcalloc(l->items * l->d + 1, sizeof *dv));
    float *score = own(c, xcalloc(l->rows * l->items + 1, sizeof *score));
    float *dx = own(c, xcalloc(x->n + 1, sizeof *dx)), *dy = own(c, xcalloc(y->n + 1, sizeof *dy));
    if (tower_forward(user, p->values, x->f, NULL, l->rows, NULL) != ERR_OK ||
        tower_forward(item, p->values, y->f, NULL, l->items, NULL) != ERR_OK) {
        abort();
    }
    l->u = tower_output(user), l->v = tower_output(item);
    compare(c, "user_vectors", l->u, l->rows * us->dims[us->layers]);
    compare(c, "item_vectors", l->v, l->items * is->dims[is->layers]);
    double weight, sum = two_tower_loss(du, dv, &weight, l, score);
    float loss = (float)(sum / weight);
    compare(c, "loss", &loss, 1);
    if (tower_backward(user, p->values, p->grads, dx, 0, NULL, 0, du) != ERR_OK ||
        tower_backward(item, p->values, p->grads, dy, 0, NULL, 0, dv) != ERR_OK) {
        abort();
    }
    for (size_t i = 0; i < x->n; i++) dx[i] = (float)((double)dx[i] / weight);
    for (size_t i = 0; i < y->n; i++) dy[i] = (float)((double)dy[i] / weight);
    compare(c, "grad_user_features", dx, x->n);
    compare(c, "grad_item_features", dy, y->n);
    compare_grads(c, p, weight);
}

static void run_two_tower(golden *c)
{
    parameters p = {0};
    tower_shape us = {0}, is = {0};
    size_t before = failures;
    read_tower(c, &p, "user", (uint32_t)yaml_number(c, c->root, "user_dim", 0), &us);
    read_tower(c, &p, "item", (uint32_t)yaml_number(c, c->root, "item_dim", 0), &is);
    own(c, p.values);
    p.grads = own(c, xcalloc(p.n + 1, sizeof(float)));
    tower_loss l = {.rows = (size_t)yaml_number(c, c->root, "batch", 0), .logq = 1};
    l.items = l.rows + (size_t)yaml_number(c, c->root, "uniform_negatives", 0);
    l.d = us.dims[us.layers];
    l.temperature = (float)yaml_number(c, c->root, "temperature", 1);
    array x = load(c, "user_features"), y = load(c, "item_features"), ids = load(c, "item_ids");
    array log_q = load(c, "log_q"), weight = load(c, "weight");
    if (x.n != l.rows * us.dims[0] || y.n != l.items * is.dims[0] || ids.n != l.items || !ids.i) {
        fail(c, "features", "missing or of another size");
    }
    if (failures > before) return;
    uint32_t *item = own(c, xcalloc(l.items + 1, sizeof *item));
    for (size_t i = 0; i < l.items; i++) item[i] = (uint32_t)ids.i[i];
    l.item = item;
    l.log_q = log_q.ok ? log_q.f : NULL;
    l.weight = weight.ok ? weight.f : NULL;
    tower *user = tower_new(&us), *towers = tower_new(&is);
    check_towers(c, &p, user, towers, &l, &x, &y, &us, &is);
    tower_free(user);
    tower_free(towers);
}

/* --- kind: optimizers --------------------------------------------------------------------------
 */

static void run_optimizer(golden *c, const char *name, optimizer_kind kind, const array *w0,
                          const array *grads, size_t steps)
{
    yaml_node_t *keys = yaml_get(c, c->root, name);
    if (!keys) return;
    config_optimizer o = {
        .name = kind,
        .momentum = (float)yaml_number(c, keys, "momentum", 0.9),
        .beta1 = (float)yaml_number(c, keys, "beta1", 0.9),
        .beta2 = (float)yaml_number(c, keys, "beta2", 0.999),
        .eps = (float)yaml_number(c, keys, "eps", kind == OPT_ADAGRAD ? 1e-10 : 1e-8),
        .weight_decay = (float)yaml_number(c, keys, "weight_decay", 0),
    };
    const float lr = (float)yaml_number(c, keys, "lr", 0);
    float *w = own(c, xcalloc(w0->n + 1, sizeof *w)), *a = own(c, xcalloc(w0->n + 1, sizeof *a));
    float *b = own(c, xcalloc(w0->n + 1, sizeof *b));
    float *const state[] = {a, b};
    const float *const old[] = {a, b};
    memcpy(w, w0->f, w0->n * sizeof *w);
    for (size_t step = 1; step <= steps; step++) {
        optimizer_apply(&o, lr, step, w, state, w, old, grads->f + (step - 1) * w0->n, w0->n);
    }
    compare(c, name, w, w0->n);
}

static void run_optimizers(golden *c)
{
    static const struct {
        const char *name;
        optimizer_kind kind;
    } all[] = {{"sgd", OPT_SGD},
               {"momentum", OPT_MOMENTUM},
               {"adagrad", OPT_ADAGRAD},
               {"adam", OPT_ADAM},
               {"adamw", OPT_ADAMW}};
    array w0 = load(c, "w0"), grads = load(c, "grads");
    size_t steps = (size_t)yaml_number(c, c->root, "steps", 0);
    if (!w0.ok || !grads.ok || grads.n != steps * w0.n) {
        fail(c, "w0/grads", "missing or of another size");
        return;
    }
    for (size_t i = 0; i < 5; i++) run_optimizer(c, all[i].name, all[i].kind, &w0, &grads, steps);
}

/* --- all ---------------------------------------------------------------------------------------
 */

static bool open_yaml(golden *c)
{
    char path[2 * NAME_MAX_BYTES];
    snprintf(path, sizeof path, "%s/case.yaml", c->dir);
    FILE *file = fopen(path, "rb");
    if (!file) return false;
    yaml_parser_t parser;
    yaml_parser_initialize(&parser);
    yaml_parser_set_input_file(&parser, file);
    bool ok = yaml_parser_load(&parser, &c->yaml);
    yaml_parser_delete(&parser);
    fclose(file);
    c->root = ok ? yaml_document_get_root_node(&c->yaml) : NULL;
    return c->root != NULL;
}

static void run_case(const char *dir)
{
    golden *c = xcalloc(1, sizeof *c);
    const char *slash = strrchr(dir, '/');
    *c = (golden){.dir = dir, .name = slash && slash[1] ? slash + 1 : dir};
    cases++;
    if (!open_yaml(c)) {
        fail(c, "case.yaml", "missing or not YAML");
        free(c);
        return;
    }
    const char *kind = yaml_text(yaml_get(c, c->root, "kind"));
    if (!strcmp(kind, "hgnn")) {
        run_hgnn(c);
    } else if (!strcmp(kind, "two_tower")) {
        run_two_tower(c);
    } else if (!strcmp(kind, "optimizers")) {
        run_optimizers(c);
    } else {
        fail(c, "kind", "unknown");
    }
    check_all_seen(c);
    yaml_document_delete(&c->yaml);
    for (size_t i = 0; i < c->owned_n; i++) free(c->owned[i]);
    free(c);
}

/* A folder without a case.yaml: each of its folders is a case, by name. */
static void run_folder(const char *dir)
{
    struct dirent **entries;
    char path[2 * NAME_MAX_BYTES];
    struct stat st;
    snprintf(path, sizeof path, "%s/case.yaml", dir);
    if (stat(path, &st) == 0) {
        run_case(dir);
        return;
    }
    int n = scandir(dir, &entries, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, entries[i]->d_name);
        bool folder = entries[i]->d_name[0] != '.' && stat(path, &st) == 0 && S_ISDIR(st.st_mode);
        if (folder) run_case(path);
        free(entries[i]);
    }
    if (n >= 0) free(entries);
    if (n < 0 && stat(dir, &st) != 0) {
        fprintf(stderr, "golden_check: %s: no such folder\n", dir);
        absent++;
    }
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: golden_check DIR...\n");
        return 2;
    }
    blas_start();
    for (int i = 1; i < argc; i++) {
        char *end = argv[i] + strlen(argv[i]);
        while (end > argv[i] + 1 && end[-1] == '/') *--end = '\0';
        run_folder(argv[i]);
    }
    printf("%zu cases, %zu tensors, worst %.3e\n", cases, tensors, worst);
    if (cases == 0) return 77;
    return failures || absent ? 1 : 0;
}
