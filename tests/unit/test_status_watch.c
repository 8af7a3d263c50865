/* Proves: a frame goes over the one before line by line, is cut to the terminal, and carries no
 * control character of the text; without a terminal it is the text. */
#include "deploy/status_watch.h"

#include <check.h>
#include <stdlib.h>

static void expect(const char *text, uint32_t columns, uint32_t rows, const char *frame)
{
    char *got = status_watch_frame(text, columns, rows);
    ck_assert_str_eq(got, frame);
    free(got);
}

START_TEST(lines_go_over_the_old_ones)
{
    expect("one\ntwo\n", 80, 24, "\033[Hone\033[K\ntwo\033[K\n\033[J");
    expect("one\ntwo", 80, 24, "\033[Hone\033[K\ntwo\033[K\n\033[J");
    expect("", 80, 24, "\033[H\033[J");
}
END_TEST

START_TEST(a_frame_fits_the_terminal)
{
    expect("abcdef\nab\n\ncd\n", 3, 3, "\033[Habc\033[K\nab\033[K\n\033[J");
    /* Characters are counted, not bytes. */
    expect("\u2581\u2582\u2583\u2584\n", 3, 9, "\033[H\u2581\u2582\u2583\033[K\n\033[J");
}
END_TEST

START_TEST(control_characters_of_peers_are_shown_as_marks)
{
    expect("why \033[2J\a\x7f\n", 80, 24, "\033[Hwhy ?[2J??\033[K\n\033[J");
    expect("why \033]0;title\a\n", 0, 0, "why ?]0;title?\n");
}
END_TEST

START_TEST(without_a_terminal_it_is_the_text)
{
    expect("one\n\ntwo\n", 0, 0, "one\n\ntwo\n");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("status_watch");
    TCase *c = tcase_create("all");
    tcase_add_test(c, lines_go_over_the_old_ones);
    tcase_add_test(c, a_frame_fits_the_terminal);
    tcase_add_test(c, control_characters_of_peers_are_shown_as_marks);
    tcase_add_test(c, without_a_terminal_it_is_the_text);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
