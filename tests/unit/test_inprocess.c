/* Proves: the shell without sockets carries out what a core asks for - messages both ways, results,
 * timers, metrics, durable bytes - stamps who sends, gives the driver its own answer, and says what
 * has ended. */
#include "deploy/inprocess.h"

#include "common/clock.h"

#include <check.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* A core that answers with the body it got; what else it does at its start is chosen by `wish`. */
typedef enum wish {
    WISH_NOTHING,
    WISH_COMPUTE,
    WISH_PERSIST,
    WISH_CALL,
    WISH_TIMER,
    WISH_EXIT
} wish;

typedef struct node {
    core_host host;
    wish wish;
    core_peer other;
    uint32_t requests, answers, results, done, timers, stops, metrics, persisted, idles;
    uint32_t drop; /* so many requests are not answered */
    uint64_t timer_us;
    err_code status;
    core_peer heard; /* the last sender */
} node;

static node nodes[3];

static void on_start(node *n, core_actions *out)
{
    wire_header h = wire_request(WIRE_HELLO);
    core_metric m = {.kind = METRIC_STEP};
    switch (n->wish) {
    case WISH_COMPUTE:
        core_compute(out, 5, 1, n);
        core_compute(out, 6, 1, n);
        break;
    case WISH_PERSIST:
        core_metric_line(out, &m);
        core_persist(out, 9, blob_copy("bytes", 5));
        break;
    case WISH_CALL:
        h.tag = 33;
        core_send(out, n->other, 0, &h, blob_copy("question", 8));
        break;
    case WISH_EXIT: core_exit(out, 1, "by itself"); break;
    default: break;
    }
}

static void on_message(node *n, const core_event *e, core_actions *out)
{
    const wire_header *h = e->message.header;
    n->heard = (core_peer){h->role, h->index, h->incarnation};
    if (wire_is_answer(h)) {
        n->answers++;
        return;
    }
    n->requests++;
    if (n->drop) {
        n->drop--;
        return;
    }
    wire_header answer = wire_answer(h, WIRE_OK);
    core_send(out, n->heard, e->message.route, &answer, blob_ref(e->message.body));
    if (h->op == WIRE_STOP) core_exit(out, 7, "stopped");
}

static uint64_t step(void *core, const core_event *e, core_actions *out)
{
    node *n = core;
    ck_assert_uint_ne(e->now_us, 0);
    switch (e->type) {
    case CORE_START:
        on_start(n, out);
        if (n->wish == WISH_TIMER) n->timer_us += e->now_us;
        break;
    case CORE_MESSAGE: on_message(n, e, out); break;
    case CORE_TIMER: n->timers++; break;
    case CORE_RESULT:
        n->results++;
        n->status = e->result.status;
        break;
    case CORE_STOP:
        n->stops++;
        core_exit(out, 0, "signal %d", e->signal);
        break;
    }
    return n->wish == WISH_TIMER && !n->timers ? n->timer_us : UINT64_MAX;
}

static void compute(void *user, uint64_t token, uint32_t kind, const void *detail, shell_post *post,
                    void *shell)
{
    ck_assert_uint_eq(kind, 1);
    ck_assert_ptr_eq(detail, user);
    post(shell, token, ERR_LIMIT, user);
}

static void done(void *user, uint64_t token, const void *detail)
{
    node *n = user;
    if (token < 9) ck_assert_ptr_eq(detail, user);
    ck_assert_uint_lt(n->done, n->results); /* Stepped in before. */
    n->done++;
}

static err_code persist(void *user, const void *bytes, size_t size)
{
    node *n = user;
    ck_assert_uint_eq(size, 5);
    ck_assert_mem_eq(bytes, "bytes", 5);
    ck_assert_uint_eq(n->metrics, 1); /* What came before it in the list is there. */
    n->persisted++;
    return ERR_OK;
}

static void metric(void *user, const core_metric *m)
{
    ck_assert_int_eq(m->kind, METRIC_STEP);
    ((node *)user)->metrics++;
}

static void idle(void *user, uint64_t now_us)
{
    (void)now_us;
    ((node *)user)->idles++;
}

static inprocess *start(uint32_t n)
{
    inprocess *p = inprocess_new();
    for (uint32_t i = 0; i < n; i++) {
        nodes[i].host = (core_host){.self = {WIRE_SERVER, i, 100 + i},
                                    .core = &nodes[i],
                                    .step = step,
                                    .user = &nodes[i],
                                    .compute = compute,
                                    .done = done,
                                    .persist = persist,
                                    .metric = metric,
                                    .idle = idle};
        inprocess_add(p, &nodes[i].host);
    }
    return p;
}

static void set_up(void)
{
    memset(nodes, 0, sizeof nodes);
}

START_TEST(one_core_asks_another)
{
    nodes[0].wish = WISH_CALL;
    nodes[0].other = (core_peer){WIRE_SERVER, 1, 0};
    inprocess *p = inprocess_new();
    inprocess_free(p);
    /* The asked one comes first: at the start of the asking one it is there. */
    p = inprocess_new();
    nodes[1].host = (core_host){.self = {WIRE_SERVER, 1, 101}, .core = &nodes[1], .step = step};
    inprocess_add(p, &nodes[1].host);
    nodes[0].host = (core_host){.self = {WIRE_SERVER, 0, 100}, .core = &nodes[0], .step = step};
    inprocess_add(p, &nodes[0].host);
    for (int i = 0; i < 5; i++) inprocess_run(p, 1);
    ck_assert_uint_eq(nodes[1].requests, 1);
    ck_assert_uint_eq(nodes[0].answers, 1);
    ck_assert_uint_eq(nodes[1].heard.incarnation, 100);
    ck_assert_uint_eq(nodes[0].heard.incarnation, 101);
    inprocess_free(p);
}
END_TEST

START_TEST(a_message_to_nobody_is_dropped)
{
    nodes[0].wish = WISH_CALL;
    nodes[0].other = (core_peer){WIRE_WORKER, 9, 0};
    inprocess *p = start(1);
    for (int i = 0; i < 3; i++) inprocess_run(p, 1);
    ck_assert_uint_eq(nodes[0].answers, 0);
    inprocess_free(p);
}
END_TEST

START_TEST(results_are_stepped_in_and_released)
{
    nodes[0].wish = WISH_COMPUTE;
    inprocess *p = start(1);
    ck_assert_uint_eq(nodes[0].results, 0); /* Not inside the step that asked. */
    inprocess_run(p, 1);
    ck_assert_uint_eq(nodes[0].results, 2);
    ck_assert_uint_eq(nodes[0].done, 2);
    ck_assert_int_eq(nodes[0].status, ERR_LIMIT);
    inprocess_free(p);
}
END_TEST

START_TEST(what_is_persisted_comes_after_its_metrics)
{
    nodes[0].wish = WISH_PERSIST;
    inprocess *p = start(1);
    inprocess_run(p, 1);
    ck_assert_uint_eq(nodes[0].persisted, 1);
    ck_assert_uint_eq(nodes[0].results, 1);
    ck_assert_int_eq(nodes[0].status, ERR_OK);
    inprocess_free(p);
}
END_TEST

START_TEST(timers_wait_for_their_time)
{
    nodes[0].wish = WISH_TIMER;
    nodes[0].timer_us = 30000;
    inprocess *p = start(1);
    uint64_t from = clock_now_us();
    while (!nodes[0].timers) inprocess_run(p, 1000); /* Wakes up for it. */
    uint64_t took = clock_now_us() - from;
    ck_assert_uint_ge(took, 29000);
    ck_assert_uint_lt(took, 900000);
    for (int i = 0; i < 3; i++) inprocess_run(p, 1);
    ck_assert_uint_eq(nodes[0].timers, 1);
    ck_assert_uint_ge(nodes[0].idles, 1);
    inprocess_free(p);
}
END_TEST

static const core_peer driver = {WIRE_DRIVER, 0, 77};

static err_code ask(inprocess *p, uint32_t index, wire_op op, const char *text, wire_header *answer,
                    blob **body)
{
    wire_header h = wire_request(op);
    blob *question = text ? blob_copy(text, strlen(text)) : NULL;
    err_code rc = inprocess_call(p, driver, (core_peer){WIRE_SERVER, index, 0}, &h, question, NULL,
                                 answer, body);
    blob_unref(question);
    return rc;
}

START_TEST(the_driver_gets_its_answer)
{
    inprocess *p = start(2);
    wire_header answer;
    blob *body;
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(ask(p, 1, WIRE_PULL, "hello", &answer, &body), ERR_OK);
        ck_assert_uint_eq(answer.incarnation, 101);
        ck_assert(wire_is_answer(&answer) && blob_size(body) == 5);
        ck_assert_mem_eq(blob_data(body), "hello", 5);
        blob_unref(body);
    }
    ck_assert_int_eq(ask(p, 0, WIRE_PULL, NULL, &answer, &body), ERR_OK);
    ck_assert_ptr_null(body);
    ck_assert_uint_eq(nodes[1].heard.incarnation, driver.incarnation);
    ck_assert_int_eq(ask(p, 5, WIRE_PULL, NULL, &answer, &body), ERR_CLOSED);
    inprocess_free(p);
}
END_TEST

START_TEST(a_call_ends_when_its_core_does)
{
    inprocess *p = start(2);
    wire_header answer;
    blob *body;
    int code;
    const char *why;
    ck_assert(!inprocess_exited(p, WIRE_SERVER, 0, &code, &why));
    ck_assert_int_eq(ask(p, 0, WIRE_STOP, NULL, &answer, &body), ERR_OK); /* Answered, then gone. */
    ck_assert(inprocess_exited(p, WIRE_SERVER, 0, &code, &why));
    ck_assert_int_eq(code, 7);
    ck_assert_str_eq(why, "stopped");
    ck_assert_int_eq(ask(p, 0, WIRE_PULL, "x", &answer, &body), ERR_CLOSED);
    ck_assert_int_eq(ask(p, 1, WIRE_PULL, "x", &answer, &body), ERR_OK);
    blob_unref(body);
    inprocess_free(p);
}
END_TEST

START_TEST(a_stopped_call_does_not_spoil_the_next)
{
    inprocess *p = start(1);
    wire_header h = wire_request(WIRE_PULL), answer;
    blob *body;
    atomic_int stop = 1;
    nodes[0].drop = 1;
    ck_assert_int_eq(
        inprocess_call(p, driver, (core_peer){WIRE_SERVER, 0, 0}, &h, NULL, &stop, &answer, &body),
        ERR_STOPPED);
    ck_assert_int_eq(ask(p, 0, WIRE_PULL, "second", &answer, &body), ERR_OK);
    ck_assert_uint_eq(blob_size(body), 6);
    blob_unref(body);
    inprocess_free(p);
}
END_TEST

START_TEST(a_signal_reaches_one_core_once)
{
    inprocess *p = start(3);
    int code;
    const char *why;
    inprocess_stop(p, WIRE_SERVER, 1, SIGTERM);
    inprocess_stop(p, WIRE_SERVER, 1, SIGTERM);
    for (uint32_t i = 0; i < 3; i++) {
        ck_assert_uint_eq(nodes[i].stops, i == 1); /* The second finds nobody. */
        ck_assert(inprocess_exited(p, WIRE_SERVER, i, &code, &why) == (i == 1));
    }
    ck_assert(inprocess_exited(p, WIRE_SERVER, 1, &code, &why));
    ck_assert_str_eq(why, "signal 15");
    inprocess_free(p);
}
END_TEST

START_TEST(a_core_may_end_at_its_start)
{
    int code;
    const char *why;
    nodes[0].wish = WISH_EXIT;
    inprocess *p = start(2);
    inprocess_run(p, 1);
    ck_assert(inprocess_exited(p, WIRE_SERVER, 0, &code, &why));
    ck_assert_int_eq(code, 1);
    ck_assert_str_eq(why, "by itself");
    inprocess_free(p);
}
END_TEST

/* Results and messages that wait when it is freed are released, not stepped in. */
START_TEST(what_waits_is_released_at_the_end)
{
    nodes[0].wish = WISH_COMPUTE;
    inprocess *p = start(1);
    nodes[0].results = 2; /* For the check in done. */
    inprocess_free(p);
    ck_assert_uint_eq(nodes[0].done, 2);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("inprocess");
    TCase *c = tcase_create("all");
    tcase_add_checked_fixture(c, set_up, NULL);
    tcase_add_test(c, one_core_asks_another);
    tcase_add_test(c, a_message_to_nobody_is_dropped);
    tcase_add_test(c, results_are_stepped_in_and_released);
    tcase_add_test(c, what_is_persisted_comes_after_its_metrics);
    tcase_add_test(c, timers_wait_for_their_time);
    tcase_add_test(c, the_driver_gets_its_answer);
    tcase_add_test(c, a_call_ends_when_its_core_does);
    tcase_add_test(c, a_stopped_call_does_not_spoil_the_next);
    tcase_add_test(c, a_signal_reaches_one_core_once);
    tcase_add_test(c, a_core_may_end_at_its_start);
    tcase_add_test(c, what_waits_is_released_at_the_end);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
