/* Proves: a slot is not done because a worker says so (the server that lacks it refuses the COMMIT,
 * and it is leased again, or all go back), a DONE that is no number is refused, and a lease whose
 * holder does not get on is given up, once. */
#include "testing_scheduler.h"

#include <check.h>
#include <string.h>

enum { SECOND = 1000000 };

static testing_scheduler t;
static uint32_t slots; /* of the first round */

static slot_name first(uint32_t slot)
{
    return (slot_name){STAGE_HGNN, 1, 1, slot};
}

static scheduler_view view(void)
{
    scheduler_view v;
    scheduler_view_get(t.core, &v);
    return v;
}

/* A job with one server that runs its first round. */
static void set_up(void)
{
    testing_scheduler_start(&t, 0);
    testing_scheduler_hello(&t, WIRE_SAMPLER, 0);
    testing_scheduler_hello(&t, WIRE_SERVER, 0);
    testing_scheduler_staged(&t);
    testing_scheduler_hello(&t, WIRE_WORKER, 0);
    slots = view().round.slots;
    ck_assert_uint_ge(slots, 2);
}

static void tear_down(void)
{
    testing_scheduler_fini(&t);
}

static bool has_event(const char *name, const char *why)
{
    scheduler_status st;
    bool there = false;
    scheduler_status_get(t.core, t.now_us, &st);
    for (uint32_t i = 0; i < st.events_n; i++)
        there = there || (strcmp(st.event[i].event, name) == 0 && strstr(st.event[i].why, why));
    scheduler_status_fini(&st);
    return there;
}

static bool is_ordered(wire_op op)
{
    for (size_t i = 0; i < t.out.n; i++) {
        if (t.out.items[i].type == CORE_SEND && t.out.items[i].send.header.op == op) return true;
    }
    return false;
}

/* ---- A DONE that is not true ---- */

static void say_all_done(void)
{
    for (uint32_t j = 0; j < slots; j++) testing_scheduler_done(&t, 0, first(j));
    ck_assert(is_ordered(WIRE_COMMIT));
}

START_TEST(a_slot_that_the_server_lacks_is_leased_again)
{
    const uint32_t held[] = {0};
    say_all_done();
    ck_assert(testing_scheduler_answer(&t, WIRE_COMMIT, WIRE_BEHIND, 0));
    testing_scheduler_holds(&t, 0, held, 1);
    ck_assert(has_event("false_done", "ps-0 does not hold slot hgnn/1/1/1"));
    ck_assert_uint_eq(view().done, 1);
    testing_work w = {.sequence = 1};
    ck_assert_int_ge(testing_scheduler_work(&t, 0, w, NULL), 1);
    for (uint32_t j = 1; j < slots; j++) testing_scheduler_done(&t, 0, first(j));
    ck_assert(testing_scheduler_answer(&t, WIRE_COMMIT, WIRE_OK, 1));
    ck_assert_uint_eq(view().version, 1);
    ck_assert_uint_eq(view().rollbacks, 0);
}
END_TEST

START_TEST(a_round_that_is_done_again_counts_its_voids_once)
{
    const uint32_t held[] = {0};
    ck_assert_uint_le(slots, TESTING_VOIDS_MAX);
    ck_assert_uint_gt(2 * slots, TESTING_VOIDS_MAX);
    for (uint32_t j = 0; j < slots; j++) testing_scheduler_done_void(&t, 0, first(j));
    ck_assert(testing_scheduler_answer(&t, WIRE_COMMIT, WIRE_BEHIND, 0));
    testing_scheduler_holds(&t, 0, held, 1);
    ck_assert_uint_eq(view().done, 1);
    for (uint32_t j = 1; j < slots; j++) testing_scheduler_done_void(&t, 0, first(j));
    ck_assert(testing_scheduler_answer(&t, WIRE_COMMIT, WIRE_OK, 1));
    ck_assert_uint_eq(view().version, 1);
}
END_TEST

/* What was said before the COMMIT was refused proves nothing. */
START_TEST(a_list_without_a_refusal_opens_nothing)
{
    say_all_done();
    testing_scheduler_holds(&t, 0, NULL, 0);
    ck_assert_uint_eq(view().done, slots);
    ck_assert(!has_event("false_done", ""));
}
END_TEST

/* A COMMIT that was on its way reached a server that could obey it. */
START_TEST(a_server_that_is_past_the_opened_round_sends_all_back)
{
    say_all_done();
    ck_assert(testing_scheduler_answer(&t, WIRE_COMMIT, WIRE_BEHIND, 0));
    testing_scheduler_holds(&t, 0, NULL, 0);
    ck_assert_uint_eq(view().done, 0);
    testing_scheduler_holds(&t, 1, NULL, 0);
    ck_assert_uint_eq(view().rollbacks, 1);
    ck_assert(has_event("rollback", "a server has committed version 0, others cannot"));
}
END_TEST

START_TEST(a_done_that_is_no_number_is_refused)
{
    wire_status status = WIRE_OK;
    testing_scheduler_done_loss(&t, 0, first(0), 0.0 / 0.0);
    for (size_t i = 0; i < t.out.n; i++) {
        if (t.out.items[i].type == CORE_SEND && t.out.items[i].send.header.op == WIRE_DONE)
            status = t.out.items[i].send.header.status;
    }
    ck_assert_int_eq(status, WIRE_REFUSED);
    ck_assert_uint_eq(view().done, 0);
}
END_TEST

/* ---- A lease that stands still ---- */

static uint32_t sequence;

/* Worker 0 lists slot 0 each second; its counter moves or does not. */
static void list_slot(uint32_t seconds, bool moves)
{
    static uint64_t progress;
    for (uint32_t i = 0; i < seconds; i++) {
        for (int k = 0; k < 4; k++) testing_scheduler_timer(&t, SECOND / 4);
        testing_scheduler_hello(&t, WIRE_SERVER, 0);
        testing_scheduler_hello(&t, WIRE_SAMPLER, 0);
        progress += moves;
        testing_work w = {.sequence = ++sequence, .held = first(0), .progress = progress};
        testing_scheduler_work(&t, 0, w, NULL);
    }
}

static uint64_t given_up(void)
{
    scheduler_status st;
    scheduler_status_get(t.core, t.now_us, &st);
    uint64_t n = st.counters.reassigned;
    scheduler_status_fini(&st);
    return n;
}

START_TEST(a_lease_whose_counter_moves_lives)
{
    sequence = 0;
    list_slot(90, true);
    ck_assert_uint_eq(given_up(), 0);
}
END_TEST

START_TEST(a_lease_that_stands_still_is_given_up_until_it_gets_on)
{
    sequence = 0;
    list_slot(50, false);
    ck_assert_uint_eq(given_up(), 0);
    list_slot(90, false);
    ck_assert_uint_eq(given_up(), 1); /* and not taken up again while it is listed as it was */
    list_slot(1, true);
    list_slot(70, false);
    ck_assert_uint_eq(given_up(), 2);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("scheduler_reopen");
    TCase *c = tcase_create("scheduler_reopen");
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, a_slot_that_the_server_lacks_is_leased_again);
    tcase_add_test(c, a_round_that_is_done_again_counts_its_voids_once);
    tcase_add_test(c, a_list_without_a_refusal_opens_nothing);
    tcase_add_test(c, a_server_that_is_past_the_opened_round_sends_all_back);
    tcase_add_test(c, a_done_that_is_no_number_is_refused);
    tcase_add_test(c, a_lease_whose_counter_moves_lives);
    tcase_add_test(c, a_lease_that_stands_still_is_given_up_until_it_gets_on);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
