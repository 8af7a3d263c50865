/* Proves: the graph is what counting all pairs by hand gives, for every weight, cap and
 * restriction; its bytes do not depend on the way it was built; and users' lists are cut as
 * promised. */
#include "sampler/graph_build.h"

#include "common/hash.h"
#include "common/mem.h"
#include "common/rng.h"
#include "sampler/graph_lists.h"
#include "sampler/graph_runs.h"
#include "testing_config.h"
#include "testing_files.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ITEMS = 70, USERS = 120, TYPES = 3, LENGTH_MAX = 12 };

static uint8_t type[ITEMS];
static uint64_t key[ITEMS], indptr[USERS + 1];
static uint32_t item[USERS * LENGTH_MAX], train_users[ITEMS];
static bool allowed[TYPES * TYPES];
static bool has[USERS][ITEMS];
static graph_input in;
static graph *g;

static void setup(void)
{
    testing_enter_folder();
    memset(has, 0, sizeof has);
    for (uint32_t i = 0; i < ITEMS; i++) {
        type[i] = (uint8_t)(i % 7 == 0 ? 2 : i % 2);
        key[i] = hash64(&i, sizeof i, 5);
        train_users[i] = 3 + i % 4; /* as if lists had been cut */
    }
    for (uint32_t u = 0; u < USERS; u++) {
        uint32_t n = (uint32_t)rng_below(1, u, 0, LENGTH_MAX + 1);
        for (uint32_t k = 0; k < n; k++) {
            has[u][rng_below(2, u, k, rng_below(3, u, k, ITEMS) + 1)] = true;
        }
        indptr[u + 1] = indptr[u];
        for (uint32_t i = 0; i < ITEMS; i++) {
            if (has[u][i]) {
                item[indptr[u + 1]++] = i;
                train_users[i]++;
            }
        }
    }
    for (uint32_t r = 0; r < TYPES * TYPES; r++) allowed[r] = true;
    in = (graph_input){ITEMS,       USERS, TYPES, type, key, indptr,  item, train_users, allowed,
                       EDGE_COSINE, 5.0,   1,     6,    9,   1 << 30, 1,    "."};
}

static void teardown(void)
{
    graph_free(g);
    testing_leave_folder();
}

typedef struct pair {
    uint32_t source, count;
    uint64_t norm, tie;
    double weight;
} pair;

static double weight_of(const pair *p, uint32_t destination)
{
    if (in.weight == EDGE_COUNT) return p->count;
    if (in.weight == EDGE_USER_NORM) return (double)p->norm;
    return p->count / (sqrt((double)train_users[p->source] * train_users[destination]) + in.shrink);
}

/* Heavier first, then smaller hash. */
static int better(const void *a, const void *b)
{
    const pair *x = a, *y = b;
    if (x->weight != y->weight) return x->weight > y->weight ? -1 : 1;
    return x->tie < y->tie ? -1 : 1;
}

static int by_source(const void *a, const void *b)
{
    return ((const pair *)a)->source < ((const pair *)b)->source ? -1 : 1;
}

/* The list of (destination, source type), by looking at every user and item. */
static uint32_t naive_list(uint32_t d, uint32_t t, pair *out)
{
    uint32_t n = 0;

    for (uint32_t s = 0; s < ITEMS; s++) {
        pair p = {.source = s};
        uint64_t keys[2] = {key[d], key[s]};
        if (s == d || type[s] != t || !allowed[t * TYPES + type[d]]) continue;
        for (uint32_t u = 0; u < USERS; u++) {
            uint64_t length = indptr[u + 1] - indptr[u];
            if (!has[u][s] || !has[u][d]) continue;
            p.count++;
            p.norm += (uint64_t)floor(1048576.0 / (double)(length - 1) + 0.5);
        }
        if (p.count == 0 || p.count < in.min_users) continue;
        p.weight = weight_of(&p, d);
        p.tie = hash64(keys, sizeof keys, in.seed);
        out[n++] = p;
    }
    qsort(out, n, sizeof *out, better);
    if (in.max_degree > 0 && n > in.max_degree) n = in.max_degree;
    double heaviest = n > 0 ? out[0].weight : 0.0;
    qsort(out, n, sizeof *out, by_source);
    for (uint32_t i = 0; i < n; i++) out[i].weight /= heaviest;
    return n;
}

static void expect_naive(void)
{
    uint64_t e = 0;
    pair list[ITEMS];

    ck_assert_int_eq(graph_build(&in, NULL, &g), ERR_OK);
    for (uint32_t d = 0; d < ITEMS; d++) {
        ck_assert_uint_eq(g->indptr[d], e);
        for (uint32_t t = 0; t < TYPES; t++) {
            uint32_t n = naive_list(d, t, list);
            for (uint32_t i = 0; i < n; i++, e++) {
                ck_assert_uint_eq(g->source[e], list[i].source);
                ck_assert_uint_eq(g->norm[e], list[i].norm);
                ck_assert_uint_eq(graph_pair_weight(g, e), list[i].norm);
                double w = floor(list[i].weight * 65535 + 0.5);
                ck_assert_uint_eq(g->aggregation[e], (uint32_t)(w < 1 ? 1 : w));
            }
        }
        ck_assert_uint_eq(g->indptr[d + 1], e);
    }
    ck_assert_uint_eq(g->edges, e);
    ck_assert_uint_gt(e, 50);
    graph_free(g);
    g = NULL;
}

static void expect_naive_both_ways(void)
{
    in.memory = 1 << 30;
    expect_naive();
    in.memory = 1;
    expect_naive();
}

START_TEST(every_weight_gives_what_counting_by_hand_gives)
{
    static const edge_weight_kind weights[] = {EDGE_COSINE, EDGE_COUNT, EDGE_USER_NORM};
    for (size_t i = 0; i < 3; i++) {
        in.weight = weights[i];
        expect_naive_both_ways();
    }
}
END_TEST

START_TEST(ties_go_by_hash_of_the_stable_keys)
{
    in.weight = EDGE_COUNT; /* nearly all counts are 1 or 2 */
    for (in.max_degree = 1; in.max_degree < 5; in.max_degree++) expect_naive_both_ways();
    in.seed = 10;
    expect_naive_both_ways();
}
END_TEST

START_TEST(caps_can_be_off_and_min_users_holds)
{
    in.max_degree = 0;
    expect_naive_both_ways();
    in.min_users = 2;
    expect_naive_both_ways();
}
END_TEST

START_TEST(relations_are_restricted_by_direction)
{
    memset(allowed, 0, sizeof allowed);
    allowed[0 * TYPES + 1] = allowed[1 * TYPES + 1] = true;
    expect_naive_both_ways();
}
END_TEST

static void expect_same(const graph *a, const graph *b)
{
    ck_assert_uint_eq(a->edges, b->edges);
    ck_assert_mem_eq(a->indptr, b->indptr, sizeof *a->indptr * (a->items + 1));
    ck_assert_mem_eq(a->source, b->source, sizeof *a->source * a->edges);
    ck_assert_mem_eq(a->aggregation, b->aggregation, sizeof *a->aggregation * a->edges);
    ck_assert_mem_eq(a->norm, b->norm, sizeof *a->norm * a->edges);
    ck_assert_uint_eq(a->norm_shift, b->norm_shift);
}

/* 3,000 items, 2,000 users of up to 60: 1.5 million pairs, about 700 runs of 64 KiB. */
START_TEST(threads_and_budget_change_no_byte)
{
    enum { MANY = 3000, PEOPLE = 2000, LONG = 60 };
    uint8_t *types = xcalloc(MANY, 1);
    uint64_t *keys = xcalloc(MANY, sizeof *keys), *ptr = xcalloc(PEOPLE + 1, sizeof *ptr);
    uint32_t *list = xcalloc(PEOPLE * LONG, sizeof *list), *n_i = xcalloc(MANY, sizeof *n_i);

    for (uint32_t i = 0; i < MANY; i++) {
        types[i] = (uint8_t)(i % 3);
        keys[i] = hash64(&i, sizeof i, 6);
        n_i[i] = 1;
    }
    for (uint32_t u = 0; u < PEOPLE; u++) {
        uint32_t last = 0, n = (uint32_t)rng_below(4, u, 0, LONG);
        ptr[u + 1] = ptr[u];
        for (uint32_t k = 0; k < n; k++) {
            last += 1 + (uint32_t)rng_below(5, u, k, MANY / LONG - 1);
            list[ptr[u + 1]++] = last;
            n_i[last]++;
        }
    }
    in.items = MANY, in.users = PEOPLE, in.item_type = types, in.item_key = keys;
    in.indptr = ptr, in.item = list, in.train_users = n_i;
    ck_assert_int_eq(graph_build(&in, NULL, &g), ERR_OK);
    for (uint32_t i = 0; i < 3; i++) {
        graph *other;
        in.threads = i == 0 ? 3 : 1;
        in.memory = i == 0 ? 1 << 30 : i == 1 ? 1 : 300000;
        ck_assert_int_eq(graph_build(&in, NULL, &other), ERR_OK);
        expect_same(g, other);
        graph_free(other);
    }
    free(types);
    free(keys);
    free(ptr);
    free(list);
    free(n_i);
}
END_TEST

START_TEST(runs_give_every_pair_once_in_order)
{
    graph_runs *runs;
    graph_runs_pair p;
    uint64_t expected = 0;
    bool more = true;

    ck_assert_int_eq(graph_runs_open(".", 0, &runs), ERR_OK);
    for (uint32_t round = 0; round < 40; round++) {
        for (uint32_t k = 0; k < 5000; k++) {
            uint32_t shuffled = (k * 7919 + round) % 5000;
            ck_assert_int_eq(graph_runs_add(runs, shuffled / 50, shuffled % 50, round + 1), ERR_OK);
        }
    }
    ck_assert_int_eq(graph_runs_merge(runs, NULL), ERR_OK);
    for (;; expected++) {
        ck_assert_int_eq(graph_runs_next(runs, &p, &more), ERR_OK);
        if (!more) break;
        ck_assert_uint_eq(p.key, expected / 50 << 32 | expected % 50);
        ck_assert_uint_eq(p.count, 40);
        ck_assert_uint_eq(p.norm, 40 * 41 / 2);
    }
    ck_assert_uint_eq(expected, 5000);
    graph_runs_close(runs);
}
END_TEST

START_TEST(a_missing_temporary_folder_is_an_error)
{
    in.temp_dir = "nowhere";
    testing_capture_start();
    err_code rc = graph_build(&in, NULL, &g);
    testing_expect_part(testing_capture_end(), "nowhere");
    ck_assert_int_eq(rc, ERR_IO);
    ck_assert_ptr_null(g);
}
END_TEST

START_TEST(stopping_ends_both_ways)
{
    atomic_int stop = 1;
    progress p = {.stop = &stop};
    for (uint32_t i = 0; i < 2; i++) {
        in.memory = i == 0 ? 1 : 1 << 30;
        ck_assert_int_eq(graph_build(&in, &p, &g), ERR_STOPPED);
    }
}
END_TEST

START_TEST(pair_weights_are_scaled_to_32_bits)
{
    enum { CROWD = 9000 };
    uint64_t *ptr = xcalloc(CROWD + 1, sizeof *ptr);
    uint32_t *list = xcalloc(CROWD * 2, sizeof *list);

    for (uint32_t u = 0; u < CROWD; u++) {
        list[2 * u + 1] = u == 0 ? 2 : 1;
        ptr[u + 1] = 2 * (uint64_t)(u + 1);
    }
    in.users = CROWD, in.indptr = ptr, in.item = list;
    ck_assert_int_eq(graph_build(&in, NULL, &g), ERR_OK);
    ck_assert_uint_eq(g->edges, 4);
    ck_assert_uint_eq(g->norm_shift, 2);                  /* 8,999 x 2^20 = 2^33.1 */
    ck_assert_uint_eq(graph_pair_weight(g, 0), 1u << 18); /* 2 -> 0 */
    ck_assert_uint_eq(graph_pair_weight(g, 1), 8999u << 18);
    free(ptr);
    free(list);
}
END_TEST

/* Users' lists. */

static config cfg;
static catalog *data;
static split *parts;
static graph_lists lists;

static void make_lists(const char *rows, order_kind order, uint32_t max, uint32_t days)
{
    char *text = xprintf("user_id\titem_id\ttimestamp\n%s", rows);

    testing_config_init(&cfg);
    cfg.seed = 3;
    cfg.data.order = order;
    cfg.split.method = SPLIT_NONE;
    cfg.graph.max_items_per_user = max;
    cfg.graph.window_days = days;
    testing_put_text("items.tsv", "item_id\titem_type\ttext\n"
                                  "a\tm\t.\nb\tm\t.\nc\tm\t.\nd\tm\t.\ne\tm\t.\nf\tm\t.\n"
                                  "x\tk\t.\ny\tk\t.\nz\tk\t.\n");
    testing_put_text("interactions.tsv", text);
    ck_assert_int_eq(catalog_read(&cfg, &data), ERR_OK);
    ck_assert_int_eq(split_make(&cfg, data, &parts), ERR_OK);
    ck_assert_int_eq(graph_lists_make(&cfg, data, parts, &lists), ERR_OK);
    free(text);
}

static void free_lists(void)
{
    graph_lists_fini(&lists);
    split_free(parts);
    catalog_free(data);
}

static void expect_items(const char *ids)
{
    char text[64] = "";
    for (uint64_t e = 0; e < lists.indptr[1]; e++)
        strcat(text, catalog_item_id(data, lists.item[e]));
    ck_assert_str_eq(text, ids);
}

START_TEST(the_most_recent_items_stay_by_time)
{
    make_lists("u\td\t1\nu\ta\t9\nu\tb\t5\nu\tc\t7\nu\td\t8\n", ORDER_TIME, 3, 0);
    expect_items("abc"); /* d came first at 1 */
    ck_assert_uint_eq(lists.cut, 1);
    ck_assert_uint_eq(lists.train_users[3], 1); /* n_i counts before the cut */
    free_lists();
}
END_TEST

START_TEST(the_last_rows_stay_by_file)
{
    make_lists("u\td\t0\nu\ta\t0\nu\tb\t0\nu\tc\t0\n", ORDER_FILE, 2, 0);
    expect_items("bc");
    free_lists();
}
END_TEST

START_TEST(without_order_types_are_cut_in_proportion_whatever_the_rows)
{
    char first[16];

    make_lists("u\ta\t0\nu\tb\t0\nu\tc\t0\nu\td\t0\nu\te\t0\nu\tf\t0\nu\tx\t0\nu\ty\t0\nu\tz\t0\n",
               ORDER_NONE, 3, 0);
    ck_assert_uint_eq(lists.indptr[1], 3);
    uint32_t of_m = 0;
    for (uint32_t i = 0; i < 3; i++) {
        of_m += data->item_type[lists.item[i]] == 0;
        first[i] = catalog_item_id(data, lists.item[i])[0];
    }
    first[3] = 0;
    ck_assert_uint_eq(of_m, 2);
    free_lists();
    make_lists("u\tz\t0\nu\tc\t0\nu\tb\t0\nu\tx\t0\nu\te\t0\nu\tf\t0\nu\td\t0\nu\ty\t0\nu\ta\t0\n",
               ORDER_NONE, 3, 0);
    expect_items(first);
    free_lists();
}
END_TEST

START_TEST(the_window_counts_back_from_the_newest_train_event)
{
    make_lists("u\ta\t86400\nu\tb\t86401\nu\tc\t172801\nv\td\t259201\n", ORDER_TIME, 0, 2);
    expect_items("bc");
    free_lists();
}
END_TEST

START_TEST(a_window_needs_times)
{
    make_lists("u\ta\t0\nu\tb\t0\n", ORDER_NONE, 0, 0);
    free(lists.indptr);
    free(lists.item);
    free(lists.train_users);
    cfg.graph.window_days = 2;
    testing_capture_start();
    ck_assert_int_eq(graph_lists_make(&cfg, data, parts, &lists), ERR_INVALID);
    testing_expect_part(testing_capture_end(), "graph.window_days: no event of train has a time");
    free_lists();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("graph_build");
    TCase *t = tcase_create("graph"), *l = tcase_create("lists");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, every_weight_gives_what_counting_by_hand_gives);
    tcase_add_test(t, ties_go_by_hash_of_the_stable_keys);
    tcase_add_test(t, caps_can_be_off_and_min_users_holds);
    tcase_add_test(t, relations_are_restricted_by_direction);
    tcase_add_test(t, threads_and_budget_change_no_byte);
    tcase_add_test(t, runs_give_every_pair_once_in_order);
    tcase_add_test(t, a_missing_temporary_folder_is_an_error);
    tcase_add_test(t, stopping_ends_both_ways);
    tcase_add_test(t, pair_weights_are_scaled_to_32_bits);
    tcase_add_checked_fixture(l, testing_enter_folder, testing_leave_folder);
    tcase_add_test(l, the_most_recent_items_stay_by_time);
    tcase_add_test(l, the_last_rows_stay_by_file);
    tcase_add_test(l, without_order_types_are_cut_in_proportion_whatever_the_rows);
    tcase_add_test(l, the_window_counts_back_from_the_newest_train_event);
    tcase_add_test(l, a_window_needs_times);
    suite_add_tcase(suite, t);
    suite_add_tcase(suite, l);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
