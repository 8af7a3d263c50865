/* The client gets and posts with the token, says what failed, and finds the endpoint of a work
 * folder; the view prints a status for a person. */
#include "deploy/status_client.h"
#include "deploy/status_tables.h"

#include "common/files.h"
#include "common/http_server.h"
#include "common/mem.h"
#include "deploy/command_status.h"
#include "deploy/command_stop.h"
#include "deploy/status_view.h"
#include "testing_files.h"

#include <arpa/inet.h>
#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static const char status_text[] =
    "{\"job\": \"quick\", \"state\": \"RUNNING\", \"waiting\": {\"for\": \"push of slot 1\", "
    "\"whom\": \"worker-1\", \"since_s\": 4.1}, \"stage\": \"hgnn\", \"epoch\": 1, \"step\": 345, "
    "\"steps\": 1500, \"progress\": 0.23, \"elapsed_s\": 41.2, \"eta_s\": 137.9, "
    "\"examples_per_s\": 4287.4, \"loss\": 2.314, \"validation\": {\"metric\": \"mrr_100\", "
    "\"last\": 0.05, \"best\": 0.051, \"best_step\": 200}, \"time_share\": {\"sample\": 0.1, "
    "\"wait\": 0.9}, \"workers\": [{\"id\": \"worker-0\", \"state\": \"computing\", \"slot\": "
    "\"hgnn/1/345/1\", \"examples_per_s\": 4200.0, \"rss_bytes\": 12000000}], \"servers\": [], "
    "\"events\": [{\"time\": \"2026-01-01T00:00:00Z\", \"event\": \"join\", \"who\": \"worker-0\", "
    "\"why\": \"it came\"}]}";

static atomic_int posts;
static http_server *server;
static char url[64];

static unsigned on_post(void *user, const char *path, const char *body, char **answer)
{
    (void)user, (void)body;
    if (strcmp(path, "/api/v1/stop") != 0) return 404;
    atomic_fetch_add(&posts, 1);
    *answer = xstrdup("stopping\n");
    return 202;
}

static void setup(void)
{
    http_options o = {.bind = "127.0.0.1:0", .token = "secret-of-this-job", .on_post = on_post};
    testing_enter_folder();
    ck_assert_int_eq(http_start(&o, &server, url), ERR_OK);
    http_publish(server, "/api/v1/status", "application/json", status_text);
    ck_assert_int_eq(mkdir("work", 0700), 0);
    ck_assert_int_eq(mkdir("work/run", 0700), 0);
    testing_put_text("c.yaml", "work_dir: work\n");
}

static void teardown(void)
{
    http_stop(server);
    testing_leave_folder();
}

static void put_token(const char *path, const char *text)
{
    testing_put_text(path, text);
    ck_assert_int_eq(chmod(path, 0600), 0);
}

static void announce(void)
{
    testing_put_text("work/run/url", url);
    put_token("work/run/token", "secret-of-this-job\n");
}

static err_code get(const char *base, const char *path, char **text)
{
    char *at = xprintf("%s%s", base, path);
    err_code rc = status_client_get(at, NULL, text);
    free(at);
    return rc;
}

static err_code post(const char *path, const char *token)
{
    char *at = xprintf("%s%s", url, path), *text;
    err_code rc = status_client_post(at, token, &text);
    ck_assert((rc == ERR_OK) == (text != NULL));
    free(text);
    free(at);
    return rc;
}

START_TEST(a_page_is_got_as_it_is)
{
    char *text;
    setenv("http_proxy", "http://127.0.0.1:1", 1); /* Must not be asked. */
    ck_assert_int_eq(get(url, "/api/v1/status", &text), ERR_OK);
    ck_assert_str_eq(text, status_text);
    free(text);
}
END_TEST

static err_code download(const char *base, const char *path)
{
    char *at = xprintf("%s/file", base);
    err_code rc = status_client_download(at, NULL, path);
    free(at);
    return rc;
}

START_TEST(a_file_is_got_however_large)
{
    struct stat st;
    const off_t bytes = STATUS_CLIENT_BYTES_MAX + (off_t)12345;
    testing_put_text("large", "");
    ck_assert_int_eq(truncate("large", bytes), 0);
    http_publish_file(server, "/file", "text/plain", "large");
    ck_assert_int_eq(download(url, "got"), ERR_OK);
    ck_assert_int_eq(stat("got", &st), 0);
    ck_assert(st.st_size == bytes);
    ck_assert_int_eq(download(url, "/dev/full"), ERR_IO);
    ck_assert_int_eq(download(url, "no/folder"), ERR_IO);
    http_stop(server);
    server = NULL;
    ck_assert_int_eq(download(url, "got"), ERR_CLOSED);
}
END_TEST

/* Answers one request with less than it promises. */
static void *break_off(void *context)
{
    static const char text[] = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nnot all";
    char request[1024];
    int c = accept(*(int *)context, NULL, NULL);
    bool ok = read(c, request, sizeof request) > 0 && files_write_all(c, text, sizeof text - 1);
    close(c);
    return ok ? context : NULL;
}

START_TEST(a_file_that_breaks_off_is_none)
{
    char base[64];
    pthread_t thread;
    void *answered;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof at;
    int s = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(s, (struct sockaddr *)&at, n), 0);
    ck_assert_int_eq(listen(s, 1), 0);
    ck_assert_int_eq(getsockname(s, (struct sockaddr *)&at, &n), 0);
    snprintf(base, sizeof base, "http://127.0.0.1:%u", ntohs(at.sin_port));
    ck_assert_int_eq(pthread_create(&thread, NULL, break_off, &s), 0);
    ck_assert_int_eq(download(base, "got"), ERR_CORRUPT);
    ck_assert_int_eq(pthread_join(thread, &answered), 0);
    ck_assert_ptr_nonnull(answered);
    close(s);
}
END_TEST

START_TEST(errors_are_told_apart)
{
    char *text;
    ck_assert_int_eq(get(url, "/nowhere", &text), ERR_NOT_FOUND);
    ck_assert_ptr_null(text);
    ck_assert_int_eq(get("http://127.0.0.1:1", "/", &text), ERR_CLOSED);
    ck_assert_int_eq(get("ftp://127.0.0.1", "/", &text), ERR_IO);
    ck_assert_int_eq(get("file:///etc/passwd", "", &text), ERR_IO);
    ck_assert_int_eq(post("/api/v1/stop", NULL), ERR_INVALID);
    ck_assert_int_eq(post("/api/v1/stop", "wrong"), ERR_INVALID);
    ck_assert_int_eq(post("/api/v1/nothing", "secret-of-this-job"), ERR_NOT_FOUND);
    ck_assert_int_eq(atomic_load(&posts), 0);
    ck_assert_int_eq(post("/api/v1/stop", "secret-of-this-job"), ERR_OK);
    ck_assert_int_eq(atomic_load(&posts), 1);
}
END_TEST

START_TEST(errors_are_explained)
{
    testing_capture_start();
    err_code rc = status_client_explain("URL", ERR_CLOSED);
    testing_expect_part(testing_capture_end(), "URL: no answer");
    ck_assert_int_eq(rc, ERR_CLOSED);
    testing_capture_start();
    rc = status_client_explain("URL", ERR_INVALID);
    testing_expect_part(testing_capture_end(), "token");
    ck_assert_int_eq(rc, ERR_INVALID);
}
END_TEST

START_TEST(the_endpoint_of_a_work_folder_is_found)
{
    config *c;
    char *text;
    ck_assert_int_eq(config_load("c.yaml", NULL, 0, &c), ERR_OK);
    testing_capture_start();
    err_code rc = status_client_url(c, &text);
    testing_expect_part(testing_capture_end(), "no job with a status endpoint is running in");
    ck_assert_int_eq(rc, ERR_NOT_FOUND);
    announce();
    ck_assert_int_eq(status_client_url(c, &text), ERR_OK);
    ck_assert_str_eq(text, url);
    free(text);
    ck_assert_int_eq(status_client_token(c, &text), ERR_OK);
    ck_assert_str_eq(text, "secret-of-this-job");
    free(text);
    config_free(c);
}
END_TEST

START_TEST(a_token_that_others_can_read_is_not_used)
{
    config *c;
    char *text;
    announce();
    ck_assert_int_eq(chmod("work/run/token", 0644), 0);
    ck_assert_int_eq(config_load("c.yaml", NULL, 0, &c), ERR_OK);
    testing_capture_start();
    ck_assert_int_eq(status_client_token(c, &text), ERR_INVALID);
    testing_expect_part(testing_capture_end(), "run/token: the token has mode 0644");
    config_free(c);
}
END_TEST

START_TEST(a_configured_token_file_is_used)
{
    config *c;
    char *text;
    const char *const sets[] = {"http.token_file=mine"};
    announce();
    put_token("mine", "another-token-of-a-job\n");
    ck_assert_int_eq(config_load("c.yaml", sets, 1, &c), ERR_OK);
    ck_assert_int_eq(status_client_token(c, &text), ERR_OK);
    ck_assert_str_eq(text, "another-token-of-a-job");
    free(text);
    config_free(c);
}
END_TEST

/* With stdout in a file. */
static int run(int (*command)(int, char **), const char *option, const char *value,
               const char *more, const char *more_value, char **text)
{
    char name[] = "weft";
    char *argv[] = {name,
                    xstrdup(option),
                    xstrdup(value),
                    more ? xstrdup(more) : NULL,
                    more_value ? xstrdup(more_value) : NULL,
                    NULL};
    fflush(stdout);
    ck_assert_ptr_nonnull(freopen("stdout.txt", "w", stdout));
    int code = command(more_value ? 5 : more ? 4 : 3, argv);
    fflush(stdout);
    *text = testing_get_text("stdout.txt", NULL);
    for (size_t i = 1; i < 5; i++) free(argv[i]);
    return code;
}

START_TEST(weft_status_prints_the_json_as_it_is)
{
    char *text;
    announce();
    ck_assert_int_eq(run(command_status, "-c", "c.yaml", "--json", NULL, &text), 0);
    ck_assert_str_eq(text, status_text);
    free(text);
}
END_TEST

START_TEST(what_a_column_means_is_said)
{
    json_t *status = json_loads("{\"samplers\": [{\"id\": \"sampler-0\", \"remote_share\": "
                                "0.25}]}",
                                0, NULL);
    FILE *out = fopen("view", "w");
    status_tables_print(status, out);
    fclose(out);
    char *text = testing_get_text("view", NULL);
    testing_expect_part(text, "remote %");
    testing_expect_part(text,
                        "\nremote %: lookups of neighbours that other samplers had to answer\n");
    free(text);
    json_decref(status);
}
END_TEST

START_TEST(weft_status_prints_a_short_view)
{
    char *text, *slashed = xprintf("%s/", url);
    ck_assert_int_eq(run(command_status, "--at", slashed, NULL, NULL, &text), 0);
    testing_expect_part(text, "job      quick  RUNNING\n");
    testing_expect_part(text, "stage    hgnn  epoch 1  step 345 of 1500  23 %\n");
    testing_expect_part(text, "time     41 s so far, 2m18s left in the stage\n");
    testing_expect_part(text, "loss     2.3140\n");
    testing_expect_part(text, "valid    mrr_100 0.0500, best 0.0510 at step 200\n");
    testing_expect_part(text, "waiting  for push of slot 1 of worker-1, 4 s\n");
    testing_expect_part(text, "share    sample 10 %  wait 90 %\n");
    testing_expect_part(text, "worker    state      slot          examples/s");
    testing_expect_part(text, "worker-0  computing  hgnn/1/345/1        4200");
    testing_expect_part(text, "join         worker-0  it came\n");
    ck_assert_ptr_null(strstr(text, "server"));
    free(slashed);
    free(text);
}
END_TEST

START_TEST(weft_status_says_when_no_job_runs)
{
    char *text;
    testing_capture_start();
    int code = run(command_status, "-c", "c.yaml", NULL, NULL, &text);
    testing_expect_part(testing_capture_end(), "no job with a status endpoint is running in");
    ck_assert_int_eq(code, 1);
    free(text);
    testing_put_text("work/run/url", "http://127.0.0.1:1");
    testing_capture_start();
    code = run(command_status, "-c", "c.yaml", NULL, NULL, &text);
    testing_expect_part(testing_capture_end(), "no answer");
    ck_assert_int_eq(code, 1);
    free(text);
}
END_TEST

static const char last_text[] =
    "{\"job\": \"quick\", \"state\": \"STOPPING\", \"ended\": \"2026-01-01T00:00:00Z\", "
    "\"failure\": null, \"stopped_by\": \"weft stop\", \"stage\": \"hgnn\", \"epoch\": 1, "
    "\"step\": 345, \"steps\": 1500, \"progress\": 0.23, \"elapsed_s\": 41.2, \"eta_s\": 137.9, "
    "\"checkpoint\": {\"last\": {\"stage\": \"hgnn\", \"step\": 345, \"age_s\": 0.1, \"bytes\": "
    "2000000, \"reason\": \"stop\"}}, \"resume\": {\"stage\": \"hgnn\", \"step\": 345}, "
    "\"workers\": [{\"id\": \"worker-0\"}], \"servers\": []}";

static void expect_last(const char *option)
{
    char *text;
    ck_assert_int_eq(run(command_status, "-c", "c.yaml", option, NULL, &text), 0);
    testing_expect_part(text, "job      quick  STOPPED\n");
    testing_expect_part(text, "stage    hgnn  epoch 1  step 345 of 1500  23 %\n");
    testing_expect_part(text, "time     41 s, ended 2026-01-01T00:00:00Z\n");
    testing_expect_part(text, "saved    hgnn step 345, 2.0 MB (stop)\n");
    testing_expect_part(text, "stopped  by weft stop\n");
    testing_expect_part(text, "resume   the same command goes on from hgnn step 345\n");
    ck_assert_ptr_null(strstr(text, "failed"));
    ck_assert_ptr_null(strstr(text, "worker-0")); /* Nobody is there any more. */
    free(text);
}

START_TEST(weft_status_shows_how_a_job_ended)
{
    char *text;
    testing_put_text("work/run/last_status.json", last_text);
    expect_last(NULL);
    expect_last("--watch");
    testing_put_text("work/run/url", "http://127.0.0.1:1"); /* Left by one that was killed. */
    expect_last(NULL);
    ck_assert_int_eq(run(command_status, "-c", "c.yaml", "--json", NULL, &text), 0);
    ck_assert_str_eq(text, last_text);
    free(text);
    announce(); /* Another one runs. */
    ck_assert_int_eq(run(command_status, "-c", "c.yaml", "--json", NULL, &text), 0);
    ck_assert_str_eq(text, status_text);
    free(text);
}
END_TEST

START_TEST(what_is_no_status_is_refused)
{
    char *text;
    http_publish(server, "/api/v1/status", "text/plain", "[1, 2]");
    testing_capture_start();
    int code = run(command_status, "--at", url, NULL, NULL, &text);
    testing_expect_part(testing_capture_end(), "no status of weft");
    ck_assert_int_eq(code, 1);
    free(text);
}
END_TEST

START_TEST(weft_stop_posts_with_the_token)
{
    char *text;
    announce();
    ck_assert_int_eq(run(command_stop, "-c", "c.yaml", NULL, NULL, &text), 0);
    ck_assert_str_eq(text, "stopping\n");
    ck_assert_int_eq(atomic_load(&posts), 1);
    free(text);
    ck_assert_int_eq(run(command_stop, "--at", url, "--token-file", "work/run/token", &text), 0);
    ck_assert_int_eq(atomic_load(&posts), 2);
    free(text);
}
END_TEST

START_TEST(weft_stop_without_a_token_is_refused)
{
    char *text;
    testing_capture_start();
    int code = run(command_stop, "--at", url, NULL, NULL, &text);
    testing_expect_part(testing_capture_end(), "needs the job's token");
    ck_assert_int_eq(code, 2);
    ck_assert_int_eq(atomic_load(&posts), 0);
    free(text);
}
END_TEST

START_TEST(a_count_that_cannot_be_is_none)
{
    json_t *o =
        json_loads("{\"a\": 7, \"b\": 1e40, \"c\": -3, \"d\": \"9\", \"e\": 4294967295}", 0, NULL);
    ck_assert_uint_eq(status_view_count(o, "a"), 7);
    ck_assert_uint_eq(status_view_count(o, "b"), 0);
    ck_assert_uint_eq(status_view_count(o, "c"), 0);
    ck_assert_uint_eq(status_view_count(o, "d"), 0);
    ck_assert_uint_eq(status_view_count(o, "e"), UINT32_MAX);
    ck_assert_uint_eq(status_view_count(o, "f"), 0);
    json_decref(o);
}
END_TEST

START_TEST(durations_are_short)
{
    char text[STATUS_VIEW_DURATION_MAX];
    ck_assert_str_eq(status_view_duration(0.4, text), "0 s");
    ck_assert_str_eq(status_view_duration(99.4, text), "99 s");
    ck_assert_str_eq(status_view_duration(125, text), "2m05s");
    ck_assert_str_eq(status_view_duration(3 * 3600 + 7 * 60 + 2, text), "3h07m");
    ck_assert_str_eq(status_view_duration(2 * 86400 + 5 * 3600, text), "2d05h");
    ck_assert_str_eq(status_view_duration(-1, text), "0 s");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("status_client");
    TCase *t = tcase_create("status_client");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, a_page_is_got_as_it_is);
    tcase_add_test(t, a_file_is_got_however_large);
    tcase_add_test(t, a_file_that_breaks_off_is_none);
    tcase_add_test(t, errors_are_told_apart);
    tcase_add_test(t, errors_are_explained);
    tcase_add_test(t, the_endpoint_of_a_work_folder_is_found);
    tcase_add_test(t, a_token_that_others_can_read_is_not_used);
    tcase_add_test(t, a_configured_token_file_is_used);
    tcase_add_test(t, weft_status_prints_the_json_as_it_is);
    tcase_add_test(t, what_a_column_means_is_said);
    tcase_add_test(t, weft_status_prints_a_short_view);
    tcase_add_test(t, weft_status_says_when_no_job_runs);
    tcase_add_test(t, weft_status_shows_how_a_job_ended);
    tcase_add_test(t, what_is_no_status_is_refused);
    tcase_add_test(t, weft_stop_posts_with_the_token);
    tcase_add_test(t, weft_stop_without_a_token_is_refused);
    tcase_add_test(t, a_count_that_cannot_be_is_none);
    tcase_add_test(t, durations_are_short);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
