/* Proves: a server's shell outlives every script of testing_attack.h run with a worker's key, and a
 * stream that never ends, with bounded memory, and goes on serving others; who goes too far is cut.
 */
#include "testing_attack.h"
#include "testing_echo.h"
#include "testing_files.h"

#include "common/clock.h"
#include "common/process.h"
#include "common/zmq_peers.h"

#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MIB = 1 << 20, GROWTH_MAX_MIB = 400, UNREAD_MAX_MIB = 32 };

#ifdef WEFT_ASAN
/* What was freed stays mapped for up to 256 MiB by default: that is not the server's memory. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "quarantine_size_mb=32";
}
#endif

static testing_echo e;

static void set_up(void)
{
    testing_enter_folder();
    testing_echo_folders();
}

/* The attacker is a process of its own: what it needs is not counted as the server's. */
typedef struct attacker {
    pid_t pid;
    int to;
} attacker;

typedef void attack(const char *endpoint, int kind);

static attacker start(attack *run, int kind)
{
    int ends[2];
    ck_assert_int_eq(pipe(ends), 0);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid > 0) {
        close(ends[0]);
        return (attacker){pid, ends[1]};
    }
    char endpoint[CORE_TEXT_MAX] = "";
    close(ends[1]);
    if (read(ends[0], endpoint, sizeof endpoint - 1) <= 0) _exit(3);
    run(endpoint, kind);
    _exit(0);
}

static attacker now;

/* Sends it off, waits for its end, and asks as an honest worker. */
static void *while_attacked(void *user)
{
    (void)user;
    int status;
    wire_header a;
    keyring *k = e.keys ? testing_echo_keys("keys", WIRE_WORKER) : NULL;
    ck_assert_int_eq(write(now.to, e.bound, strlen(e.bound)), (int)strlen(e.bound));
    close(now.to);
    ck_assert_int_eq(waitpid(now.pid, &status, 0), now.pid);
    ck_assert_int_eq(status, 0);
    ck_assert_int_eq(testing_echo_ask(&e, k, WIRE_WORKER, WIRE_PULL, 20000, &a), ERR_OK);
    ck_assert_uint_eq(a.status, e.status);
    keyring_close(k);
    testing_echo_stop(&e);
    return NULL;
}

static void survive(attack *run, int kind, bool use_keys, wire_status status)
{
    now = start(run, kind);
    testing_echo_open(&e, use_keys);
    e.status = status;
    zmq_shell_limit_unread(e.shell, UNREAD_MAX_MIB * MIB);
    uint64_t before = process_rss_bytes();
    testing_echo_run(&e, while_attacked, NULL);
    uint64_t peak = process_peak_rss_bytes();
    ck_assert_msg(peak < before + (uint64_t)GROWTH_MAX_MIB * MIB, "from %zu to %zu MiB",
                  (size_t)(before / MIB), (size_t)(peak / MIB));
}

static void with_a_workers_key(const char *endpoint, int kind)
{
    testing_attack a = {
        .endpoint = endpoint, .at = WIRE_SERVER, .rounds = 400, .generation = 1, .stage = 2};
    a.keys = testing_echo_keys("keys", WIRE_WORKER);
    if (!testing_attack_run(kind, &a)) _exit(4);
    keyring_close(a.keys);
}

START_TEST(a_server_outlives_every_script)
{
    survive(with_a_workers_key, _i, true, WIRE_OK);
    testing_echo_close(&e);
}
END_TEST

START_TEST(a_third_frame_ends_the_connection)
{
    survive(with_a_workers_key, 1, true, WIRE_OK);
    ck_assert_str_eq(testing_attack_name(1), "many frames");
    ck_assert_uint_ge(
        testing_echo_refused(&e, REFUSED_PEER) + testing_echo_refused(&e, REFUSED_QUEUE), 1);
    testing_echo_close(&e);
}
END_TEST

START_TEST(who_is_refused_too_often_is_cut)
{
    survive(with_a_workers_key, 3, true, WIRE_OK);
    ck_assert_str_eq(testing_attack_name(3), "orders");
    ck_assert_uint_ge(testing_echo_refused(&e, REFUSED_PEER), 1);
    ck_assert_uint_ge(testing_echo_refused(&e, REFUSED_OP), PEER_BAD_MAX);
    ck_assert_uint_lt(testing_echo_refused(&e, REFUSED_OP), 400); /* It was not heard to its end. */
    testing_echo_close(&e);
}
END_TEST

/* Speaks ZMTP by hand, for libzmq sends no message that is not whole: frames, and always one more.
 */
static void stream_without_end(const char *endpoint, int kind)
{
    (void)kind;
    enum { FRAME = 60000 };
    static uint8_t greeting[64] = {0xff, [9] = 0x7f, [10] = 3, [12] = 'N', 'U', 'L', 'L'};
    static const uint8_t ready[] = "\x04\x1c\x05READY\x0bSocket-Type\0\0\0\x06"
                                   "DEALER";
    static uint8_t bytes[9 + FRAME];
    struct sockaddr_in a = {.sin_family = AF_INET};
    uint8_t answer[256];
    unsigned port = 0;
    ck_assert_int_eq(sscanf(endpoint, "tcp://127.0.0.1:%u", &port), 1);
    a.sin_port = htons((uint16_t)port);
    inet_pton(AF_INET, "127.0.0.1", &a.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    ck_assert_int_eq(send(fd, greeting, sizeof greeting, 0), (int)sizeof greeting);
    ck_assert_int_eq(send(fd, ready, sizeof ready - 1, 0), (int)sizeof ready - 1);
    /* Its greeting and all of its READY: what comes earlier than that is no message yet. */
    for (ssize_t all = 0, n; all < 64 + 2 + 41; all += n) {
        n = recv(fd, answer, sizeof answer, 0);
        ck_assert_int_gt(n, 0);
    }
    bytes[0] = 3; /* long, more */
    for (int i = 0; i < 8; i++) bytes[1 + i] = (uint8_t)((uint64_t)FRAME >> (56 - 8 * i));
    uint64_t sent = 0, end = clock_now_us() + 30000000;
    while (clock_now_us() < end && sent < (uint64_t)4096 * MIB) {
        ssize_t n = send(fd, bytes, sizeof bytes, MSG_NOSIGNAL);
        if (n < 0) {
            fprintf(stderr, "cut after %u MiB\n", (unsigned)(sent / MIB));
            _exit(0);
        }
        if (n != (ssize_t)sizeof bytes) continue;
        sent += (uint64_t)n;
    }
    _exit(9);
}

START_TEST(a_message_without_end_is_cut)
{
    survive(stream_without_end, 0, false, WIRE_OK);
    ck_assert_uint_ge(testing_echo_refused(&e, REFUSED_QUEUE), 1);
    testing_echo_close(&e);
}
END_TEST

/* ---- Accounts ---- */

START_TEST(an_account_mutes_after_too_many_within_a_window)
{
    zmq_peers *p = zmq_peers_new();
    uint64_t t = 1000000000;
    for (uint32_t i = 0; i < PEER_BAD_MAX; i++)
        ck_assert(!zmq_peer_bad(zmq_peers_get(p, 0x100, t), t));
    ck_assert(!zmq_peer_is_muted(zmq_peers_get(p, 0x100, t), t));
    ck_assert(zmq_peer_bad(zmq_peers_get(p, 0x100, t), t));
    ck_assert(zmq_peer_is_muted(zmq_peers_get(p, 0x100, t), t));
    ck_assert(!zmq_peer_is_muted(zmq_peers_get(p, 0x200, t), t));
    ck_assert(!zmq_peer_bad(zmq_peers_get(p, 0x100, t), t)); /* Once. */
    t += PEER_MUTED_US;
    ck_assert(!zmq_peer_is_muted(zmq_peers_get(p, 0x100, t), t));
    ck_assert(!zmq_peer_bad(zmq_peers_get(p, 0x100, t), t));
    zmq_peers_free(p);
}
END_TEST

START_TEST(accounts_are_bounded_and_the_silent_go_first)
{
    zmq_peers *p = zmq_peers_new();
    for (uint64_t i = 0; i < 3 * PEERS_MAX; i++) {
        zmq_peers_get(p, (i + 1) << 8, 10 + i);
        zmq_peer_mute(zmq_peers_get(p, 1 << 8, 10 + i), 10 + i);
    }
    ck_assert_uint_eq(zmq_peers_count(p), PEERS_MAX);
    ck_assert(zmq_peer_is_muted(zmq_peers_get(p, 1 << 8, 20), 20)); /* It spoke last. */
    ck_assert(!zmq_peer_is_muted(zmq_peers_get(p, 2 << 8, 20), 20));
    zmq_peers_free(p);
}
END_TEST

START_TEST(answers_that_wait_are_bounded)
{
    zmq_peers *p = zmq_peers_new();
    zmq_peer *x = zmq_peers_get(p, 0x100, 1);
    peer_bytes *b = peer_bytes_ref(x->queued);
    ck_assert(zmq_peers_may_queue(p, x, PEER_QUEUED_MAX / 4));
    peer_bytes_add(b, PEER_QUEUED_MAX);
    ck_assert(!zmq_peers_may_queue(p, x, 1));
    peer_bytes_release(b, PEER_QUEUED_MAX);
    ck_assert(zmq_peers_may_queue(p, x, 1));
    peer_bytes_add(b, (size_t)1 << 50); /* Of another: more than all may have. */
    ck_assert(!zmq_peers_may_queue(p, zmq_peers_get(p, 0x200, 1), 1));
    zmq_peers_free(p); /* The bytes outlive it. */
    peer_bytes_release(b, (size_t)1 << 50);
    ck_assert_uint_eq(peer_bytes_get(b), 0);
    peer_bytes_unref(b);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("hostile");
    TCase *c = tcase_create("hostile"), *accounts = tcase_create("accounts");
    tcase_set_timeout(c, 90);
    tcase_add_checked_fixture(c, set_up, testing_leave_folder);
    tcase_add_loop_test(c, a_server_outlives_every_script, 0, TESTING_ATTACKS);
    tcase_add_test(c, a_third_frame_ends_the_connection);
    tcase_add_test(c, who_is_refused_too_often_is_cut);
    tcase_add_test(c, a_message_without_end_is_cut);
    suite_add_tcase(s, c);
    tcase_add_test(accounts, an_account_mutes_after_too_many_within_a_window);
    tcase_add_test(accounts, accounts_are_bounded_and_the_silent_go_first);
    tcase_add_test(accounts, answers_that_wait_are_bounded);
    suite_add_tcase(s, accounts);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
