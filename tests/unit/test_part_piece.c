/* Proves: requests and answers of PART say what they were given, and anything else is refused
 * before memory is taken for it. */
#include "common/slot.h"
#include "ps/part_piece.h"

#include <check.h>
#include <string.h>

static const part_id id = {.plan_hash = 7,
                           .stage = STAGE_EMBED,
                           .generation = 3,
                           .version = 12,
                           .shard = 5,
                           .shards = 16,
                           .final = true};

START_TEST(a_request_names_the_part_and_the_bytes)
{
    part_id got;
    part_piece want;
    blob *body;
    wire_header h = part_piece_ask(&id, (part_piece){1 << 20, 4096}, &body);
    ck_assert_ptr_null(part_piece_asked(&h, body, 7, &got, &want));
    ck_assert(part_id_equal(&got, &id));
    ck_assert_uint_eq(want.offset, 1 << 20);
    ck_assert_uint_eq(want.bytes, 4096);
    blob_unref(body);
}
END_TEST

static const struct {
    uint64_t offset;
    uint32_t bytes, shards, part, stage;
    const char *says;
} bad[] = {
    {0, 0, 16, 5, STAGE_HGNN, "a piece of another size"},
    {0, PART_PIECE_BYTES + 1, 16, 5, STAGE_HGNN, "a piece of another size"},
    {PART_BYTES_MAX, 1, 16, 5, STAGE_HGNN, "behind the end of every part"},
    {UINT64_MAX, 1, 16, 5, STAGE_HGNN, "behind the end of every part"},
    {0, 1, 0, 0, STAGE_HGNN, "no such virtual shard"},
    {0, 1, 1 << 20, 5, STAGE_HGNN, "no such virtual shard"},
    {0, 1, 16, 16, STAGE_HGNN, "no such virtual shard"},
    {0, 1, 16, 5, STAGE_NONE, "no such stage"},
    {0, 1, 16, 5, STAGE_COUNT, "no such stage"},
};

START_TEST(what_no_part_has_is_refused)
{
    part_id got, asked = id;
    part_piece want;
    blob *body;
    asked.shards = bad[_i].shards;
    wire_header h = part_piece_ask(&asked, (part_piece){bad[_i].offset, bad[_i].bytes}, &body);
    h.part = bad[_i].part;
    h.stage = (uint8_t)bad[_i].stage;
    ck_assert_str_eq(part_piece_asked(&h, body, 7, &got, &want), bad[_i].says);
    blob_unref(body);
    body = blob_copy("short", 5);
    ck_assert_str_eq(part_piece_asked(&h, body, 7, &got, &want), "a body of another size");
    ck_assert_str_eq(part_piece_asked(&h, NULL, 7, &got, &want), "a body of another size");
    blob_unref(body);
}
END_TEST

START_TEST(an_answer_has_what_was_asked_for)
{
    uint8_t bytes[200];
    part_piece_view v;
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)i;
    blob *b = part_piece_encode(300, 99, bytes, 200);
    ck_assert_int_eq(part_piece_decode(b, (part_piece){100, 200}, &v), ERR_OK);
    ck_assert_int_eq(part_piece_decode(b, (part_piece){100, 4096}, &v), ERR_OK); /* the end */
    ck_assert_uint_eq(v.total, 300);
    ck_assert_uint_eq(v.hash, 99);
    ck_assert_uint_eq(v.n, 200);
    ck_assert_mem_eq(v.bytes, bytes, 200);
    ck_assert_int_eq(part_piece_decode(b, (part_piece){50, 300}, &v), ERR_CORRUPT); /* too few */
    ck_assert_int_eq(part_piece_decode(b, (part_piece){100, 100}, &v), ERR_CORRUPT);
    ck_assert_int_eq(part_piece_decode(b, (part_piece){300, 200}, &v), ERR_CORRUPT);
    ck_assert_int_eq(part_piece_decode(NULL, (part_piece){0, 1}, &v), ERR_CORRUPT);
    blob_unref(b);
}
END_TEST

START_TEST(a_total_that_no_part_has_is_refused)
{
    static const uint64_t totals[] = {0, PART_HEADER_BYTES - 1, (uint64_t)PART_BYTES_MAX + 1,
                                      UINT64_MAX};
    part_piece_view v;
    blob *b = part_piece_encode(totals[_i], 1, "12345678", 8);
    ck_assert_int_eq(part_piece_decode(b, (part_piece){0, 8}, &v), ERR_CORRUPT);
    ck_assert_ptr_null(v.bytes);
    blob_unref(b);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("part_piece");
    TCase *c = tcase_create("part_piece");
    tcase_add_test(c, a_request_names_the_part_and_the_bytes);
    tcase_add_loop_test(c, what_no_part_has_is_refused, 0, (int)(sizeof bad / sizeof *bad));
    tcase_add_test(c, an_answer_has_what_was_asked_for);
    tcase_add_loop_test(c, a_total_that_no_part_has_is_refused, 0, 4);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
