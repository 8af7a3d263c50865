/* Proves: a slot's gradient that is applied when it comes moves the weights by its own mean at its
 * share of the learning rate, once for each virtual shard; a snapshot says which slots each of them
 * has, and servers of another number take over what they inherit. */
#include "common/mem.h"
#include "ps/held_rounds.h"
#include "ps/stage_arrival.h"
#include "ps/stage_snapshot.h"
#include "sim/sim_model.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

enum { SHARDS = 16, KEYS = 24, TABLE = 1, SERVERS = 2, VERSION = 4, WORDS = SHARDS_MAX / 64 };

static shard_model model;
static shard_map map;
static stage_tables *t;
static uint64_t keys[KEYS];
static size_t floats;

/* A slot of `examples` examples: 1 for each in every float. */
static blob *slot_body(const shard_map *m, uint32_t server, uint64_t examples)
{
    float *dense = xcalloc(floats, sizeof *dense), *rows = xcalloc(KEYS * 3, sizeof *rows);
    for (size_t i = 0; i < floats; i++) dense[i] = (float)examples;
    for (size_t i = 0; i < KEYS * 3; i++) rows[i] = (float)examples;
    push_section section = {.table = TABLE, .dim = 3, .n = KEYS, .keys = keys, .rows = rows};
    push_result r = {.examples = examples,
                     .is_void = !examples,
                     .stage = STAGE_HGNN,
                     .dense = examples ? dense : NULL,
                     .dense_floats = examples ? floats : 0,
                     .section = &section,
                     .sections = examples ? 1 : 0};
    blob *body = push_encode(&r, m, server);
    free(dense);
    free(rows);
    return body;
}

static void arrive(stage_tables *to, const shard_map *m, uint32_t server, uint64_t examples,
                   const uint64_t *shards)
{
    blob *body = slot_body(m, server, examples);
    push_view v;
    ck_assert_int_eq(push_decode(body, &v), ERR_OK);
    stage_tables_arrive(to, 1, &v, shards);
    blob_unref(body);
}

static float dense_at(const stage_tables *of, size_t i)
{
    return ((const float *)(const void *)blob_data(stage_tables_dense(of)))[i];
}

static void set_up(void)
{
    model = sim_shard_model_of((staleness){3, true});
    floats = model.dense_floats(NULL, STAGE_HGNN);
    shard_map_init(&map, 1, SHARDS, 1);
    for (uint64_t k = 0; k < KEYS; k++) keys[k] = 3 + 11 * k;
    t = stage_tables_new(&model, &map, 0, STAGE_HGNN, NULL);
}

static void tear_down(void)
{
    stage_tables_free(t);
}

/* The model of the simulation has 8 examples a step and multiplies its rate by 8. */
START_TEST(a_slot_counts_by_its_share_of_the_step)
{
    arrive(t, &map, 0, 2, NULL);
    ck_assert_float_eq(dense_at(t, 5), 2);
    ck_assert_float_eq(stage_tables_row(t, TABLE, keys[3])[1], 2);
    arrive(t, &map, 0, 4, NULL);
    ck_assert_float_eq(dense_at(t, 5), 6);
    ck_assert_float_eq(stage_tables_row(t, TABLE, keys[3])[1], 6);
}
END_TEST

/* A worker that lies about its count gets no more than the whole step. */
START_TEST(a_count_beyond_the_step_is_not_believed)
{
    arrive(t, &map, 0, 80, NULL);
    ck_assert_float_eq(dense_at(t, 5), 8);
}
END_TEST

START_TEST(a_void_slot_changes_nothing)
{
    uint64_t before = stage_tables_digest(t);
    arrive(t, &map, 0, 0, NULL);
    ck_assert_uint_eq(stage_tables_digest(t), before);
}
END_TEST

START_TEST(virtual_shards_that_have_a_slot_do_not_get_it_again)
{
    uint64_t shards[WORDS] = {0};
    uint32_t has = table_shard_of(&map, keys[0]);
    shards[has / 64] |= UINT64_C(1) << has % 64;
    arrive(t, &map, 0, 2, shards);
    for (uint32_t k = 0; k < KEYS; k++) {
        const float *row = stage_tables_row(t, TABLE, keys[k]);
        if (table_shard_of(&map, keys[k]) == has)
            ck_assert_ptr_null(row);
        else
            ck_assert_float_eq(row[0], 2);
    }
    for (uint32_t b = 0; b < table_blocks(floats); b++) {
        bool skipped = table_shard_of(&map, table_block_key(STAGE_HGNN, b)) == has;
        ck_assert_float_eq(dense_at(t, (size_t)b * DENSE_BLOCK_FLOATS), skipped ? 0 : 2);
    }
}
END_TEST

/* Takes the parts of the virtual shards in `from` that are `server`'s under `m`. */
static void take_parts(stage_tables *to, const shard_map *m, uint32_t server, stage_tables *from,
                       const shard_map *owner, uint32_t owned_by)
{
    stage_parts *p = stage_parts_new(from);
    for (uint32_t v = 0; v < SHARDS; v++) {
        part_id id = {.stage = STAGE_HGNN, .version = VERSION, .shard = v, .shards = SHARDS};
        part_view view;
        if (m->server_of[v] != server || owner->server_of[v] != owned_by) continue;
        blob *part = stage_parts_encode(p, &id);
        ck_assert_int_eq(part_decode(blob_data(part), blob_size(part), &view), ERR_OK);
        ck_assert_int_eq(stage_tables_take_part(to, &view), ERR_OK);
        blob_unref(part);
    }
    stage_parts_free(p);
}

START_TEST(one_server_inherits_what_two_have_applied)
{
    shard_map two;
    shard_map_init(&two, 1, SHARDS, SERVERS);
    stage_tables *x[SERVERS];
    for (uint32_t i = 0; i < SERVERS; i++) {
        x[i] = stage_tables_new(&model, &two, i, STAGE_HGNN, NULL);
        applied_set_add(stage_tables_applied(x[i]), VERSION, 7, NULL);
    }
    arrive(x[1], &two, 1, 2, NULL); /* the second alone has slot 9 of the next round */
    applied_set_add(stage_tables_applied(x[1]), VERSION + 1, 9, NULL);
    for (uint32_t i = 0; i < SERVERS; i++) take_parts(t, &map, 0, x[i], &two, i);
    ck_assert_int_eq(stage_tables_taken(t, false), ERR_OK);

    held_rounds held;
    held_rounds_init(&held, staleness_window(model.staleness));
    held_rounds_reset(&held, VERSION);
    held_rounds_restore(&held, stage_tables_applied(t));
    ck_assert_ptr_nonnull(held_round_find(held_rounds_at(&held, VERSION), 7));
    const held_round *next = held_rounds_at(&held, VERSION + 1);
    ck_assert_ptr_null(held_round_find(next, 9));
    const uint64_t *shards = held_round_shards(next, 9);
    ck_assert_ptr_nonnull(shards);
    for (uint32_t v = 0; v < SHARDS; v++)
        ck_assert_int_eq(applied_shards_has(shards, v), two.server_of[v] == 1);

    arrive(t, &map, 0, 2, shards); /* it is pushed again */
    for (uint32_t k = 0; k < KEYS; k++)
        ck_assert_float_eq(stage_tables_row(t, TABLE, keys[k])[2], 2);
    for (size_t i = 0; i < floats; i += 1000) ck_assert_float_eq(dense_at(t, i), 2);
    held_rounds_fini(&held);
    for (uint32_t i = 0; i < SERVERS; i++) stage_tables_free(x[i]);
}
END_TEST

START_TEST(a_slot_outside_the_open_rounds_is_corrupt)
{
    applied_set *a = stage_tables_applied(t);
    applied_set_add(a, VERSION + staleness_window(model.staleness), 1, NULL);
    stage_tables *x = stage_tables_new(&model, &map, 0, STAGE_HGNN, NULL);
    stage_parts *p = stage_parts_new(t);
    part_id id = {.stage = STAGE_HGNN, .version = VERSION, .shards = SHARDS};
    part_view view;
    blob *part = stage_parts_encode(p, &id);
    ck_assert_int_eq(part_decode(blob_data(part), blob_size(part), &view), ERR_OK);
    ck_assert_int_eq(stage_tables_take_part(x, &view), ERR_CORRUPT);
    blob_unref(part);
    stage_parts_free(p);
    stage_tables_free(x);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("stage_arrival");
    TCase *c = tcase_create("stage_arrival");
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, a_slot_counts_by_its_share_of_the_step);
    tcase_add_test(c, a_count_beyond_the_step_is_not_believed);
    tcase_add_test(c, a_void_slot_changes_nothing);
    tcase_add_test(c, virtual_shards_that_have_a_slot_do_not_get_it_again);
    tcase_add_test(c, one_server_inherits_what_two_have_applied);
    tcase_add_test(c, a_slot_outside_the_open_rounds_is_corrupt);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
