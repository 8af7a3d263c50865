/* Proves: every kernel agrees with a naive one, and every backward with central differences. */
#include "common/blas.h"
#include "common/f16.h"
#include "common/reduce.h"
#include "common/rng.h"
#include "testing_gradient.h"
#include "worker/kernels.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { N = 5, IN = 7, OUT = 4 };

static double weighted_sum(const float *y, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (double)y[i] * (double)rng_normal(99, i, 0);
    return sum;
}

static void fill_dy(float *dy, size_t n)
{
    for (size_t i = 0; i < n; i++) dy[i] = rng_normal(99, i, 0);
}

static float x[N * IN], w[OUT * IN], b[OUT];

static double linear_loss(void *context)
{
    (void)context;
    float y[N * OUT];
    linear_forward(y, x, w, b, N, IN, OUT);
    return weighted_sum(y, N * OUT);
}

START_TEST(linear_agrees_with_a_loop)
{
    float y[N * OUT];
    gradient_fill(x, N * IN, 1, 1), gradient_fill(w, OUT * IN, 2, 1), gradient_fill(b, OUT, 3, 1);
    linear_forward(y, x, w, b, N, IN, OUT);
    for (size_t i = 0; i < N; i++) {
        for (size_t j = 0; j < OUT; j++) {
            double sum = b[j];
            for (size_t k = 0; k < IN; k++) sum += (double)x[i * IN + k] * (double)w[j * IN + k];
            ck_assert_double_lt(fabs(sum - y[i * OUT + j]), 1e-5);
        }
    }
    linear_forward(y, x, w, b, 0, IN, OUT); /* n = 0 does nothing */
}
END_TEST

START_TEST(linear_backward_agrees_with_differences)
{
    float dy[N * OUT], dx[N * IN], dw[OUT * IN] = {0}, db[OUT] = {0};
    gradient_fill(x, N * IN, 1, 1), gradient_fill(w, OUT * IN, 2, 1), gradient_fill(b, OUT, 3, 1);
    fill_dy(dy, N * OUT);
    linear_backward(dx, dw, db, dy, x, w, N, IN, OUT);
    ck_assert_double_lt(gradient_error(linear_loss, NULL, x, dx, N * IN, 0.1f, 5, 0.1), 1e-4);
    ck_assert_double_lt(gradient_error(linear_loss, NULL, w, dw, OUT * IN, 0.1f, 5, 0.1), 1e-4);
    ck_assert_double_lt(gradient_error(linear_loss, NULL, b, db, OUT, 0.1f, 5, 0.1), 1e-4);
    float dw2[OUT * IN];
    memcpy(dw2, dw, sizeof dw);
    linear_backward(NULL, dw2, db, dy, x, w, N, IN, OUT); /* accumulates */
    for (size_t i = 0; i < OUT * IN; i++) ck_assert_float_eq_tol(dw2[i], 2 * dw[i], 1e-5f);
}
END_TEST

START_TEST(relu_cuts_below_zero_and_keeps_nan)
{
    float v[4] = {-1, 0, 2, NAN}, y[4], d[4] = {5, 5, 5, 5};
    relu_forward(y, v, 4);
    ck_assert(y[0] == 0 && y[1] == 0 && y[2] == 2 && isnan(y[3]));
    relu_backward(d, d, y, 3);
    ck_assert(d[0] == 0 && d[1] == 0 && d[2] == 5);
}
END_TEST

static double normalise_loss(void *context)
{
    (void)context;
    float y[N * IN], norm[N];
    normalise_forward(y, norm, x, N, IN);
    return weighted_sum(y, N * IN);
}

START_TEST(normalise_backward_agrees_with_differences)
{
    float y[N * IN], norm[N], dy[N * IN], dx[N * IN];
    gradient_fill(x, N * IN, 4, 1);
    normalise_forward(y, norm, x, N, IN);
    for (size_t i = 0; i < N; i++) {
        ck_assert_double_lt(fabs(reduce_squares_f64(y + i * IN, IN) - 1), 1e-6);
    }
    fill_dy(dy, N * IN);
    normalise_backward(dx, dy, y, norm, N, IN);
    ck_assert_double_lt(gradient_error(normalise_loss, NULL, x, dx, N * IN, 0.01f, 5, 0.1), 1e-3);
}
END_TEST

START_TEST(a_zero_row_normalises_to_zero_and_gets_no_gradient)
{
    float v[3] = {0}, y[3], norm[1], d[3] = {1, 2, 3};
    normalise_forward(y, norm, v, 1, 3);
    ck_assert(y[0] == 0 && y[1] == 0 && y[2] == 0 && norm[0] == 0);
    normalise_backward(d, d, y, norm, 1, 3);
    ck_assert(d[0] == 0 && d[1] == 0 && d[2] == 0);
}
END_TEST

/* Lists of rows of x [6, IN]: {0, 3}, {}, {5, 5, 1}, {2}. */
static const uint64_t indptr[5] = {0, 2, 2, 5, 6};
static const uint32_t index_[6] = {0, 3, 5, 5, 1, 2};
static const uint16_t weight[6] = {1, 3, 65535, 2, 7, 9};
static float source[6 * IN];

static double mean_loss(void *context)
{
    (void)context;
    float out[4 * IN];
    mean_forward(out, IN, source, IN, indptr, index_, weight, NULL, 4, IN);
    return weighted_sum(out, 4 * IN);
}

START_TEST(weighted_mean_agrees_with_a_loop_and_its_backward_with_differences)
{
    float out[4 * IN], dx[6 * IN] = {0}, dout[4 * IN];
    gradient_fill(source, 6 * IN, 5, 1);
    mean_forward(out, IN, source, IN, indptr, index_, weight, NULL, 4, IN);
    for (size_t i = 0; i < 4; i++) {
        for (size_t j = 0; j < IN; j++) {
            double sum = 0, total = 0;
            for (uint64_t e = indptr[i]; e < indptr[i + 1]; e++) {
                sum += (double)weight[e] * (double)source[index_[e] * IN + j], total += weight[e];
            }
            ck_assert_double_lt(fabs((total > 0 ? sum / total : 0) - out[i * IN + j]), 1e-5);
        }
    }
    fill_dy(dout, 4 * IN);
    mean_backward(dx, IN, dout, IN, indptr, index_, weight, NULL, 4, IN);
    ck_assert_double_lt(gradient_error(mean_loss, NULL, source, dx, 6 * IN, 0.1f, 5, 0.1), 1e-3);
}
END_TEST

START_TEST(mean_of_chosen_rows_with_a_stride)
{
    float out[2 * 10], all[4 * IN];
    const uint32_t rows[2] = {2, 3};
    gradient_fill(source, 6 * IN, 5, 1);
    mean_forward(all, IN, source, IN, indptr, index_, NULL, NULL, 4, IN);
    mean_forward(out, 10, source, IN, indptr, index_, NULL, rows, 2, IN);
    ck_assert_mem_eq(out, all + 2 * IN, IN * sizeof(float));
    ck_assert_mem_eq(out + 10, all + 3 * IN, IN * sizeof(float));
}
END_TEST

START_TEST(mean_of_f16_rows_agrees_with_the_float_mean)
{
    uint16_t half[6 * IN];
    float out[4 * IN], expected[4 * IN];
    for (size_t i = 0; i < 6 * IN; i++) {
        half[i] = f16_from_f32(2 * rng_unit(6, i, 0) - 1);
        source[i] = f16_to_f32(half[i]);
    }
    mean_f16_forward(out, IN, half, IN, indptr, index_, weight, NULL, 4, IN);
    mean_forward(expected, IN, source, IN, indptr, index_, weight, NULL, 4, IN);
    for (size_t i = 0; i < 4 * IN; i++) ck_assert_float_eq_tol(out[i], expected[i], 1e-6f);
}
END_TEST

static const uint32_t nonempty[3] = {0, 2, 3};

static double max_loss(void *context)
{
    (void)context;
    float out[3 * IN];
    uint32_t arg[3 * IN];
    max_pool_forward(out, arg, source, indptr, index_, NULL, nonempty, 3, IN);
    return weighted_sum(out, 3 * IN);
}

START_TEST(max_pool_takes_the_largest_and_the_first_of_a_tie)
{
    float out[3 * IN], dx[6 * IN] = {0}, dout[3 * IN];
    uint32_t arg[3 * IN];
    gradient_fill(source, 6 * IN, 7, 1);
    memcpy(source + 3 * IN, source, IN * sizeof(float)); /* rows 0 and 3 tie */
    max_pool_forward(out, arg, source, indptr, index_, NULL, nonempty, 3, IN);
    for (size_t j = 0; j < IN; j++) {
        ck_assert_uint_eq(arg[j], 0);
        ck_assert(out[IN + j] == fmaxf(source[5 * IN + j], source[IN + j]));
        ck_assert(out[2 * IN + j] == source[2 * IN + j]);
    }
    gradient_fill(source, 6 * IN, 8, 1);
    max_pool_forward(out, arg, source, indptr, index_, NULL, nonempty, 3, IN);
    fill_dy(dout, 3 * IN);
    max_pool_backward(dx, dout, arg, 3, IN);
    ck_assert_double_lt(gradient_error(max_loss, NULL, source, dx, 6 * IN, 1e-3f, 0, 0.1), 1e-2);
}
END_TEST

enum { CANDIDATES = 9 };
static float scores[CANDIDATES + 1]; /* the last one is the positive */
static bool hinge;

static double loss_of_scores(void *context)
{
    (void)context;
    float s[CANDIDATES], d;
    memcpy(s, scores, sizeof s);
    return hinge ? hinge_loss(s, &d, scores[CANDIDATES], CANDIDATES, 0.3f)
                 : softmax_loss(s, &d, scores[CANDIDATES], CANDIDATES, 0.5f);
}

static void check_loss(bool use_hinge)
{
    float g[CANDIDATES + 1];
    hinge = use_hinge;
    gradient_fill(scores, CANDIDATES + 1, 9, 0.5f);
    scores[2] = -INFINITY; /* masked */
    memcpy(g, scores, sizeof g);
    double loss = hinge ? hinge_loss(g, g + CANDIDATES, scores[CANDIDATES], CANDIDATES, 0.3f)
                        : softmax_loss(g, g + CANDIDATES, scores[CANDIDATES], CANDIDATES, 0.5f);
    ck_assert_double_eq(loss, loss_of_scores(NULL));
    ck_assert(g[2] == 0);
    ck_assert_double_lt(
        gradient_error(loss_of_scores, NULL, scores, g, CANDIDATES + 1, 1e-3f, 0, 0.05), 1e-2);
}

START_TEST(softmax_loss_backward_agrees_with_differences)
{
    check_loss(false);
}
END_TEST

START_TEST(hinge_loss_backward_agrees_with_differences)
{
    check_loss(true);
}
END_TEST

START_TEST(losses_with_every_candidate_masked_are_zero)
{
    float s[2] = {-INFINITY, -INFINITY}, d = 1;
    ck_assert(softmax_loss(s, &d, 0.7f, 2, 0.1f) == 0);
    ck_assert(d == 0 && s[0] == 0 && s[1] == 0);
    s[0] = s[1] = -INFINITY;
    ck_assert(hinge_loss(s, &d, 0.7f, 2, 0.1f) == 0);
    ck_assert(d == 0);
}
END_TEST

START_TEST(hinge_is_the_mean_over_what_is_left)
{
    float s[3] = {0.5f, -INFINITY, 0.1f}, d;
    /* slack: 0.5 - 0.4 + 0.2 = 0.3; 0.1 - 0.4 + 0.2 < 0 */
    ck_assert_double_lt(fabs(hinge_loss(s, &d, 0.4f, 3, 0.2f) - 0.15), 1e-7);
    ck_assert(s[0] == 0.5f && s[1] == 0 && s[2] == 0 && d == -0.5f);
}
END_TEST

START_TEST(products_agree_with_loops_for_every_transposition)
{
    enum { M = 3, P = 4, K = 5 };
    float a[M * K], bm[K * P], at[K * M], bt[P * K], c[M * 6], e[M * P];
    gradient_fill(a, M * K, 1, 1), gradient_fill(bm, K * P, 2, 1);
    for (size_t i = 0; i < M; i++) {
        for (size_t k = 0; k < K; k++) at[k * M + i] = a[i * K + k];
    }
    for (size_t k = 0; k < K; k++) {
        for (size_t j = 0; j < P; j++) bt[j * K + k] = bm[k * P + j];
    }
    for (size_t i = 0; i < M; i++) {
        for (size_t j = 0; j < P; j++) {
            e[i * P + j] = 0;
            for (size_t k = 0; k < K; k++) e[i * P + j] += a[i * K + k] * bm[k * P + j];
        }
    }
    for (int variant = 0; variant < 3; variant++) {
        for (size_t i = 0; i < M * 6; i++) c[i] = 1;
        if (variant == 0) blas_nn(c, a, bm, M, P, K, 2, 3, 6, K, P);
        if (variant == 1) blas_nt(c, a, bt, M, P, K, 2, 3, 6, K, K);
        if (variant == 2) blas_tn(c, at, bm, M, P, K, 2, 3, 6, M, P);
        for (size_t i = 0; i < M; i++) {
            for (size_t j = 0; j < 6; j++) {
                ck_assert_float_eq_tol(c[i * 6 + j], j < P ? 2 * e[i * P + j] + 3 : 1, 1e-5f);
            }
        }
    }
    blas_nn(c, NULL, NULL, M, P, 0, 1, 0.5f, 6, 1, P); /* k = 0: only beta */
    ck_assert(c[5] == 1);
}
END_TEST

START_TEST(a_wrong_leading_dimension_aborts)
{
    float a[4] = {0}, c[4];
    blas_nn(c, a, a, 2, 2, 2, 1, 0, 2, 1, 2);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("kernels");
    TCase *c = tcase_create("kernels");
    blas_start();
    tcase_add_test(c, linear_agrees_with_a_loop);
    tcase_add_test(c, linear_backward_agrees_with_differences);
    tcase_add_test(c, relu_cuts_below_zero_and_keeps_nan);
    tcase_add_test(c, normalise_backward_agrees_with_differences);
    tcase_add_test(c, a_zero_row_normalises_to_zero_and_gets_no_gradient);
    tcase_add_test(c, weighted_mean_agrees_with_a_loop_and_its_backward_with_differences);
    tcase_add_test(c, mean_of_chosen_rows_with_a_stride);
    tcase_add_test(c, mean_of_f16_rows_agrees_with_the_float_mean);
    tcase_add_test(c, max_pool_takes_the_largest_and_the_first_of_a_tie);
    tcase_add_test(c, softmax_loss_backward_agrees_with_differences);
    tcase_add_test(c, hinge_loss_backward_agrees_with_differences);
    tcase_add_test(c, losses_with_every_candidate_masked_are_zero);
    tcase_add_test(c, hinge_is_the_mean_over_what_is_left);
    tcase_add_test(c, products_agree_with_loops_for_every_transposition);
    tcase_add_test_raise_signal(c, a_wrong_leading_dimension_aborts, 6);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
