/* draw.h - which neighbours are drawn.  Pure: the result is a function of (key, node, first draw).
 *
 * `ranks` are positions in a neighbour list of n; the list is ascending by source node, so are the
 * results.  `first` is the first draw number; at most k draw numbers are used.
 * Threads: any (scratch is an argument). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Grows as needed, keeps its memory between calls. */
typedef struct draw_scratch {
    uint64_t *words; /* owned: draw_scratch_fini */
    size_t cap;
} draw_scratch;
void draw_scratch_init(draw_scratch *s);
void draw_scratch_fini(draw_scratch *s);

/* Floyd's sampling: ranks[0..min(k, n)-1] ascending, a subset of [0, n) without replacement, every
 * subset of that size equally likely; k draws, no rejection.  n <= k: all, no draw; k > n / 2: what
 * is left out is drawn.  Membership by scan (small k), bitmap (n <= 64 k) or hash table: the cost
 * is O(k log k) for any n.  Returns min(k, n). */
uint32_t draw_uniform(uint32_t *ranks, uint64_t key, uint64_t node, uint32_t first, uint32_t n,
                      uint32_t k, draw_scratch *s);

/* Successive sampling without replacement: draw i takes rank r among those not yet taken with
 * probability weight[r] / (sum of the weights not yet taken); weights are integers >= 1 (0: never).
 * Exact in integers; O(n) + O(k (n / 256 + 256)).  Returns min(k, ranks with weight > 0). */
uint32_t draw_weighted(uint32_t *ranks, uint64_t key, uint64_t node, uint32_t first,
                       const uint16_t *weight, uint32_t n, uint32_t k, draw_scratch *s);

/* A sorted list of excluded pairs, (uint64_t)destination << 32 | source. */
static inline uint64_t draw_edge(uint32_t destination, uint32_t source)
{
    return (uint64_t)destination << 32 | source;
}

typedef struct draw_rule {
    uint32_t k;              /* UINT32_MAX: all neighbours */
    bool by_weight;          /* hgnn.neighbours: weight */
    const uint64_t *exclude; /* [excludes] sorted, unique; the list of the whole slot */
    size_t excludes;
} draw_rule;

/* The neighbours of `node` whose list is source[n] (ascending), weight[n]: fills ranks[min(k, n)]
 * with what is left after exclusion and drawing, ascending; returns how many.  Excluded ones are
 * never drawn: ranks are drawn from the list without them.  `ranks` holds at least min(k, n). */
uint32_t draw_neighbours(uint32_t *ranks, const draw_rule *rule, uint64_t key, uint32_t node,
                         uint32_t first, const uint32_t *source, const uint16_t *weight, uint32_t n,
                         draw_scratch *s);
