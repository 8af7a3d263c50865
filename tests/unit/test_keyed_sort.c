/* Proves: positions come in the order of their keys, equal keys in that of the positions, and a key
 * is found at its first. */
#include "common/keyed_sort.h"

#include <check.h>
#include <stdlib.h>

START_TEST(equal_keys_keep_their_order_and_the_first_is_found)
{
    keyed k[6] = {{UINT64_MAX, 0}, {7, 4}, {0, 2}, {7, 1}, {7, 3}, {UINT64_C(1) << 40, 5}};
    static const size_t at[6] = {2, 1, 3, 4, 5, 0};
    keyed_sort(k, 6);
    for (size_t i = 0; i < 6; i++) ck_assert_uint_eq(k[i].at, at[i]);
    ck_assert_ptr_eq(keyed_find(k, 6, 7), &k[1]);
    ck_assert_ptr_eq(keyed_find(k, 6, 0), &k[0]);
    ck_assert_ptr_eq(keyed_find(k, 6, UINT64_MAX), &k[5]);
    ck_assert_ptr_null(keyed_find(k, 6, 8));
    ck_assert_ptr_null(keyed_find(k, 5, UINT64_MAX));
    ck_assert_ptr_null(keyed_find(k, 0, 7));
    keyed_sort(NULL, 0);
}
END_TEST

START_TEST(numbers_compare_over_their_whole_range)
{
    static const uint32_t narrow[3] = {0, 1, UINT32_MAX};
    static const uint64_t wide[3] = {0, UINT64_C(1) << 33, UINT64_MAX};
    for (int i = 0; i < 3; i++) {
        for (int j = 0; j < 3; j++) {
            ck_assert_int_eq(compare_u32(&narrow[i], &narrow[j]), (i > j) - (i < j));
            ck_assert_int_eq(compare_u64(&wide[i], &wide[j]), (i > j) - (i < j));
        }
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("keyed_sort");
    TCase *c = tcase_create("all");
    tcase_add_test(c, equal_keys_keep_their_order_and_the_first_is_found);
    tcase_add_test(c, numbers_compare_over_their_whole_range);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
