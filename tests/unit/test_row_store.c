/* Proves: rows are found by key whatever their number, never move, and come out in the order of
 * keys. */
#include "ps/row_store.h"

#include <check.h>
#include <stdlib.h>

START_TEST(every_row_is_found_and_stays_where_it_is)
{
    row_store *t = row_store_new(2, 1);
    float *first = row_store_add(t, 12345);
    first[0] = 1.5f;
    for (uint64_t k = 0; k < 5000; k++) row_store_add(t, k << 32)[1] = (float)k;
    ck_assert_ptr_eq(row_store_find(t, 12345), first);
    ck_assert(first[0] == 1.5f && first[2] == 0.0f);
    for (uint64_t k = 0; k < 5000; k++) ck_assert(row_store_find(t, k << 32)[1] == (float)k);
    ck_assert_ptr_null(row_store_find(t, 7));
    ck_assert_uint_eq(row_store_count(t), 5001);
    row_store_free(t);
}
END_TEST

START_TEST(keys_come_out_sorted)
{
    row_store *t = row_store_new(1, 0);
    for (uint64_t k = 100; k-- > 0;) row_store_add(t, k * 7919 % 1009);
    uint64_t *keys = row_store_keys(t);
    for (size_t i = 1; i < 100; i++) ck_assert_uint_lt(keys[i - 1], keys[i]);
    free(keys);
    row_store_free(t);
}
END_TEST

START_TEST(a_copy_is_independent_and_has_the_same_digest)
{
    row_store *t = row_store_new(3, 0);
    for (uint64_t k = 0; k < 2000; k++) row_store_add(t, k)[0] = (float)k;
    row_store *c = row_store_copy(t);
    ck_assert_uint_eq(row_store_digest(t), row_store_digest(c));
    row_store_find(c, 3)[2] = 9;
    ck_assert_uint_ne(row_store_digest(t), row_store_digest(c));
    ck_assert(row_store_find(t, 3)[2] == 0.0f);
    row_store_free(t);
    row_store_free(c);
}
END_TEST

START_TEST(the_digest_does_not_depend_on_the_order_of_adding)
{
    row_store *a = row_store_new(1, 0), *b = row_store_new(1, 0);
    for (uint64_t k = 0; k < 300; k++) row_store_add(a, k)[0] = (float)k;
    for (uint64_t k = 300; k-- > 0;) row_store_add(b, k)[0] = (float)k;
    ck_assert_uint_eq(row_store_digest(a), row_store_digest(b));
    row_store_free(a);
    row_store_free(b);
}
END_TEST

START_TEST(many_are_looked_up_in_the_order_asked)
{
    row_store *t = row_store_new(1, 0);
    for (uint64_t k = 0; k < 40; k += 2) row_store_add(t, k)[0] = (float)k;
    uint64_t keys[40];
    const float *rows[40];
    for (uint64_t k = 0; k < 40; k++) keys[k] = 39 - k;
    row_store_find_many(t, keys, 40, rows);
    for (uint64_t k = 0; k < 40; k++) {
        if (keys[k] % 2)
            ck_assert_ptr_null(rows[k]);
        else
            ck_assert(rows[k][0] == (float)keys[k]);
    }
    row_store_free(t);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("row_store");
    TCase *t = tcase_create("row_store");
    tcase_add_test(t, every_row_is_found_and_stays_where_it_is);
    tcase_add_test(t, keys_come_out_sorted);
    tcase_add_test(t, a_copy_is_independent_and_has_the_same_digest);
    tcase_add_test(t, the_digest_does_not_depend_on_the_order_of_adding);
    tcase_add_test(t, many_are_looked_up_in_the_order_asked);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
