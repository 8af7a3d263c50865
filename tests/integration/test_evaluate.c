/* Proves: `weft evaluate` writes byte for byte what `weft train` wrote, and with other `evaluate`
 * keys what a training with those writes; `weft export` the same files without evaluation; and both
 * refuse what they cannot be true to. */
#include "testing_files.h"
#include "testing_run.h"

#include "common/config.h"
#include "common/files.h"
#include "common/safetensors.h"
#include "common/slot.h"
#include "deploy/evaluate.h"
#include "ps/checkpoint_manifest.h"

#include <check.h>
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OTHER                                                                                      \
    "--set evaluate.bootstrap=150 --set evaluate.recommendations=3 --set evaluate.ease_items=0 "
#define TWO "--set work_dir=two "

static void setup(void)
{
    testing_enter_folder();
    testing_run_files();
    testing_run_must("one", "train -c job.yaml --set work_dir=one --servers 2");
}

static void leave_nothing(void)
{
    static const char *const folders[] = {"again", "two", "export"};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
        ck_assert_int_eq(files_remove_tree(folders[i]), ERR_OK);
}

/* work_dir=two is then as after the training of work_dir=one. */
static void copy_training(void)
{
    char line[] =
        "cp -a one two && rm -rf two/out two/export && sed -i s,/one/,/two/, two/store/current";
    ck_assert_int_eq(system(line), 0);
}

/* ---- Evaluation ---- */

START_TEST(files_are_those_of_the_training)
{
    testing_run_must("again", "evaluate -c job.yaml --set work_dir=one --out again");
    testing_run_same("one/out", "again");
    char *first = testing_get_text("one.out", NULL), *second = testing_get_text("again.out", NULL);
    char *end = strstr(first, "\nresults in");
    ck_assert_ptr_nonnull(end);
    ck_assert(strncmp(first, second, (size_t)(end - first)) == 0);
    free(first);
    free(second);
}
END_TEST

START_TEST(without_validation_and_in_one_process_too)
{
    testing_run_must("two", "train -c job.yaml --in-process --set validate.every=1000 " TWO);
    testing_run_must("again", "evaluate -c job.yaml --set validate.every=1000 --out again " TWO);
    testing_run_same("two/out", "again");
}
END_TEST

START_TEST(other_keys_give_what_a_training_with_them_gives)
{
    testing_run_must("two", "train -c job.yaml --in-process " TWO OTHER);
    testing_run_must("again", "evaluate -c job.yaml --set work_dir=one --out again " OTHER);
    testing_run_same("two/out", "again");
    /* The other way round, and from then on. */
    testing_run_must("again", "evaluate -c job.yaml --out again " TWO);
    testing_run_same("one/out", "again");
    testing_run_must("again", "evaluate -c job.yaml --out again " TWO OTHER);
    testing_run_same("two/out", "again");
}
END_TEST

START_TEST(a_training_on_a_folder_is_known_by_it)
{
    testing_run_must("two", "train -c job.yaml --data data --in-process " TWO);
    testing_run_must("again", "evaluate -c job.yaml --data data --out again " TWO);
    testing_run_same("two/out", "again");
    char line[] = "cp -a data more && tail -n 1 data/interactions.tsv >>more/interactions.tsv";
    ck_assert_int_eq(system(line), 0);
    ck_assert_int_eq(testing_run_code("no", "evaluate -c job.yaml --data more " TWO), 2);
    testing_run_said("no", "--data more: not what was trained on");
    ck_assert_int_eq(files_remove_tree("more"), ERR_OK);
}
END_TEST

START_TEST(a_training_with_other_keys_is_refused_with_what_to_do)
{
    ck_assert_int_eq(testing_run_code("no", "train -c job.yaml --set work_dir=one " OTHER), 2);
    testing_run_said("no", "evaluate: \"bootstrap: 150\", the job has");
    char *log = testing_get_text("one/logs/scheduler-0.log", NULL);
    testing_expect_part(log, "weft evaluate needs no training");
    free(log);
}
END_TEST

START_TEST(other_prepared_data_are_refused_until_those_of_the_training_are_back)
{
    copy_training();
    testing_run_must("prepare", "prepare -c job.yaml --set graph.shrink=1 " TWO);
    ck_assert_int_eq(testing_run_code("no", "evaluate -c job.yaml --out again " TWO), 2);
    testing_run_said("no", "no key differs: the prepared data are others");
    testing_run_said("no", "weft prepare takes those of the training again");
    testing_run_must("prepare", "prepare -c job.yaml " TWO);
    testing_run_must("again", "evaluate -c job.yaml --out again " TWO);
    testing_run_same("one/out", "again");
}
END_TEST

static json_int_t processes(const char *out, const char *role)
{
    char *path = files_join(out, "run.json");
    json_t *run = json_load_file(path, 0, NULL);
    ck_assert_ptr_nonnull(run);
    json_int_t n = json_integer_value(json_object_get(json_object_get(run, "processes"), role));
    json_decref(run);
    free(path);
    return n;
}

START_TEST(no_process_is_counted_where_none_was_started)
{
    static const char *const roles[] = {"schedulers", "servers", "samplers", "workers"};
    testing_run_must("again", "evaluate -c job.yaml --set work_dir=one --out again");
    testing_run_must("export", "export -c job.yaml --set work_dir=one --out export");
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++) {
        ck_assert_int_gt(processes("one/out", roles[i]), 0);
        ck_assert_int_eq(processes("again", roles[i]), 0);
        ck_assert_int_eq(processes("export", roles[i]), 0);
    }
}
END_TEST

START_TEST(json_is_the_report)
{
    testing_run_must("again", "evaluate -c job.yaml --set work_dir=one --out again --json");
    char *told = testing_get_text("again.out", NULL);
    char *file = testing_get_text("one/out/report.json", NULL);
    ck_assert_str_eq(told, file);
    free(told);
    free(file);
}
END_TEST

START_TEST(a_model_that_was_not_trained_is_named)
{
    testing_run_must("two",
                     "train -c job.yaml --in-process --set evaluate.baselines=[popularity] " TWO);
    testing_run_must("again", "evaluate -c job.yaml --out again " TWO);
    char *table = testing_get_text("again.out", NULL);
    testing_expect_part(table, "two_tower_no_z: not trained");
    testing_expect_part(table, "item_knn ");
    free(table);
}
END_TEST

START_TEST(a_training_with_more_models_is_told_as_it_was)
{
    testing_run_must("again", "evaluate -c job.yaml --set work_dir=one --out again --set "
                              "evaluate.baselines=[popularity]");
    char *before = testing_get_text("one/out/metrics.jsonl", NULL);
    char *after = testing_get_text("again/metrics.jsonl", NULL);
    ck_assert_str_eq(before, after);
    free(before);
    free(after);
    char *report = testing_get_text("again/report.json", NULL);
    testing_expect_part(report, "{\"stage\": \"two_tower_no_z\", \"epochs\"");
    testing_expect_part(report, "\"not in evaluate.baselines\"");
    free(report);
}
END_TEST

/* As if another build had trained: the name of the numerics is in the manifest. */
static void rename_numerics(const char *dir)
{
    char why[CHECKPOINT_WHY_MAX];
    checkpoint_listed *list;
    size_t n;
    ck_assert_int_eq(checkpoint_manifest_list(dir, &list, &n, why), ERR_OK);
    ck_assert(n > 0 && list[0].manifest.id.stage == STAGE_VECTORS);
    list[0].manifest.numerics = "other numerics";
    ck_assert_int_eq(checkpoint_manifest_write(dir, &list[0].manifest, why), ERR_OK);
    checkpoint_manifest_list_free(list, n);
}

START_TEST(other_numerics_guarantee_no_bits)
{
    copy_training();
    rename_numerics("two/checkpoints");
    testing_run_must("again", "evaluate -c job.yaml --out again " TWO);
    testing_run_said("again", "other_numerics trained_with=\"other numerics\" ours=");
    char *report = testing_get_text("again/report.json", NULL);
    testing_expect_part(report, "\"bits\": \"not guaranteed\"");
    free(report);
    safetensors_file *model;
    ck_assert_int_eq(safetensors_open("again/model.safetensors", &model), ERR_OK);
    ck_assert_str_eq(safetensors_metadata(model, "numerics"), "other numerics");
    safetensors_close(model);
}
END_TEST

/* ---- Export ---- */

/* The number of files in a folder, each of which must be in one/out with the same bytes. */
static uint32_t count_same(const char *folder)
{
    uint32_t n = 0;
    DIR *d = opendir(folder);
    ck_assert_ptr_nonnull(d);
    for (struct dirent *e; (e = readdir(d));) {
        if (e->d_name[0] == '.' || strcmp(e->d_name, "run.json") == 0) continue;
        size_t a, b;
        char *path = files_join(folder, e->d_name), *other = files_join("one/out", e->d_name);
        char *x = testing_get_text(path, &a), *y = testing_get_text(other, &b);
        ck_assert_msg(a == b && memcmp(x, y, a) == 0, "%s", path);
        free(path);
        free(other);
        free(x);
        free(y);
        n++;
    }
    closedir(d);
    return n;
}

START_TEST(an_export_has_the_files_of_the_model_only)
{
    testing_run_must("export", "export -c job.yaml --set work_dir=one --out export");
    ck_assert_uint_eq(count_same("export"), 11);
    ck_assert(files_exist("export/run.json") && !files_exist("export/report.json"));
    char *told = testing_get_text("export.out", NULL);
    testing_expect_part(told, "90 items and 120 users, vectors of 17 numbers, in /");
    free(told);
    testing_run_must("list", "recommend --model export --user user-1 -k 2");
    testing_run_must("export", "export -c job.yaml --set work_dir=one"); /* one/export */
    ck_assert_uint_eq(count_same("one/export"), 11);
}
END_TEST

/* ---- Refusals ---- */

static const testing_run_refusal refusals[] = {
    {"export --out one/out", 2, "one/out: holds a report, and an export has none"},
    {"evaluate --set hgnn.temperature=0.3", 2, "hgnn: \"temperature: 0.3\", the job has"},
    {"evaluate --set graph.shrink=1", 2, "graph: \"shrink: 1\", the job has"},
    {"evaluate --out data", 2, "would replace "},
    {"evaluate --data data", 2, "--data data: not what was trained on"},
};

START_TEST(what_it_cannot_be_true_to_is_refused)
{
    const testing_run_refusal *r = &refusals[_i];
    int code = testing_run_code("no", "%s -c job.yaml --set work_dir=one", r->words);
    ck_assert_int_eq(code, r->code);
    testing_run_said("no", r->says);
    testing_run_must("again", "evaluate -c job.yaml --set work_dir=one --out again");
    testing_run_same("one/out", "again"); /* nothing was touched */
}
END_TEST

START_TEST(a_result_that_has_no_place_is_said_before_the_evaluation)
{
    testing_put_text("again", "a file");
    ck_assert_int_eq(testing_run_code("no", "evaluate -c job.yaml --set work_dir=one --out again"),
                     1);
    testing_run_said("no", "/again: cannot make the folder: File exists");
    char *told = testing_get_text("no.err", NULL);
    ck_assert_ptr_null(strstr(told, "evaluate  "));
    free(told);
}
END_TEST

START_TEST(a_stop_while_it_reads_leaves_the_folder_as_it_was)
{
    static const char *const work_dir = "work_dir=one";
    config *c;
    atomic_int stop = SIGINT;
    testing_run_must("export", "export -c job.yaml --set work_dir=one --out export");
    size_t n, m;
    char *before = testing_get_text("export/run.json", &n);
    ck_assert_int_eq(config_load("job.yaml", &work_dir, 1, &c), ERR_OK);
    evaluate_options o = {
        .config = c, .command = "", .out_dir = "export", .export_only = true, .stop = &stop};
    ck_assert_int_eq(evaluate_run(&o), ERR_STOPPED);
    config_free(c);
    char *after = testing_get_text("export/run.json", &m);
    ck_assert(n == m && memcmp(before, after, n) == 0);
    free(before);
    free(after);
}
END_TEST

START_TEST(a_table_that_cannot_be_printed_is_a_failure)
{
    static const testing_run_refusal full[] = {
        {"evaluate -c job.yaml --set work_dir=one --out again", 1,
         "stdout: No space left on device"},
        {"export -c job.yaml --set work_dir=one --out export", 1,
         "stdout: No space left on device"},
        {"export -c job.yaml --set work_dir=one --out export --json", 1,
         "stdout: No space left on device"},
        {"--version", 1, "stdout: No space left on device"},
        /* more than the buffer holds: why the first of it failed is not known at the end */
        {"config --print -c job.yaml", 1, "stdout: not all of it could be written"},
    };
    ck_assert_int_eq(symlink("/dev/full", "refused.out"), 0);
    testing_run_refused("", full, sizeof full / sizeof *full);
    ck_assert_int_eq(unlink("refused.out"), 0);
}
END_TEST

START_TEST(where_nothing_was_trained_nothing_is_evaluated)
{
    ck_assert_int_eq(testing_run_code("no", "evaluate -c job.yaml " TWO), 1);
    testing_run_said("no", "two/checkpoints: there is no checkpoint: weft train makes them");
    ck_assert_int_eq(testing_run_code("no", "export"), 2);
    testing_run_said("no", "give -c FILE");
}
END_TEST

static void remove_checkpoint(const char *begin, const char *end)
{
    DIR *d = opendir("two/checkpoints");
    bool found = false;
    for (struct dirent *e; d && (e = readdir(d));) {
        size_t n = strlen(e->d_name), m = strlen(end);
        if (strncmp(e->d_name, begin, strlen(begin)) != 0) continue;
        if (n < m || strcmp(e->d_name + n - m, end) != 0) continue;
        char *path = files_join("two/checkpoints", e->d_name);
        ck_assert_int_eq(files_remove_tree(path), ERR_OK);
        free(path);
        found = true;
    }
    ck_assert(found);
    closedir(d);
}

START_TEST(a_training_that_is_not_at_its_end_is_refused_with_where_it_is)
{
    copy_training();
    remove_checkpoint("vectors", "-final");
    ck_assert_int_ne(testing_run_code("no", "evaluate -c job.yaml " TWO), 0);
    testing_run_said("no",
                     "the newest checkpoint is the end of two_tower_no_z; weft train goes on");
    remove_checkpoint("two_tower_no_z", "-final");
    ck_assert_int_ne(testing_run_code("no", "export -c job.yaml " TWO), 0);
    testing_run_said("no", "the newest checkpoint is of two_tower_no_z, step ");
    testing_run_said("no", " of 12; weft train goes on from there");
    ck_assert(!files_exist("two/out/run.json") && !files_exist("two/export/run.json"));
}
END_TEST

START_TEST(a_checkpoint_that_is_not_whole_is_refused_by_its_name)
{
    copy_training();
    ck_assert_int_eq(system("for f in two/checkpoints/embed*/0007.part; do printf x >>$f; done"),
                     0);
    ck_assert_int_ne(testing_run_code("no", "evaluate -c job.yaml " TWO), 0);
    testing_run_said("no", "/0007.part");
    remove_checkpoint("embed", "-final");
    ck_assert_int_ne(testing_run_code("no", "evaluate -c job.yaml " TWO), 0);
    testing_run_said("no", "two/checkpoints/embed-v");
    ck_assert(!files_exist("two/out/run.json"));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("evaluate");
    TCase *c = tcase_create("evaluate");
    tcase_set_timeout(c, 300);
    tcase_add_unchecked_fixture(c, setup, testing_leave_folder);
    tcase_add_checked_fixture(c, leave_nothing, NULL);
    tcase_add_test(c, files_are_those_of_the_training);
    tcase_add_test(c, without_validation_and_in_one_process_too);
    tcase_add_test(c, other_keys_give_what_a_training_with_them_gives);
    tcase_add_test(c, a_training_on_a_folder_is_known_by_it);
    tcase_add_test(c, a_training_with_other_keys_is_refused_with_what_to_do);
    tcase_add_test(c, other_prepared_data_are_refused_until_those_of_the_training_are_back);
    tcase_add_test(c, no_process_is_counted_where_none_was_started);
    tcase_add_test(c, json_is_the_report);
    tcase_add_test(c, a_model_that_was_not_trained_is_named);
    tcase_add_test(c, a_training_with_more_models_is_told_as_it_was);
    tcase_add_test(c, other_numerics_guarantee_no_bits);
    tcase_add_test(c, an_export_has_the_files_of_the_model_only);
    tcase_add_loop_test(c, what_it_cannot_be_true_to_is_refused, 0,
                        sizeof refusals / sizeof *refusals);
    tcase_add_test(c, a_result_that_has_no_place_is_said_before_the_evaluation);
    tcase_add_test(c, a_stop_while_it_reads_leaves_the_folder_as_it_was);
    tcase_add_test(c, a_table_that_cannot_be_printed_is_a_failure);
    tcase_add_test(c, where_nothing_was_trained_nothing_is_evaluated);
    tcase_add_test(c, a_training_that_is_not_at_its_end_is_refused_with_where_it_is);
    tcase_add_test(c, a_checkpoint_that_is_not_whole_is_refused_by_its_name);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
