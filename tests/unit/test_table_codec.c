/* Proves: dense blocks and keys are spread over servers without loss or overlap, a push comes back
 * as it was, and a malformed one is not believed. */
#include "common/table_codec.h"

#include "common/mem.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

enum { FLOATS = 3 * DENSE_BLOCK_FLOATS + 17 };

START_TEST(what_is_gathered_from_all_servers_scatters_back)
{
    float *flat = xmalloc(FLOATS * sizeof *flat), *back = xcalloc(FLOATS, sizeof *back);
    for (size_t i = 0; i < FLOATS; i++) flat[i] = (float)i + 0.5f;
    for (uint32_t servers = 1; servers <= 5; servers++) {
        shard_map m;
        shard_map_init(&m, 1, 64, servers);
        size_t sum = 0;
        memset(back, 0, FLOATS * sizeof *back);
        for (uint32_t s = 0; s < servers; s++) {
            size_t n = table_server_floats(&m, 2, FLOATS, s);
            float *own = xmalloc((n + 1) * sizeof *own);
            table_gather(own, &m, 2, FLOATS, s, flat);
            table_scatter(back, &m, 2, FLOATS, s, own);
            free(own);
            sum += n;
        }
        ck_assert_uint_eq(sum, FLOATS);
        ck_assert_mem_eq(flat, back, FLOATS * sizeof *flat);
    }
    free(flat);
    free(back);
}
END_TEST

START_TEST(the_last_block_is_the_rest)
{
    ck_assert_uint_eq(table_blocks(FLOATS), 4);
    ck_assert_uint_eq(table_blocks(0), 0);
    ck_assert_uint_eq(table_block_floats(FLOATS, 3), 17);
    ck_assert_uint_eq(table_block_floats(DENSE_BLOCK_FLOATS, 0), DENSE_BLOCK_FLOATS);
}
END_TEST

START_TEST(each_key_belongs_to_one_server)
{
    uint64_t keys[100], own[100];
    uint32_t position[100], seen[100] = {0};
    shard_map m;
    shard_map_init(&m, 1, 256, 3);
    for (uint64_t i = 0; i < 100; i++) keys[i] = i * 1000003;
    for (uint32_t s = 0; s < 3; s++) {
        size_t n = table_keys_of_server(&m, s, keys, 100, own, position);
        ck_assert(table_keys_ascend(own, n));
        for (size_t i = 0; i < n; i++) {
            seen[position[i]]++;
            ck_assert_uint_eq(keys[position[i]], own[i]);
        }
    }
    for (uint32_t i = 0; i < 100; i++) ck_assert_uint_eq(seen[i], 1);
}
END_TEST

static const uint64_t some_keys[3] = {2, 5, 9};
static const float some_rows[9] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
static const float some_dense[5] = {1, 2, 3, 4, 5};

static push_result sound(push_section *section)
{
    *section = (push_section){.table = 1, .dim = 3, .n = 3, .keys = some_keys, .rows = some_rows};
    return (push_result){.examples = 7,
                         .loss = 2.5,
                         .stage = 2,
                         .dense = some_dense,
                         .dense_floats = 5,
                         .section = section,
                         .sections = 1};
}

static blob *encoded(void)
{
    push_section section;
    push_result r = sound(&section);
    shard_map m;
    shard_map_init(&m, 1, 8, 1);
    return push_encode(&r, &m, 0);
}

START_TEST(a_push_comes_back)
{
    blob *b = encoded();
    push_view v;
    ck_assert_int_eq(push_decode(b, &v), ERR_OK);
    ck_assert_uint_eq(v.head.examples, 7);
    ck_assert(v.head.loss == 2.5);
    ck_assert_uint_eq(v.head.dense_floats, 5);
    ck_assert_mem_eq(v.dense, some_dense, sizeof some_dense);
    ck_assert_uint_eq(v.section[0].n, 3);
    ck_assert_mem_eq(v.section[0].keys, some_keys, sizeof some_keys);
    ck_assert_mem_eq(v.section[0].rows, some_rows, sizeof some_rows);
    blob_unref(b);
}
END_TEST

START_TEST(a_server_without_a_row_gets_a_message_too)
{
    push_section section;
    push_result r = sound(&section);
    shard_map m;
    uint32_t rows = 0, floats = 0;
    shard_map_init(&m, 1, 64, 16);
    for (uint32_t s = 0; s < 16; s++) {
        blob *b = push_encode(&r, &m, s);
        push_view v;
        ck_assert_int_eq(push_decode(b, &v), ERR_OK);
        ck_assert_uint_eq(v.head.sections, 1);
        ck_assert_uint_eq(v.head.examples, 7);
        rows += v.section[0].n;
        floats += (uint32_t)v.head.dense_floats;
        blob_unref(b);
    }
    ck_assert_uint_eq(rows, 3);
    ck_assert_uint_eq(floats, 5);
}
END_TEST

START_TEST(a_void_slot_has_no_examples_and_nothing_else)
{
    push_section section;
    push_result r = sound(&section);
    shard_map m;
    shard_map_init(&m, 1, 8, 1);
    r.is_void = true;
    blob *b = push_encode(&r, &m, 0);
    push_view v;
    ck_assert_uint_eq(blob_size(b), sizeof(push_head));
    ck_assert_int_eq(push_decode(b, &v), ERR_OK);
    ck_assert_uint_eq(v.head.examples, 0);
    blob_unref(b);
}
END_TEST

/* The error that `bytes` written at `offset` of a sound body gives. */
static err_code damaged(size_t offset, const void *bytes, size_t n)
{
    blob *b = encoded(), *c = blob_copy(blob_data(b), blob_size(b));
    push_view v;
    memcpy(blob_writable(c) + offset, bytes, n);
    err_code rc = push_decode(c, &v);
    blob_unref(b);
    blob_unref(c);
    return rc;
}

START_TEST(a_malformed_push_is_not_believed)
{
    uint32_t zero = 0, one = 1, many = 1u << 30, two = 2;
    uint64_t huge = 1ull << 60, key = 1;
    size_t section = sizeof(push_head) + 24;             /* 5 floats, padded */
    ck_assert_int_eq(damaged(0, &zero, 4), ERR_INVALID); /* magic */
    ck_assert_int_eq(damaged(4, &two, 4), ERR_INVALID);  /* more sections than there are */
    ck_assert_int_eq(damaged(4, &many, 4), ERR_LIMIT);
    ck_assert_int_eq(damaged(24, &huge, 8), ERR_LIMIT);            /* dense_floats */
    ck_assert_int_eq(damaged(32, &one, 4), ERR_INVALID);           /* void, with content */
    ck_assert_int_eq(damaged(section, &zero, 4), ERR_INVALID);     /* table 0 */
    ck_assert_int_eq(damaged(section + 4, &zero, 4), ERR_LIMIT);   /* dim */
    ck_assert_int_eq(damaged(section + 8, &many, 4), ERR_LIMIT);   /* n */
    ck_assert_int_eq(damaged(section + 8, &two, 4), ERR_INVALID);  /* n too small: bytes are left */
    ck_assert_int_eq(damaged(section + 24, &key, 8), ERR_INVALID); /* keys not ascending */
}
END_TEST

START_TEST(a_cut_push_is_not_believed)
{
    blob *b = encoded();
    for (size_t n = 0; n < blob_size(b); n++) {
        blob *c = blob_copy(blob_data(b), n);
        push_view v;
        ck_assert_int_ne(push_decode(c, &v), ERR_OK);
        blob_unref(c);
    }
    blob_unref(b);
}
END_TEST

START_TEST(a_table_twice_in_one_push_is_invalid)
{
    push_section twice[2];
    push_result r = sound(&twice[0]);
    twice[1] = twice[0];
    r.section = twice;
    r.sections = 2;
    shard_map m;
    shard_map_init(&m, 1, 8, 1);
    blob *b = push_encode(&r, &m, 0);
    push_view v;
    ck_assert_int_eq(push_decode(b, &v), ERR_INVALID);
    blob_unref(b);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("table_codec");
    TCase *t = tcase_create("table_codec");
    tcase_add_test(t, what_is_gathered_from_all_servers_scatters_back);
    tcase_add_test(t, the_last_block_is_the_rest);
    tcase_add_test(t, each_key_belongs_to_one_server);
    tcase_add_test(t, a_push_comes_back);
    tcase_add_test(t, a_server_without_a_row_gets_a_message_too);
    tcase_add_test(t, a_void_slot_has_no_examples_and_nothing_else);
    tcase_add_test(t, a_malformed_push_is_not_believed);
    tcase_add_test(t, a_cut_push_is_not_believed);
    tcase_add_test(t, a_table_twice_in_one_push_is_invalid);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
