/* Proves, over loopback with real keys: without keys, with another server's key, with an unknown or
 * revoked key nobody gets in, and a role gets no further than its own requests; each refusal is
 * counted by its reason; who was turned away comes back when it may. */
#include "testing_echo.h"

#include "common/clock.h"
#include "testing_files.h"

#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static testing_echo e;

static void set_up(void)
{
    testing_enter_folder();
    testing_echo_folders();
    testing_echo_open(&e, true);
}

static void tear_down(void)
{
    testing_echo_close(&e);
    testing_leave_folder();
}

/* Takes over the public keys of `from`, so that one knows whom it calls. */
static void copy_peers(const char *from, const char *to)
{
    char *text = testing_get_text(from, NULL);
    testing_put_text(to, text);
    free(text);
}

static err_code ask(const char *folder, wire_role role, wire_op op, uint32_t ms, wire_header *a)
{
    keyring *k = folder ? testing_echo_keys(folder, role) : NULL;
    err_code rc = testing_echo_ask(&e, k, role, op, ms, a);
    keyring_close(k);
    return rc;
}

static void *good_calls(void *user)
{
    (void)user;
    wire_header a;
    ck_assert_int_eq(ask("keys", WIRE_WORKER, WIRE_PULL, 10000, &a), ERR_OK);
    ck_assert_uint_eq(a.status, WIRE_OK);
    ck_assert_uint_eq(e.key_role, WIRE_WORKER);
    ck_assert_int_eq(ask("keys", WIRE_DRIVER, WIRE_PULL, 10000, &a), ERR_OK);
    ck_assert_uint_eq(e.key_role, WIRE_DRIVER);
    testing_echo_stop(&e);
    return NULL;
}

START_TEST(a_key_of_the_table_is_let_in_as_what_it_is)
{
    testing_echo_run(&e, good_calls, NULL);
    ck_assert_uint_eq(e.messages, 2);
    ck_assert_uint_eq(refusals_total(zmq_shell_refusals(e.shell)), 0);
}
END_TEST

static void *without_keys(void *user)
{
    (void)user;
    wire_header a;
    ck_assert_int_eq(ask(NULL, WIRE_WORKER, WIRE_PULL, 10000, &a), ERR_INVALID);
    testing_echo_stop(&e);
    return NULL;
}

START_TEST(nobody_comes_in_without_keys)
{
    testing_echo_run(&e, without_keys, NULL);
    ck_assert_uint_eq(e.messages, 0);
    ck_assert_uint_ge(testing_echo_refused(&e, REFUSED_HANDSHAKE), 1);
}
END_TEST

static void *with_another_server_key(void *user)
{
    (void)user;
    wire_header a;
    err_code rc = ask("other", WIRE_WORKER, WIRE_PULL, 2500, &a);
    ck_assert(rc == ERR_INVALID || rc == ERR_CLOSED);
    testing_echo_stop(&e);
    return NULL;
}

/* libzmq alone would try about 30 times in that time. */
enum { TRIES_MAX = 12 };

START_TEST(nobody_comes_in_with_another_servers_key)
{
    testing_echo_run(&e, with_another_server_key, NULL);
    ck_assert_uint_eq(e.messages, 0);
    ck_assert_uint_ge(testing_echo_refused(&e, REFUSED_HANDSHAKE), 1);
    ck_assert_uint_le(testing_echo_refused(&e, REFUSED_HANDSHAKE), TRIES_MAX);
}
END_TEST

static void *with_an_unknown_key(void *user)
{
    (void)user;
    wire_header a;
    copy_peers("keys/peers", "other/peers");
    ck_assert_int_eq(ask("other", WIRE_WORKER, WIRE_PULL, 10000, &a), ERR_INVALID);
    testing_echo_stop(&e);
    return NULL;
}

START_TEST(an_unknown_key_is_turned_away)
{
    testing_echo_run(&e, with_an_unknown_key, NULL);
    ck_assert_uint_eq(e.messages, 0);
    ck_assert_uint_eq(testing_echo_refused(&e, REFUSED_KEY), 1);
}
END_TEST

static const wire_op not_of_a_worker[] = {WIRE_STAGE, WIRE_COMMIT, WIRE_LEAF, WIRE_HELLO,
                                          WIRE_PROGRESS, WIRE_PART};
enum { FORBIDDEN = sizeof not_of_a_worker / sizeof *not_of_a_worker };

static void *beyond_its_role(void *user)
{
    (void)user;
    wire_header a;
    keyring *k = testing_echo_keys("keys", WIRE_WORKER);
    zmq_client *honest, *liar;
    core_peer worker = {WIRE_WORKER, 0, 1}, scheduler = {WIRE_SCHEDULER, 0, 2};
    ck_assert_int_eq(zmq_client_open(worker, k, NULL, &honest), ERR_OK);
    ck_assert_int_eq(zmq_client_open(scheduler, k, NULL, &liar), ERR_OK);
    zmq_client *const both[] = {honest, liar};
    for (size_t c = 0; c < 2; c++) {
        blob *body = NULL;
        wire_header pull = wire_request(WIRE_PULL); /* Its server's key is that of a ps. */
        ck_assert_int_eq(
            zmq_client_call(both[c], e.bound, &pull, NULL, 10000, NULL, NULL, &a, &body), ERR_OK);
        ck_assert_uint_eq(a.status, c ? WIRE_REFUSED : WIRE_OK);
        blob_unref(body);
        for (size_t i = 0; i < FORBIDDEN; i++) {
            wire_header h = wire_request(not_of_a_worker[i]);
            body = NULL;
            ck_assert_int_eq(
                zmq_client_call(both[c], e.bound, &h, NULL, 10000, NULL, NULL, &a, &body), ERR_OK);
            ck_assert_uint_eq(a.status, WIRE_REFUSED);
            char text[128];
            snprintf(text, sizeof text, "%.*s", (int)blob_size(body),
                     (const char *)blob_data(body));
            testing_expect_part(text, c ? "the key is of a worker, not of a scheduler"
                                        : "a worker may not ask a ps for");
            blob_unref(body);
        }
    }
    zmq_client_close(honest);
    zmq_client_close(liar);
    keyring_close(k);
    testing_echo_stop(&e);
    return NULL;
}

START_TEST(a_workers_key_gives_no_orders_whatever_its_header_says)
{
    testing_echo_run(&e, beyond_its_role, NULL);
    ck_assert_uint_eq(e.messages, 1); /* The worker's PULL. */
    ck_assert_uint_eq(testing_echo_refused(&e, REFUSED_OP), FORBIDDEN);
    ck_assert_uint_eq(testing_echo_refused(&e, REFUSED_ROLE), FORBIDDEN + 1);
}
END_TEST

static err_code pull(zmq_client *c, uint32_t ms, wire_header *a)
{
    wire_header h = wire_request(WIRE_PULL);
    blob *body = NULL;
    err_code rc = zmq_client_call(c, e.bound, &h, NULL, ms, NULL, NULL, a, &body);
    blob_unref(body);
    return rc;
}

static void *revoked_meanwhile(void *user)
{
    (void)user;
    wire_header a;
    keyring *k = testing_echo_keys("keys", WIRE_WORKER);
    zmq_client *c;
    core_peer self = {WIRE_WORKER, 0, 1};
    char *before = testing_get_text("keys/allow", NULL);
    ck_assert_int_eq(zmq_client_open(self, k, NULL, &c), ERR_OK);
    ck_assert_int_eq(pull(c, 10000, &a), ERR_OK);
    ck_assert_uint_eq(a.status, WIRE_OK);
    testing_echo_allow("keys", "worker ", NULL);
    usleep(KEYS_CHECK_US + 100000);
    ck_assert_int_eq(pull(c, 10000, &a), ERR_OK); /* On the connection that is open. */
    ck_assert_uint_eq(a.status, WIRE_REFUSED);
    ck_assert_int_eq(ask("keys", WIRE_WORKER, WIRE_PULL, 10000, &a), ERR_INVALID);
    testing_put_text("keys/allow", before);
    usleep(KEYS_CHECK_US + 100000);
    ck_assert_int_eq(pull(c, 10000, &a), ERR_OK);
    ck_assert_uint_eq(a.status, WIRE_OK);
    zmq_client_close(c);
    keyring_close(k);
    free(before);
    testing_echo_stop(&e);
    return NULL;
}

START_TEST(a_revoked_key_is_shut_out_at_once)
{
    testing_echo_run(&e, revoked_meanwhile, NULL);
    ck_assert_uint_eq(e.messages, 2);
    ck_assert_uint_eq(testing_echo_refused(&e, REFUSED_KEY), 2);
}
END_TEST

static void *while_the_table_is_broken(void *user)
{
    (void)user;
    wire_header a;
    char *before = testing_get_text("keys/allow", NULL);
    keyring *k = testing_echo_keys("keys", WIRE_WORKER);
    zmq_client *c;
    core_peer self = {WIRE_WORKER, 0, 1};
    ck_assert_int_eq(zmq_client_open(self, k, NULL, &c), ERR_OK);
    testing_put_text("keys/allow", "");
    ck_assert_int_eq(pull(c, 1500, &a), ERR_CLOSED); /* Not for good: it would say so. */
    testing_put_text("keys/allow", before);
    ck_assert_int_eq(pull(c, 15000, &a), ERR_OK);
    ck_assert_uint_eq(a.status, WIRE_OK);
    zmq_client_close(c);
    keyring_close(k);
    free(before);
    testing_echo_stop(&e);
    return NULL;
}

START_TEST(nobody_comes_in_while_the_table_is_empty)
{
    testing_echo_run(&e, while_the_table_is_broken, NULL);
    ck_assert_uint_ge(testing_echo_refused(&e, REFUSED_KEY), 1);
}
END_TEST

/* ---- A shell that calls ---- */

typedef struct caller {
    uint32_t answers;
    uint64_t sent_us;
} caller;

/* Asks again and again until it is answered. */
static uint64_t caller_step(void *core, const core_event *event, core_actions *out)
{
    caller *c = core;
    core_peer to = {WIRE_SERVER, 0, 0};
    if (event->type == CORE_MESSAGE) {
        c->answers++;
        core_exit(out, 0, "answered");
        return UINT64_MAX;
    }
    wire_header h = wire_request(WIRE_PULL);
    core_send(out, to, 0, &h, NULL);
    return event->now_us + 200000;
}

static void *call_until_answered(void *user)
{
    char bound[CORE_TEXT_MAX], why[CORE_TEXT_MAX];
    caller c = {0};
    core_host host = {.self = {WIRE_WORKER, 3, 7}, .core = &c, .step = caller_step};
    keyring *k = testing_echo_keys("keys", WIRE_WORKER);
    zmq_shell *s;
    ck_assert_int_eq(zmq_shell_open(NULL, k, &s, bound), ERR_OK);
    zmq_shell_connect(s, (core_peer){WIRE_SERVER, 0, 0}, e.bound);
    ck_assert_int_eq(zmq_shell_run(s, &host, why), 0);
    alarm(0);
    ck_assert_uint_eq(c.answers, 1);
    zmq_shell_close(s);
    keyring_close(k);
    *(bool *)user = true;
    return NULL;
}

static void *turned_away_first(void *user)
{
    (void)user;
    pthread_t thread;
    bool answered = false;
    char *before = testing_get_text("keys/allow", NULL);
    testing_echo_allow("keys", "worker ", NULL);
    ck_assert_int_eq(pthread_create(&thread, NULL, call_until_answered, &answered), 0);
    uint64_t end = clock_now_us() + 20000000;
    while (!testing_echo_refused(&e, REFUSED_KEY) && clock_now_us() < end) usleep(10000);
    testing_put_text("keys/allow", before);
    pthread_join(thread, NULL);
    ck_assert(answered);
    free(before);
    testing_echo_stop(&e);
    return NULL;
}

/* Ends a shell that is never answered. */
static uint64_t vain_step(void *core, const core_event *event, core_actions *out)
{
    caller *c = core;
    if (!c->sent_us) c->sent_us = event->now_us;
    if (event->now_us - c->sent_us >= 2500000) core_exit(out, 3, "not answered");
    return event->now_us + 200000;
}

static void *call_in_vain(void *user)
{
    (void)user;
    char bound[CORE_TEXT_MAX], why[CORE_TEXT_MAX];
    caller c = {0};
    core_host host = {.self = {WIRE_WORKER, 3, 7}, .core = &c, .step = vain_step};
    keyring *k = testing_echo_keys("other", WIRE_WORKER);
    zmq_shell *s;
    ck_assert_int_eq(zmq_shell_open(NULL, k, &s, bound), ERR_OK);
    zmq_shell_connect(s, (core_peer){WIRE_SERVER, 0, 0}, e.bound);
    ck_assert_int_eq(zmq_shell_run(s, &host, why), 3);
    alarm(0);
    zmq_shell_close(s);
    keyring_close(k);
    testing_echo_stop(&e);
    return NULL;
}

START_TEST(a_shell_with_another_servers_key_tries_ever_later)
{
    testing_echo_run(&e, call_in_vain, NULL);
    ck_assert_uint_eq(e.messages, 0);
    ck_assert_uint_ge(testing_echo_refused(&e, REFUSED_HANDSHAKE), 2);
    ck_assert_uint_le(testing_echo_refused(&e, REFUSED_HANDSHAKE), TRIES_MAX);
}
END_TEST

START_TEST(who_was_turned_away_comes_back_when_it_may)
{
    testing_echo_run(&e, turned_away_first, NULL);
    ck_assert_uint_ge(testing_echo_refused(&e, REFUSED_KEY), 1);
    ck_assert_uint_ge(e.messages, 1);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("curve");
    TCase *c = tcase_create("curve");
    tcase_set_timeout(c, 60);
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, a_key_of_the_table_is_let_in_as_what_it_is);
    tcase_add_test(c, nobody_comes_in_without_keys);
    tcase_add_test(c, nobody_comes_in_with_another_servers_key);
    tcase_add_test(c, an_unknown_key_is_turned_away);
    tcase_add_test(c, a_workers_key_gives_no_orders_whatever_its_header_says);
    tcase_add_test(c, a_revoked_key_is_shut_out_at_once);
    tcase_add_test(c, nobody_comes_in_while_the_table_is_empty);
    tcase_add_test(c, a_shell_with_another_servers_key_tries_ever_later);
    tcase_add_test(c, who_was_turned_away_comes_back_when_it_may);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
