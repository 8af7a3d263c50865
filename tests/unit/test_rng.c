/* Proves: Philox is the published one, draws are uniform and pure, a permutation is a bijection. */
/* labels: bits */
#include "common/rng.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>

START_TEST(philox_gives_the_published_vectors)
{
    /* kat_vectors of Random123: philox4x32 10. */
    uint32_t b[4];
    rng_block(0, 0, 0, 0, b);
    const uint32_t zero[4] = {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8};
    ck_assert_mem_eq(b, zero, sizeof b);
    rng_block(UINT64_MAX, UINT64_MAX, UINT32_MAX, UINT32_MAX, b);
    const uint32_t ones[4] = {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd};
    ck_assert_mem_eq(b, ones, sizeof b);
    rng_block(0x299f31d0a4093822, 0x85a308d3243f6a88, 0x13198a2e, 0x03707344, b);
    const uint32_t pi[4] = {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1};
    ck_assert_mem_eq(b, pi, sizeof b);
}
END_TEST

START_TEST(every_part_of_a_name_changes_the_key)
{
    uint64_t k = rng_key(1, 2, 3, 4, 5, 6);
    ck_assert(k == rng_key(1, 2, 3, 4, 5, 6));
    ck_assert(k != rng_key(2, 2, 3, 4, 5, 6));
    ck_assert(k != rng_key(1, 3, 3, 4, 5, 6));
    ck_assert(k != rng_key(1, 2, 4, 4, 5, 6));
    ck_assert(k != rng_key(1, 2, 3, 5, 5, 6));
    ck_assert(k != rng_key(1, 2, 3, 4, 6, 6));
    ck_assert(k != rng_key(1, 2, 3, 4, 5, 7));
    ck_assert(k != rng_key(1, 3, 2, 4, 5, 6));
}
END_TEST

START_TEST(below_is_uniform)
{
    enum { N = 100000, BINS = 10 };
    const uint64_t sizes[] = {10, 1000000007ull, 0xC000000000000000ull};
    for (size_t s = 0; s < 3; s++) {
        double chi = 0, count[BINS] = {0};
        for (uint64_t i = 0; i < N; i++) {
            uint64_t x = rng_below(77, i, 3, sizes[s]);
            ck_assert(x < sizes[s]);
            count[(size_t)((double)x / (double)sizes[s] * BINS)]++;
        }
        for (int b = 0; b < BINS; b++) {
            chi += (count[b] - N / BINS) * (count[b] - N / BINS) / (N / BINS);
        }
        ck_assert_double_lt(chi, 27.9); /* 9 degrees of freedom, p = 0.001 */
    }
}
END_TEST

START_TEST(below_reaches_every_id_of_a_large_range)
{
    /* 2^33 values: the low and the high bits are both drawn, whatever u32 or f32 could not reach.
     */
    uint64_t low = 0, high = 0;
    for (uint64_t i = 0; i < 4096; i++) {
        uint64_t x = rng_below(5, i, 0, 1ull << 33);
        low |= x & 0xFFFF;
        high |= x >> 16;
    }
    ck_assert_uint_eq(low, 0xFFFF);
    ck_assert_uint_eq(high, 0x1FFFF);
    ck_assert_uint_eq(rng_below(5, 0, 0, 1), 0);
}
END_TEST

START_TEST(normal_has_mean_0_and_variance_1)
{
    double sum = 0, squares = 0, fourth = 0;
    enum { N = 200000 };
    for (uint64_t i = 0; i < N; i++) {
        double x = rng_normal(3, i, 1);
        sum += x;
        squares += x * x;
        fourth += x * x * x * x;
    }
    ck_assert_double_lt(fabs(sum / N), 0.01);
    ck_assert_double_lt(fabs(squares / N - 1), 0.02);
    ck_assert_double_lt(fabs(fourth / N - 3), 0.1);
}
END_TEST

START_TEST(unit_stays_below_one)
{
    double sum = 0;
    for (uint64_t i = 0; i < 100000; i++) {
        float f = rng_unit(9, i, 0);
        ck_assert(f >= 0 && f < 1);
        sum += rng_unit_f64(9, i, 0);
    }
    ck_assert_double_lt(fabs(sum / 100000 - 0.5), 0.005);
}
END_TEST

START_TEST(a_permutation_is_a_bijection_with_an_inverse)
{
    const uint64_t sizes[] = {1, 2, 3, 5, 16, 17, 1000, 4097};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        uint8_t *seen = calloc(sizes[s], 1);
        for (uint64_t i = 0; i < sizes[s]; i++) {
            uint64_t j = rng_permute(42, sizes[s], i);
            ck_assert(j < sizes[s]);
            ck_assert_uint_eq(seen[j], 0);
            seen[j] = 1;
            ck_assert_uint_eq(rng_unpermute(42, sizes[s], j), i);
        }
        free(seen);
    }
    uint64_t huge = (1ull << 40) + 12345;
    for (uint64_t i = 0; i < 1000; i++) {
        ck_assert_uint_eq(rng_unpermute(7, huge, rng_permute(7, huge, i * 1000003)), i * 1000003);
    }
}
END_TEST

START_TEST(permutations_of_different_keys_differ)
{
    int same = 0, fixed = 0;
    for (uint64_t i = 0; i < 1000; i++) {
        same += rng_permute(1, 1000, i) == rng_permute(2, 1000, i);
        fixed += rng_permute(1, 1000, i) == i;
    }
    ck_assert_int_lt(same, 10);
    ck_assert_int_lt(fixed, 10);
}
END_TEST

START_TEST(first_places_of_small_permutations_are_uniform)
{
    enum { N = 60000 };
    double count[6] = {0}, chi = 0;
    for (uint64_t k = 0; k < N; k++) count[rng_permute(rng_key(k, 0, 0, 0, 0, USE_TEST), 6, 0)]++;
    for (int i = 0; i < 6; i++) chi += (count[i] - N / 6) * (count[i] - N / 6) / (N / 6);
    ck_assert_double_lt(chi, 20.5); /* 5 degrees of freedom, p = 0.001 */
}
END_TEST

int main(void)
{
    Suite *s = suite_create("rng");
    TCase *c = tcase_create("rng");
    tcase_add_test(c, philox_gives_the_published_vectors);
    tcase_add_test(c, every_part_of_a_name_changes_the_key);
    tcase_add_test(c, below_is_uniform);
    tcase_add_test(c, below_reaches_every_id_of_a_large_range);
    tcase_add_test(c, normal_has_mean_0_and_variance_1);
    tcase_add_test(c, unit_stays_below_one);
    tcase_add_test(c, a_permutation_is_a_bijection_with_an_inverse);
    tcase_add_test(c, permutations_of_different_keys_differ);
    tcase_add_test(c, first_places_of_small_permutations_are_uniform);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
