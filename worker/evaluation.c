#include "worker/evaluation.h"

#include "common/mem.h"
#include "common/panic.h"
#include "common/rng.h"
#include "worker/baseline_ease.h"
#include "worker/baseline_item_knn.h"
#include "worker/baseline_popularity.h"
#include "worker/baseline_vectors.h"
#include "worker/evaluation_rows.h"
#include "worker/segments.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* 1 / log2(rank + 1), so that no libm decides the last bit. */
static const double discount[EVALUATION_CUT] = {
    1.0,
    0.6309297535714575,
    0.5,
    0.43067655807339306,
    0.38685280723454163,
    0.3562071871080222,
    0.3333333333333333,
    0.31546487678572877,
    0.3010299956639812,
    0.2890648263178879,
};

const char *evaluation_model_name(evaluation_model m)
{
    static const char *const name[EVALUATION_MODELS] = {
        "two_tower", "two_tower_no_z", "hgnn_knn", "ease", "item_knn", "text_knn", "popularity"};
    ASSERT(m < EVALUATION_MODELS);
    return name[m];
}

const char *evaluation_segment_name(evaluation_segment s)
{
    static const char *const name[EVALUATION_SEGMENTS] = {"all",
                                                          "warm",
                                                          "cold",
                                                          "history_0",
                                                          "history_1_4",
                                                          "history_5_19",
                                                          "history_20_plus",
                                                          "item_untrained",
                                                          "item_tier_1",
                                                          "item_tier_2",
                                                          "item_tier_3",
                                                          "item_tier_4",
                                                          "item_tier_5",
                                                          "item_tail"};
    ASSERT(s < EVALUATION_SEGMENTS);
    return name[s];
}

const char *evaluation_metric_name(evaluation_metric m)
{
    static const char *const name[EVALUATION_METRICS] = {"hr_10", "recall_10", "ndcg_10",
                                                         "mrr_100"};
    ASSERT(m < EVALUATION_METRICS);
    return name[m];
}

const char *evaluation_verdict_name(evaluation_verdict v)
{
    static const char *const name[] = {"even", "better", "worse"};
    return name[v];
}

void evaluation_user_metrics(double *value, const uint32_t *rank, size_t n)
{
    ASSERT(n > 0);
    uint32_t best = UINT32_MAX;
    double hits = 0, gain = 0, ideal = 0;
    for (size_t i = 0; i < n; i++) {
        if (rank[i] < best) best = rank[i];
        if (rank[i] > EVALUATION_CUT) continue;
        hits += 1;
        gain += discount[rank[i] - 1];
    }
    for (size_t i = 0; i < n && i < EVALUATION_CUT; i++) ideal += discount[i];
    value[METRIC_HR] = hits > 0;
    value[METRIC_RECALL] = hits / (double)n;
    value[METRIC_NDCG] = gain / ideal;
    value[METRIC_MRR] = best <= EVALUATION_LIST ? 1.0 / best : 0;
}

const evaluation_row *evaluation_find(const evaluation_result *r, uint32_t type, evaluation_model m,
                                      evaluation_segment s)
{
    for (size_t i = 0; i < r->rows_n; i++) {
        const evaluation_row *row = &r->rows[i];
        if (row->type == type && row->model == m && row->segment == s) return row;
    }
    return NULL;
}

static double cosine(const float *x, const float *y, size_t d)
{
    double xy = 0, xx = 0, yy = 0;
    for (size_t k = 0; k < d; k++) {
        xy += (double)x[k] * (double)y[k];
        xx += (double)x[k] * (double)x[k];
        yy += (double)y[k] * (double)y[k];
    }
    double length = sqrt(xx * yy);
    return xy / (length > 1e-12 ? length : 1e-12);
}

void evaluation_z_cosine(double *mean, double *sd, const float *z, size_t n, size_t d,
                         uint64_t seed)
{
    enum { PAIRS = 1000 };
    *mean = *sd = 0;
    if (n < 2) return;
    uint64_t key = rng_key(seed, STAGE_EVALUATE, 0, 0, 0, USE_VALIDATE);
    double sum = 0, squares = 0;
    for (uint32_t p = 0; p < PAIRS; p++) {
        size_t a = rng_below(key, p, 0, n), b = rng_below(key, p, 1, n - 1);
        b += b >= a;
        double x = cosine(z + a * d, z + b * d, d);
        sum += x;
        squares += x * x;
    }
    *mean = sum / PAIRS;
    double variance = squares / PAIRS - *mean * *mean;
    *sd = variance > 0 ? sqrt(variance) : 0;
}

/* What evaluation_score works on. */
typedef struct evaluation_job {
    const evaluation_input *in;
    candidates c;
    evaluation_result *r;
    evaluation_type_users *valid;  /* [types] */
    evaluation_coverage *coverage; /* [types, EVALUATION_MODELS] */
    uint64_t done;
} evaluation_job;

static void add_skip(evaluation_result *r, uint32_t type, int model, const char *reason)
{
    r->skipped = xrealloc(r->skipped, r->skipped_n + 1, sizeof *r->skipped);
    evaluation_skip *s = &r->skipped[r->skipped_n++];
    *s = (evaluation_skip){.type = type, .model = model};
    snprintf(s->reason, sizeof s->reason, "%s", reason);
}

static void add_choice(evaluation_result *r, const evaluation_choice *choice)
{
    r->choices = xrealloc(r->choices, r->choices_n + 1, sizeof *r->choices);
    r->choices[r->choices_n++] = *choice;
}

/* Which segments' users saw which candidate, then how many candidates each segment saw. */
static err_code count_coverage(evaluation_coverage *out, const candidates *c, uint32_t type,
                               const evaluation_type_users *u, const scoring_output *lists)
{
    size_t n = candidates_count(c, type);
    uint32_t *seen = try_calloc(2 * n + 1, sizeof *seen);
    if (!seen) return ERR_NO_MEMORY;
    for (uint32_t i = 0; i < u->users; i++) {
        uint32_t mask = segments_of(c, type, u, i);
        for (size_t k = 0; k < lists->list_len[i] && k < EVALUATION_LIST; k++) {
            uint32_t place = lists->list[i * lists->k + k];
            seen[n + place] |= mask;
            if (k < EVALUATION_CUT) seen[place] |= mask;
        }
    }
    *out = (evaluation_coverage){0};
    for (size_t i = 0; i < n; i++) {
        for (int s = 0; s < EVALUATION_SEGMENTS; s++) {
            out->top_10[s] += seen[i] >> s & 1;
            out->top_100[s] += seen[n + i] >> s & 1;
        }
    }
    free(seen);
    return ERR_OK;
}

/* Keeps two_tower's lists as item rows. */
static err_code keep_lists(evaluation_type_users *u, const candidates *c, uint32_t type,
                           const scoring_output *lists, uint32_t keep)
{
    if (keep == 0) return ERR_OK;
    size_t cells = (size_t)u->users * keep + 1;
    u->list_items = try_calloc(cells, sizeof *u->list_items);
    u->list_scores = try_calloc(cells, sizeof *u->list_scores);
    u->list_len = try_calloc((size_t)u->users + 1, sizeof *u->list_len);
    if (!u->list_items || !u->list_scores || !u->list_len) return ERR_NO_MEMORY;
    for (size_t i = 0; i < u->users; i++) {
        u->list_len[i] = lists->list_len[i] < keep ? lists->list_len[i] : keep;
        for (size_t k = 0; k < u->list_len[i]; k++) {
            u->list_items[i * keep + k] = c->item[c->begin[type] + lists->list[i * lists->k + k]];
            u->list_scores[i * keep + k] = lists->list_scores[i * lists->k + k];
        }
    }
    return ERR_OK;
}

static err_code report_progress(evaluation_job *j)
{
    const uint64_t total = (uint64_t)j->in->types * EVALUATION_MODELS;
    progress_report(j->in->progress, "evaluate", j->done++, total);
    return progress_stopped(j->in->progress) ? ERR_STOPPED : ERR_OK;
}

/* Scores the test users of one type with one model: ranks, coverage, lists. */
static err_code test_type(void *context, uint32_t type, const scorer *s,
                          const evaluation_choice *choice)
{
    evaluation_job *j = context;
    evaluation_type_users *u = &j->r->type_users[type];
    uint32_t keep = s->model == MODEL_TWO_TOWER ? j->in->recommendations : 0;
    scoring_output out = {.k = keep > EVALUATION_LIST ? keep : EVALUATION_LIST};
    size_t cells = u->users * out.k + 1;
    out.rank = u->rank[s->model] = try_calloc(u->indptr[u->users] + 1, sizeof *out.rank);
    out.list = try_malloc(cells, sizeof *out.list);
    out.list_scores = keep > 0 ? try_malloc(cells, sizeof *out.list_scores) : NULL;
    out.list_len = try_calloc((size_t)u->users + 1, sizeof *out.list_len);
    err_code rc = ERR_NO_MEMORY;
    if (!out.rank || !out.list || !out.list_len || (keep > 0 && !out.list_scores)) goto done;
    rc = report_progress(j);
    if (rc == ERR_OK) rc = scoring_run(&out, &j->c, type, u, s, true, j->in->threads);
    if (rc != ERR_OK) goto done;
    rc = count_coverage(&j->coverage[type * EVALUATION_MODELS + s->model], &j->c, type, u, &out);
    if (rc == ERR_OK) rc = keep_lists(u, &j->c, type, &out, keep);
    if (choice) add_choice(j->r, choice);
done:
    free(out.list);
    free(out.list_scores);
    free(out.list_len);
    return rc;
}

static err_code test_every_type(evaluation_job *j, const scorer *s)
{
    err_code rc = ERR_OK;
    for (uint32_t t = 0; rc == ERR_OK && t < j->in->types; t++) {
        if (j->r->type_users[t].users > 0) rc = test_type(j, t, s, NULL);
    }
    return rc;
}

static err_code test_vectors(evaluation_job *j, evaluation_model m, const evaluation_vectors *v)
{
    baseline_vectors vectors = {.item = v->item, .user = v->user, .dim = v->dim};
    scorer s = baseline_vectors_scorer(&vectors, m);
    return test_every_type(j, &s);
}

static err_code test_knn(evaluation_job *j, evaluation_model m)
{
    baseline_vectors vectors = {.dim = j->in->text_dim, .item_f16 = j->in->text};
    if (m == MODEL_HGNN_KNN) vectors = (baseline_vectors){.dim = j->in->z_dim, .item = j->in->z};
    scorer s = baseline_vectors_scorer(&vectors, m);
    return test_every_type(j, &s);
}

static err_code test_matrix_model(evaluation_job *j, evaluation_model m)
{
    scoring_sink sink = {test_type, j, j->valid, j->r->type_users};
    baseline_matrix matrix;
    err_code rc = baseline_matrix_init(&matrix, j->in);
    if (rc != ERR_OK) return rc;
    if (m == MODEL_ITEM_KNN) {
        rc = baseline_item_knn_run(&j->c, &matrix, &sink);
    } else {
        bool ran = false;
        rc = baseline_ease_run(&j->c, &matrix, &sink, j->in->ease_items, &ran);
        if (rc == ERR_OK && !ran) {
            add_skip(j->r, EVALUATION_EVERY_TYPE, MODEL_EASE,
                     "fewer than 2 items with 2 train users");
        }
    }
    baseline_matrix_fini(&matrix);
    return rc;
}

static err_code test_model(evaluation_job *j, evaluation_model m)
{
    switch (m) {
    case MODEL_TWO_TOWER: return test_vectors(j, m, &j->in->two_tower);
    case MODEL_TWO_TOWER_NO_Z: return test_vectors(j, m, &j->in->two_tower_no_z);
    case MODEL_HGNN_KNN:
    case MODEL_TEXT_KNN: return test_knn(j, m);
    case MODEL_EASE:
    case MODEL_ITEM_KNN: return test_matrix_model(j, m);
    default: break;
    }
    scorer s = baseline_popularity_scorer();
    return test_every_type(j, &s);
}

/* Why a model cannot run, or NULL. */
static const char *reason_to_skip(const evaluation_input *in, evaluation_model m)
{
    static const uint32_t bit[EVALUATION_MODELS] = {0,
                                                    BASELINE_TWO_TOWER_NO_Z,
                                                    BASELINE_HGNN_KNN,
                                                    BASELINE_EASE,
                                                    BASELINE_ITEM_KNN,
                                                    BASELINE_TEXT_KNN,
                                                    BASELINE_POPULARITY};
    if (m != MODEL_TWO_TOWER && !(in->baselines & bit[m])) return "not in evaluate.baselines";
    if (m == MODEL_TWO_TOWER && !in->two_tower.item) return "not trained";
    if (m == MODEL_TWO_TOWER_NO_Z && !in->two_tower_no_z.item) return "not trained";
    if (m == MODEL_HGNN_KNN && !in->z) return "no item embeddings";
    if (m == MODEL_TEXT_KNN && (!in->text || in->text_dim == 0)) return "no text vectors";
    if (m == MODEL_EASE && in->ease_items < 2) return "evaluate.ease_items is below 2";
    return NULL;
}

static err_code init_users(evaluation_job *j)
{
    err_code rc = ERR_OK;
    for (uint32_t t = 0; rc == ERR_OK && t < j->in->types; t++) {
        rc = candidates_users_init(&j->r->type_users[t], &j->c, t, &j->in->test);
        if (rc == ERR_OK) rc = candidates_users_init(&j->valid[t], &j->c, t, &j->in->valid);
        if (rc == ERR_OK && j->r->type_users[t].users == 0) {
            add_skip(j->r, t, -1, "no test positives");
        }
    }
    return rc;
}

static err_code run_models(evaluation_job *j)
{
    err_code rc = ERR_OK;
    for (int m = 0; rc == ERR_OK && m < EVALUATION_MODELS; m++) {
        const char *reason = reason_to_skip(j->in, (evaluation_model)m);
        j->done = (uint64_t)m * j->in->types;
        if (reason) {
            add_skip(j->r, EVALUATION_EVERY_TYPE, m, reason);
        } else {
            rc = test_model(j, (evaluation_model)m);
        }
    }
    return rc;
}

err_code evaluation_score(const evaluation_input *in, evaluation_result **out)
{
    evaluation_job j = {.in = in, .r = xcalloc(1, sizeof *j.r)};
    j.r->types = in->types;
    j.r->recommendations = in->recommendations;
    j.r->type_users = xcalloc((size_t)in->types + 1, sizeof *j.r->type_users);
    j.valid = xcalloc((size_t)in->types + 1, sizeof *j.valid);
    j.coverage = xcalloc((size_t)in->types * EVALUATION_MODELS + 1, sizeof *j.coverage);
    err_code rc = candidates_init(&j.c, in);
    if (rc == ERR_OK) rc = init_users(&j);
    if (rc == ERR_OK) rc = run_models(&j);
    if (rc == ERR_OK) rc = evaluation_rows_fill(j.r, &j.c, j.coverage);
    if (rc == ERR_OK) {
        const uint64_t total = (uint64_t)in->types * EVALUATION_MODELS;
        progress_report(in->progress, "evaluate", total, total);
    }
    for (uint32_t t = 0; t < in->types; t++) candidates_users_fini(&j.valid[t]);
    free(j.valid);
    free(j.coverage);
    candidates_fini(&j.c);
    if (rc != ERR_OK) {
        evaluation_free(j.r);
        return rc;
    }
    *out = j.r;
    return ERR_OK;
}

void evaluation_free(evaluation_result *r)
{
    if (!r) return;
    for (uint32_t t = 0; t < r->types; t++) candidates_users_fini(&r->type_users[t]);
    free(r->type_users);
    free(r->rows);
    free(r->comparisons);
    free(r->choices);
    free(r->skipped);
    free(r);
}
