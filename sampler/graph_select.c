#include "sampler/graph_select.h"

#include "common/hash.h"
#include "common/mem.h"
#include "common/panic.h"

#include <math.h>
#include <stdlib.h>

enum { AGGREGATION_MAX = 65535 };

typedef struct choice {
    double weight;
    uint64_t tie; /* smaller is better */
    uint64_t norm;
    uint32_t source;
} choice;

/* The choices of one source type: a heap whose root is the worst, once there are max_degree. */
typedef struct choice_heap {
    choice *at;
    size_t n, cap;
} choice_heap;

struct graph_selector {
    const graph_input *in;
    uint32_t destination;
    choice_heap heap[CONFIG_TYPES_MAX];
};

void graph_edges_fini(graph_edges *e)
{
    free(e->source);
    free(e->aggregation);
    free(e->norm);
    *e = (graph_edges){0};
}

graph_selector *graph_selector_new(const graph_input *in)
{
    graph_selector *s = xcalloc(1, sizeof *s);
    ASSERT(in->types <= CONFIG_TYPES_MAX);
    s->in = in;
    return s;
}

void graph_selector_free(graph_selector *s)
{
    if (s == NULL) return;
    for (size_t t = 0; t < CONFIG_TYPES_MAX; t++) free(s->heap[t].at);
    free(s);
}

static bool is_worse(const graph_input *in, const choice *a, const choice *b)
{
    if (a->weight < b->weight || a->weight > b->weight) return a->weight < b->weight;
    if (a->tie != b->tie) return a->tie > b->tie;
    return in->item_key[a->source] > in->item_key[b->source];
}

static void sift_down(const graph_input *in, choice_heap *h, size_t i)
{
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= h->n) return;
        if (child + 1 < h->n && is_worse(in, &h->at[child + 1], &h->at[child])) child++;
        if (!is_worse(in, &h->at[child], &h->at[i])) return;
        choice swap = h->at[i];
        h->at[i] = h->at[child];
        h->at[child] = swap;
        i = child;
    }
}

static double edge_weight(const graph_selector *s, uint32_t source, uint32_t count, uint64_t norm)
{
    const graph_input *in = s->in;

    switch (in->weight) {
    case EDGE_COUNT: return (double)count;
    case EDGE_USER_NORM: return (double)norm;
    case EDGE_COSINE:
        return (double)count /
               (sqrt((double)in->train_users[source] * (double)in->train_users[s->destination]) +
                in->shrink);
    }
    UNREACHABLE();
}

static uint64_t tie_of(const graph_selector *s, uint32_t source)
{
    uint64_t keys[2] = {s->in->item_key[s->destination], s->in->item_key[source]};
    return hash64(keys, sizeof keys, s->in->seed);
}

void graph_select_begin(graph_selector *s, uint32_t destination)
{
    s->destination = destination;
    for (uint32_t t = 0; t < s->in->types; t++) s->heap[t].n = 0;
}

void graph_select_add(graph_selector *s, uint32_t source, uint32_t count, uint64_t norm)
{
    const graph_input *in = s->in;
    choice_heap *h = &s->heap[in->item_type[source]];
    choice c = {.source = source, .norm = norm};

    if (count < in->min_users) return;
    c.weight = edge_weight(s, source, count, norm);
    bool full = in->max_degree > 0 && h->n == in->max_degree;
    if (full && c.weight < h->at[0].weight) return;
    c.tie = tie_of(s, source);
    if (!full) {
        grow(&h->at, &h->cap, h->n + 1, sizeof *h->at);
        h->at[h->n++] = c;
        if (h->n == in->max_degree) {
            for (size_t i = h->n / 2; i-- > 0;) sift_down(in, h, i);
        }
        return;
    }
    if (is_worse(in, &c, &h->at[0])) return;
    h->at[0] = c;
    sift_down(in, h, 0);
}

static int by_source(const void *a, const void *b)
{
    uint32_t x = ((const choice *)a)->source, y = ((const choice *)b)->source;
    return x < y ? -1 : x > y;
}

static uint16_t aggregation_weight(double weight, double heaviest)
{
    double w = floor(weight / heaviest * AGGREGATION_MAX + 0.5);
    return (uint16_t)(w < 1.0 ? 1.0 : w > AGGREGATION_MAX ? AGGREGATION_MAX : w);
}

static void append(graph_edges *out, const choice *c, double heaviest)
{
    grow(&out->source, &out->source_cap, out->n + 1, sizeof *out->source);
    grow(&out->aggregation, &out->aggregation_cap, out->n + 1, sizeof *out->aggregation);
    grow(&out->norm, &out->norm_cap, out->n + 1, sizeof *out->norm);
    out->source[out->n] = c->source;
    out->aggregation[out->n] = aggregation_weight(c->weight, heaviest);
    out->norm[out->n] = c->norm;
    if (c->norm > out->norm_max) out->norm_max = c->norm;
    out->n++;
}

void graph_select_end(graph_selector *s, graph_edges *out)
{
    for (uint32_t t = 0; t < s->in->types; t++) {
        choice_heap *h = &s->heap[t];
        double heaviest = 0.0;
        if (h->n > 1) qsort(h->at, h->n, sizeof *h->at, by_source);
        for (size_t i = 0; i < h->n; i++) heaviest = fmax(heaviest, h->at[i].weight);
        for (size_t i = 0; i < h->n; i++) append(out, &h->at[i], heaviest);
    }
}
