/* Proves: what `weft plan` takes from the input files alone is close to what prepare makes of them,
 * and what it reads off a prepared store is exact. */
#include "deploy/outlook.h"

#include "testing_files.h"
#include "testing_prepare.h"

#include <check.h>
#include <stdlib.h>

static config *loaded;
static outlook *read_files, *read_store;

static void setup(void)
{
    testing_enter_folder();
    testing_prepare_write(600, 300, 12000, 7);
    loaded = testing_prepare_config("");
    ck_assert_int_eq(outlook_make(loaded, NULL, &read_files), ERR_OK);
    free(testing_prepare_run(loaded));
    ck_assert_int_eq(outlook_make(loaded, NULL, &read_store), ERR_OK);
}

static void teardown(void)
{
    outlook_free(read_files);
    outlook_free(read_store);
    config_free(loaded);
    testing_leave_folder();
}

static void within(double a, double b, double share, const char *what)
{
    ck_assert_msg(a >= b * (1 - share) && a <= b * (1 + share), "%s: %g, not %g", what, a, b);
}

START_TEST(a_prepared_store_is_used_and_exact)
{
    ck_assert(!read_files->prepared && read_store->prepared);
    ck_assert_ptr_nonnull(read_store->manifest);
    ck_assert_uint_gt(read_store->manifest->positives[0], 0);
}
END_TEST

START_TEST(types_items_users_and_positives_are_counted)
{
    const manifest *a = read_files->manifest, *b = read_store->manifest;
    uint64_t positives[2] = {0, 0}, valid[2] = {0, 0};
    ck_assert_uint_eq(a->items, b->items);
    ck_assert_uint_eq(a->users, b->users);
    ck_assert_uint_eq(a->types.n, b->types.n);
    ck_assert_uint_eq(a->text_dim, b->text_dim);
    ck_assert_uint_eq(a->user_attributes, b->user_attributes);
    for (uint32_t p = 0; p < a->partitions; p++) {
        positives[0] += a->positives[p], positives[1] += b->positives[p];
        valid[0] += a->valid_users[p], valid[1] += b->valid_users[p];
    }
    within((double)positives[0], (double)positives[1], 0.02, "positives");
    ck_assert_uint_eq(valid[0], valid[1]);
    ck_assert_uint_eq(read_files->tested, read_store->tested);
    ck_assert_uint_eq(read_files->ease_items, read_store->ease_items);
}
END_TEST

START_TEST(edges_of_each_relation_are_close)
{
    const manifest *a = read_files->manifest, *b = read_store->manifest;
    ck_assert_uint_eq(a->relations, b->relations);
    for (uint32_t r = 0; r < a->relations; r++) {
        ck_assert_uint_eq(a->relation[r].source, b->relation[r].source);
        ck_assert_uint_eq(a->relation[r].destination, b->relation[r].destination);
        if (b->relation[r].edges > 500)
            within((double)a->relation[r].edges, (double)b->relation[r].edges, 0.05, "edges");
    }
}
END_TEST

START_TEST(files_are_about_as_large)
{
    within((double)read_files->dataset_bytes, (double)read_store->dataset_bytes, 0.25, "dataset");
    within((double)read_files->partition_bytes, (double)read_store->partition_bytes, 0.35,
           "partitions");
}
END_TEST

START_TEST(different_items_are_an_expected_value)
{
    outlook_popularity p = {0};
    for (int i = 0; i < 1000; i++) outlook_count_item(&p, 4); /* all alike */
    within(outlook_distinct(&p, 1, 0), 1, 0.01, "one draw");
    within(outlook_distinct(&p, 1000, 0), 1000 * 0.632, 0.01, "as many draws as items");
    within(outlook_distinct(&p, 1e9, 0), 1000, 0.001, "all");
    within(outlook_distinct(&p, 0, 0.25), 250, 0.001, "a uniform quarter");
    for (int i = 0; i < 1000; i++) outlook_count_item(&p, 0); /* nobody has them */
    within(outlook_distinct(&p, 1e9, 0), 1000, 0.001, "those that somebody has");
}
END_TEST

int main(void)
{
    TCase *c = tcase_create("outlook");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, a_prepared_store_is_used_and_exact);
    tcase_add_test(c, types_items_users_and_positives_are_counted);
    tcase_add_test(c, edges_of_each_relation_are_close);
    tcase_add_test(c, files_are_about_as_large);
    tcase_add_test(c, different_items_are_an_expected_value);
    Suite *s = suite_create("outlook");
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
