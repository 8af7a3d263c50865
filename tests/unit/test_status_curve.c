/* Proves: a curve has at most its bound of points, evenly over all steps, keeps its first one, and
 * forgets what is behind a step. */
#include "ps/status_curve.h"

#include <check.h>

static status_curve curve;

static void add(uint32_t n)
{
    status_curve_restart(&curve);
    for (uint32_t i = 1; i <= n; i++) {
        curve_point p = {i, {i}};
        status_curve_add(&curve, &p);
    }
}

START_TEST(points_are_thinned_evenly)
{
    add(100000);
    ck_assert_uint_le(curve.n, STATUS_CURVE_MAX);
    ck_assert_uint_ge(curve.n, STATUS_CURVE_MAX / 2);
    ck_assert_uint_eq(curve.point[0].step, 1);
    uint32_t apart = curve.point[1].step - curve.point[0].step;
    for (uint32_t i = 1; i < curve.n; i++)
        ck_assert_uint_eq(curve.point[i].step - curve.point[i - 1].step, apart);
    ck_assert_uint_gt(curve.point[curve.n - 1].step + 2 * apart, 100000);
}
END_TEST

START_TEST(few_points_are_all_there)
{
    add(STATUS_CURVE_MAX);
    ck_assert_uint_eq(curve.n, STATUS_CURVE_MAX);
}
END_TEST

START_TEST(a_cut_forgets_what_is_behind)
{
    add(100);
    status_curve_cut(&curve, 40);
    ck_assert_uint_eq(curve.n, 40);
    ck_assert_uint_eq(curve.point[39].step, 40);
    status_curve_cut(&curve, 0);
    ck_assert_uint_eq(curve.n, 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("status_curve");
    TCase *c = tcase_create("all");
    tcase_add_test(c, points_are_thinned_evenly);
    tcase_add_test(c, few_points_are_all_there);
    tcase_add_test(c, a_cut_forgets_what_is_behind);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
