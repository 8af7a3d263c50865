/* Proves: a micro-batch survives encoding; a cut, changed or hostile body is refused before
 * anything is read out of bounds (run under ASan). */
#include "common/microbatch.h"
#include "testing_files.h"
#include "testing_microbatch.h"
#include "testing_plan.h"

#include "common/feature_row.h"
#include "common/mem.h"
#include "common/rng.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static manifest *m;

static void setup(void)
{
    testing_enter_folder(); /* what is captured goes there */
    m = testing_plan_manifest();
}

static void teardown(void)
{
    manifest_free(m);
    testing_leave_folder();
}

static blob *body_of(int kind)
{
    return kind == 0   ? testing_graph_body(m)
           : kind == 1 ? testing_tower_body(m)
                       : testing_items_body();
}

START_TEST(a_graph_comes_back)
{
    blob *body = testing_graph_body(m);
    microbatch *b;
    ck_assert_int_eq(microbatch_decode(m, body, &b), ERR_OK);
    ck_assert_int_eq(b->kind, MICROBATCH_GRAPH);
    ck_assert(slot_equal(b->name, (slot_name){STAGE_HGNN, 1, 2, 3}));
    ck_assert_uint_eq(b->chunks, 2);
    const subgraph *g = &b->graph[1];
    ck_assert_uint_eq(g->rows[0][0], 3);
    ck_assert_uint_eq(g->rows[1][0], 2);
    ck_assert_uint_eq(g->node[0][2], 9);
    ck_assert_uint_eq(g->node[1][0], 700);
    ck_assert_uint_eq(g->layer[1][0].indptr[2], 3);
    ck_assert_uint_eq(g->layer[1][0].index[1], 2);
    ck_assert_uint_eq(g->layer[1][0].weight[0], 65535);
    ck_assert_uint_eq(g->layer[1][3].index[0], 0);
    ck_assert_uint_eq(g->layer[1][8].indptr[0], 0);
    ck_assert_uint_eq(g->pair[1].anchor_type, 1);
    ck_assert_uint_eq(g->negatives[0], 2);
    ck_assert_uint_eq(g->negative[0][1], 1);
    ck_assert_uint_eq(g->mask[0], 2);
    microbatch_free(b);
    blob_unref(body);
}
END_TEST

START_TEST(a_tower_comes_back)
{
    blob *body = testing_tower_body(m);
    microbatch *b;
    ck_assert_int_eq(microbatch_decode(m, body, &b), ERR_OK);
    blob_unref(body); /* the batch holds its own reference */
    const microbatch_tower *t = b->tower;
    ck_assert(b->kind == MICROBATCH_TOWER && t->rows == 2 && t->nodes == 5);
    ck_assert_uint_eq(t->user[1], 4);
    ck_assert_uint_eq(t->node[t->history[2]], 750);
    ck_assert_uint_eq(t->count[1], 1);
    ck_assert_uint_eq(t->node[t->target[0]], 4);
    ck_assert(t->weight[1] == 0.5f);
    ck_assert_uint_eq(t->node[t->negative[1]], 701);
    ck_assert_uint_eq(t->seen_indptr[2], 1);
    ck_assert(t->attribute == NULL && t->vector == NULL);
    microbatch_free(b);
}
END_TEST

START_TEST(items_come_back)
{
    blob *body = testing_items_body();
    microbatch *b;
    ck_assert_int_eq(microbatch_decode(m, body, &b), ERR_OK);
    ck_assert(b->kind == MICROBATCH_ITEMS && b->first == 5 && b->count == 7);
    microbatch_free(b);
    blob_unref(body);
}
END_TEST

START_TEST(a_body_may_start_anywhere_in_memory)
{
    blob *body = body_of(_i);
    uint8_t *odd = xmalloc(blob_size(body) + 3);
    memcpy(odd + 3, blob_data(body), blob_size(body));
    blob *moved = blob_wrap(odd + 3, blob_size(body), NULL, NULL);
    microbatch *b;
    ck_assert_int_eq(microbatch_decode(m, moved, &b), ERR_OK);
    microbatch_free(b);
    blob_unref(moved);
    free(odd);
    blob_unref(body);
}
END_TEST

START_TEST(a_cut_or_longer_body_is_invalid)
{
    blob *body = body_of(_i);
    microbatch *b = NULL;
    testing_capture_start();
    ck_assert_int_eq(microbatch_decode(m, NULL, &b), ERR_INVALID);
    for (size_t cut = 0; cut < blob_size(body); cut++) {
        blob *part = blob_copy(blob_data(body), cut);
        ck_assert_int_eq(microbatch_decode(m, part, &b), ERR_INVALID);
        blob_unref(part);
    }
    blob *longer = blob_new(blob_size(body) + 8);
    memset(blob_writable(longer), 0, blob_size(longer));
    memcpy(blob_writable(longer), blob_data(body), blob_size(body));
    ck_assert_int_eq(microbatch_decode(m, longer, &b), ERR_INVALID);
    testing_capture_end();
    blob_unref(longer);
    blob_unref(body);
}
END_TEST

/* Reads everything a worker reads. */
static uint64_t touch(const microbatch *b)
{
    uint64_t sum = 0;
    for (uint32_t c = 0; b->kind == MICROBATCH_GRAPH && c < b->chunks; c++) {
        const subgraph *g = &b->graph[c];
        for (uint32_t k = 1; k <= g->layers; k++) {
            for (uint32_t r = 0; r < g->relations; r++) {
                const subgraph_adjacency *a = &g->layer[k][r];
                uint32_t rows = g->rows[k][g->relation[r].destination];
                for (uint64_t e = 0; e < a->indptr[rows]; e++) {
                    sum += g->node[g->relation[r].source][a->index[e]];
                    sum += a->weight ? a->weight[e] : 1u;
                }
            }
        }
        for (uint32_t i = 0; i < g->pairs; i++) {
            const subgraph_pair *p = &g->pair[i];
            sum += g->node[p->anchor_type][p->anchor] + g->node[p->positive_type][p->positive];
            for (uint32_t n = 0; n < g->negatives[p->positive_type]; n++) {
                sum += g->node[p->positive_type][g->negative[p->positive_type][n]];
                if (g->mask) sum += g->mask[(size_t)i * g->mask_words + n / 64] >> n % 64 & 1;
            }
        }
    }
    for (uint32_t c = 0; b->kind == MICROBATCH_TOWER && c < b->chunks; c++) {
        const microbatch_tower *t = &b->tower[c];
        for (uint32_t i = 0; i < t->rows; i++) {
            sum += t->user[i] + t->count[(size_t)i * t->types] + (t->weight[i] > 0);
            for (uint64_t x = t->history_indptr[i]; x < t->history_indptr[i + 1]; x++) {
                sum += t->node[t->history[x]];
            }
            for (uint64_t x = t->target_indptr[i]; x < t->target_indptr[i + 1]; x++) {
                sum += t->node[t->target[x]];
            }
            for (uint64_t x = t->seen_indptr[i]; x < t->seen_indptr[i + 1]; x++) {
                sum += t->node[t->seen[x]];
            }
        }
        for (uint32_t i = 0; i < t->negatives; i++) sum += t->node[t->negative[i]];
    }
    return sum;
}

START_TEST(changed_bodies_are_refused_or_safe)
{
    blob *body = body_of(_i);
    uint32_t refused = 0;
    testing_capture_start();
    for (uint64_t i = 0; i < 3000; i++) {
        blob *changed = blob_copy(blob_data(body), blob_size(body));
        for (uint32_t j = 0; j <= i % 3; j++) {
            size_t at = (size_t)rng_below(3, i, 2 * j, blob_size(body));
            blob_writable(changed)[at] = (uint8_t)rng_u32(3, i, 2 * j + 1);
        }
        microbatch *b = NULL;
        if (microbatch_decode(m, changed, &b) == ERR_OK) {
            touch(b);
            microbatch_free(b);
        } else {
            refused++;
        }
        blob_unref(changed);
    }
    testing_capture_end();
    ck_assert_uint_gt(refused, 500);
    blob_unref(body);
}
END_TEST

/* Decodes `body` with u32 number `word` replaced; expects it to be refused. */
static void refuse_word(blob *body, size_t word, uint32_t value, const char *what)
{
    blob *changed = blob_copy(blob_data(body), blob_size(body));
    memcpy(blob_writable(changed) + 4 * word, &value, 4);
    microbatch *b = NULL;
    testing_capture_start();
    ck_assert_int_eq(microbatch_decode(m, changed, &b), ERR_INVALID);
    testing_expect_part(testing_capture_end(), what);
    blob_unref(changed);
}

/* The number of the first word equal to value at or after `from`. */
static size_t find_word(const blob *body, size_t from, uint32_t value)
{
    for (;; from++) {
        uint32_t x;
        ck_assert_uint_lt(4 * from, blob_size(body));
        memcpy(&x, blob_data(body) + 4 * from, 4);
        if (x == value) return from;
    }
}

START_TEST(hostile_values_are_named)
{
    blob *g = testing_graph_body(m), *t = testing_tower_body(m), *i = testing_items_body();
    refuse_word(g, 0, 1, "magic");
    refuse_word(g, 1, 9, "kind");
    refuse_word(g, 6, 0, "chunks");
    refuse_word(g, 6, UINT32_MAX, "chunks");
    refuse_word(g, 8, 0, "layers");
    refuse_word(g, 8, 9, "layers");
    refuse_word(g, 9, 2, "types");
    refuse_word(g, 10, 8, "relations");
    refuse_word(g, 11, UINT32_MAX, "pairs");
    refuse_word(g, 13, 0, "mask words");
    refuse_word(g, 16, UINT32_MAX, "rows");
    refuse_word(g, 20, 4, "rows");                       /* more rows in layer 1 than in layer 0 */
    refuse_word(g, find_word(g, 20, 700), 699, "nodes"); /* of another type */
    refuse_word(g, find_word(g, 20, 9), UINT32_MAX, "nodes");
    refuse_word(t, 8, UINT32_MAX, "rows");
    refuse_word(t, 10, 4, "types");
    refuse_word(t, 11, 1, "attributes");
    refuse_word(t, 12, 1, "vector width");
    refuse_word(t, 13, 6, "negatives");
    refuse_word(t, 16, 330, "users");
    refuse_word(t, find_word(t, 16, 701), 100, "nodes"); /* not ascending */
    refuse_word(t, find_word(t, 16, 750), 759, "nodes");
    refuse_word(t, find_word(t, 16, 0x3f800000), 0x7fc00000, "row weights");
    refuse_word(i, 8, 760, "items");
    refuse_word(i, 9, 755, "items");
    blob_unref(g);
    blob_unref(t);
    blob_unref(i);
}
END_TEST

START_TEST(a_weight_of_zero_and_an_index_out_of_range_are_invalid)
{
    blob *body = testing_graph_body(m);
    size_t at = find_word(body, 30, 7u << 16 | 65535); /* two u16 weights */
    refuse_word(body, at, 7u << 16, "weights");
    /* The adjacency [1, 2, 0] and its padding come before its weights. */
    ck_assert_uint_eq(find_word(body, at - 3, 2), at - 3);
    refuse_word(body, at - 3, 3, "adjacency");
    blob_unref(body);
}
END_TEST

START_TEST(a_body_over_the_limit_is_not_looked_at)
{
    blob *huge = blob_wrap("", (size_t)MICROBATCH_BYTES_MAX + 1, NULL, NULL);
    microbatch *b = NULL;
    testing_capture_start();
    ck_assert_int_eq(microbatch_decode(m, huge, &b), ERR_LIMIT);
    testing_capture_end();
    blob_unref(huge);
}
END_TEST

/* --- Features --- */

START_TEST(feature_rows_come_back_in_both_storages)
{
    static const uint32_t node[2] = {0, 3};
    static const uint64_t key[2] = {77, UINT64_MAX};
    static const uint32_t positives[2] = {5, 0};
    static const uint16_t half[16] = {0x3c00, 0xbc00, 0x3800};
    static const int8_t q[16] = {127, -128, 3};
    static const float scale[2] = {0.0078125f, 0.5f};
    float text[8];
    feature_row_request r = {0, 2, node}, r2;
    blob *request = feature_row_encode_request(&r);
    ck_assert_int_eq(feature_row_decode_request(m, request, &r2), ERR_OK);
    ck_assert(r2.nodes == 2 && r2.node[1] == 3 && r2.partition == 0);
    for (int i = 0; i < 2; i++) {
        m->storage = i ? STORAGE_INT8 : STORAGE_F16;
        feature_row_reply a = {2, 0, 8, m->storage, key, positives, NULL, half, q, scale}, b;
        blob *body = feature_row_encode_reply(&a);
        ck_assert_int_eq(feature_row_decode_reply(m, body, &b), ERR_OK);
        ck_assert(b.key[1] == UINT64_MAX && b.positives[0] == 5 && b.attribute == NULL);
        feature_row_text(text, &b, 0);
        ck_assert(i ? text[0] == 127 * 0.0078125f && text[1] == -1 : text[0] == 1 && text[1] == -1);
        ck_assert(text[2] == (i ? 3 * 0.0078125f : 0.5f));
        ck_assert_uint_eq(feature_row_bytes(m), i ? 8 + 4 + 12 : 8 + 4 + 16);
        m->storage = i ? STORAGE_F16 : STORAGE_INT8;
        testing_capture_start();
        ck_assert_int_eq(feature_row_decode_reply(m, body, &b), ERR_INVALID);
        testing_capture_end();
        blob_unref(body);
    }
    blob_unref(request);
}
END_TEST

START_TEST(hostile_feature_messages_are_refused)
{
    static const uint32_t wrong[][2] = {{3, 0}, {0, 0}, {0, 200}, {0, 759}};
    feature_row_request r2;
    testing_capture_start();
    for (int i = 0; i < 4; i++) { /* order, repeat, another partition, no node at all */
        feature_row_request r = {0, 2, wrong[i]};
        blob *body = feature_row_encode_request(&r);
        ck_assert_int_eq(feature_row_decode_request(m, body, &r2), ERR_INVALID);
        blob_unref(body);
    }
    feature_row_request r = {4, 0, NULL};
    blob *body = feature_row_encode_request(&r);
    ck_assert_int_eq(feature_row_decode_request(m, body, &r2), ERR_INVALID);
    blob_unref(body);
    static const uint64_t key[1] = {1};
    static const uint32_t positives[1] = {1};
    static const uint16_t infinite[8] = {0, 0, 0, 0x7c00};
    static const int8_t q[8] = {1};
    static const float scale[1] = {0};
    feature_row_reply a = {1, 0, 8, STORAGE_F16, key, positives, NULL, infinite, q, scale}, b;
    body = feature_row_encode_reply(&a);
    ck_assert_int_eq(feature_row_decode_reply(m, body, &b), ERR_INVALID);
    blob_unref(body);
    m->storage = a.storage = STORAGE_INT8;
    body = feature_row_encode_reply(&a);
    ck_assert_int_eq(feature_row_decode_reply(m, body, &b), ERR_INVALID);
    blob_unref(body);
    testing_capture_end();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("microbatch");
    TCase *c = tcase_create("microbatch");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, a_graph_comes_back);
    tcase_add_test(c, a_tower_comes_back);
    tcase_add_test(c, items_come_back);
    tcase_add_loop_test(c, a_body_may_start_anywhere_in_memory, 0, 3);
    tcase_add_loop_test(c, a_cut_or_longer_body_is_invalid, 0, 3);
    tcase_add_loop_test(c, changed_bodies_are_refused_or_safe, 0, 3);
    tcase_add_test(c, hostile_values_are_named);
    tcase_add_test(c, a_weight_of_zero_and_an_index_out_of_range_are_invalid);
    tcase_add_test(c, a_body_over_the_limit_is_not_looked_at);
    tcase_add_test(c, feature_rows_come_back_in_both_storages);
    tcase_add_test(c, hostile_feature_messages_are_refused);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
