/* Proves: requests of others and of ours are counted with the time until their answer, also when
 * one is sent again, and an answer to nothing counts nothing. */
#include "common/op_meter.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static op_meter *meter;
static core_actions actions;

static void set_up(void)
{
    meter = op_meter_new();
    core_actions_init(&actions);
}

static void tear_down(void)
{
    core_actions_fini(&actions);
    op_meter_free(meter);
}

static void hear(wire_header h, uint64_t route, uint64_t now_us)
{
    core_event e = {.type = CORE_MESSAGE, .now_us = now_us};
    e.message.header = &h;
    e.message.route = route;
    op_meter_event(meter, &e);
}

static void say(wire_header h, uint64_t route, uint64_t now_us)
{
    core_send(&actions, (core_peer){0}, route, &h, blob_copy("abcd", 4));
    op_meter_actions(meter, &actions, now_us);
    core_actions_reset(&actions);
}

static wire_header request(wire_op op, uint64_t tag)
{
    wire_header h = wire_request(op);
    h.tag = tag;
    return h;
}

static wire_header answer(wire_op op, uint64_t tag, wire_status status)
{
    wire_header h = request(op, tag);
    return wire_answer(&h, status);
}

static void expect(const char *line, bool there)
{
    bytes_writer b;
    bytes_writer_init(&b);
    op_meter_write(meter, &b);
    bytes_put_u8(&b, 0);
    const char *text = (const char *)b.data;
    ck_assert_msg((strstr(text, line) != NULL) == there, "%s in\n%s", line, text);
    bytes_writer_fini(&b);
}

START_TEST(a_request_of_others_takes_until_our_answer)
{
    hear(request(WIRE_PULL, 7), 3, 1000000);
    hear(request(WIRE_PULL, 7), 4, 1100000); /* the same tag of another peer */
    say(answer(WIRE_PULL, 7, WIRE_OK), 3, 1200000);
    say(answer(WIRE_PULL, 7, WIRE_BEHIND), 4, 3100000);
    ck_assert_uint_eq(op_meter_served(meter, WIRE_PULL), 2);
    ck_assert_uint_eq(op_meter_asked(meter, WIRE_PULL), 0);
    expect("weft_request_served_seconds_bucket{op=\"pull\",le=\"0.25\"} 1\n", true);
    expect("weft_request_served_seconds_sum{op=\"pull\"} 2.2\n", true);
    expect("weft_requests_not_ok_total{op=\"pull\"} 1\n", true);
    expect("weft_message_bytes_total{op=\"pull\",phase=\"received\"} 192\n", true);
    expect("weft_message_bytes_total{op=\"pull\",phase=\"sent\"} 200\n", true);
    expect("push", false);
}
END_TEST

START_TEST(a_request_of_ours_counts_once_however_often_it_is_sent)
{
    say(request(WIRE_PUSH, 9), 0, 1000000);
    say(request(WIRE_PUSH, 9), 0, 3000000);
    hear(answer(WIRE_PUSH, 9, WIRE_OK), 0, 3500000);
    hear(answer(WIRE_PUSH, 9, WIRE_OK), 0, 3600000); /* the answer to the first */
    ck_assert_uint_eq(op_meter_asked(meter, WIRE_PUSH), 1);
    expect("weft_request_asked_seconds_sum{op=\"push\"} 2.5\n", true);
    expect("weft_request_resends_total{op=\"push\"} 1\n", true);
}
END_TEST

START_TEST(more_open_requests_than_it_remembers_do_no_harm)
{
    for (uint64_t tag = 1; tag < 20 * OP_METER_OPEN; tag++)
        hear(request(WIRE_BUILD, tag), tag % 5, 1000000);
    for (uint64_t tag = 1; tag < 20 * OP_METER_OPEN; tag++)
        say(answer(WIRE_BUILD, tag, WIRE_OK), tag % 5, 1500000);
    ck_assert_uint_le(op_meter_served(meter, WIRE_BUILD), OP_METER_OPEN);
    ck_assert_uint_gt(op_meter_served(meter, WIRE_BUILD), 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("op_meter");
    TCase *c = tcase_create("all");
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, a_request_of_others_takes_until_our_answer);
    tcase_add_test(c, a_request_of_ours_counts_once_however_often_it_is_sent);
    tcase_add_test(c, more_open_requests_than_it_remembers_do_no_harm);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
