/* Proves: handshakes that fail in a row are tried again ever later, at most 2 s apart; who does not
 * answer is told from who refuses, who is silent and who ends the handshake. */
#include "common/reach.h"

#include "testing_files.h"

#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static uint64_t wait_after(reach *r, uint64_t now_us)
{
    uint64_t at_us = reach_take(r, WATCH_BROKEN, now_us);
    return at_us ? at_us - now_us : 0;
}

START_TEST(the_first_is_left_to_libzmq_and_later_ones_wait_longer)
{
    reach r = {0};
    uint64_t now_us = 1000000, before = 0;
    ck_assert_uint_eq(wait_after(&r, now_us), 0);
    for (int i = 0; i < 12; i++, now_us += before + 1000) {
        uint64_t wait = wait_after(&r, now_us);
        ck_assert_uint_gt(wait, 0);
        ck_assert_uint_ge(wait, before);
        ck_assert_uint_le(wait, REACH_AGAIN_US);
        before = wait;
    }
    ck_assert_uint_eq(before, REACH_AGAIN_US);
}
END_TEST

START_TEST(one_that_ended_well_or_long_ago_is_no_row)
{
    reach r = {0};
    wait_after(&r, 1000000);
    ck_assert_uint_gt(wait_after(&r, 1100000), 0);
    ck_assert_uint_eq(reach_take(&r, WATCH_READY, 1200000), 0);
    ck_assert_uint_eq(wait_after(&r, 1300000), 0);
    ck_assert_uint_eq(wait_after(&r, 1300000 + REACH_ROW_US), 0); /* a partition: it timed out */
}
END_TEST

START_TEST(without_keys_more_of_them_are_left_to_libzmq)
{
    reach r = {.free_tries = REACH_KEYLESS_TRIES};
    uint64_t now_us = 1000000;
    for (int i = 0; i < REACH_KEYLESS_TRIES; i++) ck_assert_uint_eq(wait_after(&r, ++now_us), 0);
    ck_assert_uint_eq(wait_after(&r, ++now_us), REACH_FIRST_AGAIN_US);
    ck_assert_uint_eq(wait_after(&r, ++now_us), 2 * REACH_FIRST_AGAIN_US);
}
END_TEST

START_TEST(who_was_turned_away_waits)
{
    reach r = {0};
    ck_assert_uint_eq(reach_take(&r, WATCH_DENIED, 5), 5 + REACH_AGAIN_US);
    ck_assert_uint_eq(reach_take(&r, WATCH_MISMATCH, 7), 7 + REACH_AGAIN_US);
    ck_assert_uint_eq(reach_take(&r, WATCH_CONNECTED, 9), 0);
    ck_assert_uint_eq(reach_take(&r, WATCH_ENDED, 9), 0);
}
END_TEST

static void expect(const reach *r, const char *endpoint, const char *keys, const char *part)
{
    char why[CORE_TEXT_MAX];
    reach_why(r, 1000000, endpoint, keys, why);
    testing_expect_part(why, part);
}

START_TEST(what_is_wrong_is_said)
{
    reach nothing = {0}, ready = {.connected = true, .ready = true};
    reach broken = {.broken = 3, .broken_us = 900000};
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    char endpoint[64];
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&a, n), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&a, &n), 0);
    snprintf(endpoint, sizeof endpoint, "tcp://127.0.0.1:%u", ntohs(a.sin_port));
    expect(&nothing, endpoint, NULL, "the connection is refused: no process listens there");
    ck_assert_int_eq(listen(fd, 1), 0);
    expect(&nothing, endpoint, NULL, "somebody accepts the connection and says nothing");
    close(fd);
    expect(&ready, endpoint, NULL, "it is reached");
    expect(&broken, endpoint, NULL, "it wants keys (security.keys)");
    expect(&broken, endpoint, "/etc/weft/keys", "is its key that of /etc/weft/keys/peers");
    expect(&nothing, "ipc://no/such/scheduler.sock", NULL, "it is not started");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("reach");
    TCase *c = tcase_create("reach");
    tcase_add_test(c, the_first_is_left_to_libzmq_and_later_ones_wait_longer);
    tcase_add_test(c, one_that_ended_well_or_long_ago_is_no_row);
    tcase_add_test(c, without_keys_more_of_them_are_left_to_libzmq);
    tcase_add_test(c, who_was_turned_away_waits);
    tcase_add_test(c, what_is_wrong_is_said);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
