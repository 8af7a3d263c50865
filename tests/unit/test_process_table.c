/* Proves: which process goes when there are too many, and which is started when there are too few.
 */
#include "deploy/process_table.h"

#include <check.h>

static process_table table;

static void setup(void)
{
    table = (process_table){0};
    for (uint32_t i = 0; i < 3; i++)
        process_table_get(&table, WIRE_WORKER, i)->state = PROCESS_RUNNING;
    process_table_get(&table, WIRE_SERVER, 0)->state = PROCESS_RUNNING;
}

static void teardown(void)
{
    process_table_fini(&table);
}

static process_slot *worker(uint32_t index)
{
    return process_table_get(&table, WIRE_WORKER, index);
}

START_TEST(the_highest_index_goes_first)
{
    ck_assert_uint_eq(process_table_count(&table, WIRE_WORKER), 3);
    ck_assert_ptr_null(process_table_surplus(&table, WIRE_WORKER, 3));
    for (uint32_t i = 3; i-- > 1;) {
        process_slot *p = process_table_surplus(&table, WIRE_WORKER, 1);
        ck_assert_ptr_eq(p, worker(i));
        p->state = PROCESS_LEAVING;
    }
    ck_assert_ptr_null(process_table_surplus(&table, WIRE_WORKER, 1));
    ck_assert_uint_eq(process_table_count(&table, WIRE_SERVER), 1);
}
END_TEST

START_TEST(one_that_left_by_itself_goes_before_any_other)
{
    worker(0)->state = worker(1)->state = PROCESS_WAITING;
    worker(0)->left = true; /* the other was killed */
    ck_assert_ptr_eq(process_table_surplus(&table, WIRE_WORKER, 2), worker(0));
}
END_TEST

START_TEST(one_that_waits_to_be_started_again_counts)
{
    worker(1)->state = PROCESS_WAITING;
    ck_assert_ptr_null(process_table_missing(&table, WIRE_WORKER, 3));
}
END_TEST

START_TEST(the_lowest_index_that_is_off_is_started)
{
    worker(1)->state = PROCESS_OFF;
    ck_assert_ptr_eq(process_table_missing(&table, WIRE_WORKER, 3), worker(1));
    worker(1)->state = PROCESS_RUNNING;
    process_slot *p = process_table_missing(&table, WIRE_WORKER, 4);
    ck_assert_uint_eq(p->index, 3);
    ck_assert_uint_eq(process_table_indexes(&table, WIRE_WORKER), 4);
}
END_TEST

START_TEST(an_index_that_is_leaving_is_not_started_again_yet)
{
    worker(0)->state = PROCESS_LEAVING;
    worker(2)->state = PROCESS_OFF;
    ck_assert_ptr_eq(process_table_missing(&table, WIRE_WORKER, 2), worker(2));
}
END_TEST

START_TEST(processes_are_found_by_their_names)
{
    ck_assert_uint_eq(process_table_named(&table, "ps-0")->role, WIRE_SERVER);
    ck_assert_ptr_eq(process_table_named(&table, "worker-2"), worker(2));
    ck_assert_ptr_null(process_table_named(&table, "worker-3"));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("process_table");
    TCase *c = tcase_create("process_table");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, the_highest_index_goes_first);
    tcase_add_test(c, one_that_left_by_itself_goes_before_any_other);
    tcase_add_test(c, one_that_waits_to_be_started_again_counts);
    tcase_add_test(c, the_lowest_index_that_is_off_is_started);
    tcase_add_test(c, an_index_that_is_leaving_is_not_started_again_yet);
    tcase_add_test(c, processes_are_found_by_their_names);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
