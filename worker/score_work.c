#include "common/blas.h"
#include "common/keyed_sort.h"
#include "common/mem.h"
#include "common/reduce.h"
#include "common/rng.h"
#include "common/table_id.h"
#include "worker/slot_work.h"

#include <stdlib.h>
#include <string.h>

/* Validation: the held-out items of a chunk of users are ranked among the sample's items of their
 * type, less what the user has in train.  HGNN: scores by the mean of z over the history,
 * reciprocal rank of the best within 100; two-tower: hit within 10. */

enum { RANK_MRR = 100, RANK_HR = 10 };
static const uint32_t rank_last = UINT32_MAX - 1;

/* Position of a node among the candidates, or UINT32_MAX. */
static uint32_t candidate_of(const task *t, uint32_t node)
{
    const uint32_t *found = bsearch(&node, t->candidate, t->candidates, sizeof node, compare_u32);
    return found ? (uint32_t)(found - t->candidate) : UINT32_MAX;
}

static float *mean_of_history(const task *t, const float *vectors, size_t d)
{
    const microbatch_tower *c = &t->batch->tower[0];
    float *users = try_calloc(c->rows * d, sizeof *users);
    for (uint32_t u = 0; users && u < c->rows; u++) {
        float *to = users + u * d;
        for (uint64_t i = c->history_indptr[u]; i < c->history_indptr[u + 1]; i++) {
            uint32_t at = candidate_of(t, c->node[c->history[i]]);
            if (at == UINT32_MAX) continue;
            for (size_t k = 0; k < d; k++) to[k] += vectors[at * d + k];
        }
    }
    return users;
}

/* The candidates of one type are neighbours in t->candidate. */
static void type_range(const task *t, uint32_t type, uint32_t *first, uint32_t *end)
{
    const manifest *m = t->job->manifest;
    *first = 0;
    while (*first < t->candidates && t->candidate[*first] < manifest_type_begin(m, type)) ++*first;
    *end = *first;
    while (*end < t->candidates && t->candidate[*end] < manifest_type_begin(m, type + 1)) ++*end;
}

/* Marks the candidates of the range that the user has; returns how many entries of `marked` to
 * undo. */
static uint32_t mark_seen(const task *t, uint32_t user, uint32_t first, uint32_t end, uint8_t *seen,
                          uint32_t *marked)
{
    const microbatch_tower *c = &t->batch->tower[0];
    uint32_t n = 0;
    for (uint64_t i = c->seen_indptr[user]; i < c->seen_indptr[user + 1]; i++) {
        uint32_t at = candidate_of(t, c->node[c->seen[i]]);
        if (at == UINT32_MAX || at < first || at >= end || seen[at - first]) continue;
        seen[at - first] = 1;
        marked[n++] = at - first;
    }
    return n;
}

/* 1 + how many candidates come before `target`: higher score, or the same and the smaller tie hash.
 */
static uint32_t rank_of(const float *score, const uint64_t *tie, const uint8_t *seen, uint32_t n,
                        uint32_t target)
{
    uint32_t rank = 1;
    for (uint32_t i = 0; i < n; i++) {
        if (seen[i] || i == target) continue;
        rank += score[i] > score[target] || (score[i] == score[target] && tie[i] < tie[target]);
    }
    return rank;
}

/* UINT32_MAX: no target in the range.  Where a score is not finite nothing is found: every
 * comparison with NaN is false, so that a NaN would rank first. */
static uint32_t best_rank(const task *t, uint32_t user, uint32_t first, uint32_t end,
                          const float *score, const uint64_t *tie, const uint8_t *seen)
{
    const microbatch_tower *c = &t->batch->tower[0];
    uint32_t best = UINT32_MAX;
    bool finite = reduce_all_finite(score, end - first);
    for (uint64_t i = c->target_indptr[user]; i < c->target_indptr[user + 1]; i++) {
        uint32_t at = candidate_of(t, c->node[c->target[i]]);
        if (at == UINT32_MAX || at < first || at >= end) continue;
        uint32_t rank = finite ? rank_of(score, tie, seen, end - first, at - first) : rank_last;
        if (rank < best) best = rank;
    }
    return best;
}

typedef struct scratch {
    float *score;
    uint64_t *tie;
    uint8_t *seen;
    uint32_t *marked;
} scratch;

static void score_type(const task *t, uint32_t type, const float *users, const float *vectors,
                       size_t d, scratch *s, double *sums)
{
    const microbatch_tower *c = &t->batch->tower[0];
    uint32_t first, end;
    type_range(t, type, &first, &end);
    uint32_t n = end - first;
    if (!n) return;
    blas_nt(s->score, users, vectors + first * d, c->rows, n, d, 1, 0, n, d, d);
    uint64_t key = rng_key(t->job->config->seed, 0, 0, 0, 0, USE_TIES);
    for (uint32_t i = 0; i < n; i++)
        s->tie[i] = rng_u64(key, task_key(t, task_index(t, t->candidate[first + i])), 0);
    bool mrr = t->name.stage == STAGE_HGNN_VALID;
    for (uint32_t u = 0; u < c->rows; u++) {
        uint32_t marked = mark_seen(t, u, first, end, s->seen, s->marked);
        uint32_t best = best_rank(t, u, first, end, s->score + (size_t)u * n, s->tie, s->seen);
        for (uint32_t i = 0; i < marked; i++) s->seen[s->marked[i]] = 0;
        if (best == UINT32_MAX) continue;
        if (mrr) {
            sums[2 * type] += best <= RANK_MRR ? 1.0 / best : 0;
        } else {
            sums[2 * type] += best <= RANK_HR;
        }
        sums[2 * type + 1] += 1;
    }
}

err_code score_work_users(slot_models *m, const task *t, const worker_task *w, slot_result *out)
{
    uint32_t types = (uint32_t)t->job->manifest->types.n, rows = t->batch->tower[0].rows;
    bool mrr = t->name.stage == STAGE_HGNN_VALID;
    size_t d =
        mrr ? table_dim(t->job->config, TABLE_Z) : table_dim(t->job->config, TABLE_VALID_ITEMS);
    const float *vectors = (const float *)(const void *)blob_data(t->vectors);
    float *users = NULL;
    err_code rc = ERR_OK;
    if (mrr) {
        users = mean_of_history(t, vectors, d);
        if (!users) rc = ERR_NO_MEMORY;
    } else {
        rc = tower_work_users(m, t, w, &users);
    }
    scratch s = {.score = try_malloc((size_t)rows * t->candidates, sizeof *s.score),
                 .tie = try_malloc(t->candidates, sizeof *s.tie),
                 .seen = try_calloc(t->candidates, 1),
                 .marked = try_malloc(t->candidates, sizeof *s.marked)};
    out->sums = try_calloc(types * 2, sizeof *out->sums);
    out->sums_n = types * 2;
    if (!s.score || !s.tie || !s.seen || !s.marked || !out->sums) rc = ERR_NO_MEMORY;
    for (uint32_t type = 0; type < types && rc == ERR_OK; type++)
        score_type(t, type, users, vectors, d, &s, out->sums);
    free(s.score);
    free(s.tie);
    free(s.seen);
    free(s.marked);
    free(users);
    return rc;
}
