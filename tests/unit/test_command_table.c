/* The command line finds its command, or says which one was meant. */
#include "deploy/command_table.h"

#include "testing_files.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static char seen[64];

static int note(int argc, char **argv)
{
    seen[0] = '\0';
    for (int i = 0; i < argc; i++) {
        strcat(seen, argv[i]);
        strcat(seen, "|");
    }
    return 7;
}

static const command_entry table[] = {{"recommend", note, false, "help of recommend"},
                                      {"train", note, true, "help of train"}};

static int run(int argc, char **argv)
{
    return command_table_run(table, 2, argc, argv);
}

START_TEST(a_command_gets_its_arguments_and_gives_the_exit_code)
{
    char weft[] = "weft", name[] = "recommend", whole[] = "train", option[] = "-k";
    char *a[] = {weft, name, option, NULL}, *b[] = {weft, whole, option, NULL};
    ck_assert_int_eq(run(3, a), 7);
    ck_assert_str_eq(seen, "weft recommend|-k|");
    ck_assert_int_eq(run(3, b), 7);
    ck_assert_str_eq(seen, "weft|train|-k|");
}
END_TEST

START_TEST(an_unknown_command_is_a_usage_error_with_the_nearest_name)
{
    char weft[] = "weft", wrong[] = "recomend", odd[] = "zzzzzz";
    char *a[] = {weft, wrong, NULL}, *b[] = {weft, odd, NULL};
    testing_capture_start();
    int code = run(2, a);
    testing_expect_part(testing_capture_end(), "did you mean \"recommend\"?");
    ck_assert_int_eq(code, 2);
    testing_capture_start();
    code = run(2, b);
    testing_expect_part(testing_capture_end(), "`weft --help` lists them");
    ck_assert_int_eq(code, 2);
}
END_TEST

START_TEST(nothing_is_a_usage_error_with_the_list)
{
    char weft[] = "weft";
    char *a[] = {weft, NULL};
    testing_capture_start();
    int code = run(1, a);
    const char *text = testing_capture_end();
    testing_expect_part(text, "recommend  help of recommend\n");
    testing_expect_part(text, "train      help of train\n");
    ck_assert_int_eq(code, 2);
}
END_TEST

START_TEST(nearest_takes_beginnings_and_two_changes)
{
    ck_assert_ptr_eq(command_table_nearest(table, 2, "tra"), &table[1]);
    ck_assert_ptr_eq(command_table_nearest(table, 2, "trian"), &table[1]);
    ck_assert_ptr_eq(command_table_nearest(table, 2, "strains"), &table[1]);
    ck_assert_ptr_null(command_table_nearest(table, 2, "tests"));
    ck_assert_ptr_null(command_table_nearest(table, 2, ""));
    ck_assert_ptr_null(
        command_table_nearest(table, 2, "recommendrecommendrecommendrecommendrecommend"));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("command_table");
    TCase *t = tcase_create("command_table");
    tcase_add_test(t, a_command_gets_its_arguments_and_gives_the_exit_code);
    tcase_add_test(t, an_unknown_command_is_a_usage_error_with_the_nearest_name);
    tcase_add_test(t, nothing_is_a_usage_error_with_the_list);
    tcase_add_test(t, nearest_takes_beginnings_and_two_changes);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
