/* Proves: a header survives the wire, and one that lies about itself or its body is not believed.
 */
#include "common/wire.h"

#include <check.h>
#include <string.h>

static wire_header sound(void)
{
    wire_header h = wire_request(WIRE_PUSH);
    h.role = WIRE_WORKER;
    h.index = 3;
    h.incarnation = 77;
    h.generation = 2;
    h.version = 9;
    h.tag = 5;
    h.body_bytes = 40;
    wire_set_slot(&h, (slot_name){STAGE_HGNN, 1, 345, 1});
    return h;
}

START_TEST(a_header_comes_back)
{
    wire_header h = sound(), back;
    uint8_t bytes[WIRE_HEADER_BYTES];
    wire_encode(&h, bytes);
    ck_assert_int_eq(wire_decode(bytes, sizeof bytes, 40, &back), ERR_OK);
    ck_assert_mem_eq(&h, &back, sizeof h);
    ck_assert(slot_equal(wire_slot(&back), (slot_name){STAGE_HGNN, 1, 345, 1}));
}
END_TEST

START_TEST(the_wire_is_little_endian_at_fixed_offsets)
{
    wire_header h = sound();
    uint8_t bytes[WIRE_HEADER_BYTES];
    wire_encode(&h, bytes);
    ck_assert_mem_eq(bytes, "WEFT\x01\x00", 6);
    ck_assert_uint_eq(bytes[16], 77); /* incarnation */
    ck_assert_uint_eq(bytes[36], 2);  /* generation */
    ck_assert_uint_eq(bytes[72], 5);  /* tag */
    ck_assert_uint_eq(bytes[80], 40); /* body_bytes */
}
END_TEST

START_TEST(an_answer_keeps_the_name_and_the_tag)
{
    wire_header h = sound(), a = wire_answer(&h, WIRE_GONE);
    ck_assert(wire_is_answer(&a) && !wire_is_answer(&h));
    ck_assert_uint_eq(a.tag, 5);
    ck_assert_uint_eq(a.target, 77);
    ck_assert_uint_eq(a.body_bytes, 0);
    ck_assert(slot_equal(wire_slot(&a), wire_slot(&h)));
}
END_TEST

static err_code check_with(void (*change)(wire_header *h), size_t body)
{
    wire_header h = sound(), back;
    uint8_t bytes[WIRE_HEADER_BYTES];
    change(&h);
    wire_encode(&h, bytes);
    return wire_decode(bytes, sizeof bytes, body, &back);
}

static void bad_magic(wire_header *h)
{
    h->magic++;
}
static void other_protocol(wire_header *h)
{
    h->protocol++;
}
static void bad_op(wire_header *h)
{
    h->op = WIRE_OPS;
}
static void no_op(wire_header *h)
{
    h->op = 0;
}
static void bad_role(wire_header *h)
{
    h->role = WIRE_ROLES;
}
static void bad_status(wire_header *h)
{
    h->status = WIRE_STATUSES;
}
static void bad_stage(wire_header *h)
{
    h->stage = STAGE_COUNT;
}
static void long_hello(wire_header *h)
{
    h->op = WIRE_HELLO;
    h->body_bytes = WIRE_CONTROL_MAX + 1;
}
static void long_build(wire_header *h)
{
    h->op = WIRE_BUILD;
    h->body_bytes = WIRE_CONTROL_MAX + 1;
}
static void long_push(wire_header *h)
{
    h->body_bytes = (uint64_t)WIRE_BODY_MAX + 1;
}
static void nothing(wire_header *h)
{
    (void)h;
}

START_TEST(a_header_that_lies_is_invalid)
{
    wire_header back;
    uint8_t bytes[WIRE_HEADER_BYTES] = {0};
    ck_assert_int_eq(check_with(bad_magic, 40), ERR_INVALID);
    ck_assert_int_eq(check_with(other_protocol, 40), ERR_MISMATCH);
    ck_assert_int_eq(check_with(bad_op, 40), ERR_INVALID);
    ck_assert_int_eq(check_with(no_op, 40), ERR_INVALID);
    ck_assert_int_eq(check_with(bad_role, 40), ERR_INVALID);
    ck_assert_int_eq(check_with(bad_status, 40), ERR_INVALID);
    ck_assert_int_eq(check_with(bad_stage, 40), ERR_INVALID);
    ck_assert_int_eq(check_with(nothing, 41), ERR_INVALID);
    ck_assert_int_eq(wire_decode(bytes, 95, 0, &back), ERR_INVALID);
}
END_TEST

START_TEST(a_body_over_its_ops_limit_is_refused)
{
    ck_assert_int_eq(check_with(long_hello, WIRE_CONTROL_MAX + 1), ERR_LIMIT);
    ck_assert_int_eq(check_with(long_build, WIRE_CONTROL_MAX + 1), ERR_LIMIT);
    ck_assert_int_eq(check_with(long_push, (size_t)WIRE_BODY_MAX + 1), ERR_LIMIT);
}
END_TEST

START_TEST(names_are_words_and_unknown_ones_say_so)
{
    ck_assert_str_eq(wire_op_name(WIRE_COMMIT), "commit");
    ck_assert_str_eq(wire_role_name(WIRE_SERVER), "ps");
    ck_assert_str_eq(wire_status_name(WIRE_FAILED), "failed");
    ck_assert_str_eq(wire_op_name(250), "unknown");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("wire");
    TCase *t = tcase_create("wire");
    tcase_add_test(t, a_header_comes_back);
    tcase_add_test(t, the_wire_is_little_endian_at_fixed_offsets);
    tcase_add_test(t, an_answer_keeps_the_name_and_the_tag);
    tcase_add_test(t, a_header_that_lies_is_invalid);
    tcase_add_test(t, a_body_over_its_ops_limit_is_refused);
    tcase_add_test(t, names_are_words_and_unknown_ones_say_so);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
