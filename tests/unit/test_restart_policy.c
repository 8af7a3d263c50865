/* Proves: a process that ends is started again soon, then later and later up to a bound; a calm
 * life makes it soon again; and one that ends too often in a short time is given up. */
#include "deploy/restart_policy.h"

#include <check.h>

#define S_US UINT64_C(1000000)

START_TEST(delays_double_up_to_the_bound)
{
    static const uint64_t delay_ms[] = {200, 400, 800, 1600, 3200, 6400, 10000, 10000};
    restart_policy p = {0};
    uint64_t now = 5 * S_US, due;
    for (size_t i = 0; i < sizeof delay_ms / sizeof *delay_ms; i++) {
        ck_assert(restart_policy_next(&p, now, now + 1000, &due));
        ck_assert_uint_eq(due, now + 1000 + delay_ms[i] * 1000);
        now = due;
    }
}
END_TEST

START_TEST(a_calm_life_makes_it_soon_again)
{
    restart_policy p = {0};
    uint64_t now = S_US, due;
    for (int i = 0; i < 5; i++) ck_assert(restart_policy_next(&p, now, now, &due));
    ck_assert_uint_gt(due, now + S_US);
    uint64_t end = now + RESTART_CALM_MS * UINT64_C(1000);
    ck_assert(restart_policy_next(&p, now, end, &due));
    ck_assert_uint_eq(due, end + RESTART_DELAY_MS * UINT64_C(1000));
}
END_TEST

START_TEST(a_process_that_always_ends_at_once_is_given_up)
{
    restart_policy p = {0};
    uint64_t now = S_US, due;
    uint32_t restarts = 0;
    while (restart_policy_next(&p, now, now, &due)) {
        now = due;
        ck_assert_uint_le(++restarts, RESTARTS_MAX);
    }
    ck_assert_uint_eq(restarts, RESTARTS_MAX);
    ck_assert_uint_lt(now, S_US + RESTARTS_WINDOW_MS * UINT64_C(1000));
}
END_TEST

START_TEST(one_that_ends_now_and_then_is_started_for_ever)
{
    restart_policy p = {0};
    uint64_t now = S_US, due = S_US;
    for (int i = 0; i < 1000; i++) {
        now = due + 15 * S_US;
        ck_assert(restart_policy_next(&p, due, now, &due));
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("restart_policy");
    TCase *c = tcase_create("restart_policy");
    tcase_add_test(c, delays_double_up_to_the_bound);
    tcase_add_test(c, a_calm_life_makes_it_soon_again);
    tcase_add_test(c, a_process_that_always_ends_at_once_is_given_up);
    tcase_add_test(c, one_that_ends_now_and_then_is_started_for_ever);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
