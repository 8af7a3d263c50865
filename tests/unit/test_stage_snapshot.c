/* Proves: a snapshot of a stage does not change with its tables, and its parts give the same
 * weights, rows and optimizer state to any number of servers; what does not fit the model is
 * corrupt. */
#include "common/mem.h"
#include "ps/stage_snapshot.h"
#include "sim/sim_model.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

enum { SHARDS = 16, KEYS = 50, TABLE = 1, SERVERS = 3 };

static stage_tables *one; /* of a single server */
static shard_map map;

static push_result gradient(float *dense, size_t floats, uint64_t *keys, float *rows,
                            push_section *section, float scale)
{
    for (size_t i = 0; i < floats; i++) dense[i] = scale * (float)(i % 7);
    for (uint32_t k = 0; k < KEYS; k++) keys[k] = 3 + 11 * (uint64_t)k;
    for (uint32_t k = 0; k < KEYS * section->dim; k++) rows[k] = scale * (float)(k % 5);
    section->keys = keys;
    section->rows = rows;
    return (push_result){.examples = 4,
                         .loss = 1,
                         .stage = STAGE_HGNN,
                         .dense = dense,
                         .dense_floats = floats,
                         .section = section,
                         .sections = 1};
}

/* One step of training on `t`, the tables of `server`. */
static void train(stage_tables *t, const shard_map *m, uint32_t server, uint32_t step)
{
    const shard_model *model = sim_shard_model();
    shard_table spec[SHARD_TABLES_MAX];
    model->tables(model->ctx, STAGE_HGNN, spec);
    size_t floats = model->dense_floats(model->ctx, STAGE_HGNN);
    float *dense = xcalloc(floats + 1, sizeof *dense);
    float *rows = xcalloc(KEYS * spec[0].dim, sizeof *rows);
    uint64_t keys[KEYS];
    push_section section = {.table = TABLE, .dim = spec[0].dim, .n = KEYS};
    push_result r = gradient(dense, floats, keys, rows, &section, 0.25F * (float)step);
    blob *body = push_encode(&r, m, server);
    push_view v;
    ck_assert_int_eq(push_decode(body, &v), ERR_OK);
    stage_tables_train(t, step, step, &v, 1);
    blob_unref(body);
    free(rows);
    free(dense);
}

static void set_up(void)
{
    shard_map_init(&map, 1, SHARDS, 1);
    one = stage_tables_new(sim_shard_model(), &map, 0, STAGE_HGNN, NULL);
    train(one, &map, 0, 1);
    stage_tables_keep(one);
    train(one, &map, 0, 2);
}

static void tear_down(void)
{
    stage_tables_free(one);
}

static blob *part_of(const stage_tables *t, uint32_t vshard, bool final)
{
    part_id id = {
        .stage = STAGE_HGNN, .version = 2, .shard = vshard, .shards = SHARDS, .final = final};
    stage_parts *p = stage_parts_new(t);
    blob *part = stage_parts_encode(p, &id);
    stage_parts_free(p);
    ck_assert_ptr_nonnull(part);
    return part;
}

/* The tables of `server` under `m`, from the parts of `t`. */
static stage_tables *read_back(const stage_tables *t, const shard_map *m, uint32_t server,
                               bool final)
{
    stage_tables *x = stage_tables_new(sim_shard_model(), m, server, STAGE_HGNN, NULL);
    for (uint32_t v = 0; v < SHARDS; v++) {
        part_view view;
        if (m->server_of[v] != server) continue;
        blob *part = part_of(t, v, final);
        ck_assert_int_eq(part_decode(blob_data(part), blob_size(part), &view), ERR_OK);
        ck_assert_int_eq(stage_tables_take_part(x, &view), ERR_OK);
        blob_unref(part);
    }
    ck_assert_int_eq(stage_tables_taken(x, final), ERR_OK);
    return x;
}

START_TEST(a_copy_stays_as_it_was)
{
    stage_tables *copy = stage_tables_copy(one);
    uint64_t before = stage_tables_digest(copy);
    ck_assert_uint_eq(before, stage_tables_digest(one));
    train(one, &map, 0, 3);
    ck_assert_uint_eq(before, stage_tables_digest(copy));
    ck_assert_uint_ne(before, stage_tables_digest(one));
    stage_tables_free(copy);
}
END_TEST

START_TEST(parts_give_the_same_tables_and_the_same_next_step)
{
    stage_tables *back = read_back(one, &map, 0, false);
    ck_assert_uint_eq(stage_tables_digest(back), stage_tables_digest(one));
    train(one, &map, 0, 3);
    train(back, &map, 0, 3);
    stage_tables_finish(one);
    stage_tables_finish(back);
    ck_assert_uint_eq(stage_tables_digest(back), stage_tables_digest(one));
    stage_tables_free(back);
}
END_TEST

START_TEST(another_number_of_servers_reads_the_same_parts)
{
    shard_map more;
    shard_map_init(&more, 2, SHARDS, SERVERS);
    stage_tables *x[SERVERS];
    uint64_t rows = 0;
    for (uint32_t i = 0; i < SERVERS; i++) {
        x[i] = read_back(one, &more, i, false);
        rows += stage_tables_row_count(x[i]);
        train(x[i], &more, i, 3);
    }
    ck_assert_uint_eq(rows, stage_tables_row_count(one));
    train(one, &map, 0, 3);
    for (uint32_t k = 0; k < KEYS; k++) {
        uint64_t key = 3 + 11 * (uint64_t)k;
        const float *want = stage_tables_row(one, TABLE, key);
        const float *got = stage_tables_row(x[table_server_of(&more, key)], TABLE, key);
        ck_assert(want && got && *want == *got);
    }
    for (uint32_t i = 0; i < SERVERS; i++) stage_tables_free(x[i]);
}
END_TEST

START_TEST(a_finished_stage_comes_back_finished)
{
    stage_tables_finish(one);
    stage_tables *back = read_back(one, &map, 0, true);
    ck_assert_uint_eq(stage_tables_digest(back), stage_tables_digest(one));
    stage_tables_free(back);
}
END_TEST

START_TEST(a_part_that_does_not_fit_is_corrupt)
{
    shard_map more;
    part_view view;
    shard_map_init(&more, 2, SHARDS, SERVERS);
    stage_tables *x = stage_tables_new(sim_shard_model(), &more, 0, STAGE_HGNN, NULL);
    uint32_t foreign = 0; /* a virtual shard of another server that holds something */
    for (uint32_t k = 0; k < KEYS && (!foreign || more.server_of[foreign] == 0); k++)
        foreign = table_shard_of(&more, 3 + 11 * (uint64_t)k);
    blob *part = part_of(one, foreign, false);
    ck_assert_int_eq(part_decode(blob_data(part), blob_size(part), &view), ERR_OK);
    ck_assert_int_eq(stage_tables_take_part(x, &view), ERR_CORRUPT);
    blob_unref(part);
    stage_tables_free(x);
    x = stage_tables_new(sim_shard_model(), &map, 0, STAGE_HGNN, NULL);
    ck_assert_int_eq(stage_tables_taken(x, false), ERR_CORRUPT); /* no part at all */
    stage_tables_free(x);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("stage_snapshot");
    TCase *t = tcase_create("all");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, a_copy_stays_as_it_was);
    tcase_add_test(t, parts_give_the_same_tables_and_the_same_next_step);
    tcase_add_test(t, another_number_of_servers_reads_the_same_parts);
    tcase_add_test(t, a_finished_stage_comes_back_finished);
    tcase_add_test(t, a_part_that_does_not_fit_is_corrupt);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
