/* Proves: `weft bench` measures every part of a job, each with a rate and the limit it stands
 * beside. */
#include "testing_files.h"
#include "testing_run.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static size_t count_rows(const json_t *bench, const char *part)
{
    size_t i, n = 0;
    json_t *row;
    json_array_foreach(json_object_get(bench, "rows"), i, row)
    {
        bool is = strcmp(json_string_value(json_object_get(row, "part")), part) == 0;
        double rate = json_number_value(json_object_get(row, "per_s"));
        const json_t *limit = json_object_get(row, "limit_per_s");
        if (!is) continue;
        n++;
        ck_assert_msg(rate > 0, "%s: %g", json_string_value(json_object_get(row, "what")), rate);
        ck_assert(!limit || json_number_value(limit) > 0);
    }
    return n;
}

START_TEST(every_part_has_rates)
{
    testing_run_files();
    testing_run_must("first", "bench -c job.yaml --seconds 0.02 --json");
    json_t *bench = json_load_file("first.out", JSON_REJECT_DUPLICATES, NULL);
    ck_assert_ptr_nonnull(bench);
    ck_assert_uint_eq(count_rows(bench, "prepare"), 1);
    ck_assert_uint_eq(count_rows(bench, "network"), 3);
    ck_assert_uint_eq(count_rows(bench, "sampler"), 4); /* two stages */
    ck_assert_uint_eq(count_rows(bench, "worker"), 2);
    ck_assert_uint_ge(count_rows(bench, "server"), 2);
    json_decref(bench);
    /* What is prepared is not prepared again. */
    testing_run_must("second", "bench -c job.yaml --seconds 0.02 --json");
    bench = json_load_file("second.out", JSON_REJECT_DUPLICATES, NULL);
    ck_assert_uint_eq(count_rows(bench, "prepare"), 0);
    json_decref(bench);
    testing_run_must("text", "bench -c job.yaml --seconds 0.02");
    char *text = testing_get_text("text.out", NULL);
    testing_expect_part(text, "flops of sgemm");
    testing_expect_part(text, "bytes of tcp on loopback");
    free(text);
    ck_assert_int_eq(testing_run_code("none", "bench -c job.yaml --seconds 0"), 2);
}
END_TEST

int main(void)
{
    TCase *c = tcase_create("bench");
    tcase_add_checked_fixture(c, testing_enter_folder, testing_leave_folder);
    tcase_add_test(c, every_part_has_rates);
    Suite *s = suite_create("bench");
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
