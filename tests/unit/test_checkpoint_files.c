/* Proves: a part has its name only when it is whole; whatever fails while it is written leaves what
 * was there; what is read is what was asked for; pruning never takes what is newer, kept, pinned or
 * not ours, and several may prune at once. */
#include "common/mem.h"
#include "common/slot.h"
#include "ps/checkpoint_files.h"
#include "testing_disk.h"
#include "testing_files.h"
#include "testing_part.h"

#include "common/files.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char dir[] = "work/checkpoints";
static char why[CHECKPOINT_WHY_MAX];

static uint64_t put(uint32_t version, uint32_t shard)
{
    part_id id = testing_part_id(version, shard, 8);
    blob *b = testing_part(&id);
    ck_assert_msg(checkpoint_files_write(dir, &id, b, why) == ERR_OK, "%s", why);
    ck_assert_str_eq(why, "");
    uint64_t hash = part_hash(b);
    blob_unref(b);
    return hash;
}

static checkpoint_id id_of(uint32_t version)
{
    part_id id = testing_part_id(version, 0, 8);
    return checkpoint_files_id(&id);
}

/* A snapshot with two parts and a manifest. */
static checkpoint_id put_snapshot(uint32_t version)
{
    checkpoint_id id = id_of(version);
    put(version, 0);
    put(version, 1);
    ck_assert_int_eq(checkpoint_files_seal(dir, &id, why), ERR_OK);
    ck_assert_int_eq(checkpoint_files_write_file(dir, &id, CHECKPOINT_MANIFEST_FILE, "{}", 2, why),
                     ERR_OK);
    return id;
}

static err_code get(uint32_t version, uint32_t shard, const uint64_t *hash)
{
    part_id id = testing_part_id(version, shard, 8);
    part_view v;
    blob *b;
    err_code rc = checkpoint_files_read(dir, &id, hash, &b, &v, why);
    ck_assert_int_eq(rc == ERR_OK, b != NULL);
    ck_assert_int_eq(rc == ERR_OK, why[0] == '\0');
    if (rc == ERR_OK) ck_assert_uint_eq(v.sections, TESTING_PART_SECTIONS);
    if (rc != ERR_OK) ck_assert_ptr_nonnull(strstr(why, ".part"));
    blob_unref(b);
    return rc;
}

static uint32_t files_in(const char *path)
{
    DIR *d = opendir(path);
    ck_assert_msg(d != NULL, "%s", path);
    uint32_t n = 0;
    for (struct dirent *e; (e = readdir(d));) n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

static size_t snapshots(void)
{
    checkpoint_entry *list;
    size_t n;
    ck_assert_int_eq(checkpoint_files_list(dir, &list, &n, why), ERR_OK);
    free(list);
    return n;
}

START_TEST(a_name_says_the_id_and_nothing_else_is_a_name)
{
    checkpoint_id id = {STAGE_TWO_TOWER_NO_Z, 4, 4000000000, true}, back;
    char name[CHECKPOINT_NAME_MAX];
    checkpoint_files_name(&id, name);
    ck_assert_str_eq(name, "two_tower_no_z-v4000000000-g4-final");
    ck_assert(checkpoint_files_parse(name, &back));
    ck_assert_int_eq(checkpoint_files_compare(&id, &back), 0);
    id.final = false;
    checkpoint_files_name(&id, name);
    ck_assert(checkpoint_files_parse(name, &back) && !back.final);
    const char *const wrong[] = {"",
                                 "hgnn",
                                 "hgnn-v1",
                                 "hgnn-v1-g",
                                 "hgnn-v01-g1",
                                 "hgnn-v-1-g1",
                                 "hgnn-v+1-g1",
                                 "hgnn-v1-g1-",
                                 "hgnn-v1-g1 ",
                                 "hgnn-v1-g1-finale",
                                 "none-v1-g1",
                                 "../hgnn-v1-g1",
                                 "gnn-v1-g1",
                                 "hgnn-v1-g1-final-final",
                                 "hgnn-v4294967297-g1"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        ck_assert_msg(!checkpoint_files_parse(wrong[i], &back), "\"%s\"", wrong[i]);
}
END_TEST

START_TEST(the_folder_is_the_configured_one_or_in_the_work_folder)
{
    config c = {.work_dir = (char[]){"work"}, .checkpoint = {.dir = (char[]){""}}};
    char *path = checkpoint_files_dir(&c);
    ck_assert_str_eq(path, dir);
    free(path);
    c.checkpoint.dir = (char[]){"/shared/it"};
    path = checkpoint_files_dir(&c);
    ck_assert_str_eq(path, "/shared/it");
    free(path);
}
END_TEST

START_TEST(snapshots_are_ordered_by_generation_then_stage_then_version)
{
    const checkpoint_id order[] = {
        {2, 1, 9, false}, {4, 1, 0, false}, {2, 2, 0, false}, {2, 2, 3, false}, {2, 2, 3, true}};
    for (size_t i = 0; i < 5; i++) {
        for (size_t j = 0; j < 5; j++) {
            int c = checkpoint_files_compare(&order[i], &order[j]);
            ck_assert_int_eq((c > 0) - (c < 0), (i > j) - (i < j));
        }
    }
}
END_TEST

START_TEST(a_part_that_was_written_is_read)
{
    uint64_t hash = put(9, 3);
    checkpoint_id id = id_of(9);
    ck_assert_int_eq(checkpoint_files_seal(dir, &id, why), ERR_OK);
    ck_assert_int_eq(get(9, 3, &hash), ERR_OK);
    ck_assert_int_eq(get(9, 3, NULL), ERR_OK);
    ck_assert_int_eq(access("work/checkpoints/hgnn-v9-g3/0003.part", R_OK), 0);
    ck_assert_uint_eq(files_in("work/checkpoints/hgnn-v9-g3"), 1);
}
END_TEST

START_TEST(writing_a_part_again_replaces_it)
{
    put(9, 3);
    uint64_t hash = put(9, 3);
    ck_assert_int_eq(get(9, 3, &hash), ERR_OK);
    ck_assert_uint_eq(files_in("work/checkpoints/hgnn-v9-g3"), 1);
}
END_TEST

START_TEST(several_processes_write_into_one_snapshot)
{
    pid_t child[8];
    for (uint32_t i = 0; i < 8; i++) {
        child[i] = fork();
        if (child[i] == 0) {
            part_id id = testing_part_id(9, i, 8);
            _exit(checkpoint_files_write(dir, &id, testing_part(&id), why) != ERR_OK);
        }
    }
    for (uint32_t i = 0; i < 8; i++) {
        int status;
        ck_assert_int_eq(waitpid(child[i], &status, 0), child[i]);
        ck_assert_int_eq(status, 0);
        ck_assert_int_eq(get(9, i, NULL), ERR_OK);
    }
}
END_TEST

/* A part of version 9 exists; writing it again meets `error` in `call`. */
static void write_fails(testing_disk_call call, int error, err_code code)
{
    part_id id = testing_part_id(9, 3, 8);
    blob *b = testing_part(&id);
    uint64_t hash = put(9, 3);
    testing_disk_fail(call, 0, error);
    ck_assert_int_eq(checkpoint_files_write(dir, &id, b, why), code);
    if (call != TESTING_DISK_RENAME) ck_assert_int_eq(testing_disk_calls(TESTING_DISK_RENAME), 0);
    ck_assert_int_le(testing_disk_calls(TESTING_DISK_FSYNC), 1);
    ck_assert_int_eq(testing_disk_heal(), 1);
    testing_expect_part(why, "work/checkpoints/hgnn-v9-g3/0003.part");
    testing_expect_part(why, strerror(error));
    ck_assert_uint_eq(files_in("work/checkpoints/hgnn-v9-g3"), 1);
    ck_assert_int_eq(get(9, 3, &hash), ERR_OK);
    ck_assert_int_eq(checkpoint_files_write(dir, &id, b, why), ERR_OK);
    ck_assert_int_eq(get(9, 3, &hash), ERR_OK);
    blob_unref(b);
}

START_TEST(whatever_fails_the_old_part_stays_and_the_next_try_works)
{
    write_fails(TESTING_DISK_WRITE, ENOSPC, ERR_LIMIT);
    write_fails(TESTING_DISK_WRITE, EDQUOT, ERR_LIMIT);
    write_fails(TESTING_DISK_WRITE, EIO, ERR_IO);
    write_fails(TESTING_DISK_FSYNC, EIO, ERR_IO);
    write_fails(TESTING_DISK_FSYNC, ENOSPC, ERR_LIMIT);
    write_fails(TESTING_DISK_RENAME, EIO, ERR_IO);
    write_fails(TESTING_DISK_CLOSE, EIO, ERR_IO);
}
END_TEST

START_TEST(an_interrupted_write_goes_on)
{
    part_id id = testing_part_id(9, 3, 8);
    blob *b = testing_part(&id);
    testing_disk_fail(TESTING_DISK_WRITE, 0, EINTR);
    ck_assert_int_eq(checkpoint_files_write(dir, &id, b, why), ERR_OK);
    ck_assert_int_eq(testing_disk_heal(), 1);
    ck_assert_int_eq(get(9, 3, NULL), ERR_OK);
    blob_unref(b);
}
END_TEST

START_TEST(sealing_syncs_the_folder_and_two_above_and_reports_what_fails)
{
    checkpoint_id id = id_of(9);
    ck_assert_int_eq(checkpoint_files_seal(dir, &id, why), ERR_NOT_FOUND);
    testing_expect_part(why, "work/checkpoints/hgnn-v9-g3");
    put(9, 3);
    testing_disk_heal();
    ck_assert_int_eq(checkpoint_files_seal(dir, &id, why), ERR_OK);
    ck_assert_int_eq(testing_disk_calls(TESTING_DISK_FSYNC), 3);
    const char *const path[] = {"work/checkpoints/hgnn-v9-g3: ", "work/checkpoints: ", "work: "};
    for (int i = 0; i < 3; i++) {
        testing_disk_fail(TESTING_DISK_FSYNC, i, EIO);
        ck_assert_int_eq(checkpoint_files_seal(dir, &id, why), ERR_IO);
        ck_assert_int_eq(strncmp(why, path[i], strlen(path[i])), 0);
    }
    testing_disk_fail(TESTING_DISK_FSYNC, 0, ENOSPC);
    ck_assert_int_eq(checkpoint_files_seal(dir, &id, why), ERR_LIMIT);
    testing_disk_heal();
}
END_TEST

START_TEST(a_folder_that_cannot_be_made_is_named)
{
    testing_put_text("work", "a file\n");
    part_id id = testing_part_id(9, 3, 8);
    blob *b = testing_part(&id);
    ck_assert_int_eq(checkpoint_files_write(dir, &id, b, why), ERR_IO);
    testing_expect_part(why, "work: cannot make the folder");
    blob_unref(b);
    ck_assert_int_eq(get(9, 3, NULL), ERR_IO);
}
END_TEST

START_TEST(a_missing_part_is_not_found)
{
    ck_assert_int_eq(get(9, 3, NULL), ERR_NOT_FOUND);
    put(9, 3);
    ck_assert_int_eq(get(9, 4, NULL), ERR_NOT_FOUND);
    ck_assert_int_eq(get(8, 3, NULL), ERR_NOT_FOUND);
}
END_TEST

START_TEST(a_damaged_part_is_corrupt_and_its_file_is_named)
{
    const char path[] = "work/checkpoints/hgnn-v9-g3/0003.part";
    put(9, 3);
    size_t n;
    char *bytes = testing_get_text(path, &n);
    bytes[n / 2] ^= 1;
    testing_put(path, bytes, n);
    ck_assert_int_eq(get(9, 3, NULL), ERR_CORRUPT);
    testing_expect_part(why, "work/checkpoints/hgnn-v9-g3/0003.part: wrong checksum");
    bytes[n / 2] ^= 1;
    testing_put(path, bytes, n - 1);
    ck_assert_int_eq(get(9, 3, NULL), ERR_CORRUPT);
    testing_put(path, bytes, 0);
    ck_assert_int_eq(get(9, 3, NULL), ERR_CORRUPT);
    bytes[16] = 2;
    testing_part_seal((uint8_t *)bytes, n);
    testing_put(path, bytes, n);
    ck_assert_int_eq(get(9, 3, NULL), ERR_MISMATCH);
    free(bytes);
}
END_TEST

START_TEST(a_part_of_another_place_or_content_is_corrupt)
{
    uint64_t hash = put(9, 3) + 1;
    put(9, 4);
    ck_assert_int_eq(get(9, 3, &hash), ERR_CORRUPT);
    testing_expect_part(why, "expected");
    ck_assert_int_eq(
        rename("work/checkpoints/hgnn-v9-g3/0004.part", "work/checkpoints/hgnn-v9-g3/0003.part"),
        0);
    ck_assert_int_eq(get(9, 3, NULL), ERR_CORRUPT);
    testing_expect_part(why, "holds shard 4 of 8 of hgnn version 9 generation 3");
}
END_TEST

START_TEST(what_is_no_file_or_too_large_is_refused_before_it_is_read)
{
    const char path[] = "work/checkpoints/hgnn-v9-g3/0003.part";
    put(9, 3);
    ck_assert_int_eq(truncate(path, (off_t)PART_BYTES_MAX + 1), 0);
    ck_assert_int_eq(get(9, 3, NULL), ERR_CORRUPT);
    testing_expect_part(why, "larger than");
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    ck_assert_int_eq(get(9, 3, NULL), ERR_CORRUPT);
    testing_expect_part(why, "no regular file");
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    ck_assert_int_eq(get(9, 3, NULL), ERR_CORRUPT);
}
END_TEST

/* The sanitizers themselves need more address space than the limit leaves. */
#if !defined(WEFT_ASAN) && !defined(__SANITIZE_THREAD__)
START_TEST(a_part_without_memory_for_it_is_an_error)
{
    put(9, 3);
    ck_assert_int_eq(truncate("work/checkpoints/hgnn-v9-g3/0003.part", PART_BYTES_MAX), 0);
    const struct rlimit limit = {512 << 20, 512 << 20};
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
    ck_assert_int_eq(get(9, 3, NULL), ERR_NO_MEMORY);
}
END_TEST
#endif

static void expect_pinned(checkpoint_id *found, uint32_t max, uint32_t want)
{
    uint32_t n;
    ck_assert_int_eq(checkpoint_files_pinned(dir, found, max, &n, why), ERR_OK);
    ck_assert_uint_eq(n, want);
}

START_TEST(the_list_is_newest_first_and_has_what_is_there)
{
    put_snapshot(9);
    put(12, 0);
    put_snapshot(100);
    checkpoint_id pinned = id_of(100);
    checkpoint_id found[2];
    expect_pinned(found, 2, 0);
    ck_assert_int_eq(checkpoint_files_pin(dir, &pinned, true, why), ERR_OK);
    expect_pinned(found, 2, 1);
    ck_assert_int_eq(checkpoint_files_compare(&found[0], &pinned), 0);
    expect_pinned(found, 0, 0);
    uint32_t count;
    testing_put_text("file", "");
    ck_assert_int_eq(checkpoint_files_pinned("file", found, 2, &count, why), ERR_IO);
    testing_put_text("work/checkpoints/notes.txt", "mine\n");
    testing_put_text("work/checkpoints/hgnn-v3-g3", "a file of that name\n");
    ck_assert_int_eq(mkdir("work/checkpoints/old", 0777), 0);
    checkpoint_entry *e;
    size_t n;
    ck_assert_int_eq(checkpoint_files_list(dir, &e, &n, why), ERR_OK);
    ck_assert_uint_eq(n, 3);
    part_id id = testing_part_id(9, 0, 8);
    uint64_t bytes = part_bytes(testing_part_sections(), TESTING_PART_SECTIONS);
    ck_assert_uint_eq(e[0].id.version, 100);
    ck_assert(e[0].complete && e[0].pinned && e[0].parts == 2 && e[0].bytes == 2 * bytes);
    ck_assert_uint_eq(e[1].id.version, 12);
    ck_assert(!e[1].complete && !e[1].pinned && e[1].parts == 1 && e[1].bytes == bytes);
    ck_assert_uint_eq(e[2].id.version, 9);
    ck_assert_uint_eq(e[2].id.stage, id.stage);
    ck_assert(e[2].complete && e[2].time > 1700000000);
    free(e);
}
END_TEST

START_TEST(no_folder_has_no_snapshots_and_a_file_is_an_error)
{
    ck_assert_uint_eq(snapshots(), 0);
    testing_put_text("work", "a file\n");
    checkpoint_entry *e;
    size_t n;
    ck_assert_int_eq(checkpoint_files_list(dir, &e, &n, why), ERR_IO);
    testing_expect_part(why, "work/checkpoints: cannot list");
    checkpoint_id newest = id_of(UINT32_MAX);
    ck_assert_int_eq(checkpoint_files_prune(dir, &newest, NULL, 0, NULL, why), ERR_IO);
}
END_TEST

START_TEST(too_many_snapshots_are_refused)
{
    checkpoint_entry *e;
    size_t n;
    checkpoint_id newest = id_of(UINT32_MAX);
    put(0, 0);
    for (uint32_t i = 1; i <= CHECKPOINT_SNAPSHOTS_MAX; i++) {
        char *name = xprintf("%s/hgnn-v%u-g3", dir, i);
        ck_assert_int_eq(mkdir(name, 0777), 0);
        free(name);
    }
    ck_assert_int_eq(checkpoint_files_list(dir, &e, &n, why), ERR_LIMIT);
    ck_assert_ptr_null(e);
    ck_assert_int_eq(checkpoint_files_prune(dir, &newest, NULL, 0, NULL, why), ERR_LIMIT);
}
END_TEST

START_TEST(pruning_takes_the_older_ones_but_for_the_kept_and_pinned)
{
    for (uint32_t v = 10; v <= 60; v += 10) put_snapshot(v);
    put(35, 0); /* never became complete */
    put(55, 0); /* not complete yet */
    checkpoint_id keep = id_of(20), pinned = id_of(30), newest = id_of(50);
    ck_assert_int_eq(checkpoint_files_pin(dir, &pinned, true, why), ERR_OK);
    testing_put_text("work/checkpoints/hgnn-v10-g3/0007.part.tmp-a1B2c3", "of a dead writer");
    uint32_t removed;
    ck_assert_int_eq(checkpoint_files_prune(dir, &newest, &keep, 1, &removed, why), ERR_OK);
    ck_assert_uint_eq(removed, 3);
    checkpoint_entry *e;
    size_t n;
    ck_assert_int_eq(checkpoint_files_list(dir, &e, &n, why), ERR_OK);
    const uint32_t left[] = {60, 55, 50, 30, 20};
    ck_assert_uint_eq(n, 5);
    for (size_t i = 0; i < 5; i++) ck_assert_uint_eq(e[i].id.version, left[i]);
    free(e);
    ck_assert_int_eq(get(20, 1, NULL), ERR_OK);
    ck_assert_int_eq(checkpoint_files_pin(dir, &pinned, false, why), ERR_OK);
    ck_assert_int_eq(checkpoint_files_prune(dir, &newest, &keep, 1, &removed, why), ERR_OK);
    ck_assert_uint_eq(removed, 1);
    ck_assert_int_eq(checkpoint_files_prune(dir, &newest, &keep, 1, &removed, why), ERR_OK);
    ck_assert_uint_eq(removed, 0);
}
END_TEST

START_TEST(a_later_generation_is_newer_whatever_its_version)
{
    put_snapshot(10);
    part_id later = testing_part_id(2, 0, 8);
    later.generation++;
    blob *b = testing_part(&later);
    ck_assert_int_eq(checkpoint_files_write(dir, &later, b, why), ERR_OK);
    blob_unref(b);
    checkpoint_id sleeper = id_of(20);
    uint32_t removed;
    ck_assert_int_eq(checkpoint_files_prune(dir, &sleeper, NULL, 0, &removed, why), ERR_OK);
    ck_assert_uint_eq(removed, 1);
    ck_assert_int_eq(access("work/checkpoints/hgnn-v2-g4/0000.part", R_OK), 0);
}
END_TEST

START_TEST(a_file_that_is_not_ours_stays_with_its_folder)
{
    put_snapshot(10);
    testing_put_text("work/checkpoints/hgnn-v10-g3/notes.txt", "mine\n");
    checkpoint_id newest = id_of(50);
    uint32_t removed;
    ck_assert_int_eq(checkpoint_files_prune(dir, &newest, NULL, 0, &removed, why), ERR_OK);
    ck_assert_uint_eq(removed, 0);
    ck_assert_uint_eq(files_in("work/checkpoints/hgnn-v10-g3"), 1);
}
END_TEST

START_TEST(pruning_goes_on_after_an_error_and_returns_it)
{
    put_snapshot(10);
    put_snapshot(20);
    ck_assert_int_eq(mkdir("work/checkpoints/hgnn-v20-g3/0009.part", 0777), 0);
    checkpoint_id newest = id_of(50);
    uint32_t removed;
    ck_assert_int_eq(checkpoint_files_prune(dir, &newest, NULL, 0, &removed, why), ERR_IO);
    testing_expect_part(why, "hgnn-v20-g3/0009.part: cannot remove");
    ck_assert_uint_eq(removed, 1);
    ck_assert_uint_eq(snapshots(), 1);
}
END_TEST

/* After a going back there may be several ends of a stage, of which the newest counts. */
START_TEST(the_newest_end_of_a_stage_is_kept)
{
    checkpoint_id ends[] = {{STAGE_HGNN, 1, 60, true},
                            {STAGE_HGNN, 2, 60, true},
                            {STAGE_HGNN, 3, 60, true},
                            {STAGE_EMBED, 2, 2, true}};
    for (size_t i = 0; i < 4; i++) {
        const char *name = i == 2 ? "0000.part.tmp-a1B2c3" : CHECKPOINT_MANIFEST_FILE; /* not yet */
        ck_assert_int_eq(checkpoint_files_write_file(dir, &ends[i], name, "{}", 2, why), ERR_OK);
    }
    checkpoint_id newest = {STAGE_HGNN, 9, 1, false};
    uint32_t removed;
    ck_assert_int_eq(checkpoint_files_prune(dir, &newest, NULL, 0, &removed, why), ERR_OK);
    ck_assert_uint_eq(removed, 2);
    ck_assert(files_exist("work/checkpoints/hgnn-v60-g2-final"));
    ck_assert(files_exist("work/checkpoints/embed-v2-g2-final"));
    ck_assert_int_eq(checkpoint_files_pin(dir, &ends[3], true, why), ERR_OK);
    ck_assert_int_eq(checkpoint_files_clear(dir, why), ERR_OK);
    ck_assert_uint_eq(snapshots(), 1);
}
END_TEST

START_TEST(several_may_prune_one_folder_at_once)
{
    for (uint32_t v = 1; v <= 40; v++) put(v, 0);
    pid_t child[4];
    for (int i = 0; i < 4; i++) {
        child[i] = fork();
        if (child[i] == 0) {
            checkpoint_id newest = id_of(40);
            err_code rc = checkpoint_files_prune(dir, &newest, NULL, 0, NULL, why);
            if (rc != ERR_OK) fprintf(stderr, "%s\n", why);
            _exit(rc != ERR_OK);
        }
    }
    for (int i = 0; i < 4; i++) {
        int status;
        ck_assert_int_eq(waitpid(child[i], &status, 0), child[i]);
        ck_assert_int_eq(status, 0);
    }
    ck_assert_uint_eq(snapshots(), 1);
}
END_TEST

START_TEST(pinning_needs_a_snapshot)
{
    checkpoint_id id = id_of(9);
    ck_assert_int_eq(checkpoint_files_pin(dir, &id, true, why), ERR_NOT_FOUND);
    testing_expect_part(why, "work/checkpoints/hgnn-v9-g3: no such snapshot");
    put_snapshot(9);
    testing_disk_fail(TESTING_DISK_FSYNC, 0, ENOSPC);
    ck_assert_int_eq(checkpoint_files_pin(dir, &id, true, why), ERR_LIMIT);
    testing_disk_fail(TESTING_DISK_FSYNC, 1, EIO);
    ck_assert_int_eq(checkpoint_files_pin(dir, &id, true, why), ERR_IO);
    testing_disk_heal();
    ck_assert_int_eq(checkpoint_files_pin(dir, &id, false, why), ERR_OK);
    ck_assert_int_eq(checkpoint_files_pin(dir, &id, false, why), ERR_OK);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("checkpoint_files");
    TCase *c = tcase_create("checkpoint_files");
    tcase_add_checked_fixture(c, testing_enter_folder, testing_leave_folder);
    tcase_add_test(c, a_name_says_the_id_and_nothing_else_is_a_name);
    tcase_add_test(c, the_folder_is_the_configured_one_or_in_the_work_folder);
    tcase_add_test(c, snapshots_are_ordered_by_generation_then_stage_then_version);
    tcase_add_test(c, a_part_that_was_written_is_read);
    tcase_add_test(c, writing_a_part_again_replaces_it);
    tcase_add_test(c, several_processes_write_into_one_snapshot);
    tcase_add_test(c, whatever_fails_the_old_part_stays_and_the_next_try_works);
    tcase_add_test(c, an_interrupted_write_goes_on);
    tcase_add_test(c, sealing_syncs_the_folder_and_two_above_and_reports_what_fails);
    tcase_add_test(c, a_folder_that_cannot_be_made_is_named);
    tcase_add_test(c, a_missing_part_is_not_found);
    tcase_add_test(c, a_damaged_part_is_corrupt_and_its_file_is_named);
    tcase_add_test(c, a_part_of_another_place_or_content_is_corrupt);
    tcase_add_test(c, what_is_no_file_or_too_large_is_refused_before_it_is_read);
#if !defined(WEFT_ASAN) && !defined(__SANITIZE_THREAD__)
    tcase_add_test(c, a_part_without_memory_for_it_is_an_error);
#endif
    tcase_add_test(c, the_list_is_newest_first_and_has_what_is_there);
    tcase_add_test(c, no_folder_has_no_snapshots_and_a_file_is_an_error);
    tcase_add_test(c, too_many_snapshots_are_refused);
    tcase_add_test(c, pruning_takes_the_older_ones_but_for_the_kept_and_pinned);
    tcase_add_test(c, a_later_generation_is_newer_whatever_its_version);
    tcase_add_test(c, a_file_that_is_not_ours_stays_with_its_folder);
    tcase_add_test(c, pruning_goes_on_after_an_error_and_returns_it);
    tcase_add_test(c, the_newest_end_of_a_stage_is_kept);
    tcase_add_test(c, several_may_prune_one_folder_at_once);
    tcase_add_test(c, pinning_needs_a_snapshot);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
