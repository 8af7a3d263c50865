/* Proves: with delay k the tables can be read as they were at each of the k versions before the
 * newest one, rows and dense weights, also after they were written to parts and read back by
 * another number of servers. */
#include "common/mem.h"
#include "ps/stage_snapshot.h"
#include "ps/stage_tables.h"
#include "sim/sim_model.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

enum { SHARDS = 16, SERVERS = 3, KEYS = 12, TABLE = 1, DELAY = 2, STEPS = 5 };

static shard_model model;
static shard_map map;
static stage_tables *one;
static blob *dense_then[STEPS + 1], *rows_then[STEPS + 1];
static uint64_t keys[KEYS];

/* Step `step` touches the keys from `step` on only, so that some rows are younger than others. */
static void train(stage_tables *t, const shard_map *m, uint32_t server, uint32_t step)
{
    shard_table spec[SHARD_TABLES_MAX];
    model.tables(model.ctx, STAGE_HGNN, spec);
    size_t floats = model.dense_floats(model.ctx, STAGE_HGNN);
    uint32_t n = KEYS - step;
    float *dense = xcalloc(floats + 1, sizeof *dense);
    float *rows = xcalloc((size_t)n * spec[0].dim, sizeof *rows);
    for (size_t i = 0; i < floats; i++) dense[i] = (float)(i % 7) + (float)step;
    for (size_t i = 0; i < (size_t)n * spec[0].dim; i++) rows[i] = (float)step + (float)i;
    push_section section = {
        .table = TABLE, .dim = spec[0].dim, .n = n, .keys = keys + step, .rows = rows};
    push_result r = {.examples = 4,
                     .stage = STAGE_HGNN,
                     .dense = dense,
                     .dense_floats = floats,
                     .section = &section,
                     .sections = 1};
    blob *body = push_encode(&r, m, server);
    push_view v;
    ck_assert_int_eq(push_decode(body, &v), ERR_OK);
    stage_tables_train(t, step, step, &v, 1);
    blob_unref(body);
    free(rows);
    free(dense);
}

static blob *read_rows(stage_tables *t, uint32_t version, const uint64_t *of, size_t n)
{
    blob *rows;
    uint64_t absent;
    err_code rc = stage_tables_rows(t, TABLE, version, 0, of, n, &rows, &absent);
    ck_assert_int_eq(rc, ERR_OK);
    return rows;
}

static bool same(const blob *a, const blob *b)
{
    return blob_size(a) == blob_size(b) && memcmp(blob_data(a), blob_data(b), blob_size(a)) == 0;
}

static void set_up(void)
{
    model = sim_shard_model_of((staleness){DELAY, false});
    shard_map_init(&map, 1, SHARDS, 1);
    for (uint64_t k = 0; k < KEYS; k++) keys[k] = 3 + 11 * k;
    one = stage_tables_new(&model, &map, 0, STAGE_HGNN, NULL);
    for (uint32_t v = 0; v <= STEPS; v++) {
        if (v) train(one, &map, 0, v);
        dense_then[v] = blob_ref(stage_tables_dense(one));
        rows_then[v] = read_rows(one, v, keys, KEYS);
    }
}

static void tear_down(void)
{
    stage_tables_free(one);
    for (uint32_t v = 0; v <= STEPS; v++) {
        blob_unref(dense_then[v]);
        blob_unref(rows_then[v]);
    }
}

static stage_tables *read_back(const shard_map *m, uint32_t server)
{
    stage_tables *x = stage_tables_new(&model, m, server, STAGE_HGNN, NULL);
    stage_parts *p = stage_parts_new(one);
    for (uint32_t s = 0; s < SHARDS; s++) {
        part_id id = {.stage = STAGE_HGNN, .version = STEPS, .shard = s, .shards = SHARDS};
        part_view view;
        if (m->server_of[s] != server) continue;
        blob *part = stage_parts_encode(p, &id);
        ck_assert_int_eq(part_decode(blob_data(part), blob_size(part), &view), ERR_OK);
        ck_assert_int_eq(stage_tables_take_part(x, &view), ERR_OK);
        blob_unref(part);
    }
    stage_parts_free(p);
    ck_assert_int_eq(stage_tables_taken(x, false), ERR_OK);
    return x;
}

static void check_versions(stage_tables *t)
{
    for (uint32_t v = STEPS - DELAY; v <= STEPS; v++) {
        blob *rows = read_rows(t, v, keys, KEYS);
        ck_assert(stage_tables_has(t, TABLE_DENSE, v) && stage_tables_has(t, TABLE, v));
        ck_assert(same(stage_tables_dense_at(t, v), dense_then[v]));
        ck_assert(same(rows, rows_then[v]));
        ck_assert(!same(rows, rows_then[v - 1]));
        blob_unref(rows);
    }
    ck_assert(!stage_tables_has(t, TABLE_DENSE, STEPS - DELAY - 1));
}

START_TEST(the_k_versions_before_the_newest_are_there)
{
    check_versions(one);
}
END_TEST

START_TEST(parts_hold_them_too)
{
    stage_tables *back = read_back(&map, 0);
    ck_assert_uint_eq(stage_tables_digest(back), stage_tables_digest(one));
    check_versions(back);
    stage_tables_free(back);
}
END_TEST

START_TEST(another_number_of_servers_reads_them)
{
    shard_map more;
    shard_map_init(&more, 2, SHARDS, SERVERS);
    size_t floats = model.dense_floats(model.ctx, STAGE_HGNN);
    for (uint32_t i = 0; i < SERVERS; i++) {
        stage_tables *x = read_back(&more, i);
        size_t own = table_server_floats(&more, STAGE_HGNN, floats, i);
        float *want = xcalloc(own + 1, sizeof *want);
        const float *flat = (const float *)(const void *)blob_data(dense_then[STEPS - 1]);
        table_gather(want, &more, STAGE_HGNN, floats, i, flat);
        const blob *got = stage_tables_dense_at(x, STEPS - 1);
        ck_assert_uint_eq(blob_size(got), own * sizeof(float));
        if (own) ck_assert_mem_eq(blob_data(got), want, own * sizeof(float));
        for (uint32_t k = 0; k < KEYS; k++) {
            if (table_server_of(&more, keys[k]) != i) continue;
            blob *row = read_rows(x, STEPS - 1, &keys[k], 1);
            ck_assert_mem_eq(blob_data(row), blob_data(rows_then[STEPS - 1]) + k * blob_size(row),
                             blob_size(row));
            blob_unref(row);
        }
        free(want);
        stage_tables_free(x);
    }
}
END_TEST

START_TEST(a_part_of_a_longer_past_is_corrupt)
{
    shard_model shorter = sim_shard_model_of((staleness){DELAY - 1, false});
    stage_tables *x = stage_tables_new(&shorter, &map, 0, STAGE_HGNN, NULL);
    stage_parts *p = stage_parts_new(one);
    part_id id = {.stage = STAGE_HGNN, .version = STEPS, .shards = SHARDS};
    blob *part = stage_parts_encode(p, &id);
    part_view view;
    ck_assert_int_eq(part_decode(blob_data(part), blob_size(part), &view), ERR_OK);
    ck_assert_int_eq(stage_tables_take_part(x, &view), ERR_CORRUPT);
    blob_unref(part);
    stage_parts_free(p);
    stage_tables_free(x);
}
END_TEST

START_TEST(a_finished_stage_has_no_past)
{
    stage_tables_finish(one);
    ck_assert(!stage_tables_has(one, TABLE_DENSE, STEPS));
    ck_assert(same(stage_tables_dense_at(one, (uint32_t)WIRE_FINAL), dense_then[STEPS]));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("stage_past");
    TCase *t = tcase_create("stage_past");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, the_k_versions_before_the_newest_are_there);
    tcase_add_test(t, parts_hold_them_too);
    tcase_add_test(t, another_number_of_servers_reads_them);
    tcase_add_test(t, a_part_of_a_longer_past_is_corrupt);
    tcase_add_test(t, a_finished_stage_has_no_past);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
