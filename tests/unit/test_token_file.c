/* Proves: a token's file that others can use, or that holds none, is refused by its name, and what
 * it holds is not printed. */
#include "common/token_file.h"

#include "common/files.h"
#include "testing_files.h"

#include <check.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define GOOD "0123456789abcdef"

static void put(const char *text, uint32_t mode)
{
    ck_assert_int_eq(files_write_atomic("token", text, strlen(text), mode), ERR_OK);
}

static void expect(err_code code, const char *says)
{
    char *token = NULL;
    testing_capture_start();
    err_code rc = token_file_read("token", &token);
    const char *said = testing_capture_end();
    ck_assert_int_eq(rc, code);
    ck_assert_ptr_null(token);
    testing_expect_part(said, "weft: token: ");
    testing_expect_part(said, says);
    ck_assert_ptr_null(strstr(said, GOOD));
}

START_TEST(the_first_line_is_the_token)
{
    static const char *const texts[] = {GOOD, GOOD "\n", GOOD "\r\n", GOOD "\n\n"};
    for (size_t i = 0; i < 4; i++) {
        char *token = NULL;
        put(texts[i], i % 2 ? 0600 : 0400);
        ck_assert_int_eq(token_file_read("token", &token), ERR_OK);
        ck_assert_str_eq(token, GOOD);
        token_free(token);
    }
    token_free(NULL);
}
END_TEST

START_TEST(a_file_that_others_can_use_is_refused)
{
    static const uint32_t modes[] = {0644, 0640, 0604, 0620, 0602, 0666};
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        put(GOOD, modes[i]);
        expect(ERR_INVALID, "the token has mode");
    }
}
END_TEST

/* As an orchestrator lends it: root's file, readable by a group of the process. */
START_TEST(a_group_of_ours_may_read_what_root_lends)
{
    enum { US = 65534, GROUP = 10001 };
    char *token = NULL;
    put(GOOD, 0440);
    if (geteuid() != 0) return;
    ck_assert_int_eq(chown("token", 0, GROUP), 0);
    expect(ERR_INVALID, "the token has mode"); /* Root needs no group. */
    ck_assert_int_eq(chmod(".", 0755), 0);
    gid_t groups[] = {GROUP};
    ck_assert_int_eq(setgroups(1, groups), 0);
    ck_assert_int_eq(seteuid(US), 0);
    ck_assert_int_eq(token_file_read("token", &token), ERR_OK);
    ck_assert_str_eq(token, GOOD);
    token_free(token);
    ck_assert_int_eq(seteuid(0), 0);
    ck_assert_int_eq(chmod("token", 0444), 0); /* Everybody's. */
    ck_assert_int_eq(seteuid(US), 0);
    ck_assert_int_eq(token_file_read("token", &token), ERR_INVALID);
    ck_assert_int_eq(seteuid(0), 0);
    ck_assert_int_eq(chown("token", 0, GROUP + 1), 0); /* Another group's. */
    ck_assert_int_eq(chmod("token", 0440), 0);
    ck_assert_int_eq(seteuid(US), 0);
    ck_assert_int_eq(token_file_read("token", &token), ERR_IO);
    ck_assert_int_eq(seteuid(0), 0);
}
END_TEST

START_TEST(what_is_no_token_is_refused)
{
    static const char *const texts[] = {
        "",          "\n",     "short", GOOD " ", "a b c d e f g h i j k l", GOOD "\nmore\n",
        GOOD "\x80", GOOD "\t"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        put(texts[i], 0600);
        expect(ERR_INVALID, "a token is one word");
    }
    char *text = calloc(1, 400);
    memset(text, 'x', 399);
    put(text, 0600);
    expect(ERR_LIMIT, "longer than");
    memset(text + 256, 0, 1);
    put(text, 0600);
    expect(ERR_INVALID, "a token is one word");
    free(text);
    testing_put("token", GOOD "\0x", sizeof GOOD + 1);
    ck_assert_int_eq(chmod("token", 0600), 0);
    expect(ERR_INVALID, "a zero byte");
}
END_TEST

START_TEST(what_is_no_file_is_refused)
{
    ck_assert_int_eq(unlink("token"), -1);
    expect(ERR_NOT_FOUND, "cannot read");
    ck_assert_int_eq(mkfifo("token", 0600), 0); /* Does not wait for a writer. */
    expect(ERR_INVALID, "a regular file");
    ck_assert_int_eq(unlink("token"), 0);
    ck_assert_int_eq(mkdir("token", 0700), 0);
    expect(ERR_INVALID, "a regular file");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("token_file");
    TCase *c = tcase_create("token_file");
    tcase_add_checked_fixture(c, testing_enter_folder, testing_leave_folder);
    tcase_add_test(c, the_first_line_is_the_token);
    tcase_add_test(c, a_file_that_others_can_use_is_refused);
    tcase_add_test(c, a_group_of_ours_may_read_what_root_lends);
    tcase_add_test(c, what_is_no_token_is_refused);
    tcase_add_test(c, what_is_no_file_is_refused);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
