/* Proves: `weft checkpoint` lists what is there, names each damaged or missing file and ends with
 * 1, pins and lets go, and asks a running job with its token. */
#include "deploy/command_checkpoint.h"

#include "common/files.h"
#include "common/http_server.h"
#include "common/mem.h"
#include "ps/checkpoint_manifest.h"
#include "testing_files.h"
#include "testing_part.h"

#include <check.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char dir[] = "work/checkpoints";
static const char name[] = "hgnn-v9-g3", last[] = "hgnn-v40-g2-final";
static char output[1 << 16];

static void setup(void)
{
    testing_enter_folder();
    testing_put_text("c.yaml", "work_dir: work\n");
}

/* Runs `weft checkpoint -c c.yaml` with the words, up to NULL; its stdout is in output. */
static int run(const char *action, ...)
{
    char *argv[12] = {(char[]){"weft checkpoint"}, (char[]){"-c"}, (char[]){"c.yaml"},
                      xstrdup(action)};
    int argc = 4;
    va_list words;
    va_start(words, action);
    for (const char *w; (w = va_arg(words, const char *)) != NULL;) argv[argc++] = xstrdup(w);
    va_end(words);
    fflush(stdout);
    int saved = dup(STDOUT_FILENO);
    ck_assert_ptr_nonnull(freopen("stdout.txt", "w", stdout));
    int code = command_checkpoint(argc, argv);
    fflush(stdout);
    dup2(saved, STDOUT_FILENO);
    close(saved);
    for (int i = 3; i < argc; i++) free(argv[i]);
    char *text = testing_get_text("stdout.txt", NULL);
    snprintf(output, sizeof output, "%s", text);
    free(text);
    return code;
}

static json_t *run_json(const char *action, int code)
{
    ck_assert_int_eq(run(action, "--json", NULL), code);
    json_t *j = json_loads(output, 0, NULL);
    ck_assert_msg(j != NULL, "%s", output);
    return j;
}

static void spoil(const char *path)
{
    size_t n;
    char *bytes = testing_get_text(path, &n);
    bytes[n / 2] ^= 1;
    testing_put(path, bytes, n);
    free(bytes);
}

START_TEST(an_empty_folder_has_no_checkpoints)
{
    ck_assert_int_eq(run("list", NULL), 0);
    testing_expect_part(output, "/work/checkpoints\n");
    ck_assert_int_eq(run("verify", NULL), 0);
    testing_expect_part(output, "/work/checkpoints\n");
}
END_TEST

START_TEST(the_list_is_aligned_and_says_what_each_is)
{
    testing_put_snapshot(dir, 9);
    ck_assert_int_eq(mkdir("work/checkpoints/hgnn-v10-g3", 0777), 0);
    ck_assert_int_eq(run("pin", name, NULL), 0);
    ck_assert_int_eq(run("list", NULL), 0);
    testing_expect_part(output, "NAME                   STEP  REASON");
    testing_expect_part(output, "hgnn-v10-g3               -  -  ");
    testing_expect_part(output, "incomplete\n");
    testing_expect_part(output, "hgnn-v9-g3                9  best ");
    testing_expect_part(output, "complete, pinned\n");
    testing_expect_part(output, "hgnn-v40-g2-final         9  stage_end");
    ck_assert_int_eq(unlink("work/checkpoints/hgnn-v9-g3/0001.part"), 0);
    spoil("work/checkpoints/hgnn-v40-g2-final/manifest.json");
    ck_assert_int_eq(run("list", NULL), 0);
    testing_expect_part(output, "damaged, pinned\n");
    testing_expect_part(output, "damaged\n");
}
END_TEST

START_TEST(the_list_as_json_has_the_same)
{
    testing_put_snapshot(dir, 9);
    json_t *j = run_json("list", 0), *list = json_object_get(j, "checkpoints");
    ck_assert_uint_eq(json_array_size(list), 2);
    const json_t *first = json_array_get(list, 0);
    ck_assert_str_eq(json_string_value(json_object_get(first, "name")), name);
    ck_assert_str_eq(json_string_value(json_object_get(first, "stage")), "hgnn");
    ck_assert_str_eq(json_string_value(json_object_get(first, "state")), "complete");
    ck_assert_str_eq(json_string_value(json_object_get(first, "reason")), "best");
    ck_assert_int_eq(json_integer_value(json_object_get(first, "step")), 9);
    ck_assert_int_eq(json_integer_value(json_object_get(first, "parts")), 4);
    ck_assert(json_is_false(json_object_get(first, "pinned")));
    json_decref(j);
}
END_TEST

START_TEST(whole_checkpoints_verify)
{
    testing_put_snapshot(dir, 9);
    ck_assert_int_eq(mkdir("work/checkpoints/hgnn-v10-g3", 0777), 0);
    ck_assert_int_eq(run("verify", NULL), 0);
    testing_expect_part(output, "hgnn-v10-g3: incomplete");
    testing_expect_part(output, "hgnn-v9-g3: ok\n");
    testing_expect_part(output, "hgnn-v40-g2-final: ok\n");
    ck_assert_int_eq(run("verify", name, NULL), 0);
    ck_assert_str_eq(output, "hgnn-v9-g3: ok\n");
    json_t *j = run_json("verify", 0);
    ck_assert_uint_eq(json_array_size(json_object_get(j, "checkpoints")), 3);
    json_decref(j);
}
END_TEST

START_TEST(each_damaged_or_missing_file_is_named)
{
    testing_put_snapshot(dir, 9);
    spoil("work/checkpoints/hgnn-v9-g3/0001.part");
    ck_assert_int_eq(unlink("work/checkpoints/hgnn-v9-g3/0002.part"), 0);
    ck_assert_int_eq(run("verify", name, NULL), 1);
    testing_expect_part(output, "hgnn-v9-g3/0001.part: wrong checksum\n");
    testing_expect_part(output, "hgnn-v9-g3/0002.part: cannot open: No such file");
    ck_assert_ptr_null(strstr(output, "ok"));
    ck_assert_int_eq(run("verify", last, NULL), 0);
    ck_assert_int_eq(run("verify", NULL), 1);
    testing_expect_part(output, "hgnn-v40-g2-final: ok\n");
    json_t *j = run_json("verify", 1);
    const json_t *first = json_array_get(json_object_get(j, "checkpoints"), 0);
    ck_assert(json_is_false(json_object_get(first, "ok")));
    ck_assert_uint_eq(json_array_size(json_object_get(first, "problems")), 2);
    json_decref(j);
}
END_TEST

/* Two servers' folders: the scheduler's has parts 0, 1 and 2, the other one 1, 2 and 3. */
static void put_in_two(void)
{
    char why[CHECKPOINT_WHY_MAX];
    checkpoint_manifest_part part[4];
    for (uint32_t v = 0; v < 4; v++) {
        part_id id = testing_part_id(9, v, 4);
        blob *b = testing_part(&id);
        part[v] = (checkpoint_manifest_part){v, blob_size(b), part_hash(b)};
        if (v < 3) ck_assert_int_eq(checkpoint_files_write(dir, &id, b, why), ERR_OK);
        if (v > 0) ck_assert_int_eq(checkpoint_files_write("other", &id, b, why), ERR_OK);
        blob_unref(b);
    }
    checkpoint_manifest m = *testing_checkpoint_manifest(9, 4, part);
    m.copies = 2;
    m.previous_n = 0;
    ck_assert_int_eq(checkpoint_manifest_write(dir, &m, why), ERR_OK);
}

START_TEST(of_two_copies_it_is_said_how_many_are_where)
{
    put_in_two();
    ck_assert_int_eq(run("list", NULL), 0);
    testing_expect_part(output, "COPIES");
    testing_expect_part(output, "       2  ");
    testing_expect_part(output, "complete, 3 of 4 parts here\n");
    ck_assert_int_eq(run("verify", NULL), 0);
    ck_assert_str_eq(output, "hgnn-v9-g3: ok, 3 of 4 parts are here, 2 copies of each were made\n");
    ck_assert_int_eq(run("verify", "--also", "other", NULL), 0);
    ck_assert_str_eq(output, "hgnn-v9-g3: ok, 4 parts: 2 copies of 2, 1 of 2\n");
    json_t *j = run_json("list", 0);
    const json_t *first = json_array_get(json_object_get(j, "checkpoints"), 0);
    ck_assert_int_eq(json_integer_value(json_object_get(first, "copies")), 2);
    ck_assert_int_eq(json_integer_value(json_object_get(first, "parts")), 3);
    ck_assert_int_eq(json_integer_value(json_object_get(first, "parts_made")), 4);
    json_decref(j);
}
END_TEST

START_TEST(of_two_copies_a_damaged_one_and_none_are_problems)
{
    put_in_two();
    spoil("other/hgnn-v9-g3/0001.part");
    ck_assert_int_eq(run("verify", NULL), 0);
    ck_assert_int_eq(run("verify", "--also", "other", NULL), 1);
    ck_assert_str_eq(output, "hgnn-v9-g3: other/hgnn-v9-g3/0001.part: wrong checksum\n");
    ck_assert_int_eq(unlink("other/hgnn-v9-g3/0001.part"), 0);
    ck_assert_int_eq(unlink("other/hgnn-v9-g3/0003.part"), 0);
    ck_assert_int_eq(run("verify", "--also", "other", NULL), 1);
    testing_expect_part(output, "hgnn-v9-g3/0003.part: cannot open");
}
END_TEST

START_TEST(a_part_of_another_content_or_length_is_named)
{
    testing_put_snapshot(dir, 9);
    part_id id = testing_part_id(9, 0, 4);
    char why[CHECKPOINT_WHY_MAX];
    blob *b = part_encode(&id, NULL, 0);
    ck_assert_int_eq(checkpoint_files_write(dir, &id, b, why), ERR_OK);
    ck_assert_int_eq(run("verify", name, NULL), 1);
    testing_expect_part(output, "0000.part: checksum ");
    /* A manifest that is wrong about the length, and one that lists too few. */
    const checkpoint_manifest_part part = {0, 4, part_hash(b)};
    checkpoint_manifest m = *testing_checkpoint_manifest(9, 1, &part);
    m.shards = 4;
    ck_assert_int_eq(checkpoint_manifest_write(dir, &m, why), ERR_OK);
    blob_unref(b);
    ck_assert_int_eq(run("verify", name, NULL), 1);
    testing_expect_part(output, "0000.part: 64 bytes, the manifest says 4\n");
    testing_expect_part(output, "manifest.json: lists 1 parts of 4\n");
}
END_TEST

START_TEST(damage_in_a_finished_stage_it_refers_to_counts)
{
    testing_put_snapshot(dir, 9);
    spoil("work/checkpoints/hgnn-v40-g2-final/0003.part");
    ck_assert_int_eq(run("verify", name, NULL), 1);
    testing_expect_part(output, "/work/checkpoints/hgnn-v40-g2-final/0003.part: wrong checksum\n");
    ck_assert_int_eq(files_remove_tree("work/checkpoints/hgnn-v40-g2-final"), ERR_OK);
    ck_assert_int_eq(run("verify", name, NULL), 1);
    testing_expect_part(output, "hgnn-v40-g2-final/manifest.json: cannot open");
}
END_TEST

START_TEST(a_finished_stage_of_another_plan_counts)
{
    testing_put_snapshot(dir, 9);
    char why[CHECKPOINT_WHY_MAX];
    checkpoint_manifest m = *testing_checkpoint_manifest(9, 4, NULL);
    m.parts = 0;
    m.plan_hash++;
    ck_assert_int_eq(checkpoint_manifest_write(dir, &m, why), ERR_OK);
    ck_assert_int_eq(run("verify", name, NULL), 1);
    testing_expect_part(output, "hgnn-v40-g2-final: of plan 1234567890abcdef, needed is one of "
                                "1234567890abcdf0\n");
}
END_TEST

START_TEST(damage_to_the_manifest_and_its_absence_are_named)
{
    testing_put_snapshot(dir, 9);
    spoil("work/checkpoints/hgnn-v9-g3/manifest.json");
    ck_assert_int_eq(run("verify", NULL), 1);
    testing_expect_part(output, "hgnn-v9-g3/manifest.json: wrong checksum\n");
    ck_assert_int_eq(unlink("work/checkpoints/hgnn-v9-g3/manifest.json"), 0);
    ck_assert_int_eq(run("verify", name, NULL), 1);
    testing_expect_part(output, "hgnn-v9-g3/manifest.json: cannot open");
}
END_TEST

START_TEST(a_pin_is_a_file_and_goes_with_off)
{
    testing_put_snapshot(dir, 9);
    ck_assert_int_eq(run("pin", name, NULL), 0);
    ck_assert_str_eq(output, "hgnn-v9-g3: pinned\n");
    ck_assert(files_exist("work/checkpoints/hgnn-v9-g3/PINNED"));
    ck_assert_int_eq(run("pin", name, "--off", "--json", NULL), 0);
    ck_assert_str_eq(output, "{\"name\": \"hgnn-v9-g3\", \"pinned\": false}\n");
    ck_assert(!files_exist("work/checkpoints/hgnn-v9-g3/PINNED"));
}
END_TEST

static void fails(int wanted, const char *part, const char *action, const char *argument)
{
    testing_capture_start();
    int code = run(action, argument, NULL);
    testing_expect_part(testing_capture_end(), part);
    ck_assert_int_eq(code, wanted);
}

START_TEST(a_checkpoint_that_is_not_there_is_an_error)
{
    testing_put_snapshot(dir, 9);
    fails(1, "work/checkpoints: no checkpoint \"hgnn-v8-g3\" there", "verify", "hgnn-v8-g3");
    fails(1, "no checkpoint \"../hgnn-v9-g3\" there", "pin", "../hgnn-v9-g3");
    ck_assert_int_eq(mkdir("work/checkpoints/hgnn-v10-g3", 0777), 0);
    fails(1, "hgnn-v10-g3/manifest.json: cannot open", "pin", "hgnn-v10-g3");
    testing_put_text("c.yaml", "work_dir: c.yaml\n");
    fails(1, "c.yaml/checkpoints: cannot list", "list", NULL);
}
END_TEST

START_TEST(usage_errors_exit_with_2)
{
    static const char *const words[][3] = {
        {"lst"}, {"pin"}, {"list", "x"}, {"list", "--off"}, {"verify", "a", "b"}};
    run(words[_i][0], words[_i][1], words[_i][1] ? words[_i][2] : NULL, NULL); /* exits */
}
END_TEST

static atomic_int posts;

static unsigned on_post(void *user, const char *path, const char *body, char **answer)
{
    (void)user, (void)body;
    if (strcmp(path, "/api/v1/checkpoint") != 0 || posts > 0) return 404;
    atomic_fetch_add(&posts, 1);
    *answer = xstrdup("a checkpoint is on its way\n");
    return 202;
}

START_TEST(now_asks_the_running_job_with_its_token)
{
    http_server *server;
    char url[64];
    http_options o = {.bind = "127.0.0.1:0", .token = "secret-secret-secret", .on_post = on_post};
    fails(1, "no job", "now", NULL);
    ck_assert_int_eq(http_start(&o, &server, url), ERR_OK);
    ck_assert_int_eq(files_make_dirs("work/run"), ERR_OK);
    testing_put_text("work/run/url", url);
    testing_put_text("work/run/token", "a-wrong-token-it-is\n");
    ck_assert_int_eq(chmod("work/run/token", 0600), 0);
    fails(2, "token", "now", NULL);
    testing_put_text("work/run/token", "secret-secret-secret\n");
    ck_assert_int_eq(run("now", NULL), 0);
    ck_assert_str_eq(output, "a checkpoint is on its way\n");
    fails(1, "/api/v1/checkpoint: no such page", "now", NULL);
    http_stop(server);
    fails(1, "no answer", "now", NULL);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("command_checkpoint");
    TCase *c = tcase_create("command_checkpoint");
    tcase_add_checked_fixture(c, setup, testing_leave_folder);
    tcase_add_test(c, an_empty_folder_has_no_checkpoints);
    tcase_add_test(c, the_list_is_aligned_and_says_what_each_is);
    tcase_add_test(c, the_list_as_json_has_the_same);
    tcase_add_test(c, whole_checkpoints_verify);
    tcase_add_test(c, each_damaged_or_missing_file_is_named);
    tcase_add_test(c, of_two_copies_it_is_said_how_many_are_where);
    tcase_add_test(c, of_two_copies_a_damaged_one_and_none_are_problems);
    tcase_add_test(c, a_part_of_another_content_or_length_is_named);
    tcase_add_test(c, damage_in_a_finished_stage_it_refers_to_counts);
    tcase_add_test(c, a_finished_stage_of_another_plan_counts);
    tcase_add_test(c, damage_to_the_manifest_and_its_absence_are_named);
    tcase_add_test(c, a_pin_is_a_file_and_goes_with_off);
    tcase_add_test(c, a_checkpoint_that_is_not_there_is_an_error);
    tcase_add_loop_exit_test(c, usage_errors_exit_with_2, 2, 0, 5);
    tcase_add_test(c, now_asks_the_running_job_with_its_token);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
