#include "worker/baseline_item_knn.h"

#include "common/keyed_sort.h"
#include "common/mem.h"
#include "common/panic.h"
#include "worker/baseline_popularity.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    KNN_TOPS = 3,
    KNN_PAIRS_MAX = 1 << 25, /* 16 bytes each while lists are turned round */
    KNN_LIST_MIN = 100,
    KNN_TOP_DEFAULT = 100,
};
static const uint32_t knn_tops[KNN_TOPS] = {20, 100, 0};

/* The lists are kept by neighbour: who scores when a user has j.  Entries of j are ordered by the
 * neighbour's place in the scored item's list, so that "top k" is a prefix. */
struct baseline_item_knn {
    const baseline_matrix *matrix;
    bool own_type;
    uint64_t *begin;         /* [items + 1] */
    uint64_t *end[KNN_TOPS]; /* [items] of the prefix */
    uint32_t *item;          /* scored items */
    float *cosine;
    uint32_t top; /* index into knn_tops */
};

/* Neighbour lists by scored item, while they are made. */
typedef struct knn_lists {
    uint64_t *begin; /* [items + 1] */
    uint32_t *neighbour;
    float *cosine;
    size_t cap;
} knn_lists;

typedef struct knn_scratch {
    double *count;   /* [items] c_ij of the item at hand */
    uint32_t *seen;  /* [items] j with count > 0 */
    uint64_t *order; /* [items] sort keys */
    double *norm;    /* [items] c_ii */
    double *weight;  /* [users] */
    uint32_t *item_of_tie;
} knn_scratch;

static void scratch_fini(knn_scratch *s)
{
    free(s->count);
    free(s->seen);
    free(s->order);
    free(s->norm);
    free(s->weight);
    free(s->item_of_tie);
}

static err_code scratch_init(knn_scratch *s, const candidates *c, const baseline_matrix *m,
                             bool user_weights)
{
    size_t items = (size_t)c->in->items + 1, users = (size_t)c->in->users + 1;
    *s = (knn_scratch){try_calloc(items, sizeof(double)),   try_calloc(items, sizeof(uint32_t)),
                       try_calloc(items, sizeof(uint64_t)), try_calloc(items, sizeof(double)),
                       try_calloc(users, sizeof(double)),   try_calloc(items, sizeof(uint32_t))};
    if (!s->count || !s->seen || !s->order || !s->norm || !s->weight || !s->item_of_tie)
        return ERR_NO_MEMORY;
    for (uint32_t u = 0; u < c->in->users; u++) {
        uint64_t n = m->rows->indptr[u + 1] - m->rows->indptr[u];
        s->weight[u] = user_weights && n > 0 ? 1 / sqrt((double)n) : 1;
    }
    for (uint32_t i = 0; i < c->in->items; i++) {
        s->item_of_tie[c->tie[i]] = i;
        for (uint64_t p = m->indptr[i]; p < m->indptr[i + 1]; p++)
            s->norm[i] += s->weight[m->user[p]];
    }
    return ERR_OK;
}

/* Fills count and seen for item i; returns how many items were seen with it. */
static size_t count_together(knn_scratch *s, const candidates *c, const baseline_matrix *m,
                             uint32_t i, bool own_type)
{
    const uint8_t *type = c->in->item_type;
    size_t n = 0;
    for (uint64_t p = m->indptr[i]; p < m->indptr[i + 1]; p++) {
        uint32_t u = m->user[p];
        for (uint64_t q = m->rows->indptr[u]; q < m->rows->indptr[u + 1]; q++) {
            uint32_t j = m->rows->item[q];
            if (j == i || (own_type && type[j] != type[i])) continue;
            if (s->count[j] == 0) s->seen[n++] = j;
            s->count[j] += s->weight[u];
        }
    }
    return n;
}

/* Sorts what was seen with i: the largest cosine first, ties by the order of ties. */
static void order_neighbours(knn_scratch *s, const candidates *c, uint32_t i, size_t n)
{
    for (size_t k = 0; k < n; k++) {
        uint32_t j = s->seen[k], bits;
        float cosine = (float)(s->count[j] / sqrt(s->norm[i] * s->norm[j]));
        memcpy(&bits, &cosine, sizeof bits); /* positive floats order like their bits */
        s->order[k] = (uint64_t)~bits << 32 | c->tie[j];
        s->count[j] = 0;
    }
    qsort(s->order, n, sizeof *s->order, compare_u64);
}

static err_code lists_reserve(knn_lists *l, size_t need)
{
    if (need <= l->cap) return ERR_OK;
    size_t cap = l->cap < 1024 ? 1024 : l->cap;
    while (cap < need) cap += cap / 2;
    uint32_t *neighbour = try_realloc(l->neighbour, cap, sizeof *neighbour);
    if (neighbour) l->neighbour = neighbour;
    float *cosine = try_realloc(l->cosine, cap, sizeof *cosine);
    if (cosine) l->cosine = cosine;
    if (!neighbour || !cosine) return ERR_NO_MEMORY;
    l->cap = cap;
    return ERR_OK;
}

static void lists_fini(knn_lists *l)
{
    free(l->begin);
    free(l->neighbour);
    free(l->cosine);
}

static err_code lists_add(knn_lists *l, const knn_scratch *s, uint32_t i, size_t n)
{
    uint64_t at = l->begin[i];
    if (lists_reserve(l, at + n) != ERR_OK) return ERR_NO_MEMORY;
    for (size_t k = 0; k < n; k++) {
        uint32_t bits = ~(uint32_t)(s->order[k] >> 32);
        l->neighbour[at + k] = s->item_of_tie[(uint32_t)s->order[k]];
        memcpy(&l->cosine[at + k], &bits, sizeof bits);
    }
    l->begin[i + 1] = at + n;
    return ERR_OK;
}

static err_code lists_init(knn_lists *l, const candidates *c, const baseline_matrix *m,
                           bool user_weights, bool own_type)
{
    uint32_t items = c->in->items;
    size_t longest = KNN_PAIRS_MAX / ((size_t)items + 1);
    if (longest < KNN_LIST_MIN) longest = KNN_LIST_MIN;
    *l = (knn_lists){.begin = try_calloc((size_t)items + 1, sizeof *l->begin)};
    knn_scratch s;
    err_code rc = scratch_init(&s, c, m, user_weights);
    if (!l->begin) rc = ERR_NO_MEMORY;
    for (uint32_t i = 0; rc == ERR_OK && i < items; i++) {
        size_t n = count_together(&s, c, m, i, own_type);
        order_neighbours(&s, c, i, n);
        rc = lists_add(l, &s, i, n < longest ? n : longest);
    }
    scratch_fini(&s);
    return rc;
}

/* begin and end: how often each item is a neighbour at all, and within the first `top`. */
static void count_entries(baseline_item_knn *k, const knn_lists *l, uint32_t items)
{
    for (uint32_t i = 0; i < items; i++) {
        for (uint64_t p = l->begin[i]; p < l->begin[i + 1]; p++) {
            uint32_t j = l->neighbour[p];
            k->begin[j + 1]++;
            for (int t = 0; t < KNN_TOPS; t++) {
                k->end[t][j] += knn_tops[t] == 0 || p - l->begin[i] < knn_tops[t];
            }
        }
    }
    for (uint32_t j = 0; j < items; j++) {
        k->begin[j + 1] += k->begin[j];
        for (int t = 0; t < KNN_TOPS; t++) k->end[t][j] += k->begin[j];
    }
}

/* The first neighbours of all items, then the second, ...; active, next: scratch [items]. */
static void fill_entries(baseline_item_knn *k, const knn_lists *l, uint32_t items, uint32_t *active,
                         uint64_t *next)
{
    memcpy(next, k->begin, items * sizeof *next);
    for (uint32_t i = 0; i < items; i++) active[i] = i;
    uint32_t left = items;
    for (uint64_t place = 0; left > 0; place++) {
        uint32_t n = left;
        left = 0;
        for (uint32_t a = 0; a < n; a++) {
            uint64_t p = l->begin[active[a]] + place;
            if (p >= l->begin[active[a] + 1]) continue;
            uint64_t at = next[l->neighbour[p]]++;
            k->item[at] = active[a];
            k->cosine[at] = l->cosine[p];
            active[left++] = active[a];
        }
    }
}

static err_code transpose(baseline_item_knn *k, const knn_lists *l, uint32_t items)
{
    size_t n = (size_t)items + 1;
    uint32_t *active = try_malloc(n, sizeof *active);
    uint64_t *next = try_malloc(n, sizeof *next);
    k->begin = try_calloc(n, sizeof *k->begin);
    for (int t = 0; t < KNN_TOPS; t++) k->end[t] = try_calloc(n, sizeof *k->end[t]);
    k->item = try_malloc(l->begin[items] + 1, sizeof *k->item);
    k->cosine = try_malloc(l->begin[items] + 1, sizeof *k->cosine);
    bool had = active && next && k->begin && k->end[0] && k->end[1] && k->end[2];
    had = had && k->item && k->cosine;
    if (had) {
        count_entries(k, l, items);
        fill_entries(k, l, items, active, next);
    }
    free(active);
    free(next);
    return had ? ERR_OK : ERR_NO_MEMORY;
}

err_code baseline_item_knn_new(const candidates *c, const baseline_matrix *m, bool user_weights,
                               bool own_type, baseline_item_knn **out)
{
    baseline_item_knn *k = xcalloc(1, sizeof *k);
    k->matrix = m;
    k->own_type = own_type;
    knn_lists lists;
    err_code rc = lists_init(&lists, c, m, user_weights, own_type);
    if (rc == ERR_OK) rc = transpose(k, &lists, c->in->items);
    lists_fini(&lists);
    if (rc != ERR_OK) {
        baseline_item_knn_free(k);
        return rc;
    }
    *out = k;
    return ERR_OK;
}

void baseline_item_knn_free(baseline_item_knn *k)
{
    if (!k) return;
    free(k->begin);
    for (int t = 0; t < KNN_TOPS; t++) free(k->end[t]);
    free(k->item);
    free(k->cosine);
    free(k);
}

/* sum [items] overwritten; false: the user has nothing to score by. */
static bool sum_user(float *sum, const baseline_item_knn *k, const candidates *c, uint32_t type,
                     uint32_t user)
{
    const evaluation_lists *rows = k->matrix->rows;
    bool used = false;
    memset(sum, 0, c->in->items * sizeof *sum);
    for (uint64_t p = rows->indptr[user]; p < rows->indptr[user + 1]; p++) {
        uint32_t j = rows->item[p];
        if (k->own_type && c->in->item_type[j] != type) continue;
        used = true;
        for (uint64_t e = k->begin[j]; e < k->end[k->top][j]; e++) sum[k->item[e]] += k->cosine[e];
    }
    return used;
}

static err_code item_knn_score(const void *state, const candidates *c, uint32_t type,
                               const uint32_t *users, size_t n, float *scores)
{
    const baseline_item_knn *k = state;
    size_t count = candidates_count(c, type);
    const uint32_t *item = c->item + c->begin[type];
    float *sum = try_malloc((size_t)c->in->items + 1, sizeof *sum);
    if (!sum) return ERR_NO_MEMORY;
    for (size_t u = 0; u < n; u++) {
        float *row = scores + u * count;
        if (sum_user(sum, k, c, type, users[u])) {
            for (size_t i = 0; i < count; i++) row[i] = sum[item[i]];
        } else {
            baseline_popularity_fill(row, c, type);
        }
    }
    free(sum);
    return ERR_OK;
}

scorer baseline_item_knn_scorer(baseline_item_knn *k, uint32_t top)
{
    k->top = 0;
    while (knn_tops[k->top] != top) {
        k->top++;
        ASSERT(k->top < KNN_TOPS);
    }
    return (scorer){item_knn_score, k, MODEL_ITEM_KNN};
}

/* Tries every `top` of one (user_weights, own_type) for every wanted type. */
static err_code try_tops(const candidates *c, baseline_item_knn *k, const scoring_sink *sink,
                         bool user_weights, evaluation_choice *best)
{
    err_code rc = ERR_OK;
    for (int t = 0; t < KNN_TOPS; t++) {
        scorer s = baseline_item_knn_scorer(k, knn_tops[t]);
        for (uint32_t type = 0; rc == ERR_OK && type < c->in->types; type++) {
            double hr = 0;
            if (sink->wanted[type].users == 0 || best[type].valid_users == 0) continue;
            rc = scoring_valid_hr(&hr, c, type, &sink->valid[type], &s);
            if (rc != ERR_OK || hr <= best[type].valid_hr) continue;
            best[type].valid_hr = hr;
            best[type].top = knn_tops[t];
            best[type].user_weights = user_weights;
            best[type].own_type = k->own_type;
        }
    }
    return rc;
}

static err_code choose(const candidates *c, const baseline_matrix *m, const scoring_sink *sink,
                       evaluation_choice *best)
{
    err_code rc = ERR_OK;
    int variants = c->in->types > 1 ? 4 : 2;
    for (int v = 0; rc == ERR_OK && v < variants; v++) {
        baseline_item_knn *k = NULL;
        rc = baseline_item_knn_new(c, m, v & 1, v & 2, &k);
        if (rc == ERR_OK) rc = try_tops(c, k, sink, v & 1, best);
        baseline_item_knn_free(k);
    }
    return rc;
}

/* Builds each chosen variant once more and scores the types that chose it. */
static err_code score_chosen(const candidates *c, const baseline_matrix *m,
                             const scoring_sink *sink, const evaluation_choice *best)
{
    err_code rc = ERR_OK;
    for (int v = 0; rc == ERR_OK && v < 4; v++) {
        baseline_item_knn *k = NULL;
        for (uint32_t t = 0; rc == ERR_OK && t < c->in->types; t++) {
            if (sink->wanted[t].users == 0) continue;
            if (best[t].user_weights != !!(v & 1) || best[t].own_type != !!(v & 2)) continue;
            if (!k) rc = baseline_item_knn_new(c, m, v & 1, v & 2, &k);
            if (rc != ERR_OK) break;
            scorer s = baseline_item_knn_scorer(k, best[t].top);
            rc = sink->test(sink->context, t, &s, &best[t]);
        }
        baseline_item_knn_free(k);
    }
    return rc;
}

err_code baseline_item_knn_run(const candidates *c, const baseline_matrix *m,
                               const scoring_sink *sink)
{
    evaluation_choice *best = xcalloc(c->in->types + 1, sizeof *best);
    for (uint32_t t = 0; t < c->in->types; t++) {
        best[t] = (evaluation_choice){.type = t, .model = MODEL_ITEM_KNN, .top = KNN_TOP_DEFAULT};
        best[t].valid_users = sink->valid[t].users;
        best[t].valid_hr = best[t].valid_users > 0 ? -1 : 0;
    }
    err_code rc = choose(c, m, sink, best);
    if (rc == ERR_OK) rc = score_chosen(c, m, sink, best);
    free(best);
    return rc;
}
