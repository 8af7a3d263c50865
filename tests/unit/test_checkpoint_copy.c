/* Proves: a part that goes to another folder in pieces is the same file there, and has its name
 * only when all of it is that part. */
#include "common/files.h"
#include "common/mem.h"
#include "ps/checkpoint_copy.h"
#include "testing_files.h"
#include "testing_part.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

enum { PIECE = 100, SHARDS = 4 };

static char why[CHECKPOINT_WHY_MAX];
static part_id id;
static blob *whole;
static uint64_t total, hash;

static void setup(void)
{
    testing_enter_folder();
    id = testing_part_id(7, 2, SHARDS);
    whole = testing_part(&id);
    ck_assert_int_eq(checkpoint_files_write("from", &id, whole, why), ERR_OK);
}

static void teardown(void)
{
    blob_unref(whole);
    testing_leave_folder();
}

/* Copies it from the folder into another, the last piece first but for the one at 0. */
static void copy_pieces(void)
{
    uint64_t end = (blob_size(whole) - 1) / PIECE * PIECE;
    for (uint64_t i = 0, at = 0; i <= end / PIECE; i++, at = end - (i - 1) * PIECE) {
        blob *b;
        ck_assert_int_eq(checkpoint_copy_read("from", &id, at, PIECE, &b, &total, &hash, why),
                         ERR_OK);
        ck_assert_int_eq(checkpoint_copy_write("to", &id, at, blob_data(b), blob_size(b), why),
                         ERR_OK);
        blob_unref(b);
    }
    ck_assert_uint_eq(total, blob_size(whole));
    ck_assert_uint_eq(hash, part_hash(whole));
}

START_TEST(a_copy_is_the_same_file)
{
    blob *b;
    part_view v;
    copy_pieces();
    ck_assert(!checkpoint_copy_is_there("to", &id));
    ck_assert_int_eq(checkpoint_copy_finish("to", &id, total, hash, why), ERR_OK);
    ck_assert_str_eq(why, "");
    ck_assert(checkpoint_copy_is_there("to", &id));
    ck_assert_int_eq(checkpoint_files_read("to", &id, &hash, &b, &v, why), ERR_OK);
    ck_assert_uint_eq(blob_size(b), blob_size(whole));
    ck_assert_mem_eq(blob_data(b), blob_data(whole), blob_size(whole));
    blob_unref(b);
    ck_assert_int_eq(checkpoint_copy_finish("to", &id, total, hash, why), ERR_IO); /* once */
}
END_TEST

START_TEST(a_copy_that_was_damaged_on_its_way_gets_no_name)
{
    copy_pieces();
    uint8_t byte = blob_data(whole)[200] ^ 1;
    ck_assert_int_eq(checkpoint_copy_write("to", &id, 200, &byte, 1, why), ERR_OK);
    ck_assert_int_eq(checkpoint_copy_finish("to", &id, total, hash, why), ERR_CORRUPT);
    testing_expect_part(why, "wrong checksum");
    ck_assert(!checkpoint_copy_is_there("to", &id));
    ck_assert_int_eq(checkpoint_copy_write("to", &id, 200, &byte, 1, why), ERR_IO); /* removed */
}
END_TEST

START_TEST(a_copy_of_something_else_gets_no_name)
{
    part_id other = testing_part_id(7, 3, SHARDS);
    blob *b = testing_part(&other);
    ck_assert_int_eq(checkpoint_copy_write("to", &id, 0, blob_data(b), blob_size(b), why), ERR_OK);
    ck_assert_int_eq(checkpoint_copy_finish("to", &id, blob_size(b), part_hash(b), why),
                     ERR_CORRUPT);
    testing_expect_part(why, "holds another part");
    copy_pieces();
    ck_assert_int_eq(checkpoint_copy_finish("to", &id, total, hash + 1, why), ERR_CORRUPT);
    testing_expect_part(why, "two files");
    copy_pieces();
    ck_assert_int_eq(checkpoint_copy_finish("to", &id, total - 1, hash, why), ERR_CORRUPT);
    ck_assert(!checkpoint_copy_is_there("to", &id));
    blob_unref(b);
}
END_TEST

START_TEST(what_cannot_be_read_is_said)
{
    blob *b;
    part_id absent = testing_part_id(8, 2, SHARDS);
    ck_assert_int_eq(checkpoint_copy_read("from", &absent, 0, PIECE, &b, &total, &hash, why),
                     ERR_NOT_FOUND);
    ck_assert_int_eq(
        checkpoint_copy_read("from", &id, blob_size(whole), PIECE, &b, &total, &hash, why),
        ERR_CORRUPT);
    char *path = checkpoint_files_part_path("from", &id);
    testing_put(path, blob_data(whole), 150); /* torn */
    ck_assert_int_eq(checkpoint_copy_read("from", &id, 0, PIECE, &b, &total, &hash, why),
                     ERR_CORRUPT);
    testing_expect_part(why, path);
    ck_assert_ptr_null(b);
    free(path);
}
END_TEST

START_TEST(what_a_dead_copier_left_goes_with_its_snapshot)
{
    checkpoint_id newer = {.stage = id.stage, .generation = id.generation, .version = 9};
    uint32_t removed;
    copy_pieces();
    ck_assert_int_eq(checkpoint_files_prune("to", &newer, NULL, 0, &removed, why), ERR_OK);
    ck_assert_uint_eq(removed, 1);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("checkpoint_copy");
    TCase *c = tcase_create("checkpoint_copy");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, a_copy_is_the_same_file);
    tcase_add_test(c, a_copy_that_was_damaged_on_its_way_gets_no_name);
    tcase_add_test(c, a_copy_of_something_else_gets_no_name);
    tcase_add_test(c, what_cannot_be_read_is_said);
    tcase_add_test(c, what_a_dead_copier_left_goes_with_its_snapshot);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
