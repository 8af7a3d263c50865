/* Proves: file systems of other machines are told from those of this one by what the kernel lists,
 * and LMDB is refused on them. */
#include "common/local_disk.h"

#include "ps/metrics_log.h"
#include "sampler/text_cache.h"
#include "testing_files.h"

#include <check.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static const char mounts[] =
    "25 1 254:0 / / rw,relatime shared:1 - ext4 /dev/root rw\n"
    "31 25 0:26 / /mnt/a\\040b rw,relatime shared:2 master:3 - nfs4 server:/x rw,addr=10.0.0.1\n"
    "32 25 0:27 / /s rw - fuse.sshfs user@host: rw\n"
    "33 25 0:28 / /short rw";

START_TEST(the_type_is_that_of_the_device)
{
    char type[64] = "";
    ck_assert(local_disk_type(mounts, 254, 0, type));
    ck_assert_str_eq(type, "ext4");
    ck_assert(local_disk_type(mounts, 0, 26, type));
    ck_assert_str_eq(type, "nfs4");
    ck_assert(local_disk_type(mounts, 0, 27, type));
    ck_assert_str_eq(type, "fuse.sshfs");
    ck_assert(!local_disk_type(mounts, 0, 28, type)); /* Its line has no type. */
    ck_assert(!local_disk_type(mounts, 0, 2, type));
    ck_assert(!local_disk_type("", 0, 26, type));
}
END_TEST

START_TEST(network_file_systems_are_known)
{
    static const char *const network[] = {"nfs", "nfs4", "cifs",       "ceph",      "lustre",
                                          "9p",  "fuse", "fuse.sshfs", "fuse.s3fs", "virtiofs"};
    static const char *const local[] = {
        "ext4", "xfs", "btrfs", "tmpfs", "overlay", "zfs", "fuseblk", "fuse.fuse-overlayfs", ""};
    for (size_t i = 0; i < sizeof network / sizeof *network; i++)
        ck_assert_msg(local_disk_is_network(network[i]), "%s", network[i]);
    for (size_t i = 0; i < sizeof local / sizeof *local; i++)
        ck_assert_msg(!local_disk_is_network(local[i]), "%s", local[i]);
}
END_TEST

START_TEST(a_disk_of_this_machine_is_taken)
{
    ck_assert_int_eq(local_disk_check(".", "work_dir"), ERR_OK);
    ck_assert_int_eq(local_disk_check("not-there", "work_dir"), ERR_OK);
}
END_TEST

/* This process' list of mounts says from now on that the current folder is on another machine. */
static bool pretend(void)
{
    struct stat st;
    char text[256], list[64];
    if (stat(".", &st) != 0) return false;
    snprintf(text, sizeof text, "31 25 %u:%u / / rw - nfs4 server:/x rw\n", major(st.st_dev),
             minor(st.st_dev));
    testing_put_text("mounts", text);
    snprintf(list, sizeof list, "/proc/%d/mountinfo", (int)getpid());
    return unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("mounts", list, NULL, MS_BIND, NULL) == 0;
}

START_TEST(lmdb_is_not_opened_on_a_mount_of_another_machine)
{
    text_cache *cache = NULL;
    metrics_log *log = NULL;
    if (!pretend()) {
        fprintf(stderr, "SKIPPED: no mount namespace can be made here\n");
        return;
    }
    testing_capture_start();
    err_code rc = local_disk_check(".", "store.local");
    const char *said = testing_capture_end();
    ck_assert_int_eq(rc, ERR_INVALID);
    testing_expect_part(said, "is on a network file system (nfs4)");
    testing_expect_part(said, "set store.local to another folder");
    testing_capture_start();
    ck_assert_int_eq(text_cache_open("cache", 1, 4, &cache), ERR_INVALID);
    ck_assert_int_eq(metrics_log_check("."), ERR_INVALID);
    ck_assert_int_eq(metrics_log_open(".", false, &log), ERR_INVALID);
    testing_capture_end();
    ck_assert(access("cache/data.mdb", F_OK) != 0 && access("scheduler.mdb", F_OK) != 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("local_disk");
    TCase *c = tcase_create("local_disk");
    tcase_add_checked_fixture(c, testing_enter_folder, testing_leave_folder);
    tcase_add_test(c, the_type_is_that_of_the_device);
    tcase_add_test(c, network_file_systems_are_known);
    tcase_add_test(c, a_disk_of_this_machine_is_taken);
    tcase_add_test(c, lmdb_is_not_opened_on_a_mount_of_another_machine);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
