#include "sampler/ngram.h"

#include "common/hash.h"
#include "common/keyed_sort.h"
#include "common/mem.h"
#include "common/panic.h"
#include "common/vmath.h"
#include "sampler/text_norm.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

enum { GRAM_MIN = 3, GRAM_MAX = 5 };
static const uint64_t GRAM_SEED = 0x6e6772616d310001u;

struct ngram_model {
    uint32_t dim;
    uint64_t texts;
    uint32_t *df; /* [NGRAM_DF_BUCKETS] */
};

/* Hashes of the grams of one text, with repeats. */
typedef struct gram_list {
    uint64_t *hash; /* owned: free */
    size_t n, cap;
} gram_list;

ngram_model *ngram_model_new(uint32_t dim)
{
    ASSERT(dim >= 1 && dim <= NGRAM_DIM_MAX);
    ngram_model *m = xcalloc(1, sizeof *m);
    m->dim = dim;
    m->df = xcalloc(NGRAM_DF_BUCKETS, sizeof *m->df);
    return m;
}

void ngram_model_free(ngram_model *m)
{
    if (!m) return;
    free(m->df);
    free(m);
}

static bool is_word_point(int32_t point)
{
    switch (utf8proc_category(point)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
    case UTF8PROC_CATEGORY_SM:
    case UTF8PROC_CATEGORY_SC:
    case UTF8PROC_CATEGORY_SK:
    case UTF8PROC_CATEGORY_SO: return true;
    default: return false;
    }
}

/* word [n]: with a space at both ends. */
static void add_word(gram_list *g, const int32_t *word, size_t n)
{
    for (size_t size = GRAM_MIN; size <= GRAM_MAX && size <= n; size++) {
        grow(&g->hash, &g->cap, g->n + n - size + 1, sizeof *g->hash);
        for (size_t i = 0; i + size <= n; i++) {
            g->hash[g->n++] = hash64(word + i, size * sizeof *word, GRAM_SEED);
        }
    }
}

/* Sorted, so that repeats are neighbours and sums have one order. */
static gram_list grams_of(const char *text)
{
    gram_list g = {0};
    size_t n;
    int32_t *points = text_norm_folded(text, &n);
    int32_t *word = xmalloc((n + 2) * sizeof *word);
    for (size_t i = 0; i < n;) {
        size_t len = 0;
        word[len++] = ' ';
        while (i < n && is_word_point(points[i])) word[len++] = points[i++];
        word[len++] = ' ';
        if (len > 2) add_word(&g, word, len);
        while (i < n && !is_word_point(points[i])) i++;
    }
    if (g.n) qsort(g.hash, g.n, sizeof *g.hash, compare_u64);
    free(word);
    free(points);
    return g;
}

static size_t run_length(const gram_list *g, size_t i)
{
    size_t end = i + 1;
    while (end < g->n && g->hash[end] == g->hash[i]) end++;
    return end - i;
}

void ngram_model_count(ngram_model *m, const char *text)
{
    gram_list g = grams_of(text);
    for (size_t i = 0; i < g.n; i += run_length(&g, i)) {
        uint32_t *df = &m->df[g.hash[i] % NGRAM_DF_BUCKETS];
        if (*df < UINT32_MAX) (*df)++;
    }
    m->texts++;
    free(g.hash);
}

static double gram_weight(const ngram_model *m, uint64_t hash, size_t tf)
{
    double df = m->df[hash % NGRAM_DF_BUCKETS];
    /* Two grams of one text may share a bucket, so that df can exceed the number of texts. */
    double idf = vmath_log((1.0 + (double)m->texts) / (1.0 + df));
    return (1.0 + vmath_log((double)tf)) * (1.0 + (idf > 0 ? idf : 0));
}

void ngram_encode(const ngram_model *m, const char *text, float *out)
{
    gram_list g = grams_of(text);
    double *sum = xcalloc(m->dim, sizeof *sum);
    for (size_t i = 0; i < g.n;) {
        size_t tf = run_length(&g, i);
        uint64_t h = g.hash[i];
        double w = gram_weight(m, h, tf);
        /* The low bits chose the df bucket. */
        sum[(h >> 32) % m->dim] += (h >> 31 & 1) ? w : -w;
        i += tf;
    }
    double squares = 0;
    for (uint32_t k = 0; k < m->dim; k++) squares += sum[k] * sum[k];
    double scale = squares > 0 ? 1 / sqrt(squares) : 0;
    for (uint32_t k = 0; k < m->dim; k++) out[k] = (float)(sum[k] * scale);
    free(sum);
    free(g.hash);
}
