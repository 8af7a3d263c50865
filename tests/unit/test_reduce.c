/* Proves: half precision follows IEEE in both variants, sums have the documented order, and the f16
 * mean is exact, hence free of any order and the same with and without AVX2. */
/* labels: bits */
#include "common/cpu.h"
#include "common/f16.h"
#include "common/reduce.h"
#include "common/rng.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

START_TEST(known_halves)
{
    ck_assert(f16_to_f32(0x3C00) == 1);
    ck_assert(f16_to_f32(0xC000) == -2);
    ck_assert(f16_to_f32(0x7BFF) == 65504);
    ck_assert(f16_to_f32(0x0001) == 0x1p-24f);
    ck_assert(isinf(f16_to_f32(0x7C00)));
    ck_assert_uint_eq(f16_from_f32(65519), 0x7BFF);
    ck_assert_uint_eq(f16_from_f32(65520), 0x7C00);
    ck_assert_uint_eq(f16_from_f32(0x1p-25f), 0);   /* tie to even */
    ck_assert_uint_eq(f16_from_f32(0x1.8p-24f), 2); /* tie to even */
    ck_assert_uint_eq(f16_from_f32(1 + 0x1p-11f), 0x3C00);
    ck_assert_uint_eq(f16_from_f32(-0.0f), 0x8000);
    ck_assert(isnan(f16_to_f32(f16_from_f32(NAN))));
}
END_TEST

START_TEST(every_half_survives_a_round_trip)
{
    for (uint32_t h = 0; h < 65536; h++) {
        float f = f16_to_f32((uint16_t)h);
        if (isnan(f)) continue;
        ck_assert_uint_eq(f16_from_f32(f), h);
    }
}
END_TEST

START_TEST(both_variants_convert_to_the_same_bits)
{
    enum { N = 65536 };
    uint16_t *h = malloc(N * sizeof *h), *h2 = malloc(N * sizeof *h);
    float *a = malloc(N * sizeof *a), *b = malloc(N * sizeof *b);
    for (uint32_t i = 0; i < N; i++) h[i] = (uint16_t)i;
    f16_decode(a, h, N);
    cpu_pretend_scalar(true);
    f16_decode(b, h, N);
    ck_assert_mem_eq(a, b, N * sizeof *a);
    for (uint32_t i = 0; i < N; i++) {
        uint32_t bits = rng_u32(1, i, 0);
        if (i % 2) bits = (bits & 0x8FFFFFFFu) | 0x30000000u; /* around the range of halves */
        memcpy(a + i, &bits, 4);
    }
    f16_encode(h, a, N);
    cpu_pretend_scalar(false);
    f16_encode(h2, a, N);
    ck_assert_mem_eq(h, h2, N * sizeof *h);
    free(h), free(h2), free(a), free(b);
}
END_TEST

static float slow_dot(const float *x, const float *y, size_t n)
{
    float lane[16] = {0};
    for (size_t i = 0; i < n; i++) {
        float p = x[i] * y[i];
        lane[i % 16] += p;
    }
    for (size_t j = 0; j < 8; j++) lane[j] += lane[j + 8];
    for (size_t j = 0; j < 4; j++) lane[j] += lane[j + 4];
    return (lane[0] + lane[2]) + (lane[1] + lane[3]);
}

START_TEST(sums_have_the_documented_order)
{
    float x[777], y[777], one[777];
    for (uint64_t i = 0; i < 777; i++) {
        x[i] = rng_normal(2, i, 0), y[i] = rng_normal(2, i, 1), one[i] = 1;
    }
    for (size_t n = 0; n <= 777; n += n < 40 ? 1 : 67) {
        float d = slow_dot(x, y, n), s = slow_dot(x, one, n);
        ck_assert(reduce_dot(x, y, n) == d);
        ck_assert(reduce_sum(x, n) == s);
        double sum = 0, squares = 0;
        for (size_t i = 0; i < n; i++) sum += x[i], squares += (double)x[i] * x[i];
        ck_assert_double_lt(fabs(reduce_sum_f64(x, n) - sum), 1e-11);
        ck_assert_double_lt(fabs(reduce_squares_f64(x, n) - squares), 1e-11);
    }
}
END_TEST

START_TEST(one_value_that_is_not_finite_is_seen)
{
    float x[100] = {0};
    ck_assert(reduce_all_finite(x, 100));
    x[99] = INFINITY;
    ck_assert(!reduce_all_finite(x, 100));
    ck_assert(reduce_all_finite(x, 99));
    x[0] = NAN;
    ck_assert(!reduce_all_finite(x, 99));
}
END_TEST

enum { ROWS = 300, D = 75 };

static void fill(uint16_t *rows, uint32_t *index, uint16_t *weight, size_t n)
{
    for (uint64_t i = 0; i < ROWS * D; i++) {
        rows[i] = f16_from_f32(2 * rng_unit(3, i, 0) - 1);
        if (i % 7 == 0) rows[i] = (uint16_t)(i % 1024); /* subnormal */
    }
    for (uint64_t i = 0; i < n; i++) {
        index[i] = (uint32_t)rng_below(4, i, 0, ROWS);
        weight[i] = (uint16_t)(1 + rng_below(4, i, 1, 65535));
    }
}

START_TEST(the_f16_mean_is_free_of_order_and_variant)
{
    enum { N = AGGREGATE_TERMS_MAX };
    static uint16_t rows[ROWS * D], weight[N];
    static uint32_t index[N];
    fill(rows, index, weight, N);
    float a[D], b[D];
    aggregate_f16(a, rows, index, weight, N, D, D);
    for (size_t i = 0; i < N / 2; i++) { /* reversed */
        uint32_t t = index[i];
        uint16_t w = weight[i];
        index[i] = index[N - 1 - i], weight[i] = weight[N - 1 - i];
        index[N - 1 - i] = t, weight[N - 1 - i] = w;
    }
    aggregate_f16(b, rows, index, weight, N, D, D);
    ck_assert_mem_eq(a, b, sizeof a);
    cpu_pretend_scalar(true);
    aggregate_f16(b, rows, index, weight, N, D, D);
    cpu_pretend_scalar(false);
    ck_assert_mem_eq(a, b, sizeof a);
    for (size_t j = 0; j < D; j++) {
        long double sum = 0, total = 0;
        for (size_t i = 0; i < N; i++) {
            sum += (long double)f16_to_f32(rows[index[i] * D + j]) * weight[i], total += weight[i];
        }
        ck_assert_float_eq(a[j], (float)(double)(sum / total));
    }
}
END_TEST

START_TEST(without_index_and_weights_it_is_the_mean_of_the_rows)
{
    uint16_t rows[2 * 20];
    for (size_t j = 0; j < 20; j++)
        rows[j] = f16_from_f32(0.5f), rows[20 + j] = f16_from_f32(-0.25f);
    float out[20];
    aggregate_f16(out, rows, NULL, NULL, 2, 20, 20);
    for (size_t j = 0; j < 20; j++) ck_assert(out[j] == 0.125f);
    aggregate_f16(out, rows, NULL, NULL, 0, 20, 20);
    for (size_t j = 0; j < 20; j++) ck_assert(out[j] == 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("reduce");
    TCase *c = tcase_create("reduce");
    tcase_add_test(c, known_halves);
    tcase_add_test(c, every_half_survives_a_round_trip);
    tcase_add_test(c, both_variants_convert_to_the_same_bits);
    tcase_add_test(c, sums_have_the_documented_order);
    tcase_add_test(c, one_value_that_is_not_finite_is_seen);
    tcase_add_test(c, the_f16_mean_is_free_of_order_and_variant);
    tcase_add_test(c, without_index_and_weights_it_is_the_mean_of_the_rows);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
