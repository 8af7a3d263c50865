/* Proves: a key folder is refused, naming the file, where a secret can be read by others, a table
 * can be changed by others, is missing, empty or malformed; the allow table says what a key is,
 * follows its file, and lets nobody in while it cannot be used; nothing of a secret is printed. */
#include "common/keys.h"

#include "common/files.h"
#include "common/log.h"
#include "testing_echo.h"
#include "testing_files.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define K1 "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"
#define K2 "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID"

static void set_up(void)
{
    testing_enter_folder();
    ck_assert_int_eq(testing_echo_keygen("keys", NULL, NULL), 0);
}

/* The first word after `label` in a file. */
static void word_after(const char *path, const char *label, char out[64])
{
    char *text = testing_get_text(path, NULL);
    char *at = strstr(text, label);
    ck_assert_ptr_nonnull(at);
    ck_assert_int_eq(sscanf(at + strlen(label), "%63s", out), 1);
    free(text);
}

static void expect_refused(uint32_t role, const char *part)
{
    keyring *k = NULL;
    char secret[64];
    testing_capture_start();
    err_code rc = keyring_open("keys", role, &k);
    const char *text = testing_capture_end();
    ck_assert_int_ne(rc, ERR_OK);
    ck_assert_ptr_null(k);
    testing_expect_part(text, part);
    word_after("keys/worker.key", "secret", secret);
    ck_assert_ptr_null(strstr(text, secret));
}

static keyring *open_ring(uint32_t role)
{
    keyring *k;
    ck_assert_int_eq(keyring_open("keys", role, &k), ERR_OK);
    ck_assert_uint_eq(keyring_own_role(k), role);
    return k;
}

START_TEST(keygen_makes_a_private_folder)
{
    static const char *const secrets[] = {"scheduler", "ps", "sampler", "worker", "driver"};
    struct stat st;
    ck_assert_int_eq(stat("keys", &st), 0);
    ck_assert_uint_eq(st.st_mode & 0777, 0700);
    for (size_t i = 0; i < 5; i++) {
        char path[64];
        snprintf(path, sizeof path, "keys/%s.key", secrets[i]);
        ck_assert_int_eq(stat(path, &st), 0);
        ck_assert_uint_eq(st.st_mode & 0777, 0600);
    }
    for (uint32_t r = WIRE_SCHEDULER; r < WIRE_ROLES; r++) keyring_close(open_ring(r));
}
END_TEST

START_TEST(keygen_changes_nothing_that_is_there)
{
    char before[64], after[64];
    word_after("keys/worker.key", "secret", before);
    ck_assert_int_eq(testing_echo_keygen("keys", NULL, NULL), 2);
    ck_assert_int_eq(testing_echo_keygen("keys", "worker", "lab"), 0);
    ck_assert_int_eq(testing_echo_keygen("keys", "worker", "lab"), 2);
    word_after("keys/worker.key", "secret", after);
    ck_assert_str_eq(before, after);
}
END_TEST

START_TEST(a_host_needs_only_its_own_files)
{
    ck_assert_int_eq(mkdir("host", 0700), 0);
    ck_assert_int_eq(rename("keys/worker.key", "host/worker.key"), 0);
    ck_assert_int_eq(rename("keys/peers", "host/peers"), 0);
    keyring *k;
    ck_assert_int_eq(keyring_open("host", WIRE_WORKER, &k), ERR_OK);
    keyring_close(k);
}
END_TEST

START_TEST(a_secret_that_others_can_read_is_refused)
{
    static const mode_t modes[] = {0640, 0604, 0660, 0644, 0620, 0602, 0610};
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        ck_assert_int_eq(chmod("keys/worker.key", modes[i]), 0);
        expect_refused(WIRE_WORKER, "worker.key: a secret key has mode");
    }
    ck_assert_int_eq(chmod("keys/worker.key", 0400), 0);
    keyring_close(open_ring(WIRE_WORKER));
}
END_TEST

START_TEST(a_table_that_others_can_change_is_refused)
{
    ck_assert_int_eq(chmod("keys/allow", 0664), 0);
    expect_refused(WIRE_SERVER, "keys/allow: a table of keys has mode 0664: others may change it");
    ck_assert_int_eq(chmod("keys/peers", 0646), 0);
    expect_refused(WIRE_WORKER, "keys/peers: a table of keys has mode 0646");
}
END_TEST

START_TEST(a_wrong_key_file_is_refused)
{
    static const struct {
        const char *text, *says;
    } wrong[] = {
        {"", "not a key file"},
        {"weft-key 2\nrole worker\n", "not a key file"},
        {"weft-key 1\nrole worker\npublic short\nsecret short\n", "not a key file"},
        {"weft-key 1\nrole worker\npublic " K1 "\nsecret " K1 "\nmore\n", "not a key file"},
        {"weft-key 1\nrole ps\npublic " K1 "\nsecret " K1 "\n", "the key of role ps"},
        {"weft-key 1\nrole worker\npublic " K1 "\nsecret " K1 "\n", "do not belong together"}};
    ck_assert_int_eq(rename("keys/worker.key", "kept"), 0);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        const char *text = wrong[i].text;
        keyring *k = NULL;
        ck_assert_int_eq(files_write_atomic("keys/worker.key", text, strlen(text), 0600), ERR_OK);
        testing_capture_start();
        err_code rc = keyring_open("keys", WIRE_WORKER, &k);
        const char *said = testing_capture_end();
        ck_assert_int_eq(rc, ERR_INVALID);
        testing_expect_part(said, "keys/worker.key: ");
        testing_expect_part(said, wrong[i].says);
        ck_assert_ptr_null(strstr(said, K1));
    }
}
END_TEST

START_TEST(a_folder_without_a_file_is_refused)
{
    ck_assert_int_eq(rename("keys/allow", "allow"), 0);
    expect_refused(WIRE_SCHEDULER, "keys/allow: cannot read");
    ck_assert_int_eq(rename("keys/peers", "peers"), 0);
    expect_refused(WIRE_WORKER, "keys/peers: cannot read");
    ck_assert_int_eq(rename("keys/driver.key", "driver"), 0);
    expect_refused(WIRE_DRIVER, "keys/driver.key: cannot read");
}
END_TEST

START_TEST(a_server_whose_key_is_not_the_published_one_does_not_start)
{
    char *text = testing_get_text("keys/peers", NULL), old[64], other[64];
    word_after("keys/peers", "ps ", old);
    word_after("keys/peers", "sampler ", other);
    memcpy(strstr(text, old), other, 40);
    char *twice = strstr(strstr(text, other) + 1, other);
    memcpy(twice, old, 40); /* Exchanged. */
    testing_put_text("keys/peers", text);
    expect_refused(WIRE_SERVER, "another public key of role ps");
    free(text);
}
END_TEST

START_TEST(malformed_tables_are_refused_with_their_line)
{
    static const struct {
        const char *text, *says;
    } wrong[] = {{"", "t: no key in it"},
                 {"# a comment\n\n", "t: no key in it"},
                 {"worker " K1 "\nguest " K2 "\n", "t:2: a line begins with"},
                 {"none " K1 "\n", "t:1: a line begins with"},
                 {"worker\n", "t:1: the second word"},
                 {"worker " K1 "x\n", "t:1: the second word"},
                 {"worker short\n", "t:1: the second word"},
                 {"worker \"q:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7\n", "t:1: the second word"},
                 {"worker " K1 " a b\n", "t:1: a name"},
                 {"worker " K1 "\nps " K1 "\n", "t: the key " K1 " is in two lines"}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        key_table t;
        testing_capture_start();
        err_code rc = key_table_parse("t", wrong[i].text, &t);
        const char *said = testing_capture_end();
        ck_assert_int_eq(rc, ERR_INVALID);
        ck_assert_uint_eq(t.n, 0);
        testing_expect_part(said, wrong[i].says);
    }
    char *many = malloc(KEY_TABLE_MAX * 64 + 400), *at = many;
    for (int i = 0; i <= KEY_TABLE_MAX; i++)
        at += sprintf(at, "worker %04d234567890123456789012345678901234567\n", i);
    key_table t;
    testing_capture_start();
    ck_assert_int_eq(key_table_parse("t", many, &t), ERR_LIMIT);
    testing_capture_end();
    memset(many, 'x', 300);
    many[300] = 0;
    testing_capture_start();
    ck_assert_int_eq(key_table_parse("t", many, &t), ERR_INVALID);
    testing_expect_part(testing_capture_end(), "t:1: longer than 255");
    free(many);
}
END_TEST

START_TEST(a_table_says_what_a_key_is)
{
    key_table t;
    size_t n;
    ck_assert_int_eq(key_table_parse("t", " # x\nrevoked " K1 " gone\r\n\nworker  " K2, &t),
                     ERR_OK);
    ck_assert_uint_eq(t.n, 2);
    ck_assert_uint_eq(key_table_find(&t, K1)->role, WIRE_NONE);
    ck_assert_str_eq(key_table_find(&t, K1)->name, "gone");
    ck_assert_uint_eq(key_table_find(&t, K2)->role, WIRE_WORKER);
    ck_assert_ptr_null(key_table_find(&t, "short"));
    ck_assert_ptr_null(key_table_find(&t, ""));
    ck_assert_ptr_null(key_table_role(&t, WIRE_SERVER, &n));
    ck_assert_uint_eq(n, 0);
    ck_assert_str_eq(key_table_role(&t, WIRE_WORKER, &n)->key, K2);
    key_table_fini(&t);
}
END_TEST

static void expect_verdict(keyring *k, const char *key, key_verdict v, uint32_t role)
{
    uint32_t got;
    testing_capture_start();
    key_verdict is = keyring_check(k, key, true, &got);
    testing_capture_end();
    ck_assert_int_eq(is, v);
    ck_assert_uint_eq(got, role);
}

START_TEST(the_table_follows_its_file)
{
    char worker[64], driver[64];
    word_after("keys/worker.key", "public", worker);
    word_after("keys/driver.key", "public", driver);
    char *text = testing_get_text("keys/allow", NULL);
    keyring *k = open_ring(WIRE_SERVER);
    expect_verdict(k, worker, KEY_ALLOWED, WIRE_WORKER);
    expect_verdict(k, driver, KEY_ALLOWED, WIRE_DRIVER);
    expect_verdict(k, K1, KEY_REFUSED, WIRE_NONE);
    expect_verdict(k, "", KEY_REFUSED, WIRE_NONE);

    char *line = strstr(text, "worker ");
    memcpy(line, "#", 1); /* Removed. */
    ck_assert_int_eq(files_write_atomic("keys/allow", text, strlen(text), 0644), ERR_OK);
    expect_verdict(k, worker, KEY_REFUSED, WIRE_NONE);
    expect_verdict(k, driver, KEY_ALLOWED, WIRE_DRIVER);
    memcpy(line, "w", 1);
    ck_assert_int_eq(files_write_atomic("keys/allow", text, strlen(text), 0644), ERR_OK);
    expect_verdict(k, worker, KEY_ALLOWED, WIRE_WORKER);

    char revoked[128];
    snprintf(revoked, sizeof revoked, "revoked %s", worker);
    testing_put_text("keys/allow", revoked);
    expect_verdict(k, worker, KEY_REFUSED, WIRE_NONE);

    testing_put_text("keys/allow", "nonsense\n");
    expect_verdict(k, driver, KEY_UNSURE, WIRE_NONE);
    testing_put_text("keys/allow", "");
    expect_verdict(k, driver, KEY_UNSURE, WIRE_NONE);
    ck_assert_int_eq(unlink("keys/allow"), 0);
    expect_verdict(k, driver, KEY_UNSURE, WIRE_NONE);
    testing_put_text("keys/allow", text);
    expect_verdict(k, driver, KEY_ALLOWED, WIRE_DRIVER);
    ck_assert_int_eq(chmod("keys/allow", 0666), 0);
    expect_verdict(k, driver, KEY_UNSURE, WIRE_NONE);
    keyring_close(k);
    free(text);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("keys");
    TCase *c = tcase_create("keys");
    tcase_add_checked_fixture(c, set_up, testing_leave_folder);
    tcase_add_test(c, keygen_makes_a_private_folder);
    tcase_add_test(c, keygen_changes_nothing_that_is_there);
    tcase_add_test(c, a_host_needs_only_its_own_files);
    tcase_add_test(c, a_secret_that_others_can_read_is_refused);
    tcase_add_test(c, a_table_that_others_can_change_is_refused);
    tcase_add_test(c, a_wrong_key_file_is_refused);
    tcase_add_test(c, a_folder_without_a_file_is_refused);
    tcase_add_test(c, a_server_whose_key_is_not_the_published_one_does_not_start);
    tcase_add_test(c, malformed_tables_are_refused_with_their_line);
    tcase_add_test(c, a_table_says_what_a_key_is);
    tcase_add_test(c, the_table_follows_its_file);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
