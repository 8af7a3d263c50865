/* Proves: a row that is found is the row that was put, whatever was dropped before, and the number of
 * rows stays within the budget. */
#include "worker/row_cache.h"

#include <check.h>

START_TEST(found_rows_are_right_and_bounded)
{
    enum { NODES = 6000 };
    row_cache *c = row_cache_new(12, 0);
    uint64_t state = 1;
    unsigned hits = 0;
    for (int i = 0; i < 200000; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        uint32_t node = (uint32_t)((state >> 33) % (i % 2 ? NODES : 500));
        const uint32_t *row = row_cache_get(c, node);
        if (row) {
            ck_assert_uint_eq(row[0], node);
            ck_assert_uint_eq(row[2], node * 3);
            hits++;
            continue;
        }
        uint32_t *place = row_cache_put(c, node);
        place[0] = node, place[1] = 0, place[2] = node * 3;
        ck_assert_uint_le(row_cache_rows(c), ROW_CACHE_ROWS_MIN);
    }
    ck_assert_uint_eq(row_cache_rows(c), ROW_CACHE_ROWS_MIN);
    ck_assert_uint_gt(hits, 90000); /* the 500 hot nodes stay */
    row_cache_clear(c);
    ck_assert_ptr_null(row_cache_get(c, 1));
    row_cache_free(c);
}
END_TEST

START_TEST(a_large_budget_keeps_everything)
{
    row_cache *c = row_cache_new(8, 64 << 20);
    for (uint32_t n = 0; n < 100000; n++) *(uint64_t *)row_cache_put(c, n * 7) = n;
    for (uint32_t n = 0; n < 100000; n++) {
        const uint64_t *row = row_cache_get(c, n * 7);
        ck_assert_ptr_nonnull(row);
        ck_assert_uint_eq(*row, n);
    }
    row_cache_free(c);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("row_cache");
    TCase *c = tcase_create("row_cache");
    tcase_add_test(c, found_rows_are_right_and_bounded);
    tcase_add_test(c, a_large_budget_keeps_everything);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
