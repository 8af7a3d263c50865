/* Proves: neighbour draws have the distribution they promise (chi-square, every case of the
 * implementation), reach every rank, leave excluded edges out, and cost no more for a hub. */
#include "sampler/draw.h"

#include "common/clock.h"
#include "common/mem.h"
#include "common/rng.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static draw_scratch scratch;
static uint64_t key;

static void setup(void)
{
    draw_scratch_init(&scratch);
    key = rng_key(1, 2, 3, 4, 5, USE_TEST);
}

static void teardown(void)
{
    draw_scratch_fini(&scratch);
}

static void check_ascending(const uint32_t *ranks, uint32_t k, uint32_t n)
{
    bool good = true; /* Check's own assertions write to a pipe: one a call is plenty */
    for (uint32_t i = 0; i < k; i++) {
        good = good && ranks[i] < n && (!i || ranks[i] > ranks[i - 1]);
    }
    ck_assert(good);
}

/* Statistic of n counts whose expectations are expect[]; about n - 1 if all is well. */
static void check_chi2(const double *count, const double *expect, uint32_t n, double variance)
{
    double x = 0;
    for (uint32_t i = 0; i < n; i++) {
        x += (count[i] - expect[i]) * (count[i] - expect[i]) / expect[i];
    }
    x /= variance;
    double limit = n - 1 + 5 * sqrt(2.0 * (n - 1)) + 5;
    ck_assert_msg(x < limit, "chi2 %.1f over %u cells, limit %.1f", x, n, limit);
}

/* --- Uniform --- */

static const struct {
    uint32_t n, k;
} shapes[] = {{1, 1},    {2, 1},     {3, 2},     {4, 1},      {4, 3},     {17, 5},     {17, 16},
              {1000, 1}, {1000, 10}, {1000, 40}, {1000, 700}, {5000, 50}, {20000, 100}};

START_TEST(every_rank_is_drawn_equally_often)
{
    uint32_t n = shapes[_i].n, k = shapes[_i].k, rounds = 200 * n / k + 1000, drawn = 0;
    double *count = xcalloc(n, sizeof *count), *expect = xcalloc(n, sizeof *expect);
    uint32_t *ranks = xcalloc(k, sizeof *ranks);
    for (uint32_t i = 0; i < rounds; i++) {
        drawn += draw_uniform(ranks, key, i, 0, n, k, &scratch);
        if (i % 16 == 0) check_ascending(ranks, k, n);
        for (uint32_t j = 0; j < k; j++) count[ranks[j]]++;
    }
    ck_assert_uint_eq(drawn, rounds * k);
    double p = (double)k / n;
    for (uint32_t i = 0; i < n; i++) expect[i] = rounds * p;
    /* Without replacement the counts vary by 1 - p of what independent ones would. */
    if (n > k) check_chi2(count, expect, n, (1 - p) * n / (n - 1.0));
    free(count);
    free(expect);
    free(ranks);
}
END_TEST

START_TEST(every_subset_is_equally_likely)
{
    double count[35] = {0}, expect[35];
    int cell[128];
    int cells = 0;
    for (int m = 0; m < 128; m++) cell[m] = __builtin_popcount((unsigned)m) == 3 ? cells++ : -1;
    ck_assert_int_eq(cells, 35);
    for (uint32_t i = 0; i < 35000; i++) {
        uint32_t r[3];
        draw_uniform(r, key, i, 0, 7, 3, &scratch);
        count[cell[1u << r[0] | 1u << r[1] | 1u << r[2]]]++;
    }
    for (int i = 0; i < 35; i++) expect[i] = 1000;
    check_chi2(count, expect, 35, 1);
}
END_TEST

START_TEST(a_short_list_is_taken_whole)
{
    uint32_t r[8];
    for (uint32_t n = 0; n < 6; n++) {
        ck_assert_uint_eq(draw_uniform(r, key, 1, 0, n, n + 2, &scratch), n);
        for (uint32_t i = 0; i < n; i++) ck_assert_uint_eq(r[i], i);
    }
    ck_assert_uint_eq(draw_uniform(r, key, 1, 0, 5, 0, &scratch), 0);
}
END_TEST

START_TEST(a_hundred_million_ranks_are_all_reachable)
{
    enum { N = 100000000, K = 1000 };
    double residue[8] = {0}, tenth[10] = {0}, expect[10];
    uint32_t *r = xcalloc(K, sizeof *r);
    for (uint32_t i = 0; i < 80; i++) {
        draw_uniform(r, key, i, 0, N, K, &scratch);
        check_ascending(r, K, N);
        for (uint32_t j = 0; j < K; j++) {
            residue[r[j] % 8]++;
            tenth[r[j] / (N / 10)]++;
        }
    }
    for (int i = 0; i < 8; i++) expect[i] = 10000;
    check_chi2(residue, expect, 8, 1);
    for (int i = 0; i < 10; i++) expect[i] = 8000;
    check_chi2(tenth, expect, 10, 1);
    free(r);
}
END_TEST

START_TEST(a_hub_costs_what_it_gives)
{
    uint32_t r[64];
    uint64_t start = clock_now_us();
    for (uint32_t i = 0; i < 2000; i++) {
        draw_uniform(r, key, i, 0, 1000000000, 10, &scratch);
        draw_uniform(r, key, i, 0, 1000000000, 50, &scratch);
    }
    ck_assert(clock_now_us() - start < 2000000); /* O(degree) would take minutes */
    ck_assert_uint_lt(scratch.cap, 100000);
}
END_TEST

START_TEST(draws_depend_on_key_node_and_number_only)
{
    uint32_t a[10], b[10], differ = 0;
    for (uint32_t i = 0; i < 50; i++) {
        draw_uniform(a, key, i, 7, 1000, 10, &scratch);
        uint32_t junk[100];
        draw_uniform(junk, key, i + 1, 7, 9000, 100, &scratch);
        draw_uniform(b, key, i, 7, 1000, 10, &scratch);
        ck_assert_mem_eq(a, b, sizeof a);
        draw_uniform(b, key + 1, i, 7, 1000, 10, &scratch);
        differ += memcmp(a, b, sizeof a) != 0;
        draw_uniform(b, key, i, 17, 1000, 10, &scratch);
        differ += memcmp(a, b, sizeof a) != 0;
    }
    ck_assert_uint_eq(differ, 100);
}
END_TEST

/* --- By weight --- */

static const uint32_t degrees[] = {1, 2, 3, 4, 17, 1000};

static void check_single(uint32_t n, const uint16_t *weight)
{
    double *count = xcalloc(n, sizeof *count), *expect = xcalloc(n, sizeof *expect), sum = 0;
    uint32_t rounds = 400 * n + 2000, drawn = 0;
    for (uint32_t i = 0; i < n; i++) sum += weight[i];
    for (uint32_t i = 0; i < rounds; i++) {
        uint32_t r;
        drawn += draw_weighted(&r, key, i, 0, weight, n, 1, &scratch);
        count[r]++;
    }
    ck_assert_uint_eq(drawn, rounds);
    for (uint32_t i = 0; i < n; i++) expect[i] = (double)rounds * weight[i] / sum;
    if (n > 1) check_chi2(count, expect, n, 1);
    free(count);
    free(expect);
}

START_TEST(the_first_is_drawn_by_weight)
{
    uint32_t n = degrees[_i];
    uint16_t *weight = xcalloc(n, sizeof *weight);
    for (uint32_t i = 0; i < n; i++) weight[i] = 40000;
    check_single(n, weight);
    for (uint32_t i = 0; i < n; i++) weight[i] = (uint16_t)(1 + i % 7 * 9 + (i == n / 2) * 60000);
    if (n <= 17) {
        for (uint32_t i = 0; i < n; i++) weight[i] = (uint16_t)(1 + i * 3 + (i == n / 2) * 50);
    } else {
        for (uint32_t i = 0; i < n; i++) weight[i] = (uint16_t)(5 + i % 11 * 9 + (i == 999) * 9000);
    }
    check_single(n, weight);
    free(weight);
}
END_TEST

/* Successive sampling of two of three: P{a, b} = wa/W wb/(W-wa) + wb/W wa/(W-wb). */
START_TEST(subsets_by_weight_follow_successive_sampling)
{
    const uint16_t w[4] = {1, 2, 5, 0};
    double count[3] = {0}, expect[3];
    uint32_t drawn = 0;
    enum { ROUNDS = 60000 };
    for (uint32_t i = 0; i < ROUNDS; i++) {
        uint32_t r[4];
        drawn += draw_weighted(r, key, i, 0, w, 4, 2, &scratch);
        count[r[0] + r[1] - 1]++; /* {0,1} {0,2} {1,2} */
    }
    ck_assert_uint_eq(drawn, 2 * ROUNDS);
    for (int c = 0; c < 3; c++) {
        double a = w[c == 2], b = w[c == 0 ? 1 : 2];
        expect[c] = ROUNDS * (a / 8 * b / (8 - a) + b / 8 * a / (8 - b));
    }
    check_chi2(count, expect, 3, 1);
    uint32_t r[4];
    ck_assert_uint_eq(draw_weighted(r, key, 0, 0, w, 4, 4, &scratch), 3); /* 0 is never drawn */
}
END_TEST

/* --- Exclusion --- */

START_TEST(excluded_edges_are_never_drawn_and_the_rest_as_without_them)
{
    enum { NODE = 77, N = 60 };
    uint32_t source[N], kept[N], a[N], b[N];
    uint16_t weight[N], kept_weight[N];
    uint64_t exclude[64];
    for (uint32_t round = 0; round < 300; round++) {
        bool by_weight = round % 2;
        uint32_t n = 1 + (uint32_t)rng_below(key, round, 0, N), m = 0;
        size_t ex = 0;
        exclude[ex++] = draw_edge(NODE - 1, 5);
        for (uint32_t i = 0; i < n; i++) {
            source[i] = 10 + 3 * i;
            weight[i] = (uint16_t)(1 + rng_below(key, round, 1000 + i, 500));
            bool out = rng_below(key, round, 2000 + i, 4) == 0;
            if (out) exclude[ex++] = draw_edge(NODE, source[i]);
            if (rng_below(key, round, 3000 + i, 9) == 0) {
                exclude[ex++] = draw_edge(NODE, source[i] + 1); /* not a neighbour */
            }
            if (out) continue;
            kept_weight[m] = weight[i];
            kept[m++] = source[i];
            if (ex > 60) n = i + 1;
        }
        exclude[ex++] = draw_edge(NODE + 1, 3);
        uint32_t k = (uint32_t)rng_below(key, round, 1, 20);
        draw_rule with = {k, by_weight, exclude, ex}, without = {k, by_weight, NULL, 0};
        uint32_t got = draw_neighbours(a, &with, key, NODE, 9, source, weight, n, &scratch);
        uint32_t want = draw_neighbours(b, &without, key, NODE, 9, kept, kept_weight, m, &scratch);
        ck_assert_uint_eq(got, want);
        ck_assert_uint_eq(got, k < m ? k : m);
        for (uint32_t i = 0; i < got; i++) ck_assert_uint_eq(source[a[i]], kept[b[i]]);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("draw");
    TCase *c = tcase_create("draw");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_loop_test(c, every_rank_is_drawn_equally_often, 0,
                        (int)(sizeof shapes / sizeof *shapes));
    tcase_add_test(c, every_subset_is_equally_likely);
    tcase_add_test(c, a_short_list_is_taken_whole);
    tcase_add_test(c, a_hundred_million_ranks_are_all_reachable);
    tcase_add_test(c, a_hub_costs_what_it_gives);
    tcase_add_test(c, draws_depend_on_key_node_and_number_only);
    tcase_add_loop_test(c, the_first_is_drawn_by_weight, 0,
                        (int)(sizeof degrees / sizeof *degrees));
    tcase_add_test(c, subsets_by_weight_follow_successive_sampling);
    tcase_add_test(c, excluded_edges_are_never_drawn_and_the_rest_as_without_them);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
