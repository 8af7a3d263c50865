/* Proves: a scheduler without a state starts anew only where there is no checkpoint at all; one
 * that cannot be read stops it and nothing is touched; damaged databases are put aside side by
 * side. */
#include "ps/run_state.h"

#include "common/files.h"
#include "ps/checkpoint_files.h"
#include "testing_config.h"
#include "testing_files.h"
#include "testing_part.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static config c;

static void set_up(void)
{
    static char here[] = ".", checkpoints[] = "checkpoints";
    testing_enter_folder();
    testing_config_init(&c);
    c.work_dir = here;
    c.checkpoint.dir = checkpoints;
    testing_put_text("metrics.jsonl", "a line\n");
}

static err_code start(const char *from)
{
    metrics_log *m = NULL;
    err_code rc = run_state_check(".", false, from);
    if (rc == ERR_OK) rc = run_state_open(&c, ".", false, from, &m);
    ck_assert((rc == ERR_OK) == (m != NULL));
    metrics_log_close(m);
    return rc;
}

static void expect_text(const char *path, const char *text)
{
    char *there = testing_get_text(path, NULL);
    ck_assert_str_eq(there, text);
    free(there);
}

/* Stops, says why and what to do, and leaves what there is: also when tried again. */
static void expect_stop(const char *from, err_code code, const char *says)
{
    for (int i = 0; i < 2; i++) {
        testing_capture_start();
        err_code rc = start(from);
        const char *said = testing_capture_end();
        testing_expect_part(said, says);
        if (!from) testing_expect_part(said, "--fresh starts anew");
        ck_assert_int_eq(rc, code);
        expect_text("metrics.jsonl", "a line\n");
    }
}

START_TEST(without_any_checkpoint_it_starts_anew)
{
    ck_assert_int_eq(start(NULL), ERR_OK);
    expect_text("metrics.jsonl", "");
    ck_assert_int_eq(files_make_dirs("checkpoints/hgnn-v3-g1"), ERR_OK); /* not complete */
    ck_assert_int_eq(start(NULL), ERR_OK);
}
END_TEST

START_TEST(a_checkpoint_of_another_version_stops_it)
{
    testing_put_snapshot("checkpoints", 120);
    expect_stop(NULL, ERR_CORRUPT, "of another version of weft");
}
END_TEST

static void damage_manifests(bool is_folder)
{
    checkpoint_entry *list;
    size_t n;
    char why[CHECKPOINT_WHY_MAX];
    testing_put_snapshot("checkpoints", 120);
    ck_assert_int_eq(checkpoint_files_list("checkpoints", &list, &n, why), ERR_OK);
    ck_assert_uint_eq(n, 2);
    for (size_t i = 0; i < n; i++) {
        char *folder = checkpoint_files_folder("checkpoints", &list[i].id),
             *path = files_join(folder, CHECKPOINT_MANIFEST_FILE);
        ck_assert_int_eq(files_remove_tree(path), ERR_OK);
        if (is_folder)
            ck_assert_int_eq(files_make_dirs(path), ERR_OK);
        else
            testing_put_text(path, "{}");
        free(path);
        free(folder);
    }
    free(list);
}

START_TEST(checkpoints_that_cannot_be_read_stop_it)
{
    damage_manifests(_i);
    expect_stop(NULL, ERR_CORRUPT, CHECKPOINT_MANIFEST_FILE);
}
END_TEST

START_TEST(a_folder_that_cannot_be_listed_stops_it)
{
    testing_put_text("checkpoints", "no folder");
    expect_stop(NULL, ERR_IO, "checkpoints: cannot list");
}
END_TEST

START_TEST(a_checkpoint_of_choice_that_is_not_whole_leaves_the_state)
{
    testing_put_snapshot("checkpoints", 120);
    testing_put_text("scheduler.mdb", "the state");
    expect_stop("hgnn-v77-g1", ERR_NOT_FOUND, "--from hgnn-v77-g1: ");
    expect_text("scheduler.mdb", "the state");
}
END_TEST

static void damage(char with)
{
    char bytes[16384];
    memset(bytes, with, sizeof bytes - 1);
    bytes[sizeof bytes - 1] = '\0';
    testing_put_text("scheduler.mdb", bytes);
    testing_capture_start();
    err_code rc = run_state_check(".", false, NULL);
    testing_expect_part(testing_capture_end(), "state_damaged");
    ck_assert_int_eq(rc, ERR_OK);
    ck_assert(!files_exist("scheduler.mdb"));
}

START_TEST(damaged_states_are_put_aside_side_by_side)
{
    static const char *const names[] = {"scheduler.mdb.damaged", "scheduler.mdb.damaged-2",
                                        "scheduler.mdb.damaged-3"};
    for (int i = 0; i < 3; i++) damage((char)('a' + i));
    for (int i = 0; i < 3; i++) {
        char *text = testing_get_text(names[i], NULL);
        ck_assert_int_eq(*text, 'a' + i);
        free(text);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("run_state");
    TCase *t = tcase_create("run_state");
    tcase_add_checked_fixture(t, set_up, testing_leave_folder);
    tcase_add_test(t, without_any_checkpoint_it_starts_anew);
    tcase_add_test(t, a_checkpoint_of_another_version_stops_it);
    tcase_add_loop_test(t, checkpoints_that_cannot_be_read_stop_it, 0, 2);
    tcase_add_test(t, a_folder_that_cannot_be_listed_stops_it);
    tcase_add_test(t, a_checkpoint_of_choice_that_is_not_whole_leaves_the_state);
    tcase_add_test(t, damaged_states_are_put_aside_side_by_side);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
