/* Proves: on a real disk that is full a checkpoint fails with ERR_LIMIT, what was complete stays
 * whole, and writing goes on when there is space again.  The disk is a tmpfs of limited size in a
 * mount namespace of our own; skipped (77) where that may not be mounted. */
#include "common/mem.h"
#include "ps/checkpoint_manifest.h"
#include "testing_files.h"
#include "testing_part.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SHARDS = 4, ROWS = 1000, SKIPPED = 77 };

static const char dir[] = "disk/checkpoints";
static char why[CHECKPOINT_WHY_MAX];

static int mount_disk(const char *path)
{
    return mount("tmpfs", path, "tmpfs", 0, "size=256k");
}

static void setup(void)
{
    testing_enter_folder();
    ck_assert_int_eq(mkdir("disk", 0755), 0);
    ck_assert_int_eq(mount_disk("disk"), 0);
}

static void teardown(void)
{
    ck_assert_int_eq(umount("disk"), 0);
    testing_leave_folder();
}

/* About 12 kB. */
static blob *part_of(const part_id *id)
{
    static uint64_t keys[ROWS];
    static float values[ROWS];
    for (uint32_t i = 0; i < ROWS; i++) {
        keys[i] = i;
        values[i] = (float)(id->version + i);
    }
    const part_section s = {PART_ROWS, 1, 1, ROWS, keys, values};
    return part_encode(id, &s, 1);
}

/* What a server and the scheduler do at a checkpoint. */
static err_code save(uint32_t version)
{
    checkpoint_manifest_part part[SHARDS];
    part_id id = testing_part_id(version, 0, SHARDS);
    checkpoint_id snapshot = checkpoint_files_id(&id);
    err_code rc = ERR_OK;
    for (; id.shard < SHARDS && rc == ERR_OK; id.shard++) {
        blob *b = part_of(&id);
        rc = checkpoint_files_write(dir, &id, b, why);
        part[id.shard] = (checkpoint_manifest_part){id.shard, blob_size(b), part_hash(b)};
        blob_unref(b);
    }
    if (rc == ERR_OK) rc = checkpoint_files_seal(dir, &snapshot, why);
    if (rc != ERR_OK) return rc;
    return checkpoint_manifest_write(dir, testing_checkpoint_manifest(version, SHARDS, part), why);
}

/* Every complete snapshot is read; returns how many there are. */
static uint32_t read_all(void)
{
    checkpoint_listed *list;
    size_t n;
    uint32_t complete = 0;
    ck_assert_int_eq(checkpoint_manifest_list(dir, &list, &n, why), ERR_OK);
    for (size_t i = 0; i < n; i++) {
        const checkpoint_manifest *m = &list[i].manifest;
        if (list[i].rc == ERR_NOT_FOUND) continue;
        ck_assert_msg(list[i].rc == ERR_OK, "%s", list[i].why);
        complete++;
        for (uint32_t p = 0; p < m->parts; p++) {
            part_id id = checkpoint_manifest_part_id(m, m->part[p].shard);
            blob *b;
            ck_assert_msg(checkpoint_files_read(dir, &id, &m->part[p].hash, &b, NULL, why) ==
                              ERR_OK,
                          "%s", why);
            blob_unref(b);
        }
    }
    checkpoint_manifest_list_free(list, n);
    return complete;
}

/* Saves until the disk is full; returns the version that did not fit. */
static uint32_t fill(void)
{
    uint32_t version = 0;
    while (save(version) == ERR_OK) ck_assert_uint_lt(++version, 100);
    return version;
}

START_TEST(a_full_disk_keeps_what_was_complete_and_names_the_file)
{
    uint32_t version = fill();
    ck_assert_int_eq(save(version), ERR_LIMIT);
    testing_expect_part(why, "disk/checkpoints/hgnn-v");
    testing_expect_part(why, strerror(ENOSPC));
    ck_assert_uint_ge(version, 3);
    ck_assert_uint_eq(read_all(), version);
}
END_TEST

START_TEST(what_did_not_fit_leaves_no_file_behind)
{
    char name[CHECKPOINT_NAME_MAX];
    part_id id = testing_part_id(fill(), 0, SHARDS);
    checkpoint_id snapshot = checkpoint_files_id(&id);
    checkpoint_files_name(&snapshot, name);
    char *path = xprintf("%s/%s", dir, name);
    DIR *d = opendir(path);
    if (!d) ck_assert_int_eq(errno, ENOENT);
    for (struct dirent *e; d && (e = readdir(d));) {
        ck_assert_msg(strstr(e->d_name, ".tmp-") == NULL, "%s", e->d_name);
        ck_assert_str_ne(e->d_name, CHECKPOINT_MANIFEST_FILE);
    }
    if (d) closedir(d);
    free(path);
}
END_TEST

START_TEST(writing_goes_on_when_there_is_space_again)
{
    uint32_t version = fill(), removed;
    part_id id = testing_part_id(version, 0, SHARDS);
    checkpoint_id newest = checkpoint_files_id(&id), keep = newest;
    keep.version = version - 1;
    ck_assert_int_eq(checkpoint_files_prune(dir, &newest, &keep, 1, &removed, why), ERR_OK);
    ck_assert_uint_eq(removed, version - 1);
    ck_assert_msg(save(version) == ERR_OK, "%s", why);
    ck_assert_uint_eq(read_all(), 2);
}
END_TEST

START_TEST(a_manifest_that_does_not_fit_leaves_the_old_one)
{
    ck_assert_int_eq(save(1), ERR_OK);
    int fd = open("disk/filler", O_WRONLY | O_CREAT, 0600);
    char block[4096] = {1};
    while (write(fd, block, sizeof block) > 0) {
    }
    ck_assert_int_eq(errno, ENOSPC);
    close(fd);
    ck_assert_int_eq(checkpoint_manifest_write(dir, testing_checkpoint_manifest(1, 0, NULL), why),
                     ERR_LIMIT);
    testing_expect_part(why, "manifest.json");
    ck_assert_uint_eq(read_all(), 1);
}
END_TEST

static bool can_mount(void)
{
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        return false;
    char path[] = "/tmp/test_checkpoint_disk-XXXXXX";
    if (!mkdtemp(path)) return false;
    bool can = mount_disk(path) == 0 && umount(path) == 0;
    int error = errno;
    rmdir(path);
    errno = error;
    return can;
}

int main(void)
{
    if (!can_mount()) {
        printf("skipped: cannot mount a tmpfs: %s\n", strerror(errno));
        return SKIPPED;
    }
    Suite *s = suite_create("checkpoint_disk");
    TCase *c = tcase_create("checkpoint_disk");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, a_full_disk_keeps_what_was_complete_and_names_the_file);
    tcase_add_test(c, what_did_not_fit_leaves_no_file_behind);
    tcase_add_test(c, writing_goes_on_when_there_is_space_again);
    tcase_add_test(c, a_manifest_that_does_not_fit_leaves_the_old_one);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
