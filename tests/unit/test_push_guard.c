/* Proves: a push's norm is over all of it, at every length; what cannot be a gradient is refused.
 */
#include "ps/push_guard.h"

#include <check.h>
#include <math.h>
#include <string.h>

static float dense[37], rows[21];

static push_view view(void)
{
    for (size_t i = 0; i < 37; i++) dense[i] = (float)i * 0.5f - 3;
    for (size_t i = 0; i < 21; i++) rows[i] = 2 - (float)i * 0.25f;
    push_view v = {.head = {.dense_floats = 37, .sections = 1, .examples = 5}, .dense = dense};
    v.section[0] = (push_section){.table = 1, .dim = 7, .n = 3, .rows = rows};
    return v;
}

START_TEST(the_norm_is_over_all_values)
{
    push_view v = view();
    double want = 0;
    for (size_t i = 0; i < 37; i++) want += (double)dense[i] * dense[i];
    for (size_t i = 0; i < 21; i++) want += (double)rows[i] * rows[i];
    ck_assert_double_eq_tol(push_guard_norm(&v), sqrt(want), 1e-9);
    v.head.dense_floats = v.head.sections = 0;
    ck_assert_double_eq(push_guard_norm(&v), 0);
}
END_TEST

START_TEST(a_value_anywhere_that_is_not_finite_is_seen)
{
    char why[PUSH_WHY_MAX];
    for (size_t i = 0; i < 58; i++) {
        push_view v = view();
        float *at = i < 37 ? &dense[i] : &rows[i - 37];
        *at = i % 3 == 0 ? NAN : i % 3 == 1 ? INFINITY : -INFINITY;
        ck_assert(!push_guard_accepts(&v, false, 0, why));
        ck_assert(!push_guard_accepts(&v, true, 0, why));
        ck_assert_str_eq(why, "a value that is not finite");
    }
    push_view v = view();
    for (size_t i = 0; i < 37; i++) dense[i] = 3.4e38f; /* Finite, and so is the norm. */
    ck_assert(push_guard_accepts(&v, false, 0, why));
    ck_assert(isfinite(push_guard_norm(&v)));
}
END_TEST

START_TEST(the_cap_is_for_gradients)
{
    char why[PUSH_WHY_MAX];
    push_view v = view();
    double norm = push_guard_norm(&v);
    ck_assert(push_guard_accepts(&v, false, norm, why));
    ck_assert(!push_guard_accepts(&v, false, norm * 0.999, why));
    ck_assert_ptr_nonnull(strstr(why, "security.max_norm"));
    ck_assert(push_guard_accepts(&v, true, norm * 0.999, why));
    v.head.examples = PUSH_EXAMPLES_MAX + 1;
    ck_assert(!push_guard_accepts(&v, false, 0, why));
    ck_assert_ptr_nonnull(strstr(why, "4294967297 examples"));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("push_guard");
    TCase *c = tcase_create("push_guard");
    tcase_add_test(c, the_norm_is_over_all_values);
    tcase_add_test(c, a_value_anywhere_that_is_not_finite_is_seen);
    tcase_add_test(c, the_cap_is_for_gradients);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
