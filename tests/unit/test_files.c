/* Proves: files are read within their limit and replaced whole, and a result folder is complete
 * exactly when run.json is there. */
#include "common/files.h"
#include "common/out_dir.h"
#include "common/tsv.h"
#include "testing_files.h"

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[64], path[128];

static void setup(void)
{
    strcpy(dir, "/tmp/test_files-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
}

static void teardown(void)
{
    ck_assert_int_eq(files_remove_tree(dir), ERR_OK);
    ck_assert(!files_exist(dir));
}

static const char *in_dir(const char *name)
{
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static void put_file(const char *at, const char *text)
{
    FILE *file = fopen(at, "w");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
}

static void holds(const char *name, const char *text)
{
    char *data;
    size_t bytes;
    ck_assert_int_eq(files_read(in_dir(name), 1000, &data, &bytes), ERR_OK);
    ck_assert_str_eq(data, text);
    ck_assert_uint_eq(bytes, strlen(text));
    free(data);
}

START_TEST(what_is_written_is_read)
{
    ck_assert_int_eq(files_write_atomic(in_dir("a"), "one", 3, 0600), ERR_OK);
    holds("a", "one");
    struct stat st;
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 0777, 0600);
    ck_assert_int_eq(files_write_atomic(in_dir("a"), "", 0, 0644), ERR_OK);
    holds("a", "");
}
END_TEST

START_TEST(a_failed_write_leaves_the_old_file_and_no_other)
{
    ck_assert_int_eq(mkdir(in_dir("target"), 0777), 0);
    put_file(in_dir("target/x"), "x");
    testing_capture_start();
    err_code rc = files_write_atomic(in_dir("target"), "one", 3, 0644);
    const char *text = testing_capture_end();
    ck_assert_int_eq(rc, ERR_IO);
    ck_assert_ptr_nonnull(strstr(text, "target: cannot replace"));
    holds("target/x", "x");
    char command[160];
    snprintf(command, sizeof command, "test \"$(ls -A %s)\" = target", dir);
    ck_assert_int_eq(system(command), 0);
}
END_TEST

START_TEST(reading_reports_absence_size_and_folders)
{
    char *data;
    size_t bytes;
    put_file(in_dir("a"), "12345");
    ck_assert_int_eq(files_read(path, 5, &data, &bytes), ERR_OK);
    free(data);
    testing_capture_start();
    err_code limit = files_read(path, 4, &data, &bytes);
    err_code absent = files_read(in_dir("b"), 4, &data, &bytes);
    err_code folder = files_read(dir, 4, &data, &bytes);
    err_code parent = files_write_atomic(in_dir("none/x"), "", 0, 0644);
    const char *text = testing_capture_end();
    ck_assert_int_eq(limit, ERR_LIMIT);
    ck_assert_int_eq(absent, ERR_NOT_FOUND);
    ck_assert_int_eq(folder, ERR_IO);
    ck_assert_int_eq(parent, ERR_NOT_FOUND);
    ck_assert_ptr_nonnull(strstr(text, "/a: larger than 4 bytes"));
    ck_assert_ptr_nonnull(strstr(text, "/b: cannot open: No such file"));
}
END_TEST

START_TEST(a_pipe_is_read_up_to_the_limit)
{
    int fd[2];
    char name[32], *data;
    size_t bytes;
    ck_assert_int_eq(pipe(fd), 0);
    ck_assert_int_eq(write(fd[1], "hello", 5), 5);
    close(fd[1]);
    snprintf(name, sizeof name, "/dev/fd/%d", fd[0]);
    ck_assert_int_eq(files_read(name, 100, &data, &bytes), ERR_OK);
    ck_assert_str_eq(data, "hello");
    free(data);
    close(fd[0]);
}
END_TEST

START_TEST(folders_are_made_and_removed_with_their_content)
{
    ck_assert_int_eq(files_make_dirs(in_dir("a/b//c/")), ERR_OK);
    ck_assert(files_is_dir(in_dir("a/b/c")));
    ck_assert_int_eq(files_make_dirs(path), ERR_OK);
    put_file(in_dir("a/b/f"), "x");
    put_file(in_dir("kept"), "x");
    char target[128];
    snprintf(target, sizeof target, "%s", in_dir("kept"));
    ck_assert_int_eq(symlink(target, in_dir("a/link")), 0);
    ck_assert_int_eq(symlink(dir, in_dir("a/loop")), 0);
    ck_assert_int_eq(files_remove_tree(in_dir("a")), ERR_OK);
    ck_assert(!files_exist(path));
    holds("kept", "x");
    ck_assert_int_eq(files_remove_tree(in_dir("absent")), ERR_OK);
    testing_capture_start();
    err_code through_file = files_make_dirs(in_dir("kept/x"));
    err_code over_file = files_make_dirs(in_dir("kept"));
    err_code sync = files_sync(in_dir("absent"));
    err_code from = files_rename(in_dir("absent"), target);
    testing_capture_end();
    ck_assert_int_eq(through_file, ERR_IO);
    ck_assert_int_eq(over_file, ERR_IO);
    ck_assert_int_eq(sync, ERR_NOT_FOUND);
    ck_assert_int_eq(from, ERR_NOT_FOUND);
}
END_TEST

static void same(char *owned, const char *expected)
{
    ck_assert_str_eq(owned, expected);
    free(owned);
}

START_TEST(paths_are_joined_split_and_made_absolute)
{
    same(files_join("a", "b"), "a/b");
    same(files_join("a/", "b"), "a/b");
    same(files_join("a", "/b"), "/b");
    same(files_join("", "b"), "b");
    same(files_parent("a/b"), "a");
    same(files_parent("a/b/"), "a");
    same(files_parent("b"), ".");
    same(files_parent("/b"), "/");
    same(files_parent("/"), "/");
    same(files_absolute("/a/./b//../c/"), "/a/c");
    same(files_absolute("/../.."), "/");
    same(files_absolute("/a..b/...c"), "/a..b/...c");
    ck_assert_int_eq(chdir("/tmp"), 0);
    same(files_absolute("x/y"), "/tmp/x/y");
    same(files_absolute("."), "/tmp");
}
END_TEST

static void put_result(out_dir *o, const char *name, const char *text)
{
    char *at = out_dir_path(o, name);
    put_file(at, text);
    free(at);
}

static void commit(const char *items, const char *extra)
{
    out_dir *o;
    ck_assert_int_eq(out_dir_open(in_dir("out"), &o), ERR_OK);
    put_result(o, "items.npy", items);
    if (extra) put_result(o, extra, items);
    put_result(o, "run.json", items);
    ck_assert_int_eq(out_dir_commit(o), ERR_OK);
    out_dir_close(o);
}

static bool has_partial(void)
{
    char command[160];
    snprintf(command, sizeof command, "ls -A %s/out | grep -q '^.partial-'", dir);
    return system(command) == 0;
}

START_TEST(a_committed_result_replaces_the_old_one)
{
    commit("old", "recommendations.tsv");
    holds("out/items.npy", "old");
    holds("out/recommendations.tsv", "old");
    put_file(in_dir("out/notes.txt"), "mine");
    commit("new", NULL);
    holds("out/items.npy", "new");
    holds("out/run.json", "new");
    holds("out/notes.txt", "mine");
    ck_assert(!files_exist(in_dir("out/recommendations.tsv"))); /* of the old result */
    ck_assert(!has_partial());
}
END_TEST

START_TEST(an_uncommitted_result_leaves_the_old_one)
{
    commit("old", NULL);
    out_dir *o;
    ck_assert_int_eq(out_dir_open(in_dir("out"), &o), ERR_OK);
    put_result(o, "items.npy", "new");
    testing_capture_start();
    err_code rc = out_dir_commit(o);
    const char *text = testing_capture_end();
    ck_assert_int_eq(rc, ERR_NOT_FOUND);
    ck_assert_ptr_nonnull(strstr(text, "run.json was not written"));
    ck_assert(has_partial());
    out_dir_close(o);
    out_dir_close(NULL);
    holds("out/items.npy", "old");
    holds("out/run.json", "old");
    ck_assert(!has_partial());
}
END_TEST

START_TEST(a_failure_while_replacing_leaves_no_run_json)
{
    commit("old", NULL);
    ck_assert_int_eq(files_make_dirs(in_dir("out/split.tsv/x")), ERR_OK);
    out_dir *o;
    ck_assert_int_eq(out_dir_open(in_dir("out"), &o), ERR_OK);
    put_result(o, "items.npy", "new");
    put_result(o, "split.tsv", "new"); /* cannot replace a folder */
    put_result(o, "run.json", "new");
    testing_capture_start();
    err_code rc = out_dir_commit(o);
    testing_capture_end();
    out_dir_close(o);
    ck_assert_int_eq(rc, ERR_IO);
    ck_assert(!files_exist(in_dir("out/run.json")));
}
END_TEST

START_TEST(what_a_dead_process_left_is_removed)
{
    pid_t dead = fork();
    if (dead == 0) _exit(0);
    ck_assert_int_eq(waitpid(dead, NULL, 0), dead);
    char name[64];
    snprintf(name, sizeof name, "out/.partial-%d/deep", dead);
    ck_assert_int_eq(files_make_dirs(in_dir(name)), ERR_OK);
    snprintf(name, sizeof name, "out/.partial-%d", getppid());
    ck_assert_int_eq(files_make_dirs(in_dir(name)), ERR_OK);
    char mine[64];
    snprintf(mine, sizeof mine, "out/.partial-%d-mine", dead);
    ck_assert_int_eq(files_make_dirs(in_dir(mine)), ERR_OK);
    out_dir *o;
    ck_assert_int_eq(out_dir_open(in_dir("out"), &o), ERR_OK);
    out_dir_close(o);
    ck_assert(files_exist(in_dir(name))); /* lives */
    ck_assert(files_exist(in_dir(mine)));
    snprintf(name, sizeof name, "out/.partial-%d", dead);
    ck_assert(!files_exist(in_dir(name)));
}
END_TEST

START_TEST(what_a_result_would_replace_is_known_by_folder_and_name)
{
    ck_assert_int_eq(files_make_dirs(in_dir("out")), ERR_OK);
    ck_assert_int_eq(files_make_dirs(in_dir("data")), ERR_OK);
    char *out = files_join(dir, "out"), *indirect = files_join(dir, "data/../out");
    ck_assert(out_dir_replaces(out, in_dir("out/items.tsv")));
    ck_assert(out_dir_replaces(indirect, in_dir("out/config.yaml")));
    ck_assert(out_dir_replaces(out, in_dir("out/run.json")));
    ck_assert(!out_dir_replaces(out, in_dir("out/interactions.tsv")));
    ck_assert(!out_dir_replaces(out, in_dir("data/items.tsv")));
    ck_assert(!out_dir_replaces("missing", in_dir("out/items.tsv")));
    free(out);
    free(indirect);
}
END_TEST

START_TEST(a_file_where_the_folder_should_be_is_io)
{
    put_file(in_dir("out"), "x");
    out_dir *o;
    testing_capture_start();
    err_code rc = out_dir_open(path, &o);
    testing_capture_end();
    ck_assert_int_eq(rc, ERR_IO);
    ck_assert_ptr_null(o);
}
END_TEST

START_TEST(tsv_values_are_escaped)
{
    bytes_writer w;
    bytes_writer_init(&w);
    tsv_put(&w, "a\tb\nc\rd\\e\0f", 11);
    ck_assert_uint_eq(w.len, 15);
    ck_assert_int_eq(memcmp(w.data, "a\\tb\\nc\\rd\\\\e\0f", 15), 0);
    bytes_writer_fini(&w);
    FILE *file = fopen(in_dir("t"), "w");
    tsv_write_line(file, (const char *const[]){"x", "", "y\tz", "\\"}, 4);
    tsv_write(file, "\n\n", 2);
    tsv_write_in_list(file, ",a,\\,", 5);
    fclose(file);
    holds("t", "x\t\ty\\tz\t\\\\\n\\n\\n\\x2ca\\x2c\\\\\\x2c");
}
END_TEST

int main(void)
{
    TCase *c = tcase_create("files");
    tcase_add_checked_fixture(c, testing_enter_folder, testing_leave_folder);
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, what_is_written_is_read);
    tcase_add_test(c, a_failed_write_leaves_the_old_file_and_no_other);
    tcase_add_test(c, reading_reports_absence_size_and_folders);
    tcase_add_test(c, a_pipe_is_read_up_to_the_limit);
    tcase_add_test(c, folders_are_made_and_removed_with_their_content);
    tcase_add_test(c, paths_are_joined_split_and_made_absolute);
    tcase_add_test(c, a_committed_result_replaces_the_old_one);
    tcase_add_test(c, an_uncommitted_result_leaves_the_old_one);
    tcase_add_test(c, a_failure_while_replacing_leaves_no_run_json);
    tcase_add_test(c, what_a_dead_process_left_is_removed);
    tcase_add_test(c, what_a_result_would_replace_is_known_by_folder_and_name);
    tcase_add_test(c, a_file_where_the_folder_should_be_is_io);
    tcase_add_test(c, tsv_values_are_escaped);
    Suite *s = suite_create("files");
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
