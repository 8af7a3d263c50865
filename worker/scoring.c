#include "worker/scoring.h"

#include "common/log.h"
#include "common/mem.h"
#include "common/panic.h"
#include "common/reduce.h"
#include "worker/ranking.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>

enum {
    SCORING_BUFFER_FLOATS = 1 << 24,  /* of a thread */
    SCORING_BUFFERS_FLOATS = 1 << 26, /* of all */
    SCORING_RANGE_MIN = 16,
    SCORING_THREADS_MAX = 64
};

typedef struct scoring_job {
    const scoring_output *out;
    const candidates *c;
    uint32_t type;
    const evaluation_type_users *u;
    const scorer *s;
    bool with_valid;
    uint32_t thread, threads;
    err_code rc;
} scoring_job;

size_t scoring_range(size_t candidates_n)
{
    size_t range = SCORING_RANGE;
    while (range > SCORING_RANGE_MIN && range * candidates_n > SCORING_BUFFER_FLOATS) range /= 2;
    return range;
}

static void mask_lists(float *score, const candidates *c, uint32_t type,
                       const evaluation_lists *lists, uint32_t user)
{
    for (uint64_t p = lists->indptr[user]; p < lists->indptr[user + 1]; p++) {
        uint32_t item = lists->item[p];
        if (c->in->item_type[item] == type) score[c->place[item]] = -INFINITY;
    }
}

/* What the user has is no candidate; a positive keeps its score.  kept: scratch for her positives.
 */
static void mask_seen(const scoring_job *j, size_t i, float *score, float *kept)
{
    const evaluation_input *in = j->c->in;
    const uint32_t *positive = j->u->positive + j->u->indptr[i];
    size_t n = j->u->indptr[i + 1] - j->u->indptr[i];
    for (size_t p = 0; p < n; p++) kept[p] = score[j->c->place[positive[p]]];
    mask_lists(score, j->c, j->type, &in->seen_train, j->u->user[i]);
    if (j->with_valid) mask_lists(score, j->c, j->type, &in->seen_valid, j->u->user[i]);
    for (size_t p = 0; p < n; p++) score[j->c->place[positive[p]]] = kept[p];
}

static void rank_user(const scoring_job *j, size_t i, const float *score)
{
    const scoring_output *out = j->out;
    size_t n = candidates_count(j->c, j->type);
    const uint32_t *tie = j->c->ties + j->c->begin[j->type];
    for (uint64_t p = j->u->indptr[i]; out->rank && p < j->u->indptr[i + 1]; p++) {
        out->rank[p] = ranking_rank(score, tie, n, j->c->place[j->u->positive[p]]);
    }
    if (!out->list) return;
    uint32_t *list = out->list + i * out->k;
    out->list_len[i] = (uint32_t)ranking_top(list, score, tie, n, out->k);
    for (size_t k = 0; out->list_scores && k < out->list_len[i]; k++) {
        out->list_scores[i * out->k + k] = score[list[k]];
    }
}

static err_code score_range(const scoring_job *j, size_t begin, size_t end, float *scores,
                            float *kept)
{
    size_t n = candidates_count(j->c, j->type);
    if (progress_stopped(j->c->in->progress)) return ERR_STOPPED;
    err_code rc = j->s->score(j->s->state, j->c, j->type, j->u->user + begin, end - begin, scores);
    for (size_t i = begin; rc == ERR_OK && i < end; i++) {
        float *score = scores + (i - begin) * n;
        if (!reduce_all_finite(score, n)) {
            log_user_error("evaluation: a score of %s is not finite (type %s, user row %u)",
                           evaluation_model_name(j->s->model), j->c->in->type_name[j->type],
                           j->u->user[i]);
            return ERR_INVALID;
        }
        mask_seen(j, i, score, kept);
        rank_user(j, i, score);
    }
    return rc;
}

static size_t positives_max(const evaluation_type_users *u)
{
    size_t most = 0;
    for (uint32_t i = 0; i < u->users; i++) {
        size_t n = u->indptr[i + 1] - u->indptr[i];
        if (n > most) most = n;
    }
    return most;
}

/* Thread t takes ranges t, t + threads, ...: results go to places of their own. */
static void *score_ranges(void *argument)
{
    scoring_job *j = argument;
    size_t n = candidates_count(j->c, j->type), range = scoring_range(n);
    float *scores = try_aligned(range * n, sizeof *scores);
    float *kept = try_malloc(positives_max(j->u) + 1, sizeof *kept);
    j->rc = scores && kept ? ERR_OK : ERR_NO_MEMORY;
    for (size_t begin = j->thread * range; j->rc == ERR_OK && begin < j->u->users;
         begin += j->threads * range) {
        size_t end = begin + range < j->u->users ? begin + range : j->u->users;
        j->rc = score_range(j, begin, end, scores, kept);
    }
    free(scores);
    free(kept);
    return NULL;
}

/* Fewer threads where their buffers would be too large together; it changes no bit. */
static uint32_t thread_count(uint32_t wanted, size_t candidates_n)
{
    size_t buffer = scoring_range(candidates_n) * candidates_n + 1;
    uint32_t n = wanted < SCORING_THREADS_MAX ? wanted : SCORING_THREADS_MAX;
    while (n > 1 && n * buffer > SCORING_BUFFERS_FLOATS) n--;
    return n < 1 ? 1 : n;
}

err_code scoring_run(const scoring_output *out, const candidates *c, uint32_t type,
                     const evaluation_type_users *u, const scorer *s, bool with_valid,
                     uint32_t threads)
{
    scoring_job jobs[SCORING_THREADS_MAX];
    pthread_t thread[SCORING_THREADS_MAX];
    threads = thread_count(threads, candidates_count(c, type));
    uint32_t started = 0;
    for (uint32_t t = 0; t < threads; t++) {
        jobs[t] = (scoring_job){out, c, type, u, s, with_valid, t, threads, ERR_OK};
    }
    for (uint32_t t = 1; t < threads; t++, started++) {
        if (pthread_create(&thread[t], NULL, score_ranges, &jobs[t]) != 0) break;
    }
    score_ranges(&jobs[0]);
    err_code rc = jobs[0].rc;
    for (uint32_t t = 1; t < threads; t++) {
        if (t <= started) {
            ASSERT(pthread_join(thread[t], NULL) == 0);
        } else {
            score_ranges(&jobs[t]); /* No thread to be had: done here. */
        }
        if (rc == ERR_OK) rc = jobs[t].rc;
    }
    return rc;
}

err_code scoring_valid_hr(double *hr, const candidates *c, uint32_t type,
                          const evaluation_type_users *u, const scorer *s)
{
    *hr = 0;
    if (u->users == 0) return ERR_OK;
    uint32_t *rank = try_malloc(u->indptr[u->users], sizeof *rank);
    if (!rank) return ERR_NO_MEMORY;
    scoring_output out = {.rank = rank};
    err_code rc = scoring_run(&out, c, type, u, s, false, c->in->threads);
    double value[EVALUATION_METRICS], sum = 0;
    for (uint32_t i = 0; rc == ERR_OK && i < u->users; i++) {
        evaluation_user_metrics(value, rank + u->indptr[i], u->indptr[i + 1] - u->indptr[i]);
        sum += value[METRIC_HR];
    }
    free(rank);
    if (rc == ERR_OK) *hr = sum / u->users;
    return rc;
}
