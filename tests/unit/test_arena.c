/* Proves: an arena's pieces are aligned, apart and stable, and come back after a rewind or a reset.
 */
#include "common/arena.h"

#include <check.h>
#include <stdint.h>
#include <string.h>

START_TEST(pieces_are_aligned_and_apart)
{
    arena *a = arena_new();
    uint8_t *p[100];
    for (size_t i = 0; i < 100; i++) {
        p[i] = arena_take(a, i * 1000, 3);
        ck_assert_uint_eq((uintptr_t)p[i] % 64, 0);
        memset(p[i], (int)i, i * 3000);
    }
    for (size_t i = 0; i < 100; i++) { /* many blocks later nothing has moved */
        for (size_t j = 0; j < i * 3000; j += 997) ck_assert_uint_eq(p[i][j], i);
    }
    arena_free(a);
}
END_TEST

START_TEST(a_reset_keeps_the_memory_in_one_block)
{
    arena *a = arena_new();
    for (size_t i = 0; i < 50; i++) ck_assert_ptr_nonnull(arena_take(a, 100000, 4));
    size_t held = arena_bytes(a);
    arena_reset(a);
    for (size_t i = 0; i < 50; i++) ck_assert_ptr_nonnull(arena_take(a, 100000, 4));
    ck_assert_uint_eq(arena_bytes(a), held);
    arena_free(a);
}
END_TEST

START_TEST(a_rewind_gives_back_what_followed_the_mark)
{
    arena *a = arena_new();
    char *kept = arena_take(a, 10, 1);
    strcpy(kept, "kept");
    arena_mark mark = arena_get_mark(a);
    char *first = arena_take(a, 1000, 1);
    arena_rewind(a, mark);
    ck_assert_ptr_eq(arena_take(a, 1000, 1), first);
    arena_rewind(a, mark);
    ck_assert_ptr_nonnull(arena_take(a, 5 << 20, 1)); /* into another block */
    arena_rewind(a, mark);
    uint8_t *zero = arena_take_zeroed(a, 5 << 20, 1);
    ck_assert(zero[0] == 0 && zero[(5 << 20) - 1] == 0);
    ck_assert_str_eq(kept, "kept");
    arena_free(a);
}
END_TEST

START_TEST(sizes_that_overflow_are_refused)
{
    arena *a = arena_new();
    ck_assert_ptr_null(arena_take(a, SIZE_MAX / 2, 4));
    ck_assert_ptr_null(arena_take(a, SIZE_MAX, 1));
    ck_assert_ptr_nonnull(arena_take(a, 0, 4));
    arena_free(a);
    arena_free(NULL);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("arena");
    TCase *c = tcase_create("arena");
    tcase_add_test(c, pieces_are_aligned_and_apart);
    tcase_add_test(c, a_reset_keeps_the_memory_in_one_block);
    tcase_add_test(c, a_rewind_gives_back_what_followed_the_mark);
    tcase_add_test(c, sizes_that_overflow_are_refused);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
