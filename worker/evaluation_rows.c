#include "worker/evaluation_rows.h"

#include "common/mem.h"
#include "common/panic.h"
#include "common/rng.h"
#include "worker/bootstrap.h"
#include "worker/segments.h"

#include <stdlib.h>
#include <string.h>

/* One (type, segment) at a time: a column of values per (model, metric). */
typedef struct rows_scratch {
    uint32_t *mask;     /* [users] segments of each user of the type */
    uint32_t *count;    /* [users] */
    uint32_t *kept;     /* [positives] */
    double *value;      /* [users, columns] */
    double *means;      /* [columns, resamples] */
    double *difference; /* [resamples] */
    evaluation_model model[EVALUATION_MODELS];
    size_t models, columns;
} rows_scratch;

static void scratch_fini(rows_scratch *s)
{
    free(s->mask);
    free(s->count);
    free(s->kept);
    free(s->value);
    free(s->means);
    free(s->difference);
}

static err_code scratch_init(rows_scratch *s, const evaluation_type_users *u, size_t resamples)
{
    *s = (rows_scratch){0};
    for (int m = 0; m < EVALUATION_MODELS; m++) {
        if (u->rank[m]) s->model[s->models++] = (evaluation_model)m;
    }
    s->columns = s->models * EVALUATION_METRICS;
    size_t users = (size_t)u->users + 1, cells = users * (s->columns + 1);
    s->mask = try_malloc(users, sizeof *s->mask);
    s->count = try_malloc(users, sizeof *s->count);
    s->kept = try_malloc(u->indptr[u->users] + 1, sizeof *s->kept);
    s->value = try_malloc(cells, sizeof *s->value);
    s->means = try_malloc((resamples + 1) * (s->columns + 1), sizeof *s->means);
    s->difference = try_malloc(resamples + 1, sizeof *s->difference);
    return s->mask && s->count && s->kept && s->value && s->means && s->difference ? ERR_OK
                                                                                   : ERR_NO_MEMORY;
}

/* Fills value for the users of a segment; returns how many they are. */
static size_t fill_values(rows_scratch *s, const candidates *c, evaluation_segment segment,
                          const evaluation_type_users *u, uint64_t *positives)
{
    size_t n = 0;
    *positives = 0;
    for (uint32_t i = 0; i < u->users; i++) {
        if (!(s->mask[i] >> segment & 1)) continue;
        size_t counted = 0;
        for (size_t m = 0; m < s->models; m++) {
            double *value = s->value + n * s->columns + m * EVALUATION_METRICS;
            counted = segments_value(value, s->kept, c, segment, u, u->rank[s->model[m]], i);
        }
        *positives += counted;
        n++;
    }
    return n;
}

static double column_mean(const rows_scratch *s, size_t column, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += s->value[i * s->columns + column];
    return sum / (double)n;
}

static void fill_row(evaluation_row *row, rows_scratch *s, size_t m, size_t n, size_t resamples)
{
    row->has_interval = resamples > 0;
    for (size_t k = 0; k < EVALUATION_METRICS; k++) {
        size_t column = m * EVALUATION_METRICS + k;
        row->value[k] = column_mean(s, column, n);
        if (resamples == 0) continue;
        bootstrap_interval(&row->lo[k], &row->hi[k], s->means + column * resamples, resamples);
    }
}

static void compare_column(evaluation_comparison *out, rows_scratch *s, size_t a, size_t b,
                           size_t n, size_t resamples)
{
    out->difference = column_mean(s, a, n) - column_mean(s, b, n);
    out->verdict = VERDICT_EVEN;
    if (resamples == 0) {
        out->lo = out->hi = out->difference;
        return;
    }
    for (size_t r = 0; r < resamples; r++) {
        s->difference[r] = s->means[a * resamples + r] - s->means[b * resamples + r];
    }
    bootstrap_interval(&out->lo, &out->hi, s->difference, resamples);
    if (out->lo > 0) out->verdict = VERDICT_BETTER;
    if (out->hi < 0) out->verdict = VERDICT_WORSE;
}

/* Before the rows: these sort the means. */
static void fill_comparisons(evaluation_result *r, rows_scratch *s, uint32_t type, size_t n,
                             size_t resamples)
{
    if (s->models == 0 || s->model[0] != MODEL_TWO_TOWER) return;
    for (size_t m = 1; m < s->models; m++) {
        for (size_t k = 0; k < EVALUATION_METRICS; k++) {
            evaluation_comparison *out = &r->comparisons[r->comparisons_n++];
            *out = (evaluation_comparison){
                .type = type, .metric = (evaluation_metric)k, .b = s->model[m]};
            compare_column(out, s, k, m * EVALUATION_METRICS + k, n, resamples);
        }
    }
}

static void fill_segment(evaluation_result *r, rows_scratch *s, const candidates *c, uint32_t type,
                         evaluation_segment segment, const evaluation_coverage *coverage)
{
    const evaluation_type_users *u = &r->type_users[type];
    size_t first = r->rows_n, resamples = c->in->bootstrap;
    uint64_t positives, key = rng_key(c->in->seed, STAGE_EVALUATE, type, segment, 0, USE_BOOTSTRAP);
    size_t n = fill_values(s, c, segment, u, &positives);
    if (n > 0 && resamples > 0) {
        bootstrap_means(s->means, s->count, s->value, n, s->columns, resamples, key);
    }
    if (segment == SEGMENT_ALL) fill_comparisons(r, s, type, n, resamples);
    for (size_t m = 0; m < s->models; m++) {
        const evaluation_coverage *seen = &coverage[type * EVALUATION_MODELS + s->model[m]];
        evaluation_row *row = &r->rows[first + m * EVALUATION_SEGMENTS + segment];
        *row = (evaluation_row){.type = type,
                                .model = s->model[m],
                                .segment = segment,
                                .users = n,
                                .positives = positives,
                                .untrained_candidates = c->untrained[type]};
        if (n == 0) continue;
        fill_row(row, s, m, n, resamples);
        double count = candidates_count(c, type);
        row->coverage_10 = seen->top_10[segment] / count;
        row->coverage_100 = seen->top_100[segment] / count;
    }
}

static err_code fill_type(evaluation_result *r, const candidates *c, uint32_t type,
                          const evaluation_coverage *coverage)
{
    const evaluation_type_users *u = &r->type_users[type];
    if (u->users == 0) return ERR_OK;
    rows_scratch s;
    err_code rc = scratch_init(&s, u, c->in->bootstrap);
    if (rc == ERR_OK) {
        for (uint32_t i = 0; i < u->users; i++) s.mask[i] = segments_of(c, type, u, i);
        for (int segment = 0; segment < EVALUATION_SEGMENTS; segment++) {
            fill_segment(r, &s, c, type, (evaluation_segment)segment, coverage);
        }
        r->rows_n += s.models * EVALUATION_SEGMENTS;
    }
    scratch_fini(&s);
    return rc;
}

static void add_row(evaluation_row *sum, const evaluation_row *row)
{
    sum->users += row->users;
    sum->positives += row->positives;
    sum->untrained_candidates += row->untrained_candidates;
    for (int k = 0; k < EVALUATION_METRICS; k++) sum->value[k] += row->value[k];
    sum->coverage_10 += row->coverage_10;
    sum->coverage_100 += row->coverage_100;
}

/* "*": the mean over the types that have a value. */
static void add_mean_row(evaluation_result *r, evaluation_model m, evaluation_segment s)
{
    evaluation_row mean = {.type = EVALUATION_EVERY_TYPE, .model = m, .segment = s};
    double valued = 0;
    size_t rows = 0;
    for (uint32_t t = 0; t < r->types; t++) {
        const evaluation_row *row = evaluation_find(r, t, m, s);
        if (!row) continue;
        add_row(&mean, row);
        valued += row->users > 0;
        rows++;
    }
    if (rows == 0) return;
    for (int k = 0; k < EVALUATION_METRICS && valued > 0; k++) mean.value[k] /= valued;
    if (valued > 0) {
        mean.coverage_10 /= valued;
        mean.coverage_100 /= valued;
    }
    r->rows[r->rows_n++] = mean;
}

err_code evaluation_rows_fill(evaluation_result *r, const candidates *c,
                              const evaluation_coverage *coverage)
{
    size_t groups = (size_t)r->types + 1;
    r->rows = try_calloc(groups * EVALUATION_MODELS * EVALUATION_SEGMENTS, sizeof *r->rows);
    r->comparisons =
        try_calloc(groups * EVALUATION_MODELS * EVALUATION_METRICS, sizeof *r->comparisons);
    err_code rc = r->rows && r->comparisons ? ERR_OK : ERR_NO_MEMORY;
    for (uint32_t t = 0; rc == ERR_OK && t < r->types; t++) rc = fill_type(r, c, t, coverage);
    for (int m = 0; rc == ERR_OK && m < EVALUATION_MODELS; m++) {
        for (int s = 0; s < EVALUATION_SEGMENTS; s++) {
            add_mean_row(r, (evaluation_model)m, (evaluation_segment)s);
        }
    }
    return rc;
}
