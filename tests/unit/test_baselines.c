/* Proves: item-kNN and EASE score like their definitions written down naively, and take the grid
 * value that is best on valid. */
#include "common/blas.h"
#include "common/hash.h"
#include "common/lapack.h"
#include "common/rng.h"
#include "testing_evaluation.h"
#include "worker/baseline_ease.h"
#include "worker/baseline_item_knn.h"
#include "worker/ranking.h"
#include "worker/spd_inverse.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static fixture *f;
static candidates c;
static baseline_matrix matrix;
static float scores[FIXTURE_USERS * FIXTURE_ITEMS];
static uint32_t everyone[FIXTURE_USERS];

static void open_fixture(uint64_t seed)
{
    blas_start();
    f = fixture_new(seed);
    ck_assert_int_eq(candidates_init(&c, &f->in), ERR_OK);
    ck_assert_int_eq(baseline_matrix_init(&matrix, &f->in), ERR_OK);
    for (uint32_t u = 0; u < FIXTURE_USERS; u++) everyone[u] = u;
}

static void setup(void)
{
    open_fixture(11);
}

static void teardown(void)
{
    baseline_matrix_fini(&matrix);
    candidates_fini(&c);
    free(f);
}

static bool has(uint32_t user, uint32_t item)
{
    return f->part[user][item] == 1;
}

static uint32_t items_of(uint32_t user)
{
    return (uint32_t)(f->train.indptr[user + 1] - f->train.indptr[user]);
}

static double cosine(uint32_t i, uint32_t j, bool weighted)
{
    double ij = 0, ii = 0, jj = 0;
    for (uint32_t u = 0; u < FIXTURE_USERS; u++) {
        double w = weighted && items_of(u) > 0 ? 1 / sqrt(items_of(u)) : 1;
        ij += has(u, i) && has(u, j) ? w : 0;
        ii += has(u, i) ? w : 0;
        jj += has(u, j) ? w : 0;
    }
    return ij > 0 ? ij / sqrt(ii * jj) : 0;
}

/* j's place among the neighbours of i. */
static uint32_t naive_place(uint32_t i, uint32_t j, bool weighted, bool own_type)
{
    float mine = (float)cosine(i, j, weighted);
    uint32_t place = 0;
    for (uint32_t o = 0; o < FIXTURE_ITEMS; o++) {
        if (o == i || o == j || (own_type && f->type[o] != f->type[i])) continue;
        float other = (float)cosine(i, o, weighted);
        bool first = hash64(&f->key[o], 8, f->in.seed) < hash64(&f->key[j], 8, f->in.seed);
        place += other > mine || (other == mine && first);
    }
    return place;
}

static double naive_knn(uint32_t user, uint32_t i, uint32_t top, bool weighted, bool own_type)
{
    double sum = 0;
    for (uint32_t j = 0; j < FIXTURE_ITEMS; j++) {
        if (j == i || !has(user, j) || (own_type && f->type[j] != f->type[i])) continue;
        if (top > 0 && naive_place(i, j, weighted, own_type) >= top) continue;
        sum += (double)(float)cosine(i, j, weighted);
    }
    return sum;
}

START_TEST(item_knn_sums_the_cosines_of_the_top_neighbours)
{
    bool weighted = _i & 1, own_type = _i & 2;
    baseline_item_knn *k = NULL;
    ck_assert_int_eq(baseline_item_knn_new(&c, &matrix, weighted, own_type, &k), ERR_OK);
    const uint32_t tops[] = {20, 100, 0};
    size_t smaller = 0;
    for (int t = 0; t < 3; t++) {
        scorer s = baseline_item_knn_scorer(k, tops[t]);
        ck_assert_int_eq(s.score(s.state, &c, 0, everyone, FIXTURE_USERS, scores), ERR_OK);
        uint32_t n = candidates_count(&c, 0);
        for (uint32_t u = 0; u < FIXTURE_USERS - 10; u += 9) {
            for (uint32_t i = 0; i < n; i += 3) {
                double all = naive_knn(u, c.item[i], 0, weighted, own_type);
                double want = naive_knn(u, c.item[i], tops[t], weighted, own_type);
                if (own_type && !(f->user_types[u] & 1)) continue;
                ck_assert_double_eq_tol((double)scores[u * n + i], want, 1e-5);
                smaller += want < all;
            }
        }
    }
    ck_assert_uint_gt(smaller, 10); /* top 20 left something out */
    baseline_item_knn_free(k);
}
END_TEST

/* a [n, n] inverted by Gauss-Jordan with pivoting. */
static void naive_invert(double *a, double *inverse, size_t n)
{
    for (size_t i = 0; i < n * n; i++) inverse[i] = i % (n + 1) == 0;
    for (size_t k = 0; k < n; k++) {
        size_t pivot = k;
        for (size_t i = k; i < n; i++) {
            if (fabs(a[i * n + k]) > fabs(a[pivot * n + k])) pivot = i;
        }
        for (size_t j = 0; j < n; j++) {
            double x = a[k * n + j], y = inverse[k * n + j];
            a[k * n + j] = a[pivot * n + j];
            a[pivot * n + j] = x;
            inverse[k * n + j] = inverse[pivot * n + j];
            inverse[pivot * n + j] = y;
        }
        double scale = 1 / a[k * n + k];
        for (size_t j = 0; j < n; j++) {
            a[k * n + j] *= scale;
            inverse[k * n + j] *= scale;
        }
        for (size_t i = 0; i < n; i++) {
            double by = a[i * n + k];
            for (size_t j = 0; j < n && i != k; j++) {
                a[i * n + j] -= by * a[k * n + j];
                inverse[i * n + j] -= by * inverse[k * n + j];
            }
        }
    }
}

/* out [users, items]: EASE over the items with at least 2 users, in double. */
static void naive_ease(double *out, double lambda)
{
    uint32_t item[FIXTURE_ITEMS];
    size_t n = 0;
    for (uint32_t i = 0; i < FIXTURE_ITEMS; i++) {
        if (f->count[i] >= 2) item[n++] = i;
    }
    double *a = calloc(n * n, sizeof *a), *p = calloc(n * n, sizeof *p);
    for (size_t x = 0; x < n; x++) {
        for (size_t y = 0; y < n; y++) {
            for (uint32_t u = 0; u < FIXTURE_USERS; u++)
                a[x * n + y] += has(u, item[x]) && has(u, item[y]);
            a[x * n + y] += x == y ? lambda : 0;
        }
    }
    naive_invert(a, p, n);
    memset(out, 0, FIXTURE_USERS * FIXTURE_ITEMS * sizeof *out);
    for (uint32_t u = 0; u < FIXTURE_USERS; u++) {
        for (size_t y = 0; y < n; y++) {
            for (size_t x = 0; x < n; x++) {
                if (x == y || !has(u, item[x])) continue;
                out[u * FIXTURE_ITEMS + item[y]] -= p[x * n + y] / p[y * n + y];
            }
        }
    }
    free(a);
    free(p);
}

START_TEST(ease_is_the_closed_form)
{
    const double lambda[] = {20, 100, 400};
    static double want[FIXTURE_USERS * FIXTURE_ITEMS];
    baseline_ease *e = NULL;
    ck_assert_int_eq(baseline_ease_new(&c, &matrix, 12000, &e), ERR_OK);
    ck_assert_int_eq(baseline_ease_solve(e, &f->in, lambda[_i]), ERR_OK);
    naive_ease(want, lambda[_i]);
    scorer s = baseline_ease_scorer(e);
    for (uint32_t t = 0; t < 3; t++) {
        uint32_t n = candidates_count(&c, t);
        ck_assert_int_eq(s.score(s.state, &c, t, everyone, FIXTURE_USERS, scores), ERR_OK);
        for (uint32_t u = 0; u < FIXTURE_USERS - 10; u++) {
            for (uint32_t i = 0; i < n && items_of(u) > 0; i++) {
                double w = want[u * FIXTURE_ITEMS + c.item[c.begin[t] + i]];
                ck_assert_double_eq_tol((double)scores[u * n + i], w, 2e-5);
            }
        }
    }
    baseline_ease_free(e);
}
END_TEST

START_TEST(ease_keeps_the_most_frequent_items)
{
    baseline_ease *e = NULL;
    ck_assert_int_eq(baseline_ease_new(&c, &matrix, 5, &e), ERR_OK);
    ck_assert_uint_eq(baseline_ease_items(e), 5);
    ck_assert_int_eq(baseline_ease_solve(e, &f->in, 20), ERR_OK);
    scorer s = baseline_ease_scorer(e);
    uint32_t scored[FIXTURE_ITEMS] = {0}, n_scored = 0, least = UINT32_MAX;
    for (uint32_t t = 0; t < 3; t++) {
        uint32_t n = candidates_count(&c, t);
        ck_assert_int_eq(s.score(s.state, &c, t, everyone, 60, scores), ERR_OK);
        for (uint32_t u = 0; u < 60; u++) {
            bool in_model = false;
            for (uint32_t i = 0; i < n; i++)
                in_model = in_model || (float)f->count[c.item[c.begin[t] + i]] != scores[u * n + i];
            for (uint32_t i = 0; i < n && in_model; i++) {
                if (scores[u * n + i] != 0) scored[c.item[c.begin[t] + i]] = 1;
            }
        }
    }
    for (uint32_t i = 0; i < FIXTURE_ITEMS; i++) {
        n_scored += scored[i];
        if (scored[i] && f->count[i] < least) least = f->count[i];
    }
    ck_assert_uint_le(n_scored, 5);
    for (uint32_t i = 0; i < FIXTURE_ITEMS; i++)
        ck_assert(scored[i] || f->count[i] <= least || n_scored < 5);
    baseline_ease_free(e);
}
END_TEST

/* What EASE was handed over with is a solve for the type's own lambda, whichever was tried last. */
static void expect_ease_ranks(const evaluation_result *r, uint32_t type, uint32_t lambda)
{
    const evaluation_type_users *u = &r->type_users[type];
    uint64_t n = u->indptr[u->users];
    uint32_t *rank = calloc(n + 1, sizeof *rank);
    baseline_ease *e = NULL;
    ck_assert_int_eq(baseline_ease_new(&c, &matrix, 12000, &e), ERR_OK);
    ck_assert_int_eq(baseline_ease_solve(e, &f->in, lambda), ERR_OK);
    scorer s = baseline_ease_scorer(e);
    scoring_output out = {.rank = rank};
    ck_assert_int_eq(scoring_run(&out, &c, type, u, &s, true, 1), ERR_OK);
    ck_assert_uint_gt(n, 0);
    ck_assert_mem_eq(rank, u->rank[MODEL_EASE], n * sizeof *rank);
    baseline_ease_free(e);
    free(rank);
}

/* True: types chose differently. */
static bool expect_own_lambdas(void)
{
    uint32_t first = 0;
    bool differ = false;
    evaluation_result *r = NULL;
    ck_assert_int_eq(evaluation_score(&f->in, &r), ERR_OK);
    for (size_t i = 0; i < r->choices_n; i++) {
        const evaluation_choice *choice = &r->choices[i];
        if (choice->model != MODEL_EASE) continue;
        expect_ease_ranks(r, choice->type, choice->lambda);
        differ = differ || (first && choice->lambda != first);
        first = choice->lambda;
    }
    evaluation_free(r);
    return differ;
}

START_TEST(each_type_is_tested_with_its_own_lambda)
{
    int differed = 0;
    for (uint64_t seed = 20; seed < 26; seed++) {
        teardown();
        open_fixture(seed);
        differed += expect_own_lambdas();
    }
    ck_assert_int_gt(differed, 0);
}
END_TEST

START_TEST(the_grid_value_is_the_best_on_valid)
{
    evaluation_result *r = NULL;
    ck_assert_int_eq(evaluation_score(&f->in, &r), ERR_OK);
    evaluation_type_users valid;
    ck_assert_int_eq(candidates_users_init(&valid, &c, 0, &f->in.valid), ERR_OK);
    const uint32_t lambda[] = {20, 100, 400};
    double best = -1;
    uint32_t best_lambda = 0;
    baseline_ease *e = NULL;
    ck_assert_int_eq(baseline_ease_new(&c, &matrix, 12000, &e), ERR_OK);
    for (int l = 0; l < 3; l++) {
        double hr;
        ck_assert_int_eq(baseline_ease_solve(e, &f->in, lambda[l]), ERR_OK);
        scorer s = baseline_ease_scorer(e);
        ck_assert_int_eq(scoring_valid_hr(&hr, &c, 0, &valid, &s), ERR_OK);
        if (hr > best) {
            best = hr;
            best_lambda = lambda[l];
        }
    }
    size_t found = 0;
    for (size_t i = 0; i < r->choices_n; i++) {
        const evaluation_choice *choice = &r->choices[i];
        if (choice->type != 0 || choice->model != MODEL_EASE) continue;
        found++;
        ck_assert_uint_eq(choice->lambda, best_lambda);
        ck_assert(choice->valid_hr == best);
        ck_assert_uint_eq(choice->valid_users, valid.users);
    }
    ck_assert_uint_eq(found, 1);
    baseline_ease_free(e);
    candidates_users_fini(&valid);
    evaluation_free(r);
}
END_TEST

START_TEST(a_matrix_that_is_not_positive_definite_is_refused)
{
    float a[4] = {1, 2, 0, 1}, b[4] = {4, 2, 0, 3};
    ck_assert_int_eq(lapack_invert(a, 2), ERR_INVALID);
    ck_assert_int_eq(lapack_invert(b, 2), ERR_OK); /* det 8 */
    ck_assert_float_eq_tol(b[0], 3.f / 8, 1e-6f);
    ck_assert_float_eq_tol(b[1], -2.f / 8, 1e-6f);
    ck_assert_float_eq_tol(b[2], -2.f / 8, 1e-6f);
    ck_assert_float_eq_tol(b[3], 4.f / 8, 1e-6f);
    ck_assert_int_eq(lapack_invert(NULL, 0), ERR_OK);
}
END_TEST

/* a [n, n]: the upper triangle of X^T X + 5 I for random X. */
static void fill_spd(float *a, size_t n)
{
    uint64_t key = rng_key(1, 0, 0, 0, 0, USE_TEST);
    float x[8 * 600];
    for (size_t i = 0; i < 8 * n; i++) x[i] = rng_normal(key, i, 0);
    for (size_t i = 0; i < n; i++) {
        for (size_t j = i; j < n; j++) {
            float sum = i == j ? 5 : 0;
            for (size_t k = 0; k < 8; k++) sum += x[k * n + i] * x[k * n + j];
            a[i * n + j] = sum;
        }
    }
}

START_TEST(a_large_inverse_times_its_matrix_is_one)
{
    /* Several blocks and tiles, the last ones short. */
    size_t n = _i == 0 ? 600 : _i == 1 ? 256 : 7;
    float *a = calloc(n * n, sizeof *a), *p = calloc(n * n, sizeof *p),
          *q = calloc(n * n, sizeof *q);
    fill_spd(a, n);
    memcpy(p, a, n * n * sizeof *p);
    memcpy(q, a, n * n * sizeof *q);
    ck_assert_int_eq(spd_inverse(p, n, 1, NULL), ERR_OK);
    ck_assert_int_eq(spd_inverse(q, n, 3, NULL), ERR_OK);
    ck_assert_mem_eq(p, q, n * n * sizeof *p);
    for (size_t i = 0; i < n; i += 7) {
        for (size_t j = 0; j < n; j += 5) {
            double sum = 0;
            for (size_t k = 0; k < n; k++) {
                float aik = i <= k ? a[i * n + k] : a[k * n + i];
                sum += (double)aik * (double)p[k * n + j];
            }
            ck_assert_double_eq_tol(sum, i == j, 1e-3);
        }
    }
    a[0] = -1;
    ck_assert_int_eq(spd_inverse(a, n, 1, NULL), ERR_INVALID);
    free(a);
    free(p);
    free(q);
}
END_TEST

START_TEST(lists_are_sorted_with_ties_and_leave_out_what_is_masked)
{
    float score[] = {1, 3, -INFINITY, 3, 2, 3};
    uint32_t tie[] = {0, 5, 1, 2, 3, 4}, list[6];
    ck_assert_uint_eq(ranking_top(list, score, tie, 6, 6), 5);
    const uint32_t want[] = {3, 5, 1, 4, 0};
    for (int i = 0; i < 5; i++) ck_assert_uint_eq(list[i], want[i]);
    ck_assert_uint_eq(ranking_top(list, score, tie, 6, 2), 2);
    ck_assert(list[0] == 3 && list[1] == 5);
    ck_assert_uint_eq(ranking_top(list, score, tie, 6, 0), 0);
    for (uint32_t i = 0; i < 5; i++) ck_assert_uint_eq(ranking_rank(score, tie, 6, want[i]), i + 1);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("baselines");
    TCase *t = tcase_create("baselines");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, item_knn_sums_the_cosines_of_the_top_neighbours, 0, 4);
    tcase_add_loop_test(t, ease_is_the_closed_form, 0, 3);
    tcase_add_test(t, ease_keeps_the_most_frequent_items);
    tcase_add_test(t, the_grid_value_is_the_best_on_valid);
    tcase_add_test(t, each_type_is_tested_with_its_own_lambda);
    tcase_add_test(t, a_matrix_that_is_not_positive_definite_is_refused);
    tcase_add_loop_test(t, a_large_inverse_times_its_matrix_is_one, 0, 3);
    tcase_add_test(t, lists_are_sorted_with_ties_and_leave_out_what_is_masked);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
