/* Proves: q is the expected number of an item among the candidates it is compared with, counted
 * here over drawn chunks, with types of different sizes, and nothing where it cannot come up. */
#include "worker/log_q.h"

#include "common/rng.h"
#include "common/vmath.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>

enum { TYPES = 3, ITEMS = 40, ROWS = 12, CHUNKS = 40000 };

/* Types of 24, 8 and 8 items; the last one is no target.  Item i has train[i] train positives. */
static const uint32_t catalogue[TYPES] = {24, 8, 8}, first[TYPES] = {0, 24, 32};
static const uint32_t uniform[TYPES] = {4, 4, 0};
static uint32_t train[ITEMS];
static uint64_t type_train[TYPES];

static uint32_t type_of(uint32_t item)
{
    return item < 24 ? 0 : item < 32 ? 1 : 2;
}

static void set_up(void)
{
    for (uint32_t k = 0; k < TYPES; k++) type_train[k] = 0;
    for (uint32_t i = 0; i < ITEMS; i++) {
        train[i] = i < 32 ? i % 5 : 0;
        type_train[type_of(i)] += train[i];
    }
}

static uint32_t draw_positive(uint64_t key, uint64_t node, uint32_t draw)
{
    uint64_t at = rng_below(key, node, draw, type_train[0] + type_train[1]);
    uint32_t item = 0;
    for (; at >= train[item]; item++) at -= train[item];
    return item;
}

/* Adds a chunk's candidates; positives[]: its rows by type. */
static void draw_chunk(uint64_t chunk, double *seen, uint32_t *positives)
{
    uint64_t key = rng_key(9, 0, 0, 0, 0, USE_TEST);
    for (uint32_t k = 0; k < TYPES; k++) positives[k] = 0;
    for (uint32_t i = 0; i < ROWS; i++) {
        uint32_t item = draw_positive(key, chunk, i);
        positives[type_of(item)]++;
        seen[item]++;
    }
    for (uint32_t k = 0; k < TYPES; k++) {
        uint64_t order = rng_u64(key, chunk, ROWS + k);
        for (uint32_t i = 0; i < uniform[k]; i++)
            seen[first[k] + rng_permute(order, catalogue[k], i)]++;
    }
}

START_TEST(q_is_the_share_of_the_candidates)
{
    bool all = _i;
    double seen[ITEMS] = {0}, expected[ITEMS] = {0};
    for (uint64_t chunk = 0; chunk < CHUNKS; chunk++) {
        uint32_t positives[TYPES];
        draw_chunk(chunk, seen, positives);
        log_q_input in = {TYPES, all, positives, uniform, type_train, catalogue};
        for (uint32_t i = 0; i < 32; i++) {
            uint32_t t = type_of(i);
            double slots = all ? ROWS + 8 : positives[t] + uniform[t];
            expected[i] += slots * vmath_exp((double)log_q_of(&in, t, train[i]));
        }
    }
    for (uint32_t i = 0; i < 32; i++) ck_assert_double_eq_tol(expected[i] / seen[i], 1, 0.03);
}
END_TEST

START_TEST(what_cannot_come_up_has_a_small_q)
{
    uint32_t positives[TYPES] = {12, 0, 0}, none[TYPES] = {0};
    log_q_input in = {TYPES, false, positives, none, type_train, catalogue};
    ck_assert_float_eq_tol(log_q_of(&in, 2, 0), -27.631f, 1e-3f);
    ck_assert_float_eq_tol(log_q_of(&in, 1, 3), -27.631f, 1e-3f);
    ck_assert(isfinite(log_q_of(&in, 0, 4)));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("log_q");
    TCase *c = tcase_create("log_q");
    tcase_add_checked_fixture(c, set_up, NULL);
    tcase_add_loop_test(c, q_is_the_share_of_the_candidates, 0, 2);
    tcase_add_test(c, what_cannot_come_up_has_a_small_q);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
