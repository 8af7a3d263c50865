/* Proves: what is left of a stage is said when its pace is known, and not by its first step. */
#include "ps/stage_pace.h"

#include <check.h>

enum { SECOND = 1000000, STEPS = 1500 };

START_TEST(the_first_steps_tell_nothing)
{
    stage_pace p = {0};
    ck_assert_double_eq(stage_pace_left_s(&p, STEPS, 90 * SECOND), -1);
    stage_pace_step(&p, 1, 100 * SECOND); /* It has waited for 100 s. */
    ck_assert_double_eq(stage_pace_left_s(&p, STEPS, 120 * SECOND), -1);
    for (uint32_t i = 2; i <= 15; i++) {
        stage_pace_step(&p, i, 100 * SECOND + i * 100000);
        ck_assert_double_eq(stage_pace_left_s(&p, STEPS, 102 * SECOND), -1);
    }
}
END_TEST

START_TEST(a_hundredth_of_the_steps_tells_the_rest)
{
    stage_pace p = {0};
    for (uint32_t i = 1; i <= 16; i++) stage_pace_step(&p, i, 100 * SECOND + i * 100000);
    double left = stage_pace_left_s(&p, STEPS, p.last_us);
    ck_assert_double_eq_tol(left, (STEPS - 16) * 0.1, 1e-6);
}
END_TEST

START_TEST(five_seconds_tell_the_rest_of_slow_steps)
{
    stage_pace p = {0};
    stage_pace_step(&p, 41, 10 * SECOND); /* It goes on with these. */
    stage_pace_step(&p, 42, 14 * SECOND);
    ck_assert_double_eq(stage_pace_left_s(&p, STEPS, 16 * SECOND), -1);
    stage_pace_step(&p, 43, 18 * SECOND);
    ck_assert_double_eq_tol(stage_pace_left_s(&p, STEPS, 18 * SECOND), (STEPS - 43) * 4.0, 1e-6);
}
END_TEST

START_TEST(it_counts_down_within_a_step_and_stands_while_nothing_moves)
{
    stage_pace p = {0};
    for (uint32_t i = 1; i <= 3; i++) stage_pace_step(&p, i, i * 4 * SECOND);
    ck_assert_double_eq_tol(stage_pace_left_s(&p, 10, 12 * SECOND), 28, 1e-6);
    ck_assert_double_eq_tol(stage_pace_left_s(&p, 10, 15 * SECOND), 25, 1e-6);
    ck_assert_double_eq_tol(stage_pace_left_s(&p, 10, 16 * SECOND), 24, 1e-6);
    ck_assert_double_eq_tol(stage_pace_left_s(&p, 10, 100 * SECOND), 24, 1e-6);
    stage_pace_step(&p, 10, 104 * SECOND);
    ck_assert_double_eq(stage_pace_left_s(&p, 10, 110 * SECOND), 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("stage_pace");
    TCase *c = tcase_create("all");
    tcase_add_test(c, the_first_steps_tell_nothing);
    tcase_add_test(c, a_hundredth_of_the_steps_tells_the_rest);
    tcase_add_test(c, five_seconds_tell_the_rest_of_slow_steps);
    tcase_add_test(c, it_counts_down_within_a_step_and_stands_while_nothing_moves);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
