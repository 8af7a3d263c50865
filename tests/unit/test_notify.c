/* Proves: a service manager is told what it should be and when - ready once, alive only while work
 * gets on, a changed status in one line - and nothing happens where there is none. */
#include "common/notify.h"

#include "testing_files.h"

#include <check.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { SECOND = 1000000 };

static notify_state state;
static char text[NOTIFY_TEXT_MAX];

static const char *next(uint64_t now_us, bool ready, uint64_t busy_since_us, const char *status)
{
    notify_health h = {.ready = ready, .busy_since_us = busy_since_us};
    strcpy(h.status, status);
    notify_next(&state, now_us, &h, text);
    return text;
}

static void set_up(void)
{
    state = (notify_state){.watchdog_us = 4 * SECOND};
}

START_TEST(ready_is_said_once)
{
    ck_assert_str_eq(next(10 * SECOND, false, 0, ""), "");
    ck_assert_str_eq(next(11 * SECOND, true, 0, ""), "READY=1\nWATCHDOG=1");
    ck_assert_str_eq(next(11 * SECOND + 1, true, 0, ""), "");
    ck_assert_str_eq(next(12 * SECOND, true, 0, ""), "WATCHDOG=1");
}
END_TEST

START_TEST(who_is_not_ready_does_not_feed_the_watchdog)
{
    ck_assert_str_eq(next(10 * SECOND, false, 0, ""), "");
    ck_assert_str_eq(next(99 * SECOND, false, 0, ""), "");
}
END_TEST

START_TEST(without_a_watchdog_nobody_feeds_it)
{
    state.watchdog_us = 0;
    ck_assert_str_eq(next(10 * SECOND, true, 0, ""), "READY=1");
    ck_assert_str_eq(next(99 * SECOND, true, 0, ""), "");
}
END_TEST

START_TEST(work_that_does_not_end_stops_the_feeding)
{
    next(10 * SECOND, true, 0, "");
    ck_assert_str_eq(next(11 * SECOND, true, 10 * SECOND + 5, ""), "WATCHDOG=1"); /* begun since */
    ck_assert_str_eq(next(12 * SECOND, true, 10 * SECOND + 5, ""), "");
    ck_assert_str_eq(next(99 * SECOND, true, 10 * SECOND + 5, ""), "");
    ck_assert_str_eq(next(100 * SECOND, true, 99 * SECOND, ""), "WATCHDOG=1"); /* the next one */
    ck_assert_str_eq(next(101 * SECOND, true, 0, ""), "WATCHDOG=1");
}
END_TEST

START_TEST(a_status_is_said_where_it_changed)
{
    state.watchdog_us = 0;
    ck_assert_str_eq(next(10 * SECOND, false, 0, "waiting"), "STATUS=waiting");
    ck_assert_str_eq(next(10 * SECOND + 1, true, 0, "at work"), "READY=1\nSTATUS=at work");
    ck_assert_str_eq(next(10 * SECOND + 2, true, 0, "step 2"), ""); /* not more than one a second */
    ck_assert_str_eq(next(12 * SECOND, true, 0, "step 9"), "STATUS=step 9");
    ck_assert_str_eq(next(14 * SECOND, true, 0, "step 9"), "");
}
END_TEST

START_TEST(a_status_stays_one_line)
{
    state.watchdog_us = 0;
    ck_assert_str_eq(next(10 * SECOND, false, 0, "a\nREADY=1"), "STATUS=a READY=1");
}
END_TEST

/* ---- The socket ---- */

static int manager = -1;

static void listen_at(struct sockaddr_un *to, socklen_t size)
{
    manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    ck_assert_int_eq(bind(manager, (struct sockaddr *)to, size), 0);
}

static const char *heard(void)
{
    ssize_t n = recv(manager, text, sizeof text - 1, 0);
    text[n > 0 ? n : 0] = 0;
    return text;
}

static void watched_by(const char *socket_name, const char *pid)
{
    setenv("NOTIFY_SOCKET", socket_name, 1);
    setenv("WATCHDOG_USEC", "4000000", 1);
    setenv("WATCHDOG_PID", pid, 1);
}

START_TEST(a_manager_is_told_from_the_start_to_the_end)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    char own[16];
    snprintf(own, sizeof own, "%d", (int)getpid());
    testing_enter_folder();
    char *here = getcwd(NULL, 0);
    snprintf(to.sun_path, sizeof to.sun_path, "%.80s/notify", here);
    free(here);
    listen_at(&to, sizeof to);
    watched_by(to.sun_path, own);
    notify_waiting("waiting for the scheduler", 60 * SECOND);
    ck_assert_str_eq(heard(), "EXTEND_TIMEOUT_USEC=60000000\nSTATUS=waiting for the scheduler");
    notify_health h = {.ready = true, .status = "at work"};
    notify_update(10 * SECOND, &h);
    ck_assert_str_eq(heard(), "READY=1\nWATCHDOG=1\nSTATUS=at work");
    notify_stopping("bye");
    ck_assert_str_eq(heard(), "STOPPING=1\nSTATUS=bye");
    notify_stopping("again");
    notify_update(99 * SECOND, &h); /* the manager waits for the end now */
    ck_assert_str_eq(heard(), "");
    testing_leave_folder();
}
END_TEST

START_TEST(an_abstract_socket_is_one_too)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    char name[64];
    snprintf(name, sizeof name, "@weft-test-%d", (int)getpid());
    memcpy(to.sun_path + 1, name + 1, strlen(name) - 1);
    listen_at(&to, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name)));
    watched_by(name, "1"); /* the watchdog is another process' */
    notify_health h = {.ready = true};
    notify_update(10 * SECOND, &h);
    ck_assert_str_eq(heard(), "READY=1");
}
END_TEST

START_TEST(without_a_manager_nothing_happens)
{
    unsetenv("NOTIFY_SOCKET");
    notify_health h = {.ready = true};
    notify_update(10 * SECOND, &h);
    notify_waiting("x", 1);
    notify_stopping("x");
}
END_TEST

START_TEST(a_manager_that_is_gone_does_no_harm)
{
    watched_by("/nonexistent/notify", "1");
    notify_health h = {.ready = true};
    notify_update(10 * SECOND, &h);
    notify_stopping("x");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("notify");
    TCase *c = tcase_create("messages");
    tcase_add_checked_fixture(c, set_up, NULL);
    tcase_add_test(c, ready_is_said_once);
    tcase_add_test(c, who_is_not_ready_does_not_feed_the_watchdog);
    tcase_add_test(c, without_a_watchdog_nobody_feeds_it);
    tcase_add_test(c, work_that_does_not_end_stops_the_feeding);
    tcase_add_test(c, a_status_is_said_where_it_changed);
    tcase_add_test(c, a_status_stays_one_line);
    suite_add_tcase(s, c);
    c = tcase_create("socket");
    tcase_add_test(c, a_manager_is_told_from_the_start_to_the_end);
    tcase_add_test(c, an_abstract_socket_is_one_too);
    tcase_add_test(c, without_a_manager_nothing_happens);
    tcase_add_test(c, a_manager_that_is_gone_does_no_harm);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
