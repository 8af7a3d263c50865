#include "deploy/compare.h"

#include "common/config.h"
#include "common/files.h"
#include "common/hash.h"
#include "common/log.h"
#include "common/mem.h"
#include "sampler/table_reader.h"
#include "worker/bootstrap.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { RESAMPLES = 1000, KEY_BYTES = 512, COLUMNS = 3 * COMPARE_METRICS };

const char *const compare_metric_names[COMPARE_METRICS] = {"hr_10", "recall_10", "ndcg_10",
                                                           "mrr_100"};
static const char *const columns[] = {"user_id", "type",      "model",   "items",
                                      "hr_10",   "recall_10", "ndcg_10", "rr_100"};
enum { C_USER, C_TYPE, C_MODEL, C_ITEMS, C_VALUES, C_ALL = C_VALUES + COMPARE_METRICS };

void compare_free(compare *c)
{
    if (!c) return;
    for (uint32_t i = 0; i < c->sides; i++) {
        free(c->side[i].value);
        free(c->side[i].items);
    }
    for (size_t i = 0; i < c->differs_n; i++) free(c->differs[i]);
    free(c->differs);
    for (size_t i = 0; i < c->data_n; i++) free(c->data[i]);
    free(c->data);
    free(c->side);
    free(c->row_type);
    string_pool_free(c->rows);
    string_pool_free(c->types);
    free(c);
}

/* ---- Reading ---- */

/* The number of (type, user), new ones at the end. */
static err_code row_number(compare *c, const table_reader *r, const size_t *at, uint32_t *row)
{
    size_t n, type_n;
    char key[KEY_BYTES];
    const char *user = table_reader_field(r, at[C_USER], &n);
    const char *type = table_reader_field(r, at[C_TYPE], &type_n);
    uint32_t number = string_pool_intern(c->types, type, type_n, NULL);
    bool added;
    if (number >= COMPARE_TYPES_MAX || n + type_n + 2 > KEY_BYTES) return ERR_INVALID;
    int bytes = snprintf(key, sizeof key, "%s\t%s", type, user);
    *row = string_pool_intern(c->rows, key, (size_t)bytes, &added);
    if (added) {
        grow(&c->row_type, &c->row_type_cap, (size_t)*row + 1, sizeof *c->row_type);
        c->row_type[*row] = (uint8_t)number;
    }
    return ERR_OK;
}

static err_code read_row(compare *c, compare_side *s, table_reader *r, const size_t *at)
{
    uint32_t row;
    size_t n;
    if (strcmp(table_reader_field(r, at[C_MODEL], &n), c->model) != 0) return ERR_OK;
    if (row_number(c, r, at, &row) != ERR_OK)
        return table_reader_reject(r, NULL, "an id that is too long, or more than %d types",
                                   COMPARE_TYPES_MAX);
    size_t before = s->items_cap;
    grow(&s->value, &s->value_cap, (size_t)row + 1, sizeof *s->value);
    grow(&s->items, &s->items_cap, (size_t)row + 1, sizeof *s->items);
    if (s->items_cap > before)
        memset(s->items + before, 0, (s->items_cap - before) * sizeof *s->items);
    for (int k = 0; k < COMPARE_METRICS; k++) {
        const char *text = table_reader_field(r, at[C_VALUES + k], &n);
        char *end;
        s->value[row][k] = strtod(text, &end);
        if (end == text || *end || !isfinite(s->value[row][k]))
            return table_reader_reject(r, NULL, "%s: `%s` is no number", columns[C_VALUES + k],
                                       text);
    }
    const char *items = table_reader_field(r, at[C_ITEMS], &n);
    s->items[row] = hash64(items, n, 0) | 1;
    s->rows++;
    return ERR_OK;
}

static err_code read_side(compare *c, compare_side *s)
{
    char *run = files_join(s->dir, "run.json"), *path = files_join(s->dir, "per_user.tsv");
    table_reader *r = NULL;
    size_t at[C_ALL];
    bool more = true;
    err_code rc = files_exist(run) ? ERR_OK : ERR_NOT_FOUND;
    if (rc != ERR_OK) log_user_error("%s: no complete result (run.json is missing)", s->dir);
    if (rc == ERR_OK) rc = table_reader_open(path, false, &r);
    for (int k = 0; rc == ERR_OK && k < C_ALL; k++) {
        at[k] = table_reader_find(r, columns[k], NULL);
        if (at[k] < table_reader_columns(r)) continue;
        log_user_error("%s: no column %s", path, columns[k]);
        rc = ERR_INVALID;
    }
    while (rc == ERR_OK && more) {
        rc = table_reader_next(r, &more);
        if (rc == ERR_OK && more) rc = read_row(c, s, r, at);
    }
    if (rc == ERR_OK && s->rows == 0) {
        log_user_error("%s: no row of the model %s", path, c->model);
        rc = ERR_INVALID;
    }
    table_reader_close(r);
    free(path);
    free(run);
    return rc;
}

/* ---- Configurations ---- */

static json_t *plan_of(const char *dir)
{
    char *path = files_join(dir, "config.yaml");
    config *c = NULL;
    json_t *plan = NULL;
    if (files_exist(path) && config_load(path, NULL, 0, &c) == ERR_OK) {
        char *text = config_plan_json(c);
        plan = json_loads(text, 0, NULL);
        free(text);
    }
    config_free(c);
    free(path);
    return plan;
}

/* "a -> b", owned.  A plan holds single precision with all its digits; who wrote 0.02 reads 0.02,
 * unless that hides the difference. */
static char *change_of(const json_t *a, const json_t *b)
{
    static const size_t digits[] = {7, 9};
    char *text = NULL;
    for (size_t i = 0; i < 2; i++) {
        size_t flags = JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(digits[i]);
        char *left = json_dumps(a, flags), *right = json_dumps(b, flags);
        bool differ = left && right && strcmp(left, right) != 0;
        free(text);
        text = xprintf("%s -> %s", left ? left : "?", right ? right : "?");
        free(left);
        free(right);
        if (differ) break;
    }
    return text;
}

/* Keys of the plan that differ between the first two. */
static void compare_plans(compare *c)
{
    json_t *a = plan_of(c->side[0].dir), *b = plan_of(c->side[1].dir), *value;
    const char *key;
    json_object_foreach(a, key, value)
    {
        const json_t *other = json_object_get(b, key);
        if (!other || json_equal(value, other)) continue;
        char *change = change_of(value, other);
        c->differs = xrealloc(c->differs, c->differs_n + 1, sizeof *c->differs);
        c->differs[c->differs_n++] = xprintf("%s: %s", key, change);
        free(change);
    }
    json_decref(a);
    json_decref(b);
}

/* ---- Differences ---- */

static bool has(const compare_side *s, uint32_t row)
{
    return row < s->items_cap && s->items[row] != 0;
}

/* Rows of `type` that all sides have with the same items: their numbers, owned; *n. */
static uint32_t *common_rows(compare *c, uint32_t type, size_t *n)
{
    uint32_t rows = string_pool_count(c->rows);
    uint32_t *out = xcalloc((size_t)rows + 1, sizeof *out);
    compare_type *t = &c->type[type];
    *n = 0;
    for (uint32_t row = 0; row < rows; row++) {
        uint32_t with = 0;
        bool same = true;
        if (c->row_type[row] != type) continue;
        for (uint32_t i = 0; i < c->sides; i++) {
            with += has(&c->side[i], row);
            same = same && has(&c->side[i], row) && c->side[i].items[row] == c->side[0].items[row];
        }
        if (same) {
            out[(*n)++] = row;
        } else if (with == c->sides) {
            t->other++;
        } else {
            t->only_a += has(&c->side[0], row);
            t->only_b += !has(&c->side[0], row);
        }
    }
    t->users = (uint32_t)*n;
    return out;
}

static const char *verdict_of(double lo, double hi)
{
    return lo > 0 ? "better" : hi < 0 ? "worse" : "even";
}

/* Paired differences of the first two sides. */
static err_code compare_pairs(compare *c, compare_type *t, const uint32_t *row, size_t n)
{
    double *value = try_malloc(n * COLUMNS + 1, sizeof *value);
    double *means = try_malloc((size_t)COLUMNS * RESAMPLES, sizeof *means), sum[COLUMNS] = {0};
    uint32_t *count = try_malloc(n + 1, sizeof *count);
    bool ok = value && means && count;
    for (size_t i = 0; ok && i < n; i++) {
        for (int k = 0; k < COMPARE_METRICS; k++) {
            double a = c->side[0].value[row[i]][k], b = c->side[1].value[row[i]][k];
            double three[3] = {a, b, b - a};
            for (int s = 0; s < 3; s++) {
                value[i * COLUMNS + (size_t)(s * COMPARE_METRICS + k)] = three[s];
                sum[s * COMPARE_METRICS + k] += three[s];
            }
        }
    }
    if (ok && n > 0) {
        bootstrap_means(means, count, value, n, COLUMNS, RESAMPLES, hash64_string(t->name, 0));
        for (int k = 0; k < COMPARE_METRICS; k++) {
            compare_cell *x = &t->cell[k];
            x->a = sum[k] / (double)n;
            x->b = sum[COMPARE_METRICS + k] / (double)n;
            x->difference = sum[2 * COMPARE_METRICS + k] / (double)n;
            bootstrap_interval(&x->lo, &x->hi,
                               means + (size_t)(2 * COMPARE_METRICS + k) * RESAMPLES, RESAMPLES);
            x->verdict = verdict_of(x->lo, x->hi);
        }
    }
    free(value);
    free(means);
    free(count);
    return ok ? ERR_OK : ERR_NO_MEMORY;
}

/* Mean of the sides' means, and their deviation. */
static void compare_scatter(const compare *c, compare_type *t, const uint32_t *row, size_t n)
{
    for (int k = 0; k < COMPARE_METRICS; k++) {
        double sum = 0, squares = 0, sides = c->sides;
        for (uint32_t s = 0; s < c->sides; s++) {
            double mean = 0;
            for (size_t i = 0; i < n; i++) mean += c->side[s].value[row[i]][k];
            mean /= n ? (double)n : 1;
            sum += mean;
            squares += mean * mean;
        }
        double variance = (squares - sum * sum / sides) / (sides - 1);
        t->mean[k] = sum / sides;
        t->deviation[k] = variance > 0 ? sqrt(variance) : 0;
    }
}

err_code compare_make(const char *const *dirs, uint32_t n, const char *model, compare **out)
{
    compare *c = xcalloc(1, sizeof *c);
    uint64_t users = 0;
    err_code rc = ERR_OK;
    *c = (compare){.model = model,
                   .side = xcalloc(n, sizeof *c->side),
                   .sides = n,
                   .rows = string_pool_new(),
                   .types = string_pool_new()};
    for (uint32_t i = 0; i < n && rc == ERR_OK; i++) {
        c->side[i].dir = dirs[i];
        rc = read_side(c, &c->side[i]);
    }
    for (uint32_t t = 0; rc == ERR_OK && t < string_pool_count(c->types); t++) {
        size_t rows;
        c->type[t].name = string_pool_get(c->types, t);
        uint32_t *row = common_rows(c, t, &rows);
        rc = compare_pairs(c, &c->type[t], row, rows);
        compare_scatter(c, &c->type[t], row, rows);
        users += rows;
        free(row);
    }
    if (rc == ERR_OK) rc = compare_data(c);
    if (rc == ERR_OK && users == 0) {
        log_user_error(
            "%s, %s: nobody has the same held-out items in all: other data or another split",
            dirs[0], dirs[1]);
        for (size_t i = 0; i < c->data_n; i++) log_user_error("  %s", c->data[i]);
        rc = ERR_MISMATCH;
    }
    if (rc == ERR_OK) compare_plans(c);
    if (rc != ERR_OK) {
        compare_free(c);
        c = NULL;
    }
    *out = c;
    return rc;
}
