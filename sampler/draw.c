#include "sampler/draw.h"

#include "common/mem.h"
#include "common/panic.h"
#include "common/rng.h"

#include <stdlib.h>
#include <string.h>

enum { SCAN_MAX = 32, BLOCK = 256 };

void draw_scratch_init(draw_scratch *s)
{
    *s = (draw_scratch){0};
}

void draw_scratch_fini(draw_scratch *s)
{
    free(s->words);
    *s = (draw_scratch){0};
}

static uint64_t *scratch(draw_scratch *s, size_t words)
{
    grow(&s->words, &s->cap, words, sizeof *s->words);
    return s->words;
}

static int rank_order(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* --- Uniform -----------------------------------------------------------------------------------
 */

/* A set of ranks < n.  Scan: the ranks taken so far; bitmap; or an open hash table of rank + 1. */
typedef struct rank_set {
    enum { SET_SCAN, SET_BITMAP, SET_HASH } kind;
    uint64_t *words;
    uint64_t mask; /* SET_HASH */
} rank_set;

static rank_set set_make(uint32_t n, uint32_t k, draw_scratch *s)
{
    if (k <= SCAN_MAX) return (rank_set){SET_SCAN, NULL, 0};
    size_t words = ((size_t)n + 63) / 64;
    rank_set set = {SET_BITMAP, NULL, 0};
    if (n / 64 > k) {
        for (words = 64; words < 2 * (size_t)k; words *= 2) {
        }
        set.kind = SET_HASH;
        set.mask = words - 1;
    }
    set.words = scratch(s, words);
    memset(set.words, 0, words * sizeof *set.words);
    return set;
}

/* Adds `rank`; false: it is there already. */
static bool set_add(rank_set *set, const uint32_t *taken, uint32_t count, uint32_t rank)
{
    if (set->kind == SET_SCAN) {
        for (uint32_t i = 0; i < count; i++) {
            if (taken[i] == rank) return false;
        }
        return true;
    }
    if (set->kind == SET_BITMAP) {
        uint64_t bit = UINT64_C(1) << rank % 64;
        if (set->words[rank / 64] & bit) return false;
        set->words[rank / 64] |= bit;
        return true;
    }
    uint64_t at = (rank * UINT64_C(0x9e3779b97f4a7c15)) >> 32 & set->mask;
    while (set->words[at]) {
        if (set->words[at] == (uint64_t)rank + 1) return false;
        at = (at + 1) & set->mask;
    }
    set->words[at] = (uint64_t)rank + 1;
    return true;
}

/* Floyd: for j = n - k .. n - 1, take a uniform rank of [0, j], or j itself if that is taken. */
static void floyd(uint32_t *ranks, uint64_t key, uint64_t node, uint32_t first, uint32_t n,
                  uint32_t k, draw_scratch *s)
{
    rank_set set = set_make(n, k, s);
    for (uint32_t i = 0; i < k; i++) {
        uint32_t j = n - k + i;
        uint32_t rank = (uint32_t)rng_below(key, node, first + i, (uint64_t)j + 1);
        if (!set_add(&set, ranks, i, rank)) {
            rank = j;
            bool added = set_add(&set, ranks, i, rank);
            ASSERT(added);
        }
        ranks[i] = rank;
    }
    qsort(ranks, k, sizeof *ranks, rank_order);
}

/* out[n - count]: [0, n) without the ascending left[count]; out and left do not overlap. */
static void complement(uint32_t *out, const uint32_t *left, uint32_t n, uint32_t count)
{
    for (uint32_t rank = 0, i = 0; rank < n; rank++) {
        if (i < count && left[i] == rank) {
            i++;
        } else {
            *out++ = rank;
        }
    }
}

uint32_t draw_uniform(uint32_t *ranks, uint64_t key, uint64_t node, uint32_t first, uint32_t n,
                      uint32_t k, draw_scratch *s)
{
    if (k >= n) {
        for (uint32_t i = 0; i < n; i++) ranks[i] = i;
        return n;
    }
    uint32_t rest = n - k;
    if (rest >= k || rest > UINT32_MAX / 4) {
        floyd(ranks, key, node, first, n, k, s);
        return k;
    }
    uint32_t *left = try_malloc(rest, sizeof *left);
    ASSERT(left);
    floyd(left, key, node, first, n, rest, s);
    complement(ranks, left, n, rest);
    free(left);
    return k;
}

/* --- By weight ---------------------------------------------------------------------------------
 */

/* Takes the rank at `point` of the running sum of what is left, and leaves it out from now on. */
static uint32_t take_at(uint64_t *left, uint64_t *block, uint32_t n, uint64_t point)
{
    uint32_t b = 0;
    while (point >= block[b]) point -= block[b++];
    uint32_t i = b * BLOCK;
    while (point >= left[i]) point -= left[i++];
    ASSERT(i < n);
    block[b] -= left[i];
    left[i] = 0;
    return i;
}

uint32_t draw_weighted(uint32_t *ranks, uint64_t key, uint64_t node, uint32_t first,
                       const uint16_t *weight, uint32_t n, uint32_t k, draw_scratch *s)
{
    uint32_t blocks = n / BLOCK + 1, count = 0;
    uint64_t *left = scratch(s, (size_t)n + blocks), *block = left + n, total = 0;
    memset(block, 0, blocks * sizeof *block);
    for (uint32_t i = 0; i < n; i++) {
        left[i] = weight[i];
        block[i / BLOCK] += weight[i];
        total += weight[i];
        count += weight[i] != 0;
    }
    if (k > count) k = count;
    for (uint32_t i = 0; i < k; i++) {
        uint32_t rank = take_at(left, block, n, rng_below(key, node, first + i, total));
        total -= weight[rank];
        ranks[i] = rank;
    }
    qsort(ranks, k, sizeof *ranks, rank_order);
    return k;
}

/* --- Neighbours --------------------------------------------------------------------------------
 */

static size_t lower_bound(const uint64_t *x, size_t n, uint64_t value)
{
    size_t low = 0, high = n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (x[mid] < value) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

static bool rank_of(const uint32_t *source, uint32_t n, uint32_t value, uint32_t *rank)
{
    uint32_t low = 0, high = n;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (source[mid] < value) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    *rank = low;
    return low < n && source[low] == value;
}

/* Ranks of `node`'s excluded neighbours, ascending; owned, NULL if there are none. */
static uint32_t *excluded_ranks(const draw_rule *rule, uint32_t node, const uint32_t *source,
                                uint32_t n, uint32_t *count)
{
    *count = 0;
    size_t from = lower_bound(rule->exclude, rule->excludes, draw_edge(node, 0));
    uint32_t *ranks = NULL;
    size_t cap = 0;
    for (size_t i = from; i < rule->excludes && rule->exclude[i] >> 32 == node; i++) {
        uint32_t rank;
        if (!rank_of(source, n, (uint32_t)rule->exclude[i], &rank)) continue;
        grow(&ranks, &cap, *count + 1, sizeof *ranks);
        ranks[(*count)++] = rank;
    }
    return ranks;
}

/* Ranks of the list without `out` (ascending) become ranks of the whole list. */
static void put_back(uint32_t *ranks, uint32_t k, const uint32_t *out, uint32_t outs)
{
    uint32_t skipped = 0;
    for (uint32_t i = 0; i < k; i++) {
        while (skipped < outs && out[skipped] <= ranks[i] + skipped) skipped++;
        ranks[i] += skipped;
    }
}

static uint32_t weighted_without(uint32_t *ranks, const draw_rule *rule, uint64_t key,
                                 uint32_t node, uint32_t first, const uint16_t *weight, uint32_t n,
                                 const uint32_t *out, uint32_t outs, draw_scratch *s)
{
    if (!outs) return draw_weighted(ranks, key, node, first, weight, n, rule->k, s);
    uint16_t *rest = try_malloc((size_t)n + 1, sizeof *rest);
    ASSERT(rest);
    uint32_t m = 0;
    for (uint32_t i = 0, skipped = 0; i < n; i++) {
        if (skipped < outs && out[skipped] == i) {
            skipped++;
        } else {
            rest[m++] = weight[i];
        }
    }
    uint32_t k = draw_weighted(ranks, key, node, first, rest, m, rule->k, s);
    free(rest);
    put_back(ranks, k, out, outs);
    return k;
}

uint32_t draw_neighbours(uint32_t *ranks, const draw_rule *rule, uint64_t key, uint32_t node,
                         uint32_t first, const uint32_t *source, const uint16_t *weight, uint32_t n,
                         draw_scratch *s)
{
    uint32_t outs;
    uint32_t *out = excluded_ranks(rule, node, source, n, &outs);
    uint32_t k;
    if (rule->by_weight && rule->k < n - outs) {
        k = weighted_without(ranks, rule, key, node, first, weight, n, out, outs, s);
    } else {
        k = draw_uniform(ranks, key, node, first, n - outs, rule->k, s);
        put_back(ranks, k, out, outs);
    }
    free(out);
    return k;
}
