/* Proves: a store travels to store.source and back to a disk, each partition whole or not there; a
 * damaged one is refused by name, one that is damaged here is fetched again; nothing half done is
 * left; `prepare` takes a store that somebody else has published. */
#include "sampler/store_copy.h"

#include "common/files.h"
#include "common/mem.h"
#include "common/store_path.h"
#include "sampler/prepare.h"
#include "sampler/store.h"
#include "testing_disk.h"
#include "testing_files.h"
#include "testing_prepare.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static config *c;
static uint64_t hash;
static char published[256], local[256];

static void set_up(void)
{
    testing_enter_folder();
    testing_prepare_write(30, 20, 300, 1);
    c = testing_prepare_config("store: {source: shared, local: disk}\n");
    ck_assert_int_eq(prepare_hash(c, &hash), ERR_OK);
    free(testing_prepare_run(c));
    snprintf(published, sizeof published, "shared/%016" PRIx64, hash);
    snprintf(local, sizeof local, "disk/%016" PRIx64, hash);
}

static void tear_down(void)
{
    config_free(c);
    testing_leave_folder();
}

static bool exists(const char *folder, const char *name)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return files_exist(path);
}

/* Changes a byte in the middle of a partition. */
static void damage(const char *folder, const char *part)
{
    char path[512];
    size_t n;
    snprintf(path, sizeof path, "%s/%s/data.mdb", folder, part);
    char *text = testing_get_text(path, &n);
    text[n / 2] ^= 1;
    testing_put(path, text, n);
    free(text);
}

static err_code fetch(bool again, store_copy_check *check)
{
    static const uint32_t mine[] = {1, 3};
    char *folder = NULL;
    err_code rc = store_copy_fetch(c, hash, mine, 2, again, check, NULL, &folder);
    if (rc == ERR_OK) testing_expect_part(folder, local);
    free(folder);
    return rc;
}

static void expect_opens(void)
{
    static const uint32_t mine[] = {1, 3};
    store *s = NULL;
    ck_assert_int_eq(store_open(local, mine, 2, VERIFY_OPEN, &s), ERR_OK);
    store_close(s);
}

START_TEST(prepare_publishes_and_a_sampler_takes_its_part)
{
    char *folder = NULL;
    ck_assert(store_copy_is_published(c, hash));
    ck_assert(!store_copy_is_published(c, hash + 1));
    ck_assert_int_eq(store_path_get(c, &folder), ERR_OK);
    testing_expect_part(folder, published);
    free(folder);
    ck_assert_int_eq(fetch(false, NULL), ERR_OK);
    expect_opens();
    ck_assert(!exists(local, "part-0"));
    ck_assert(!exists(local, "dataset"));
}
END_TEST

START_TEST(what_is_there_is_not_fetched_again)
{
    ck_assert_int_eq(fetch(false, NULL), ERR_OK);
    ck_assert_int_eq(files_remove_tree("shared/current"), ERR_OK);
    char part[300];
    snprintf(part, sizeof part, "%s/part-1", published);
    ck_assert_int_eq(files_remove_tree(part), ERR_OK);
    ck_assert_int_eq(fetch(false, NULL), ERR_OK);
    testing_capture_start();
    ck_assert_int_eq(fetch(true, NULL), ERR_NOT_FOUND);
    testing_expect_part(testing_capture_end(), "part-1/data.mdb: No such file");
    expect_opens(); /* What was there stays until it is replaced. */
}
END_TEST

START_TEST(a_damaged_source_is_refused_by_name)
{
    damage(published, "part-3");
    testing_capture_start();
    err_code rc = fetch(false, NULL);
    const char *said = testing_capture_end();
    ck_assert_int_eq(rc, ERR_CORRUPT);
    testing_expect_part(said, "part-3/data.mdb: damaged");
    ck_assert(!exists(local, "part-3/data.mdb"));
    ck_assert(!exists(local, "manifest.json"));
}
END_TEST

START_TEST(a_damaged_copy_is_fetched_again)
{
    static const uint32_t mine[] = {1, 3};
    store *s = NULL;
    ck_assert_int_eq(fetch(false, NULL), ERR_OK);
    damage(local, "part-1");
    testing_capture_start();
    ck_assert_int_eq(store_open(local, mine, 2, VERIFY_OPEN, &s), ERR_CORRUPT);
    testing_capture_end();
    ck_assert_int_eq(fetch(true, NULL), ERR_OK);
    expect_opens();
}
END_TEST

static err_code stop(void *context)
{
    (void)context;
    return ERR_STOPPED;
}

START_TEST(a_stopped_fetch_leaves_nothing_half_done)
{
    ck_assert_int_eq(fetch(false, stop), ERR_STOPPED);
    char part[300];
    snprintf(part, sizeof part, "%s/part-1", local);
    ck_assert_int_eq(rmdir(part), 0); /* empty */
}
END_TEST

START_TEST(leftovers_and_other_stores_are_removed)
{
    ck_assert_int_eq(files_make_dirs("disk/0123456789abcdef/part-0"), ERR_OK);
    ck_assert_int_eq(files_make_dirs("disk/of-somebody"), ERR_OK);
    char part[300], left[400];
    snprintf(part, sizeof part, "%s/part-1", local);
    snprintf(left, sizeof left, "%s/data.mdb.partial-17", part);
    ck_assert_int_eq(files_make_dirs(part), ERR_OK);
    testing_put_text(left, "half");
    ck_assert_int_eq(fetch(false, NULL), ERR_OK);
    ck_assert(!files_exist(left));
    ck_assert(!files_exist("disk/0123456789abcdef"));
    ck_assert(files_exist("disk/of-somebody"));
}
END_TEST

START_TEST(prepare_elsewhere_takes_what_is_published)
{
    config *other = testing_prepare_config("store: {source: shared, local: disk}\n");
    free(other->work_dir);
    other->work_dir = files_absolute("elsewhere");
    prepare_stats stats;
    char *folder = NULL, *before, *after, path[512];
    size_t n, m;
    ck_assert_int_eq(prepare_run(other, NULL, &folder, &stats), ERR_OK);
    ck_assert(stats.reused);
    ck_assert_uint_gt(stats.store_bytes, 0);
    snprintf(path, sizeof path, "%s/dataset", folder);
    after = testing_get_text(path, &n);
    snprintf(path, sizeof path, "%s/dataset", published);
    before = testing_get_text(path, &m);
    ck_assert_uint_eq(n, m);
    ck_assert_int_eq(memcmp(before, after, n), 0);
    free(before);
    free(after);
    free(folder);
    config_free(other);
}
END_TEST

/* Another `prepare` is done while this one copies. */
static err_code publish_from_aside(void *context)
{
    (void)context;
    if (!files_exist("aside")) return ERR_OK;
    return files_rename("aside", published);
}

static err_code publish(store_copy_check *check)
{
    char *folder = xprintf("work/store/%016" PRIx64, hash);
    err_code rc = store_copy_publish(c, folder, check, NULL);
    free(folder);
    return rc;
}

static void expect_no_partial(void)
{
    DIR *dir = opendir("shared");
    ck_assert_ptr_nonnull(dir);
    for (const struct dirent *e; (e = readdir(dir));)
        ck_assert_msg(!strstr(e->d_name, "partial"), "%s", e->d_name);
    closedir(dir);
}

START_TEST(what_another_published_meanwhile_stays)
{
    char path[300];
    struct stat before, after;
    snprintf(path, sizeof path, "%s/manifest.json", published);
    ck_assert_int_eq(stat(path, &before), 0);
    ck_assert_int_eq(files_rename(published, "aside"), ERR_OK);
    ck_assert_int_eq(publish(publish_from_aside), ERR_OK);
    ck_assert(!files_exist("aside"));
    ck_assert_int_eq(stat(path, &after), 0);
    ck_assert_uint_eq(before.st_ino, after.st_ino);
    expect_no_partial();
    ck_assert_int_eq(fetch(false, NULL), ERR_OK);
}
END_TEST

START_TEST(an_incomplete_store_is_replaced)
{
    char path[300];
    snprintf(path, sizeof path, "%s/manifest.json", published);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(publish(NULL), ERR_OK);
    ck_assert(store_copy_is_published(c, hash));
    expect_no_partial();
}
END_TEST

/* Renames: of the copied files, of the folder, of the file `current`. */
START_TEST(a_store_that_cannot_be_put_in_place_says_why)
{
    ck_assert_int_eq(files_remove_tree(published), ERR_OK);
    testing_disk_heal();
    ck_assert_int_eq(publish(NULL), ERR_OK);
    int renames = testing_disk_calls(TESTING_DISK_RENAME);
    ck_assert_int_eq(files_remove_tree(published), ERR_OK);
    testing_disk_fail(TESTING_DISK_RENAME, renames - 2, EDQUOT);
    testing_capture_start();
    err_code rc = publish(NULL);
    const char *said = testing_capture_end();
    ck_assert_int_eq(testing_disk_heal(), 1);
    ck_assert_int_eq(rc, ERR_IO);
    testing_expect_part(said, published);
    testing_expect_part(said, strerror(EDQUOT));
    ck_assert(!store_copy_is_published(c, hash));
    expect_no_partial();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("store_copy");
    TCase *t = tcase_create("store_copy");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, prepare_publishes_and_a_sampler_takes_its_part);
    tcase_add_test(t, what_is_there_is_not_fetched_again);
    tcase_add_test(t, a_damaged_source_is_refused_by_name);
    tcase_add_test(t, a_damaged_copy_is_fetched_again);
    tcase_add_test(t, a_stopped_fetch_leaves_nothing_half_done);
    tcase_add_test(t, leftovers_and_other_stores_are_removed);
    tcase_add_test(t, prepare_elsewhere_takes_what_is_published);
    tcase_add_test(t, what_another_published_meanwhile_stays);
    tcase_add_test(t, an_incomplete_store_is_replaced);
    tcase_add_test(t, a_store_that_cannot_be_put_in_place_says_why);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
