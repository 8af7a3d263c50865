/* Proves: on Last.fm listens (hetrec_lastfm, RecBole's protocol) EASE with lambda 100 and the
 * metrics give the published values: Recall@10 .21, NDCG@10 .20, HR@10 .63.  Skips where the data
 * is not there. */
#include "common/blas.h"
#include "common/rng.h"
#include "worker/baseline_ease.h"
#include "worker/baseline_popularity.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ARTISTS = 17632, USERS_MAX = 2200, EVENTS_MAX = 100000, ID_MAX = 20000 };

typedef struct event {
    uint32_t user, item;
} event;

/* One part of the split as lists. */
typedef struct part {
    uint64_t indptr[USERS_MAX + 1];
    uint32_t item[EVENTS_MAX];
} part;

static event events[EVENTS_MAX];
static size_t events_n;
static uint32_t users_n, user_row[ID_MAX], item_row[ID_MAX], items_n;
static part parts[3]; /* train, valid, test */

static char *data_path(void)
{
    const char *dir = getenv("WEFT_DATA_DIR");
    char *path;
    if (asprintf(&path, "%s/hetrec_lastfm/interactions.tsv", dir ? dir : WEFT_DATA_DIR) < 0)
        abort();
    return path;
}

static uint32_t row_of(uint32_t *rows, uint32_t id, uint32_t *n)
{
    ck_assert_uint_lt(id, ID_MAX);
    if (rows[id] == 0) rows[id] = ++*n;
    return rows[id] - 1;
}

static void read_listens(FILE *file)
{
    char line[256], kind[32];
    uint32_t user, item;
    while (fgets(line, sizeof line, file)) {
        if (sscanf(line, "%u\ta%u\t%*s\t%*s\t%31s", &user, &item, kind) != 3) continue;
        if (strcmp(kind, "listen") != 0) continue;
        ck_assert_uint_lt(events_n, EVENTS_MAX);
        events[events_n++] =
            (event){row_of(user_row, user, &users_n), row_of(item_row, item, &items_n)};
    }
}

static int u32_compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static void put_user(part *p, uint32_t user, const uint32_t *item, size_t n)
{
    uint64_t at = p->indptr[user];
    memcpy(p->item + at, item, n * sizeof *item);
    qsort(p->item + at, n, sizeof *item, u32_compare);
    p->indptr[user + 1] = at + n;
}

/* 8:1:1 of each user's items in random order: a tenth, at least 1, to test and to valid. */
static void split_users(void)
{
    static uint32_t item[EVENTS_MAX];
    uint64_t key = rng_key(1, 0, 0, 0, 0, USE_TEST);
    for (uint32_t u = 0; u < users_n; u++) {
        size_t n = 0;
        for (size_t e = 0; e < events_n; e++) {
            if (events[e].user == u) item[n++] = events[e].item;
        }
        for (size_t i = n; i > 1; i--) {
            size_t j = rng_below(key, u, (uint32_t)i, i);
            uint32_t swap = item[i - 1];
            item[i - 1] = item[j];
            item[j] = swap;
        }
        size_t held = n / 10 > 0 ? n / 10 : 1;
        if (n < 3) held = 0;
        put_user(&parts[0], u, item, n - 2 * held);
        put_user(&parts[1], u, item + n - 2 * held, held);
        put_user(&parts[2], u, item + n - held, held);
    }
}

static evaluation_lists lists_of(const part *p)
{
    return (evaluation_lists){p->indptr, p->item};
}

static void fill_input(evaluation_input *in)
{
    static const char *const name[] = {"artist"};
    static uint8_t type[ARTISTS];
    static uint64_t stable[ARTISTS], types[USERS_MAX];
    static uint32_t count[ARTISTS];
    for (uint32_t i = 0; i < ARTISTS; i++) stable[i] = i;
    for (uint64_t p = 0; p < parts[0].indptr[users_n]; p++) count[parts[0].item[p]]++;
    *in = (evaluation_input){.seed = 1,
                             .types = 1,
                             .items = ARTISTS,
                             .users = users_n,
                             .type_name = name,
                             .item_type = type,
                             .item_key = stable,
                             .train_count = count,
                             .train_any = count,
                             .user_types = types,
                             .train = lists_of(&parts[0]),
                             .history = lists_of(&parts[0]),
                             .seen_train = lists_of(&parts[0]),
                             .seen_valid = lists_of(&parts[1]),
                             .valid = lists_of(&parts[1]),
                             .test = lists_of(&parts[2])};
}

static void mean_metrics(double *mean, const candidates *c, const scorer *s)
{
    evaluation_type_users u;
    ck_assert_int_eq(candidates_users_init(&u, c, 0, &c->in->test), ERR_OK);
    uint32_t *rank = calloc(u.indptr[u.users], sizeof *rank);
    scoring_output out = {.rank = rank};
    ck_assert_int_eq(scoring_run(&out, c, 0, &u, s, true, 2), ERR_OK);
    memset(mean, 0, EVALUATION_METRICS * sizeof *mean);
    for (uint32_t i = 0; i < u.users; i++) {
        double value[EVALUATION_METRICS];
        evaluation_user_metrics(value, rank + u.indptr[i], u.indptr[i + 1] - u.indptr[i]);
        for (int k = 0; k < EVALUATION_METRICS; k++) mean[k] += value[k] / u.users;
    }
    printf("%-10s users %u HR@10 %.4f Recall@10 %.4f NDCG@10 %.4f\n",
           evaluation_model_name(s->model), u.users, mean[METRIC_HR], mean[METRIC_RECALL],
           mean[METRIC_NDCG]);
    free(rank);
    candidates_users_fini(&u);
}

START_TEST(ease_gives_the_published_values)
{
    char *path = data_path();
    FILE *file = fopen(path, "r");
    ck_assert_ptr_nonnull(file);
    read_listens(file);
    fclose(file);
    free(path);
    ck_assert_uint_eq(events_n, 92834);
    ck_assert_uint_eq(items_n, ARTISTS);
    split_users();
    evaluation_input in;
    fill_input(&in);
    candidates c;
    baseline_matrix matrix;
    baseline_ease *ease = NULL;
    ck_assert_int_eq(candidates_init(&c, &in), ERR_OK);
    ck_assert_int_eq(baseline_matrix_init(&matrix, &in), ERR_OK);
    double mean[EVALUATION_METRICS];
    scorer popularity = baseline_popularity_scorer();
    mean_metrics(mean, &c, &popularity);
    ck_assert_double_eq_tol(mean[METRIC_RECALL], 0.070, 0.010);
    ck_assert_int_eq(baseline_ease_new(&c, &matrix, 12000, &ease), ERR_OK);
    ck_assert_int_eq(baseline_ease_solve(ease, &in, 100), ERR_OK);
    scorer s = baseline_ease_scorer(ease);
    mean_metrics(mean, &c, &s);
    ck_assert_double_eq_tol(mean[METRIC_RECALL], 0.21, 0.012);
    ck_assert_double_eq_tol(mean[METRIC_NDCG], 0.20, 0.012);
    ck_assert_double_eq_tol(mean[METRIC_HR], 0.63, 0.025);
    baseline_ease_free(ease);
    baseline_matrix_fini(&matrix);
    candidates_fini(&c);
}
END_TEST

int main(void)
{
    char *path = data_path();
    FILE *file = fopen(path, "r");
    if (!file) {
        printf("skipped: %s is not there (set WEFT_DATA_DIR)\n", path);
        free(path);
        return 77;
    }
    fclose(file);
    free(path);
    blas_start();
    Suite *s = suite_create("ease_harness");
    TCase *c = tcase_create("ease_harness");
    tcase_set_timeout(c, 600);
    tcase_add_test(c, ease_gives_the_published_values);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
