/* Proves: ldg keeps neighbours together, balances every type and does not depend on the order of
 * items; numbers follow (type, partition, hash), users with a validation positive first. */
#include "sampler/partition.h"

#include "common/hash.h"
#include "common/mem.h"
#include "testing_files.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

/* 8 groups of 50 items of two types; an item's neighbours are the others of its group. */
enum { GROUPS = 8, GROUP = 50, ITEMS = GROUPS * GROUP, PARTITIONS = 4 };

static uint8_t type[ITEMS];
static uint64_t key[ITEMS], indptr[ITEMS + 1];
static uint32_t source[ITEMS * GROUP], part[ITEMS], node_of[ITEMS], base[2 * PARTITIONS + 1];
static graph g;
static partition_input in;

/* Item i of the graph is item order(i) of the set: another order of the same items. */
static uint32_t order(uint32_t i, bool turned)
{
    return turned ? ITEMS - 1 - i : i;
}

static void make(bool turned)
{
    uint64_t e = 0;

    for (uint32_t i = 0; i < ITEMS; i++) {
        uint32_t me = order(i, turned);
        type[i] = me % 5 == 0;
        key[i] = hash64(&me, sizeof me, 0);
        indptr[i] = e;
        for (uint32_t k = 0; k < ITEMS; k++) {
            uint32_t other = order(k, turned);
            if (other != me && other % GROUPS == me % GROUPS) source[e++] = k;
        }
    }
    indptr[ITEMS] = e;
    g = (graph){.items = ITEMS, .edges = e, .indptr = indptr, .source = source};
    in = (partition_input){ITEMS, 2, PARTITIONS, type, key, &g, 5, PARTITION_LDG};
}

static double cut_share(void)
{
    uint64_t cut = 0;
    for (uint32_t i = 0; i < ITEMS; i++) {
        for (uint64_t e = indptr[i]; e < indptr[i + 1]; e++) cut += part[source[e]] != part[i];
    }
    return (double)cut / (double)indptr[ITEMS];
}

START_TEST(ldg_cuts_far_fewer_edges_than_hash)
{
    make(false);
    in.kind = PARTITION_HASH;
    ck_assert_int_eq(partition_items(&in, part), ERR_OK);
    ck_assert_double_gt(cut_share(), 0.7);
    in.kind = PARTITION_LDG;
    ck_assert_int_eq(partition_items(&in, part), ERR_OK);
    ck_assert_double_lt(cut_share(), 0.4);
}
END_TEST

START_TEST(ldg_balances_every_type)
{
    uint32_t size[2][PARTITIONS] = {0}, all[2] = {0};

    make(false);
    ck_assert_int_eq(partition_items(&in, part), ERR_OK);
    for (uint32_t i = 0; i < ITEMS; i++) {
        size[type[i]][part[i]]++;
        all[type[i]]++;
    }
    for (uint32_t t = 0; t < 2; t++) {
        for (uint32_t p = 0; p < PARTITIONS; p++) {
            ck_assert_uint_le(size[t][p], partition_capacity(all[t], PARTITIONS));
            ck_assert_uint_ge(size[t][p], all[t] / PARTITIONS * 8 / 10);
        }
    }
}
END_TEST

START_TEST(assignment_and_numbers_do_not_depend_on_the_order_of_items)
{
    uint32_t first_part[ITEMS], first_node[ITEMS];

    make(false);
    ck_assert_int_eq(partition_items(&in, part), ERR_OK);
    ck_assert_int_eq(partition_number_items(&in, part, node_of, base), ERR_OK);
    memcpy(first_part, part, sizeof part);
    memcpy(first_node, node_of, sizeof node_of);
    make(true);
    ck_assert_int_eq(partition_items(&in, part), ERR_OK);
    ck_assert_int_eq(partition_number_items(&in, part, node_of, base), ERR_OK);
    for (uint32_t i = 0; i < ITEMS; i++) {
        ck_assert_uint_eq(part[i], first_part[order(i, true)]);
        ck_assert_uint_eq(node_of[i], first_node[order(i, true)]);
    }
}
END_TEST

START_TEST(numbers_are_ranges_of_type_and_partition)
{
    bool used[ITEMS] = {false};

    make(false);
    ck_assert_int_eq(partition_items(&in, part), ERR_OK);
    ck_assert_int_eq(partition_number_items(&in, part, node_of, base), ERR_OK);
    ck_assert_uint_eq(base[0], 0);
    ck_assert_uint_eq(base[2 * PARTITIONS], ITEMS);
    for (uint32_t i = 0; i < ITEMS; i++) {
        uint32_t range = type[i] * PARTITIONS + part[i];
        ck_assert(node_of[i] >= base[range] && node_of[i] < base[range + 1]);
        ck_assert(!used[node_of[i]]);
        used[node_of[i]] = true;
    }
}
END_TEST

START_TEST(a_type_with_fewer_items_than_partitions_fits)
{
    make(false);
    in.partitions = 300;
    uint32_t *wide = xcalloc(2 * 300 + 1, sizeof *wide);
    ck_assert_int_eq(partition_items(&in, part), ERR_OK);
    ck_assert_int_eq(partition_number_items(&in, part, node_of, wide), ERR_OK);
    ck_assert_uint_eq(wide[600], ITEMS);
    free(wide);
}
END_TEST

START_TEST(metis_is_refused)
{
    make(false);
    in.kind = PARTITION_METIS;
    testing_capture_start();
    err_code rc = partition_items(&in, part);
    testing_expect_part(testing_capture_end(), "graph.partitioner");
    ck_assert_int_eq(rc, ERR_INVALID);
}
END_TEST

START_TEST(users_with_a_validation_positive_come_first)
{
    enum { PEOPLE = 200 };
    uint64_t user_key[PEOPLE];
    uint8_t valid[PEOPLE];
    uint32_t number[PEOPLE], user_base[PARTITIONS + 1], first[PARTITIONS];
    bool used[PEOPLE] = {false};

    for (uint32_t u = 0; u < PEOPLE; u++) {
        user_key[u] = hash64(&u, sizeof u, 1);
        valid[u] = u % 3 == 0;
    }
    partition_users people = {PEOPLE, PARTITIONS, user_key, valid, 5};
    ck_assert_int_eq(partition_number_users(&people, number, user_base, first), ERR_OK);
    for (uint32_t u = 0; u < PEOPLE; u++) {
        uint32_t p = partition_of_user(5, user_key[u], PARTITIONS);
        ck_assert(number[u] >= user_base[p] && number[u] < user_base[p + 1]);
        ck_assert((number[u] - user_base[p] < first[p]) == (valid[u] != 0));
        ck_assert(!used[number[u]]);
        used[number[u]] = true;
    }
    ck_assert_uint_eq(first[0] + first[1] + first[2] + first[3], (PEOPLE + 2) / 3);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("partition");
    TCase *t = tcase_create("partition");
    tcase_add_checked_fixture(t, testing_enter_folder, testing_leave_folder);
    tcase_add_test(t, ldg_cuts_far_fewer_edges_than_hash);
    tcase_add_test(t, ldg_balances_every_type);
    tcase_add_test(t, assignment_and_numbers_do_not_depend_on_the_order_of_items);
    tcase_add_test(t, numbers_are_ranges_of_type_and_partition);
    tcase_add_test(t, a_type_with_fewer_items_than_partitions_fits);
    tcase_add_test(t, metis_is_refused);
    tcase_add_test(t, users_with_a_validation_positive_come_first);
    suite_add_tcase(suite, t);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
