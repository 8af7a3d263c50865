/* Proves: whoever holds a job up is on its status with what is waited for and since when; after 30
 * s the state says so; and train.stall_timeout ends it, naming them. */
#include "testing_scheduler.h"

#include <check.h>
#include <string.h>

enum { SECOND = 1000000 };

static testing_scheduler t;
static uint32_t sequence;

/* Who goes on saying that they are there. */
typedef struct alive {
    bool server, sampler, worker, works;
    uint32_t state; /* of the slot that the worker holds */
} alive;

static const slot_name FIRST = {STAGE_HGNN, 1, 1, 0};

static void live(alive a, uint32_t seconds)
{
    for (uint32_t i = 0; i < seconds; i++) {
        for (int k = 0; k < 4; k++) testing_scheduler_timer(&t, SECOND / 4);
        if (a.server) testing_scheduler_hello(&t, WIRE_SERVER, 0);
        if (a.sampler) testing_scheduler_hello(&t, WIRE_SAMPLER, 0);
        if (a.worker) testing_scheduler_hello(&t, WIRE_WORKER, 0);
        testing_work w = {.sequence = ++sequence, .held = FIRST, .state = a.state};
        if (a.works) testing_scheduler_work(&t, 0, w, NULL);
    }
}

static void run_job(uint64_t stall_timeout_us)
{
    sequence = 0;
    testing_scheduler_start(&t, stall_timeout_us);
    testing_scheduler_hello(&t, WIRE_SAMPLER, 0);
    testing_scheduler_hello(&t, WIRE_SERVER, 0);
    testing_scheduler_staged(&t);
}

static void tear_down(void)
{
    testing_scheduler_fini(&t);
}

static void expect(const char *what, const char *whom, double since_s)
{
    scheduler_status st;
    scheduler_status_get(t.core, t.now_us, &st);
    ck_assert(st.is_waiting);
    ck_assert_str_eq(st.waiting_for, what);
    ck_assert_str_eq(st.waiting_whom, whom);
    ck_assert_double_ge(st.waiting_since_s, since_s - 1);
    ck_assert_double_le(st.waiting_since_s, since_s + 1);
    ck_assert_str_eq(job_state_name(st.state), since_s > 31 ? "STALLED" : "RUNNING");
    scheduler_status_fini(&st);
}

static const struct {
    alive a;
    const char *what, *whom;
} waits[] = {
    {{.server = true, .sampler = true}, "worker to join", "any worker"},
    {{.server = true, .sampler = true, .worker = true}, "slot hgnn/1/1/0", "any worker"},
    {{true, true, true, true, PEER_COMPUTING}, "slot hgnn/1/1/0", "worker-0"},
    {{true, false, true, true, PEER_SAMPLING}, "sampler to come back", "sampler-0"},
    {{true, false, true, true, PEER_COMPUTING}, "slot hgnn/1/1/0", "worker-0"},
    {{false, true, true, true, PEER_PUSHING}, "server to come back", "ps-0"},
};

START_TEST(who_holds_the_job_up_is_named)
{
    run_job(0);
    live(waits[_i].a, 20);
    expect(waits[_i].what, waits[_i].whom, 20);
    if (!waits[_i].a.server) return; /* How long one is waited for is another rule. */
    live(waits[_i].a, 20);
    expect(waits[_i].what, waits[_i].whom, 40);
}
END_TEST

START_TEST(a_stall_is_an_event)
{
    scheduler_status st;
    run_job(0);
    live(waits[0].a, 40);
    scheduler_status_get(t.core, t.now_us, &st);
    uint32_t stalls = 0;
    for (uint32_t i = 0; i < st.events_n; i++) stalls += strcmp(st.event[i].event, "stalled") == 0;
    ck_assert_uint_eq(stalls, 1);
    scheduler_status_fini(&st);
}
END_TEST

START_TEST(a_worker_that_comes_ends_the_stall)
{
    run_job(0);
    live(waits[0].a, 40);
    live(waits[2].a, 1);
    expect("slot hgnn/1/1/0", "worker-0", 41);
    testing_scheduler_done(&t, 0, FIRST);
    scheduler_status st;
    scheduler_status_get(t.core, t.now_us, &st);
    ck_assert_str_eq(job_state_name(st.state), "RUNNING");
    ck_assert(!st.is_waiting);
    scheduler_status_fini(&st);
}
END_TEST

START_TEST(the_stall_timeout_ends_the_job_and_names_them)
{
    run_job(UINT64_C(60) * SECOND);
    live(waits[0].a, 58);
    ck_assert_int_eq(t.exit_code, -1);
    live(waits[0].a, 10);
    ck_assert_int_eq(t.exit_code, 1);
    ck_assert_str_eq(t.exit_why, "stalled for 60 s, waiting for worker to join from any worker");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("scheduler_waiting");
    TCase *c = tcase_create("scheduler_waiting");
    tcase_add_checked_fixture(c, NULL, tear_down);
    tcase_add_loop_test(c, who_holds_the_job_up_is_named, 0, (int)(sizeof waits / sizeof *waits));
    tcase_add_test(c, a_stall_is_an_event);
    tcase_add_test(c, a_worker_that_comes_ends_the_stall);
    tcase_add_test(c, the_stall_timeout_ends_the_job_and_names_them);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
