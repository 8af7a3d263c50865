/* Proves: pages are served as published, POSTs need the token, hostile and unknown requests get a
 * clear answer, and a non-loopback address without a token is refused. */
#include "common/http_server.h"

#include "testing_http.h"
#include "testing_network.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static unsigned posted(void *user, const char *path, const char *body, char **text)
{
    (void)body;
    snprintf(user, 64, "%s", path);
    *text = strdup("done\n");
    return 202;
}

static void talk(const char *url, const char *request, char *reply, size_t size)
{
    testing_http_talk((unsigned)atoi(strrchr(url, ':') + 1), request, reply, size);
}

START_TEST(pages_and_posts)
{
    char last[64] = "", url[64], reply[4096];
    http_server *s = NULL;
    http_options o = {
        .bind = "127.0.0.1:0", .token = "secret-of-this-job", .on_post = posted, .user = last};
    ck_assert_int_eq(http_start(&o, &s, url), ERR_OK);
    http_publish(s, "/healthz", "text/plain", "ok\n");
    http_publish(s, "/healthz", "text/plain", "fine\n");
    http_publish(s, "/", "text/html", "<p>hello");
    talk(url, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", reply, sizeof reply);
    ck_assert_ptr_nonnull(strstr(reply, "Content-Security-Policy: default-src 'none'"));
    talk(url, "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", reply, sizeof reply);
    ck_assert_ptr_nonnull(strstr(reply, "200 OK"));
    ck_assert_ptr_nonnull(strstr(reply, "fine"));
    talk(url, "GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", reply, sizeof reply);
    ck_assert_ptr_nonnull(strstr(reply, "404"));
    talk(
        url,
        "POST /api/v1/stop HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",
        reply, sizeof reply);
    ck_assert_ptr_nonnull(strstr(reply, "401"));
    ck_assert_str_eq(last, "");
    talk(url,
         "POST /api/v1/stop HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer secret-of-this-job\r\n"
         "Content-Length: 2\r\nConnection: close\r\n\r\n{}",
         reply, sizeof reply);
    ck_assert_ptr_nonnull(strstr(reply, "202"));
    ck_assert_str_eq(last, "/api/v1/stop");
    talk(url, "DELETE / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", reply, sizeof reply);
    ck_assert_ptr_nonnull(strstr(reply, "405"));
    http_stop(s);
}
END_TEST

static const char *const wrong_tokens[] = {
    "",
    "Authorization: Bearer \r\n",
    "Authorization: Bearer secret-of-this-jo\r\n",
    "Authorization: Bearer secret-of-this-job2\r\n",
    "Authorization: Bearer secret-of-this-joc\r\n",
    "Authorization: bearer secret-of-this-job\r\n",
    "Authorization: Basic secret-of-this-job\r\n",
    "Authorization: secret-of-this-job\r\n",
};

static void expect_status(const char *url, const char *line, const char *header, const char *status)
{
    char request[512], reply[4096];
    snprintf(request, sizeof request,
             "%s HTTP/1.1\r\nHost: x\r\n%sContent-Length: 0\r\nConnection: close\r\n\r\n", line,
             header);
    talk(url, request, reply, sizeof reply);
    ck_assert_msg(strstr(reply, status), "%s with \"%s\" is not %s: %s", line, header, status,
                  reply);
}

START_TEST(a_post_needs_the_token)
{
    char last[64] = "", url[64];
    http_server *s = NULL;
    http_options o = {
        .bind = "127.0.0.1:0", .token = "secret-of-this-job", .on_post = posted, .user = last};
    ck_assert_int_eq(http_start(&o, &s, url), ERR_OK);
    http_publish(s, "/", "text/plain", "page\n");
    expect_status(url, "GET /", "", "200 OK"); /* Loopback: reading is free. */
    for (size_t i = 0; i < sizeof wrong_tokens / sizeof *wrong_tokens; i++)
        expect_status(url, "POST /api/v1/stop", wrong_tokens[i], "401");
    ck_assert_str_eq(last, "");
    http_stop(s);
    o.token = NULL; /* None: nobody posts. */
    ck_assert_int_eq(http_start(&o, &s, url), ERR_OK);
    expect_status(url, "POST /api/v1/stop", wrong_tokens[1], "401");
    ck_assert_str_eq(last, "");
    http_stop(s);
    o.token = "";
    ck_assert_int_eq(http_start(&o, &s, url), ERR_INVALID);
}
END_TEST

START_TEST(a_post_that_is_too_long_is_refused_whole)
{
    char last[64] = "", url[64], reply[4096], *request = malloc(9000);
    http_server *s = NULL;
    http_options o = {
        .bind = "127.0.0.1:0", .token = "secret-of-this-job", .on_post = posted, .user = last};
    ck_assert_int_eq(http_start(&o, &s, url), ERR_OK);
    int n = snprintf(request, 9000,
                     "POST /api/v1/stop HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "
                     "secret-of-this-job\r\nContent-Length: 5000\r\nConnection: close\r\n\r\n");
    memset(request + n, 'x', 5000);
    request[n + 5000] = 0;
    talk(url, request, reply, sizeof reply);
    ck_assert_ptr_nonnull(strstr(reply, "413"));
    ck_assert_str_eq(last, "");
    http_stop(s);
    free(request);
}
END_TEST

START_TEST(elsewhere_everything_but_health_needs_the_token)
{
    static const char right[] = "Authorization: Bearer secret-of-this-job\r\n";
    static const char password[] = "Authorization: Basic bWU6c2VjcmV0LW9mLXRoaXMtam9i\r\n";
    static const char wrong_password[] = "Authorization: Basic bWU6c2VjcmV0LW9mLXRoaXMtam8=\r\n";
    static const char *const open_paths[] = {"/healthz", "/readyz", "/metrics"};
    static const char *const closed_paths[] = {"/", "/api/v1/status", "/nothing", "/healthz/../"};
    char last[64] = "", url[64], line[64];
    http_server *s = NULL;
    http_options o = {
        .bind = "0.0.0.0:0", .token = "secret-of-this-job", .on_post = posted, .user = last};
    if (!testing_network_enter()) return;
    ck_assert_int_eq(http_start(&o, &s, url), ERR_OK);
    http_publish(s, "/", "text/plain", "page\n");
    http_publish(s, "/api/v1/status", "text/plain", "page\n");
    for (size_t i = 0; i < 3; i++) {
        http_publish(s, open_paths[i], "text/plain", "ok\n");
        snprintf(line, sizeof line, "GET %s", open_paths[i]);
        expect_status(url, line, "", "200 OK");
    }
    for (size_t k = 0; k < 4; k++) {
        snprintf(line, sizeof line, "GET %s", closed_paths[k]);
        for (size_t i = 0; i < sizeof wrong_tokens / sizeof *wrong_tokens; i++)
            expect_status(url, line, wrong_tokens[i], "401");
        expect_status(url, line, right, k < 2 ? "200 OK" : "404");
    }
    /* A browser asks for the token and sends it as a password, which is good for reading only. */
    expect_status(url, "GET /", "", "WWW-Authenticate: Basic");
    expect_status(url, "GET /", password, "200 OK");
    expect_status(url, "GET /", wrong_password, "401");
    expect_status(url, "POST /api/v1/stop", password, "401");
    expect_status(url, "POST /healthz", "", "401");
    expect_status(url, "POST /api/v1/stop", right, "202");
    http_stop(s);
}
END_TEST

START_TEST(a_bad_address_is_refused)
{
    http_server *s = NULL;
    char url[64];
    http_options o = {.bind = "127.0.0.1"};
    ck_assert_int_eq(http_start(&o, &s, url), ERR_INVALID);
    o.bind = "localhost:99999";
    ck_assert_int_eq(http_start(&o, &s, url), ERR_INVALID);
    o.bind = "0.0.0.0:0";
    ck_assert_int_eq(http_start(&o, &s, url), ERR_INVALID);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("http_server");
    TCase *c = tcase_create("http_server");
    tcase_add_test(c, pages_and_posts);
    tcase_add_test(c, a_post_needs_the_token);
    tcase_add_test(c, a_post_that_is_too_long_is_refused_whole);
    tcase_add_test(c, elsewhere_everything_but_health_needs_the_token);
    tcase_add_test(c, a_bad_address_is_refused);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
