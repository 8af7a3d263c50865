/* Proves: a line has its event and level; of one event a bounded number is written, errors
 * excepted, and others are not held back by it. */
#include "common/log.h"

#include "testing_files.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

static size_t count(const char *text, const char *part)
{
    size_t n = 0;
    for (const char *p = text; (p = strstr(p, part)); p++) n++;
    return n;
}

START_TEST(a_line_names_level_and_event)
{
    testing_capture_start();
    log_warn("pull_timeout", "peer=%d", 3);
    log_debug("too_much", "peer=%d", 3);
    const char *text = testing_capture_end();
    testing_expect_part(text, "Z warn pull_timeout peer=3\n");
    ck_assert_uint_eq(count(text, "\n"), 1);
}
END_TEST

START_TEST(an_event_that_repeats_is_held_back)
{
    testing_capture_start();
    for (int i = 0; i < 5 * LOG_LINES_MAX; i++) log_warn("storm", "i=%d", i);
    log_warn("calm", "i=%d", 0);
    const char *text = testing_capture_end();
    /* A window may end in between. */
    ck_assert_uint_ge(count(text, " storm "), LOG_LINES_MAX);
    ck_assert_uint_lt(count(text, " storm "), 2 * LOG_LINES_MAX);
    ck_assert_uint_eq(count(text, " calm "), 1);
    testing_capture_start();
    for (int i = 0; i < LOG_LINES_MAX + 20; i++) log_error("trouble", "i=%d", i);
    ck_assert_uint_eq(count(testing_capture_end(), " trouble "), LOG_LINES_MAX + 20);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("log");
    TCase *c = tcase_create("log");
    tcase_add_checked_fixture(c, testing_enter_folder, testing_leave_folder);
    tcase_add_test(c, a_line_names_level_and_event);
    tcase_add_test(c, an_event_that_repeats_is_held_back);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
