/* Proves: the report files have the documented keys and order, every hr, recall, ndcg and mrr of
 * report.json follows from per_user.tsv, and nothing in them depends on when or where they were
 * made. */
/* labels: bits */
#include "common/blas.h"
#include "common/files.h"
#include "common/mem.h"
#include "deploy/report.h"
#include "deploy/report_text.h"
#include "testing_evaluation.h"
#include "worker/candidates.h"

#include <check.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static fixture *f;
static evaluation_result *result;
static dataset data;
static report_input input;
static char dir[64];
static json_t *report;

/* Ids "i<row>" and "u<row>", NUL-terminated, back to back; row 4 needs escaping, and those of 5 in
 * 7 in a list. */
static char *fill_ids(uint64_t **at, uint32_t n, char letter)
{
    char *text = xcalloc(n, 16);
    *at = xcalloc(n, sizeof **at);
    size_t used = 0;
    for (uint32_t i = 0; i < n; i++) {
        (*at)[i] = used;
        const char *middle = i == 4 ? "\t" : i % 7 == 5 ? "," : "";
        used += 1 + (size_t)snprintf(text + used, 16, "%c%s%u", letter, middle, i);
    }
    return text;
}

static void fill_dataset(void)
{
    uint64_t *item_at, *user_at;
    data = (dataset){.items = FIXTURE_ITEMS, .users = FIXTURE_USERS, .types = 3};
    data.item_ids = fill_ids(&item_at, FIXTURE_ITEMS, 'i');
    data.user_ids = fill_ids(&user_at, FIXTURE_USERS, 'u');
    data.item_id_at = item_at;
    data.user_id_at = user_at;
    data.history = (dataset_lists){f->train.indptr, f->train.item};
}

static void write_metrics(const char *path)
{
    FILE *file = fopen(path, "w");
    for (int i = 1; i <= 900; i++) {
        fprintf(file,
                "{\"kind\":\"step\",\"stage\":\"hgnn\",\"epoch\":1,\"step\":%d,\"lr\":0.001,"
                "\"loss\":%.9g,\"examples\":512,\"void\":0}\n",
                i, 5.0 / i);
        if (i % 100 > 0) continue;
        fprintf(file,
                "{\"kind\":\"valid\",\"stage\":\"hgnn\",\"epoch\":1,\"step\":%d,\"metric\":"
                "\"mrr_100\",\"value\":%.6f,\"by_type\":{\"movie\":0.06},\"best\":true}\n",
                i, i * 1e-4);
    }
    fclose(file);
}

static const report_training training[] = {
    {"hgnn", 3, 900, 800, "max_steps", "mrr_100", 0.081234, 2.31415927, 0},
    {"two_tower", 2, 700, 600, "patience", "hr_10", 0.2, 3.5, 1},
};

static void write_report(void)
{
    static char metrics[96];
    snprintf(metrics, sizeof metrics, "%s/metrics.jsonl", dir);
    write_metrics(metrics);
    input = (report_input){
        .numerics = "openblas-x/HASWELL glibc-2.36 weft-0",
        .bits_guaranteed = true,
        .seed = 3,
        .plan_hash = 0xabc,
        .foundation_id = 1,
        .z_id = 2,
        .encoder = "hash",
        .encoder_note = "<test>",
        .encoder_dim = 4,
        .data_json = "{\"items\": {\"movie\": 60}, \"users\": 90, \"warnings\": [\"a < b\"]}",
        .training = training,
        .training_n = 2,
        .z_cosine_mean = 0.2134,
        .z_cosine_sd = 0.15,
        .type_name = f->in.type_name,
        .data = &data,
        .metrics_path = metrics,
        .result = result};
    ck_assert_int_eq(report_write(&input, dir), ERR_OK);
}

static char *read_out(const char *name)
{
    char *path = files_join(dir, name), *text;
    size_t bytes;
    ck_assert_int_eq(files_read(path, 1 << 26, &text, &bytes), ERR_OK);
    free(path);
    return text;
}

static void setup(void)
{
    blas_start();
    snprintf(dir, sizeof dir, "/tmp/test_report.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    f = fixture_new(5);
    ck_assert_int_eq(evaluation_score(&f->in, &result), ERR_OK);
    fill_dataset();
    write_report();
    char *text = read_out("report.json");
    report = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    ck_assert_ptr_nonnull(report);
    free(text);
}

static void teardown(void)
{
    json_decref(report);
    evaluation_free(result);
    free((void *)(uintptr_t)data.item_ids);
    free((void *)(uintptr_t)data.user_ids);
    free((void *)(uintptr_t)data.item_id_at);
    free((void *)(uintptr_t)data.user_id_at);
    free(f);
    ck_assert_int_eq(files_remove_tree(dir), ERR_OK);
}

/* The keys of an object in their order, separated by spaces. */
static void assert_keys(json_t *object, const char *want)
{
    char keys[600] = "";
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value)
    {
        if (keys[0]) strcat(keys, " ");
        strcat(keys, key);
    }
    ck_assert_str_eq(keys, want);
}

START_TEST(keys_stand_in_the_documented_order)
{
    assert_keys(report, "format weft numerics bits seed plan_hash foundation_id z_id encoder data "
                        "training z models results comparisons skipped");
    assert_keys(json_object_get(report, "encoder"), "name dim note");
    assert_keys(json_array_get(json_object_get(report, "training"), 0),
                "stage epochs steps best_step stopped metric best last_loss void_slots");
    assert_keys(json_object_get(report, "z"), "random_pair_cosine_mean random_pair_cosine_sd");
    assert_keys(
        json_array_get(json_object_get(report, "results"), 0),
        "part type model segment users positives untrained_candidates hr_10 hr_10_lo hr_10_hi "
        "recall_10 recall_10_lo recall_10_hi ndcg_10 ndcg_10_lo ndcg_10_hi mrr_100 mrr_100_lo "
        "mrr_100_hi coverage_10 coverage_100");
    assert_keys(json_array_get(json_object_get(report, "comparisons"), 0),
                "part type segment metric a b difference lo hi verdict");
    assert_keys(json_array_get(json_object_get(report, "skipped"), 0), "type model reason");
    ck_assert_str_eq(json_string_value(json_object_get(report, "plan_hash")), "0000000000000abc");
}
END_TEST

START_TEST(results_are_sorted_and_complete)
{
    json_t *rows = json_object_get(report, "results");
    /* movie, book and "*"; six models; every segment */
    ck_assert_uint_eq(json_array_size(rows), 3 * 6 * EVALUATION_SEGMENTS);
    const char *types[] = {"movie", "book", "*"};
    size_t at = 0;
    for (int t = 0; t < 3; t++) {
        for (int m = 0; m < EVALUATION_MODELS; m++) {
            for (int s = 0; m != MODEL_TWO_TOWER_NO_Z && s < EVALUATION_SEGMENTS; s++) {
                json_t *row = json_array_get(rows, at++);
                ck_assert_str_eq(json_string_value(json_object_get(row, "type")), types[t]);
                ck_assert_str_eq(json_string_value(json_object_get(row, "model")),
                                 evaluation_model_name((evaluation_model)m));
                ck_assert_str_eq(json_string_value(json_object_get(row, "segment")),
                                 evaluation_segment_name((evaluation_segment)s));
                bool none = json_integer_value(json_object_get(row, "users")) == 0;
                ck_assert(json_is_null(json_object_get(row, "mrr_100")) == none);
                ck_assert(json_is_null(json_object_get(row, "hr_10_lo")) == (none || t == 2));
            }
        }
    }
}
END_TEST

/* One line of per_user.tsv. */
typedef struct line {
    char *field[11];
    size_t n;
    uint32_t rank[FIXTURE_ITEMS], item[FIXTURE_ITEMS];
} line;

static void split_line(line *l, char *text)
{
    char *rest = text, *field;
    size_t fields = 0;
    while ((field = strsep(&rest, "\t")) != NULL) {
        ck_assert_uint_lt(fields, 11);
        l->field[fields++] = field;
    }
    ck_assert_uint_eq(fields, 11);
    l->n = 0;
    char *ranks = l->field[6], *items = l->field[5], *rank, *item;
    while ((rank = strsep(&ranks, ",")) != NULL) {
        item = strsep(&items, ",");
        ck_assert_ptr_nonnull(item);
        l->rank[l->n] = (uint32_t)strtoul(rank, NULL, 10);
        /* "i12", "i\\t4" where the id has a tab, "i\\x2c5" where it has a comma */
        size_t escape = item[1] != '\\' ? 0 : item[2] == 'x' ? strlen("\\x2c") : strlen("\\t");
        l->item[l->n++] = (uint32_t)strtoul(item + 1 + escape, NULL, 10);
        ck_assert_uint_eq(escape == strlen("\\x2c"), l->item[l->n - 1] % 7 == 5);
    }
    ck_assert_ptr_null(items);
    ck_assert_uint_eq(l->n, strtoul(l->field[4], NULL, 10));
}

typedef struct sums {
    double value[4];
    uint64_t users, positives;
} sums;

/* Sums by (type 0..1, model, segment), from the file's ranks and the formulas alone. */
static sums from_file[2][EVALUATION_MODELS][EVALUATION_SEGMENTS];

static bool counts(const candidates *c, int s, uint32_t item)
{
    uint8_t tier = c->tier[item];
    if (s == SEGMENT_ITEM_UNTRAINED) return f->count[item] == 0;
    if (s == SEGMENT_ITEM_TAIL) return tier >= 3;
    return s < SEGMENT_ITEM_UNTRAINED || tier == s - SEGMENT_ITEM_TIER_1 + 1;
}

static bool member(const line *l, int s, uint32_t type)
{
    const char *id = l->field[0]; /* "u12", "u\\t4", "u,5" */
    uint32_t user = (uint32_t)strtoul(id + (id[1] == '\\' ? 3 : id[1] == ',' ? 2 : 1), NULL, 10);
    unsigned long history = strtoul(l->field[3], NULL, 10);
    bool warm = f->user_types[user] >> type & 1;
    switch (s) {
    case SEGMENT_WARM: return warm;
    case SEGMENT_COLD: return !warm;
    case SEGMENT_HISTORY_0: return history == 0;
    case SEGMENT_HISTORY_1_4: return history >= 1 && history <= 4;
    case SEGMENT_HISTORY_5_19: return history >= 5 && history <= 19;
    case SEGMENT_HISTORY_20_PLUS: return history >= 20;
    default: return true;
    }
}

static void add_segment(sums *to, const candidates *c, const line *l, int s)
{
    double hits = 0, gain = 0, ideal = 0, n = 0, best = INFINITY;
    for (size_t p = 0; p < l->n; p++) {
        if (!counts(c, s, l->item[p])) continue;
        n++;
        if (n <= 10) ideal += 1 / log2(n + 1);
        if (l->rank[p] < best) best = l->rank[p];
        if (l->rank[p] > 10) continue;
        hits++;
        gain += 1 / log2(l->rank[p] + 1.0);
    }
    if (n == 0) return;
    double value[4] = {hits > 0, hits / n, gain / ideal, best <= 100 ? 1 / best : 0};
    for (int k = 0; k < 4; k++) to->value[k] += value[k];
    to->users++;
    to->positives += (uint64_t)n;
    if (s != SEGMENT_ALL) return;
    for (int k = 0; k < 4; k++) {
        ck_assert_double_eq_tol(strtod(l->field[7 + k], NULL), value[k], 6e-7);
    }
}

static void add_line(const candidates *c, char *text)
{
    line l;
    split_line(&l, text);
    uint32_t type = strcmp(l.field[1], "movie") == 0 ? 0 : 1;
    int m = 0;
    while (strcmp(l.field[2], evaluation_model_name((evaluation_model)m)) != 0) m++;
    for (int s = 0; s < EVALUATION_SEGMENTS; s++) {
        if (member(&l, s, type)) add_segment(&from_file[type][m][s], c, &l, s);
    }
}

static void assert_row(json_t *row, const sums *want)
{
    static const char *const name[] = {"hr_10", "recall_10", "ndcg_10", "mrr_100"};
    ck_assert_uint_eq((uint64_t)json_integer_value(json_object_get(row, "users")), want->users);
    ck_assert_uint_eq((uint64_t)json_integer_value(json_object_get(row, "positives")),
                      want->positives);
    for (int k = 0; k < 4 && want->users > 0; k++) {
        double v = json_number_value(json_object_get(row, name[k]));
        ck_assert_double_eq_tol(v, want->value[k] / (double)want->users, 6e-7);
    }
}

START_TEST(every_metric_follows_from_per_user_tsv)
{
    candidates c;
    ck_assert_int_eq(candidates_init(&c, &f->in), ERR_OK);
    char *text = read_out("per_user.tsv"), *rest = text, *row;
    ck_assert_str_eq(strsep(&rest, "\n"), "user_id\ttype\tmodel\thistory\tpositives\titems\tranks\t"
                                          "hr_10\trecall_10\tndcg_10\trr_100");
    while ((row = strsep(&rest, "\n")) != NULL && row[0]) add_line(&c, row);
    free(text);
    json_t *rows = json_object_get(report, "results");
    size_t at = 0;
    for (int t = 0; t < 2; t++) {
        for (int m = 0; m < EVALUATION_MODELS; m++) {
            for (int s = 0; m != MODEL_TWO_TOWER_NO_Z && s < EVALUATION_SEGMENTS; s++) {
                assert_row(json_array_get(rows, at++), &from_file[t][m][s]);
            }
        }
    }
    ck_assert_uint_gt(from_file[0][MODEL_EASE][SEGMENT_ALL].users, 50);
    candidates_fini(&c);
}
END_TEST

START_TEST(recommendations_are_by_user_then_type_then_rank)
{
    char *text = read_out("recommendations.tsv"), *rest = text, *row;
    ck_assert_str_eq(strsep(&rest, "\n"), "user_id\ttype\trank\titem_id\tscore");
    size_t rows = 0, want = 0;
    unsigned last_rank = 0;
    double last_score = 0;
    while ((row = strsep(&rest, "\n")) != NULL && row[0]) {
        char *field[5], *left = row;
        for (int k = 0; k < 5; k++) {
            field[k] = strsep(&left, "\t");
            ck_assert_ptr_nonnull(field[k]);
        }
        unsigned rank = (unsigned)strtoul(field[2], NULL, 10);
        double score = strtod(field[4], NULL);
        if (rank > 1) {
            ck_assert_uint_eq(rank, last_rank + 1);
            ck_assert(score <= last_score);
        }
        last_rank = rank;
        last_score = score;
        rows++;
    }
    for (uint32_t t = 0; t < 2; t++) {
        for (uint32_t i = 0; i < result->type_users[t].users; i++) {
            want += result->type_users[t].list_len[i];
        }
    }
    ck_assert_uint_eq(rows, want);
    free(text);
}
END_TEST

START_TEST(the_same_result_gives_the_same_bytes)
{
    char first[64];
    snprintf(first, sizeof first, "%s", dir);
    const char *names[] = {"report.json", "report.md", "report.html", "per_user.tsv",
                           "recommendations.tsv"};
    char *before[5];
    for (int i = 0; i < 5; i++) before[i] = read_out(names[i]);
    evaluation_free(result);
    f->in.threads = 2;
    ck_assert_int_eq(evaluation_score(&f->in, &result), ERR_OK);
    snprintf(dir, sizeof dir, "/tmp/test_report.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    write_report();
    for (int i = 0; i < 5; i++) {
        char *after = read_out(names[i]);
        ck_assert_str_eq(before[i], after);
        ck_assert_ptr_null(strstr(after, "nan"));
        ck_assert_ptr_null(strstr(after, "-0.0000 "));
        free(after);
        free(before[i]);
    }
    ck_assert_int_eq(files_remove_tree(first), ERR_OK);
}
END_TEST

START_TEST(the_page_holds_curves_and_escapes_text)
{
    char *page = read_out("report.html");
    ck_assert_ptr_nonnull(strstr(page, "<polyline"));
    ck_assert_ptr_nonnull(strstr(page, "hgnn: loss"));
    ck_assert_ptr_nonnull(strstr(page, "hgnn: mrr_100 on valid"));
    ck_assert_ptr_nonnull(strstr(page, "&lt;test&gt;"));
    ck_assert_ptr_nonnull(strstr(page, "a &lt; b"));
    ck_assert_ptr_null(strstr(page, "http:"));
    ck_assert_ptr_null(strstr(page, "https:"));
    ck_assert_ptr_null(strstr(page, "<test>"));
    free(page);
}
END_TEST

START_TEST(the_terminal_says_who_wins)
{
    char *text = NULL;
    size_t bytes;
    FILE *out = open_memstream(&text, &bytes);
    report_print(&input, out);
    fclose(out);
    ck_assert_ptr_nonnull(strstr(text, "two_tower "));
    ck_assert_ptr_nonnull(strstr(text, "movie, HR@10:"));
    ck_assert_ptr_nonnull(strstr(text, "not evaluated: decade, all models: no test positives"));
    ck_assert_ptr_nonnull(strstr(text, "not evaluated: two_tower_no_z: not trained"));
    if (getenv("SHOW_REPORT")) fputs(text, stderr);
    free(text);
}
END_TEST

/* Verdicts name up to six models with their intervals: more than a line holds. */
START_TEST(the_terminal_has_a_hundred_columns)
{
    char *text = NULL, *whole = report_text_verdict(&input, 0, "\n");
    size_t bytes, longest = 0, words = 0;
    FILE *out = open_memstream(&text, &bytes);
    report_print(&input, out);
    fclose(out);
    for (char *at = whole; (at = strstr(at, " [")); at++) words++;
    for (char *at = text; *at; at += strcspn(at, "\n") + 1) {
        size_t n = strcspn(at, "\n");
        longest = n > longest ? n : longest;
        char *open = memchr(at, '(', n);
        if (open) ck_assert_ptr_nonnull(memchr(open, ')', n - (size_t)(open - at)));
    }
    ck_assert_uint_gt(strlen(whole), 100);
    ck_assert_uint_gt(words, 2);
    ck_assert_uint_le(longest, 100);
    ck_assert_uint_gt(longest, 80);
    free(text);
    free(whole);
}
END_TEST

START_TEST(a_folder_that_is_not_there_is_an_error)
{
    ck_assert_int_eq(report_write(&input, "/nonexistent/folder"), ERR_IO);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("report");
    TCase *c = tcase_create("report");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, keys_stand_in_the_documented_order);
    tcase_add_test(c, results_are_sorted_and_complete);
    tcase_add_test(c, every_metric_follows_from_per_user_tsv);
    tcase_add_test(c, recommendations_are_by_user_then_type_then_rank);
    tcase_add_test(c, the_same_result_gives_the_same_bytes);
    tcase_add_test(c, the_page_holds_curves_and_escapes_text);
    tcase_add_test(c, the_terminal_says_who_wins);
    tcase_add_test(c, the_terminal_has_a_hundred_columns);
    tcase_add_test(c, a_folder_that_is_not_there_is_an_error);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
