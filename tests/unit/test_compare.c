/* Proves: two results are compared user by user on the same held-out items, and nothing else is. */
#include "deploy/compare.h"

#include "common/files.h"
#include "testing_files.h"

#include <check.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char header[] =
    "user_id\ttype\tmodel\thistory\tpositives\titems\tranks\thr_10\trecall_10\tndcg_10\trr_100\n";

/* A result of `users` users of type movie: user i has hr_10 = recall = ndcg = rr = 1 if
 * i % every == 0. */
static void write_result(const char *dir, int users, int every, const char *item,
                         const char *config)
{
    char path[64];
    ck_assert_int_eq(files_make_dirs(dir), ERR_OK);
    snprintf(path, sizeof path, "%s/run.json", dir);
    testing_put_text(path, "{}");
    snprintf(path, sizeof path, "%s/config.yaml", dir);
    testing_put_text(path, config);
    snprintf(path, sizeof path, "%s/per_user.tsv", dir);
    FILE *file = fopen(path, "w");
    fputs(header, file);
    for (int i = 0; i < users; i++) {
        int v = i % every == 0;
        fprintf(file,
                "u%d\tmovie\ttwo_tower\t5\t1\t%s\t3\t%d.000000\t%d.000000\t%d.000000\t%d.000000\n",
                i, item, v, v, v, v);
        fprintf(file, "u%d\tmovie\tease\t5\t1\t%s\t3\t0.000000\t0.000000\t0.000000\t0.000000\n", i,
                item);
    }
    fclose(file);
}

static compare *make(const char *a, const char *b, const char *model)
{
    compare *c;
    const char *dirs[2] = {a, b};
    ck_assert_int_eq(compare_make(dirs, 2, model, &c), ERR_OK);
    return c;
}

START_TEST(the_difference_is_of_the_means_and_has_a_verdict)
{
    write_result("a", 200, 4, "x", "seed: 1\n");
    write_result("b", 200, 2, "x", "seed: 2\nhgnn: {batch: 512}\n");
    compare *c = make("a", "b", "two_tower");
    const compare_cell *hr = &c->type[0].cell[0];
    ck_assert_uint_eq(c->type[0].users, 200);
    ck_assert(fabs(hr->a - 0.25) < 1e-12 && fabs(hr->b - 0.5) < 1e-12);
    ck_assert(fabs(hr->difference - 0.25) < 1e-12);
    ck_assert(hr->lo > 0.15 && hr->lo < 0.25 && hr->hi > 0.25 && hr->hi < 0.35);
    ck_assert_str_eq(hr->verdict, "better");
    ck_assert_uint_eq(c->differs_n, 2);
    testing_expect_part(c->differs[0], "hgnn.batch: 256 -> 512");
    testing_expect_part(c->differs[1], "seed: 1 -> 2");
    compare_free(c);
    c = make("b", "a", "two_tower");
    ck_assert_str_eq(c->type[0].cell[0].verdict, "worse");
    compare_free(c);
    c = make("a", "b", "ease");
    ck_assert_str_eq(c->type[0].cell[0].verdict, "even");
    compare_free(c);
}
END_TEST

START_TEST(a_number_is_told_as_it_was_written)
{
    write_result("a", 50, 3, "x", "hgnn: {temperature: 0.02}\ntwo_tower: {temperature: 0.1}\n");
    write_result("b", 50, 3, "x",
                 "hgnn: {temperature: 0.07}\ntwo_tower: {temperature: 0.10000001}\n");
    compare *c = make("a", "b", "two_tower");
    ck_assert_uint_eq(c->differs_n, 2);
    ck_assert_str_eq(c->differs[0], "hgnn.temperature: 0.02 -> 0.07");
    ck_assert_str_eq(c->differs[1], "two_tower.temperature: 0.100000001 -> 0.100000009");
    compare_free(c);
}
END_TEST

START_TEST(a_result_is_even_with_itself)
{
    write_result("a", 50, 3, "x", "seed: 1\n");
    compare *c = make("a", "a", "two_tower");
    ck_assert(c->type[0].cell[3].lo == 0 && c->type[0].cell[3].hi == 0);
    ck_assert_str_eq(c->type[0].cell[3].verdict, "even");
    ck_assert_uint_eq(c->differs_n, 0);
    compare_free(c);
}
END_TEST

START_TEST(users_that_one_lacks_or_with_other_items_are_left_out)
{
    write_result("a", 100, 2, "x", "");
    write_result("b", 80, 2, "x", "");
    compare *c = make("a", "b", "two_tower");
    ck_assert_uint_eq(c->type[0].users, 80);
    ck_assert_uint_eq(c->type[0].only_a, 20);
    ck_assert_uint_eq(c->type[0].only_b, 0);
    compare_free(c);
    c = make("b", "a", "two_tower");
    ck_assert_uint_eq(c->type[0].only_b, 20);
    compare_free(c);
}
END_TEST

static err_code fails(const char *a, const char *b, const char *model, const char *message)
{
    compare *c;
    const char *dirs[2] = {a, b};
    testing_capture_start();
    err_code rc = compare_make(dirs, 2, model, &c);
    testing_expect_part(testing_capture_end(), message);
    ck_assert_ptr_null(c);
    return rc;
}

/* What compare_print says of two results. */
static char *printed(const char *a, const char *b)
{
    compare *c = make(a, b, "two_tower");
    FILE *out = fopen("text", "w");
    ck_assert_int_eq(compare_print(c, false, out), ERR_OK);
    fclose(out);
    compare_free(c);
    return testing_get_text("text", NULL);
}

static void write_report(const char *path, int movies, int train)
{
    char text[256];
    snprintf(text, sizeof text,
             "{\"data\": {\"items\": {\"movie\": %d}, \"users\": 9, \"split\": {\"train\": %d}, "
             "\"relations\": [%d], \"warnings\": [\"%d\"]}}",
             movies, train, train, movies);
    testing_put_text(path, text);
}

START_TEST(other_data_are_said_before_any_number)
{
    write_result("a", 100, 2, "x", "");
    write_result("b", 80, 2, "x", "");
    write_report("a/report.json", 30, 500);
    write_report("b/report.json", 31, 500);
    testing_put_text("a/split.tsv", "user_id\titem_id\tpart\nu1\tx\ttest\n");
    testing_put_text("b/split.tsv", "user_id\titem_id\tpart\nu2\tx\ttest\n");
    char *text = printed("a", "b"), *data = strstr(text, "THE DATA DIFFER");
    ck_assert(data && data < strstr(text, "hr_10"));
    testing_expect_part(data,
                        "  items.movie: 30 -> 31\n  split.tsv: other pairs are held out\nmovie: 80 "
                        "of 100 users are compared; left out: 20 that not all have, 0 with "
                        "other held-out items\n");
    free(text);
}
END_TEST

START_TEST(the_same_data_are_not_mentioned)
{
    write_result("a", 100, 2, "x", "");
    write_result("b", 100, 4, "x", "");
    write_report("a/report.json", 30, 500);
    write_report("b/report.json", 30, 500);
    testing_put_text("a/items.tsv", "row\n");
    testing_put_text("b/items.tsv", "row\n");
    char *text = printed("a", "b");
    ck_assert_ptr_null(strstr(text, "DATA"));
    ck_assert_ptr_null(strstr(text, "left out"));
    free(text);
}
END_TEST

START_TEST(of_several_results_it_is_said_which_has_other_data)
{
    write_result("a", 10, 2, "x", "");
    write_result("b", 10, 2, "x", "");
    write_result("c", 10, 2, "x", "");
    write_report("a/report.json", 30, 500);
    write_report("b/report.json", 30, 500);
    write_report("c/report.json", 30, 501);
    testing_put_text("a/seen_items.npy", "1");
    testing_put_text("b/seen_items.npy", "1");
    testing_put_text("c/seen_items.npy", "2");
    const char *dirs[3] = {"a", "b", "c"};
    compare *c;
    ck_assert_int_eq(compare_make(dirs, 3, "two_tower", &c), ERR_OK);
    ck_assert_uint_eq(c->data_n, 2);
    ck_assert_str_eq(c->data[0], "1 and 3: split.train: 500 -> 501");
    ck_assert_str_eq(c->data[1], "1 and 3: seen_items.npy: users have other items");
    compare_free(c);
}
END_TEST

START_TEST(a_report_that_is_damaged_is_named)
{
    write_result("a", 20, 2, "x", "");
    write_result("b", 20, 2, "x", "");
    testing_put_text("b/report.json", "{\n\"data\": {");
    ck_assert_int_eq(fails("a", "b", "two_tower", "b/report.json:2: "), ERR_INVALID);
}
END_TEST

START_TEST(results_of_another_split_are_refused)
{
    write_result("a", 20, 2, "x", "");
    write_result("b", 20, 2, "y", "");
    ck_assert_int_eq(fails("a", "b", "two_tower", "nobody has the same held-out items"),
                     ERR_MISMATCH);
    write_report("a/report.json", 30, 500);
    write_report("b/report.json", 30, 600);
    ck_assert_int_eq(fails("a", "b", "two_tower", "  split.train: 500 -> 600"), ERR_MISMATCH);
}
END_TEST

START_TEST(a_folder_that_is_no_result_is_named)
{
    write_result("a", 20, 2, "x", "");
    ck_assert_int_eq(fails("a", "none", "two_tower", "none: no complete result"), ERR_NOT_FOUND);
    ck_assert_int_eq(fails("a", "a", "als", "a/per_user.tsv: no row of the model als"),
                     ERR_INVALID);
    write_result("b", 20, 2, "x", "");
    testing_put_text("b/per_user.tsv", "user_id\ttype\nu\tmovie\n");
    ck_assert_int_eq(fails("a", "b", "two_tower", "b/per_user.tsv: no column model"), ERR_INVALID);
    char line[256];
    snprintf(line, sizeof line, "%su\tmovie\ttwo_tower\t1\t1\tx\t1\tnan\t0\t0\t0\n", header);
    testing_put_text("b/per_user.tsv", line);
    ck_assert_int_eq(fails("a", "b", "two_tower", "b/per_user.tsv:2:"), ERR_INVALID);
}
END_TEST

START_TEST(more_than_two_have_a_mean_and_a_deviation)
{
    write_result("a", 100, 2, "x", "");
    write_result("b", 100, 4, "x", "");
    write_result("c", 100, 4, "x", "");
    const char *dirs[3] = {"a", "b", "c"};
    compare *c;
    ck_assert_int_eq(compare_make(dirs, 3, "two_tower", &c), ERR_OK);
    ck_assert(fabs(c->type[0].mean[0] - 1.0 / 3) < 1e-9);
    ck_assert(fabs(c->type[0].deviation[0] - 0.25 / sqrt(3)) < 1e-9);
    FILE *out = fopen("json", "w");
    ck_assert_int_eq(compare_print(c, true, out), ERR_OK);
    fclose(out);
    json_t *json = json_load_file("json", JSON_REJECT_DUPLICATES, NULL);
    const json_t *first = json_array_get(json_object_get(json, "comparisons"), 0);
    ck_assert_str_eq(json_string_value(json_object_get(first, "metric")), "hr_10");
    ck_assert_ptr_nonnull(json_object_get(first, "deviation"));
    json_decref(json);
    compare_free(c);
}
END_TEST

int main(void)
{
    TCase *c = tcase_create("compare");
    tcase_add_checked_fixture(c, testing_enter_folder, testing_leave_folder);
    tcase_add_test(c, the_difference_is_of_the_means_and_has_a_verdict);
    tcase_add_test(c, a_number_is_told_as_it_was_written);
    tcase_add_test(c, a_result_is_even_with_itself);
    tcase_add_test(c, users_that_one_lacks_or_with_other_items_are_left_out);
    tcase_add_test(c, other_data_are_said_before_any_number);
    tcase_add_test(c, the_same_data_are_not_mentioned);
    tcase_add_test(c, of_several_results_it_is_said_which_has_other_data);
    tcase_add_test(c, a_report_that_is_damaged_is_named);
    tcase_add_test(c, results_of_another_split_are_refused);
    tcase_add_test(c, a_folder_that_is_no_result_is_named);
    tcase_add_test(c, more_than_two_have_a_mean_and_a_deviation);
    Suite *s = suite_create("compare");
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
