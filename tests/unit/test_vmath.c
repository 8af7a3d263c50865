/* Proves: our exp, log and cos agree with libm within the stated ulp, and treat the edges as said.
 */
/* labels: bits */
#include "common/rng.h"
#include "common/vmath.h"

#include <check.h>
#include <math.h>

static double error_ulp_f32(float got, double expected)
{
    float e = (float)expected;
    double ulp = (double)(nextafterf(fabsf(e), INFINITY) - fabsf(e));
    return fabs((double)got - expected) / ulp;
}

static double error_ulp_f64(double got, double expected)
{
    return fabs(got - expected) / (nextafter(fabs(expected), INFINITY) - fabs(expected));
}

static double draw(uint64_t i, double low, double high)
{
    return low + (high - low) * rng_unit_f64(11, i, 0);
}

enum { DRAWS = 200000 };

START_TEST(float_functions_are_within_two_ulp)
{
    double e = 0, l = 0, p = 0;
    for (uint64_t i = 0; i < DRAWS; i++) {
        float x = (float)draw(i, -86, 88);
        e = fmax(e, error_ulp_f32(vmath_expf(x), exp((double)x)));
        float y = (float)exp(draw(i, -80, 80));
        l = fmax(l, error_ulp_f32(vmath_logf(y), log((double)y)));
        float z = (float)(exp(draw(i, -20, 5)) - 0.9);
        p = fmax(p, error_ulp_f32(vmath_log1pf(z), log1p((double)z)));
    }
    ck_assert_double_le(e, 2);
    ck_assert_double_le(l, 2);
    ck_assert_double_le(p, 2);
}
END_TEST

START_TEST(double_functions_are_within_four_ulp)
{
    double e = 0, l = 0, p = 0, b = 0;
    for (uint64_t i = 0; i < DRAWS; i++) {
        double x = draw(i, -700, 700);
        e = fmax(e, error_ulp_f64(vmath_exp(x), exp(x)));
        double y = exp(draw(i, -300, 300));
        l = fmax(l, error_ulp_f64(vmath_log(y), log(y)));
        b = fmax(b, error_ulp_f64(vmath_log2(y), log2(y)));
        double z = exp(draw(i, -40, 5));
        p = fmax(p, error_ulp_f64(vmath_log1p(z), log1p(z)));
    }
    ck_assert_double_le(e, 4);
    ck_assert_double_le(l, 4);
    ck_assert_double_le(b, 4);
    ck_assert_double_le(p, 4);
}
END_TEST

START_TEST(cos_is_exact_to_1e_15)
{
    for (uint64_t i = 0; i < DRAWS; i++) {
        double x = draw(i, -1000, 1000);
        ck_assert_double_le(fabs(vmath_cos(x) - cos(x)), 1e-15);
    }
    ck_assert(vmath_cos(0) == 1.0);
    ck_assert(vmath_cos(3.14159265358979323846) == -1.0);
}
END_TEST

START_TEST(powi_multiplies)
{
    ck_assert(vmath_powi(0.9, 0) == 1.0);
    ck_assert(vmath_powi(2, 10) == 1024);
    ck_assert_double_le(fabs(vmath_powi(0.999, 1500) - pow(0.999, 1500)), 1e-14);
}
END_TEST

START_TEST(edges_are_as_documented)
{
    ck_assert(vmath_expf(-INFINITY) == 0);
    ck_assert(vmath_expf(-100) == 0);
    ck_assert(isinf(vmath_expf(89)));
    ck_assert(isfinite(vmath_expf(88.7f)));
    ck_assert(isnan(vmath_expf(NAN)));
    ck_assert(vmath_exp(-1000) == 0);
    ck_assert(isinf(vmath_exp(710)));
    ck_assert(isnan(vmath_exp(NAN)));
    ck_assert(vmath_log(0) == -INFINITY);
    ck_assert(isnan(vmath_log(-1)));
    ck_assert(isnan(vmath_logf(NAN)));
    ck_assert(vmath_log(1) == 0);
    ck_assert(vmath_log2(8) == 3);
    ck_assert(vmath_log1p(1e-300) == 1e-300);
}
END_TEST

START_TEST(the_array_form_has_the_same_bits)
{
    float x[100], y[100];
    for (uint64_t i = 0; i < 100; i++) x[i] = (float)draw(i, -95, 95);
    x[3] = -INFINITY;
    vmath_expf_array(y, x, 1.25f, 100);
    for (int i = 0; i < 100; i++) {
        float e = vmath_expf(x[i] - 1.25f);
        ck_assert_mem_eq(&e, y + i, sizeof e);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("vmath");
    TCase *c = tcase_create("vmath");
    tcase_add_test(c, float_functions_are_within_two_ulp);
    tcase_add_test(c, double_functions_are_within_four_ulp);
    tcase_add_test(c, cos_is_exact_to_1e_15);
    tcase_add_test(c, powi_multiplies);
    tcase_add_test(c, edges_are_as_documented);
    tcase_add_test(c, the_array_form_has_the_same_bits);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
