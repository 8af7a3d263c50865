/* Proves: requests are sent again until answered, never more than the window at a time, and an
 * answer is matched once. */
#include "common/requests.h"

#include <check.h>

static const core_peer server = {WIRE_SERVER, 0, 0}, other = {WIRE_SERVER, 1, 0};
static core_actions out;
static requests *r;

static void set_up(void)
{
    requests_config c = {.self = {WIRE_WORKER, 2, 42}, .window = 3};
    core_actions_init(&out);
    r = requests_new(&c);
}

static void tear_down(void)
{
    requests_free(r);
    core_actions_fini(&out);
}

static uint64_t ask(core_peer to, uint64_t now_us, uint64_t owner)
{
    return requests_open(r, now_us, &out, to, wire_request(WIRE_BUILD), NULL, owner, 0);
}

static bool answer(uint64_t tag, uint64_t now_us)
{
    wire_header h = wire_request(WIRE_BUILD);
    request_match m;
    h.flags = WIRE_ANSWER;
    h.tag = tag;
    return requests_answer(r, now_us, &out, &h, &m);
}

START_TEST(a_request_says_who_asks)
{
    uint64_t tag = ask(server, 1, 7);
    const wire_header *h = &out.items[0].send.header;
    ck_assert_uint_eq(out.n, 1);
    ck_assert_uint_eq(h->tag, tag);
    ck_assert_uint_eq(h->role, WIRE_WORKER);
    ck_assert_uint_eq(h->index, 2);
    ck_assert_uint_eq(h->incarnation, 42);
}
END_TEST

START_TEST(it_is_sent_again_after_two_seconds_and_then_half_as_often)
{
    ask(server, 1000000, 7);
    core_actions_reset(&out);
    ck_assert_uint_eq(requests_timer(r, 2999999, &out), 3000000);
    ck_assert_uint_eq(out.n, 0);
    ck_assert_uint_eq(requests_timer(r, 3000000, &out), 7000000);
    ck_assert_uint_eq(out.n, 1);
    ck_assert_uint_eq(requests_timer(r, 7000000, &out), 15000000);
    ck_assert_uint_eq(out.n, 2);
    ck_assert_uint_eq(requests_resends(r), 2);
}
END_TEST

START_TEST(the_wait_is_four_times_the_slow_answers)
{
    for (uint32_t i = 0; i < 200; i++) answer(ask(server, 0, 7), 3000000);
    core_actions_reset(&out);
    ask(server, 0, 7);
    uint64_t due = requests_timer(r, 2000001, &out); /* earlier ones are answered */
    ck_assert_uint_ge(due, 12000000);
    ck_assert_uint_le(due, 15000000);
}
END_TEST

START_TEST(what_the_peer_may_hold_is_waited_for_too)
{
    wire_header h = wire_request(WIRE_PULL);
    h.budget_ms = 5000;
    requests_open(r, 0, &out, server, h, NULL, 7, 0);
    ck_assert_uint_eq(requests_timer(r, 1, &out), 7000000);
}
END_TEST

START_TEST(an_answer_is_matched_once)
{
    uint64_t tag = ask(server, 1, 7);
    ck_assert(answer(tag, 2));
    ck_assert(!answer(tag, 3));
    ck_assert_uint_eq(requests_open_count(r, 0), 0);
    ck_assert_uint_eq(requests_timer(r, 100000000, &out), UINT64_MAX);
}
END_TEST

START_TEST(an_answer_to_another_op_is_none)
{
    wire_header h = wire_request(WIRE_PULL);
    request_match m;
    h.flags = WIRE_ANSWER;
    h.tag = ask(server, 1, 7);
    ck_assert(!requests_answer(r, 2, &out, &h, &m));
    ck_assert_uint_eq(requests_open_count(r, 7), 1);
}
END_TEST

START_TEST(only_a_window_full_is_on_the_way)
{
    uint64_t tag[5];
    for (uint32_t i = 0; i < 5; i++) tag[i] = ask(server, i, 7);
    ask(other, 9, 7);
    ck_assert_uint_eq(out.n, 4);
    core_actions_reset(&out);
    answer(tag[1], 10);
    ck_assert_uint_eq(out.n, 1);
    ck_assert_uint_eq(out.items[0].send.header.tag, tag[3]);
    answer(tag[0], 11);
    ck_assert_uint_eq(out.items[1].send.header.tag, tag[4]);
}
END_TEST

START_TEST(cancelling_makes_room)
{
    for (uint32_t i = 0; i < 3; i++) ask(server, i, 7);
    uint64_t tag = ask(server, 4, 8);
    core_actions_reset(&out);
    requests_cancel(r, 5, &out, 7);
    ck_assert_uint_eq(out.n, 1);
    ck_assert_uint_eq(out.items[0].send.header.tag, tag);
    ck_assert_uint_eq(requests_open_count(r, 7), 0);
    ck_assert_uint_eq(requests_open_count(r, 8), 1);
}
END_TEST

START_TEST(a_peers_new_life_is_asked_at_once)
{
    uint64_t tag = ask(server, 0, 7);
    ask(other, 0, 7);
    core_actions_reset(&out);
    requests_peer(r, 100, &out, (core_peer){WIRE_SERVER, 0, 5});
    ck_assert_uint_eq(out.n, 1);
    ck_assert_uint_eq(out.items[0].send.header.tag, tag);
}
END_TEST

START_TEST(the_oldest_is_who_we_wait_for)
{
    request_match m;
    ck_assert(!requests_oldest(r, &m));
    ask(other, 5, 7);
    ask(server, 9, 8);
    ck_assert(requests_oldest(r, &m));
    ck_assert_uint_eq(m.to.index, 1);
    ck_assert_uint_eq(m.sent_us, 5);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("requests");
    TCase *t = tcase_create("requests");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, a_request_says_who_asks);
    tcase_add_test(t, it_is_sent_again_after_two_seconds_and_then_half_as_often);
    tcase_add_test(t, the_wait_is_four_times_the_slow_answers);
    tcase_add_test(t, what_the_peer_may_hold_is_waited_for_too);
    tcase_add_test(t, an_answer_is_matched_once);
    tcase_add_test(t, an_answer_to_another_op_is_none);
    tcase_add_test(t, only_a_window_full_is_on_the_way);
    tcase_add_test(t, cancelling_makes_room);
    tcase_add_test(t, a_peers_new_life_is_asked_at_once);
    tcase_add_test(t, the_oldest_is_who_we_wait_for);
    suite_add_tcase(s, t);
    SRunner *runner = srunner_create(s);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
