/* Proves: pages are served as published, POSTs need the token, hostile and unknown requests get a clear
 * answer, and a non-loopback address without a token is refused. */
#include "common/http_server.h"

#include <arpa/inet.h>
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
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
    struct sockaddr_in a = {.sin_family = AF_INET};
    a.sin_port = htons((uint16_t)atoi(strrchr(url, ':') + 1));
    inet_pton(AF_INET, "127.0.0.1", &a.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    ck_assert_int_eq(send(fd, request, strlen(request), 0), (int)strlen(request));
    size_t n = 0;
    for (ssize_t got; n + 1 < size && (got = recv(fd, reply + n, size - n - 1, 0)) > 0;)
        n += (size_t)got;
    reply[n] = 0;
    close(fd);
}

START_TEST(pages_and_posts)
{
    char last[64] = "", url[64], reply[4096];
    http_server *s = NULL;
    http_options o = {.bind = "127.0.0.1:0", .token = "secret", .on_post = posted, .user = last};
    ck_assert_int_eq(http_start(&o, &s, url), ERR_OK);
    http_publish(s, "/healthz", "text/plain", "ok\n");
    http_publish(s, "/healthz", "text/plain", "fine\n");
    talk(url, "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", reply, sizeof reply);
    ck_assert_ptr_nonnull(strstr(reply, "200 OK"));
    ck_assert_ptr_nonnull(strstr(reply, "fine"));
    talk(url, "GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", reply, sizeof reply);
    ck_assert_ptr_nonnull(strstr(reply, "404"));
    talk(url, "POST /api/v1/stop HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",
         reply, sizeof reply);
    ck_assert_ptr_nonnull(strstr(reply, "401"));
    ck_assert_str_eq(last, "");
    talk(url,
         "POST /api/v1/stop HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer secret\r\n"
         "Content-Length: 2\r\nConnection: close\r\n\r\n{}",
         reply, sizeof reply);
    ck_assert_ptr_nonnull(strstr(reply, "202"));
    ck_assert_str_eq(last, "/api/v1/stop");
    talk(url, "DELETE / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", reply, sizeof reply);
    ck_assert_ptr_nonnull(strstr(reply, "405"));
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
    tcase_add_test(c, a_bad_address_is_refused);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
