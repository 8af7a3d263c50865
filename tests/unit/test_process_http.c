/* Proves: the probes of a process say 200 or 503 for what they are asked: whether its thread comes
 * round, and whether it is of use; they need no token anywhere. */
#include "common/process_http.h"

#include "common/http_server.h"
#include "testing_files.h"
#include "testing_http.h"
#include "testing_network.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static unsigned port;

static void expect(const char *path, const char *status, const char *part)
{
    char request[128], reply[8192];
    snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
             path);
    testing_http_talk(port, request, reply, sizeof reply);
    testing_expect_part(reply, status);
    testing_expect_part(reply, part);
}

static process_http *start(const char *bind)
{
    process_http *p = NULL;
    core_peer self = {.role = WIRE_SAMPLER, .index = 3};
    testing_capture_start();
    ck_assert_int_eq(process_http_start(bind, self, &p), ERR_OK);
    const char *said = testing_capture_end(), *colon = strrchr(said, ':');
    ck_assert_ptr_nonnull(colon);
    port = (unsigned)strtoul(colon + 1, NULL, 10);
    return p;
}

START_TEST(a_process_is_healthy_before_it_is_ready)
{
    process_http *p = start("127.0.0.1:0");
    expect("/healthz", "200 OK", "ok");
    expect("/readyz", "503", "starting");
    process_http_waits(p, "waiting for the scheduler");
    expect("/readyz", "503", "waiting for the scheduler");
    process_http_turn(p, false, 0);
    expect("/healthz", "200 OK", "ok");
    expect("/readyz", "503", "not in use");
    process_http_turn(p, true, 0);
    expect("/readyz", "200 OK", "ready");
    expect("/metrics", "200 OK", "weft_process_ready{role=\"sampler\",index=\"3\"} ");
    expect("/metrics", "200 OK", "process_resident_memory_bytes ");
    expect("/", "404", "");
    process_http_self(p, (core_peer){.role = WIRE_WORKER, .index = 7});
    expect("/metrics", "200 OK", "weft_process_ready{role=\"worker\",index=\"7\"} ");
    process_http_stop(p);
}
END_TEST

START_TEST(no_address_no_probes)
{
    process_http *p = (process_http *)1;
    core_peer self = {.role = WIRE_WORKER};
    ck_assert_int_eq(process_http_start("", self, &p), ERR_OK);
    ck_assert_ptr_null(p);
    process_http_waits(p, "x");
    process_http_turn(p, true, 0);
    process_http_stop(p);
    testing_capture_start();
    ck_assert_int_eq(process_http_start("nowhere", self, &p), ERR_INVALID);
    testing_capture_end();
}
END_TEST

START_TEST(elsewhere_it_needs_no_token_and_shows_nothing_else)
{
    if (!testing_network_enter()) return;
    process_http *p = start("0.0.0.0:0");
    expect("/healthz", "200 OK", "ok");
    expect("/readyz", "503", "starting");
    expect("/api/v1/status", "401", "");
    process_http_stop(p);
}
END_TEST

START_TEST(a_page_that_is_not_renewed_goes_out_of_date)
{
    http_server *s = NULL;
    char url[64];
    http_options o = {.bind = "127.0.0.1:0"};
    ck_assert_int_eq(http_start(&o, &s, url), ERR_OK);
    port = (unsigned)strtoul(strrchr(url, ':') + 1, NULL, 10);
    http_publish_status(s, "/healthz", "text/plain", "ok\n", 200, 60000);
    expect("/healthz", "200 OK", "ok");
    http_publish_status(s, "/healthz", "text/plain", "ok\n", 200, 1);
    usleep(5000);
    expect("/healthz", "503", "hangs");
    http_stop(s);
}
END_TEST

START_TEST(a_file_is_answered_as_it_is_then)
{
    http_server *s = NULL;
    char url[64];
    http_options o = {.bind = "127.0.0.1:0"};
    ck_assert_int_eq(http_start(&o, &s, url), ERR_OK);
    port = (unsigned)strtoul(strrchr(url, ':') + 1, NULL, 10);
    http_publish_file(s, "/lines", "application/jsonl", "lines");
    expect("/lines", "404", "not there yet");
    testing_put_text("lines", "one\n");
    expect("/lines", "200 OK", "one\n");
    testing_put_text("lines", "one\ntwo\n");
    expect("/lines", "200 OK", "two\n");
    http_stop(s);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("process_http");
    TCase *c = tcase_create("process_http");
    tcase_add_checked_fixture(c, testing_enter_folder, testing_leave_folder);
    tcase_add_test(c, a_process_is_healthy_before_it_is_ready);
    tcase_add_test(c, no_address_no_probes);
    tcase_add_test(c, elsewhere_it_needs_no_token_and_shows_nothing_else);
    tcase_add_test(c, a_page_that_is_not_renewed_goes_out_of_date);
    tcase_add_test(c, a_file_is_answered_as_it_is_then);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
