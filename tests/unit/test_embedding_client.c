/* Proves: against a server that misbehaves (embeddings_mock.py), texts get their own vectors, what
 * passes is tried again, bad batches are cut down to the bad text, and a stop ends it. */
#include "common/files.h"
#include "common/log.h"
#include "common/mem.h"
#include "sampler/embedding_answer.h"
#include "sampler/embedding_client.h"
#include "sampler/http_post.h"
#include "testing_files.h"

#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { DIM = 8, N = 7, SKIPPED = 77 };

static int port;
static const char *const TEXTS[N] = {"one", "two words", "", "drei", "größer", "five", "last one"};
static const char LONG_TEXT[] = "a text of more than forty characters, which is too long";

/* ---- The server ---- */

/* It ends when the write end of its standard input is closed: with this process. */
static bool start_server(void)
{
    int in[2], out[2];
    char line[16] = "";
    if (pipe(in) != 0 || pipe(out) != 0) return false;
    if (fork() == 0) {
        dup2(in[0], STDIN_FILENO);
        dup2(out[1], STDOUT_FILENO);
        close(in[1]);
        close(out[0]);
        execl("/usr/bin/python3", "python3", WEFT_SOURCE_DIR "/tests/embeddings_mock.py",
              (char *)NULL);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    for (size_t n = 0; n + 1 < sizeof line; n++) {
        if (read(out[0], line + n, 1) != 1 || line[n] == '\n') break;
    }
    close(out[0]);
    port = atoi(line);
    return port > 0;
}

static char template[64], url[128], model[] = "small", no_key[] = "";

static config scenario(const char *name)
{
    config c;
    memset(&c, 0, sizeof c);
    snprintf(url, sizeof url, "http://127.0.0.1:%d/%s/v1/embeddings", port, name);
    snprintf(template, sizeof template, "{text}");
    c.features.encoder = ENCODER_OPENAI;
    c.features.openai.url = url;
    c.features.openai.model = model;
    c.features.openai.key_file = no_key;
    c.features.openai.template = template;
    c.features.openai.batch = 64;
    c.features.openai.timeout_ms = 20000;
    c.features.openai.retries = 3;
    c.features.openai.max_chars = 8000;
    return c;
}

/* ---- Asking ---- */

static char *name_text(void *context, const char *text)
{
    (void)context;
    return xprintf("item with %.30s", text);
}

static err_code embed(const config *c, const char *const *texts, size_t n, float *out)
{
    embedding_client *e = NULL;
    ck_assert_int_eq(embedding_client_open(c, &e), ERR_OK);
    embedding_client_attach(e, name_text, NULL, NULL);
    embedding_client_set_dim(e, DIM);
    err_code rc = embedding_client_embed(e, texts, n, out);
    embedding_client_close(e);
    return rc;
}

/* What the server makes of `text`. */
static void check_row(const float *row, const char *text)
{
    size_t n = strlen(text);
    ck_assert_float_eq(row[0], (float)n);
    for (size_t k = 0; k + 1 < DIM; k++) {
        float wanted = k < n ? (float)(unsigned char)text[k] / 4 : 0;
        ck_assert_float_eq(row[k + 1], wanted);
    }
}

static void works(const config *c)
{
    float out[N * DIM];
    memset(out, 0x7f, sizeof out);
    ck_assert_int_eq(embed(c, TEXTS, N, out), ERR_OK);
    for (size_t i = 0; i < N; i++) check_row(out + i * DIM, TEXTS[i]);
}

static void scenario_works(const char *name)
{
    config c = scenario(name);
    works(&c);
}

/* Everything but the text `bad` is good; the message holds `part` and names the text. */
static void names_the_bad_text(const char *name, const char *bad, const char *part)
{
    const char *texts[N];
    float out[N * DIM];
    config c = scenario(name);
    c.features.openai.retries = 1;
    memcpy(texts, TEXTS, sizeof texts);
    texts[4] = bad;
    testing_capture_start();
    err_code rc = embed(&c, texts, N, out);
    const char *said = testing_capture_end();
    ck_assert_msg(rc == ERR_INVALID || rc == ERR_CLOSED, "%s: %d", name, rc);
    testing_expect_part(said, "item with");
    testing_expect_part(said, part);
    char wanted[128];
    snprintf(wanted, sizeof wanted, "item with %.30s: the text cannot be encoded", bad);
    testing_expect_part(said, wanted);
}

static void fails(const config *c, err_code wanted, const char *part)
{
    float out[N * DIM];
    testing_capture_start();
    err_code rc = embed(c, TEXTS, N, out);
    const char *said = testing_capture_end();
    ck_assert_msg(rc == wanted, "%s: %s", err_name(rc), said);
    testing_expect_part(said, part);
}

static void scenario_fails(const char *name, err_code wanted, const char *part)
{
    config c = scenario(name);
    c.features.openai.retries = 0;
    fails(&c, wanted, part);
}

/* How often `what` stands in the server's log of a scenario. */
static size_t count_in_log(const char *name, const char *what)
{
    char *command =
        xprintf("/usr/bin/python3 -c 'import urllib.request as u; "
                "print(u.urlopen(\"http://127.0.0.1:%d/%s/log\").read().decode())' >log.json",
                port, name);
    ck_assert_int_eq(system(command), 0);
    free(command);
    char *text = testing_get_text("log.json", NULL);
    size_t n = 0;
    for (const char *at = text; (at = strstr(at, what)) != NULL; at++) n++;
    free(text);
    return n;
}

/* ---- Cases ---- */

START_TEST(vectors_come_in_the_order_of_texts)
{
    scenario_works("fine");
    scenario_works("shuffled");
}
END_TEST

START_TEST(base64_gives_the_same_numbers)
{
    config c = scenario("fine");
    c.features.openai.base64 = true;
    works(&c);
}
END_TEST

START_TEST(requests_hold_at_most_a_batch)
{
    config c = scenario("fine");
    size_t before = count_in_log("fine", "\"model\"");
    c.features.openai.batch = 2;
    works(&c);
    ck_assert_uint_eq(count_in_log("fine", "\"model\"") - before, 3); /* 6 texts: one is empty */
}
END_TEST

START_TEST(texts_are_cut_and_put_into_the_template)
{
    config c = scenario("fine");
    const char *text = "größer";
    float row[DIM];
    snprintf(template, sizeof template, "q: {text} {text}");
    c.features.openai.max_chars = 3;
    ck_assert_int_eq(embed(&c, &text, 1, row), ERR_OK);
    check_row(row, "q: grö grö");
}
END_TEST

START_TEST(the_first_answer_says_the_width)
{
    static float row[EMBEDDING_DIM_MAX];
    config c = scenario("fine");
    embedding_client *e = NULL;
    ck_assert_int_eq(embedding_client_open(&c, &e), ERR_OK);
    ck_assert_uint_eq(embedding_client_dim(e), 0);
    ck_assert_int_eq(embedding_client_embed(e, TEXTS, 1, row), ERR_OK);
    ck_assert_uint_eq(embedding_client_dim(e), DIM);
    check_row(row, TEXTS[0]);
    embedding_client_close(e);
}
END_TEST

START_TEST(what_passes_is_tried_again)
{
    testing_capture_start();
    scenario_works("busy");
    scenario_works("loading");
    scenario_works("broken_once");
    scenario_works("cut");
    const char *said = testing_capture_end();
    testing_expect_part(said, "status=429 try=1 wait_ms=1000 why=\"Model is overloaded\"");
    testing_expect_part(said, "status=503 try=1 wait_ms=500 why=\"Loading model\"");
    testing_expect_part(said, "status=500");
}
END_TEST

START_TEST(a_server_that_asks_for_a_day_is_not_waited_for)
{
    config c = scenario("busy_for_ever");
    fails(&c, ERR_CLOSED, "HTTP 429: Model is overloaded (tried 1 times");
}
END_TEST

START_TEST(a_bad_text_is_found_and_named)
{
    names_the_bad_text("long_llama", LONG_TEXT, "HTTP 500: input (3002 tokens) is too large");
    names_the_bad_text("long_vllm", LONG_TEXT, "HTTP 400: This model's maximum context length");
    names_the_bad_text("long_tei", LONG_TEXT, "HTTP 413: Input validation error");
    names_the_bad_text("null", "bad", "number 3 of an embedding is null");
    names_the_bad_text("nan", "bad", "holds NaN");
    names_the_bad_text("large", "bad", "is not finite");
}
END_TEST

START_TEST(all_bad_texts_of_a_batch_are_named)
{
    const char *texts[] = {"one", LONG_TEXT, "three", LONG_TEXT + 2, "five"};
    float out[5 * DIM];
    config c = scenario("long_vllm");
    testing_capture_start();
    err_code rc = embed(&c, texts, 5, out);
    const char *said = testing_capture_end();
    ck_assert_int_eq(rc, ERR_INVALID);
    testing_expect_part(said, "item with a text of more");
    testing_expect_part(said, "item with text of more");
    check_row(out + 2 * DIM, texts[2]);
    check_row(out + 4 * DIM, texts[4]);
}
END_TEST

START_TEST(a_server_that_takes_few_texts_gets_few)
{
    config c = scenario("many_tei");
    float out[3 * N * DIM];
    const char *texts[3 * N];
    for (size_t i = 0; i < 3 * (size_t)N; i++) texts[i] = TEXTS[i % N];
    ck_assert_int_eq(embed(&c, texts, 3 * (size_t)N, out), ERR_OK);
    for (size_t i = 0; i < 3 * (size_t)N; i++) check_row(out + i * DIM, texts[i]);
    /* 18 texts: 18, 9 and 5 are refused; 3 and 2 pass; then none above 3 is tried: 3, 1, 3, 3, 3.
     */
    ck_assert_uint_eq(count_in_log("many_tei", "\"model\""), 10);
}
END_TEST

START_TEST(malformed_answers_are_errors)
{
    scenario_fails("short", ERR_CLOSED, "0 embeddings for 1 texts");
    scenario_fails("far", ERR_CLOSED, "no \"index\" from 0 to 0");
    scenario_fails("textual", ERR_CLOSED, "no \"index\"");
    scenario_fails("html", ERR_CLOSED, "the answer is not JSON");
    scenario_fails("values", ERR_CLOSED, "more than");
    scenario_fails("huge", ERR_CLOSED, "the answer is longer than");
}
END_TEST

START_TEST(an_index_that_comes_twice_is_sent_again_in_halves)
{
    scenario_works("double"); /* one text a request has index 0 once */
}
END_TEST

START_TEST(another_width_is_refused)
{
    config c = scenario("dims");
    c.features.openai.batch = 3;
    fails(&c, ERR_MISMATCH, "6 numbers where others have 8");
}
END_TEST

START_TEST(errors_that_do_not_pass_end_it_at_once)
{
    scenario_fails("no_model", ERR_CLOSED, "HTTP 404: model 'small' not found");
    scenario_fails("moved", ERR_CLOSED, "redirects are not followed");
    scenario_fails("keyed", ERR_CLOSED, "HTTP 401: Invalid API Key");
    ck_assert_uint_eq(count_in_log("no_model", "\"model\""), 1);
}
END_TEST

START_TEST(a_broken_server_is_not_asked_for_every_text)
{
    config c = scenario("broken");
    c.features.openai.retries = 1;
    fails(&c, ERR_CLOSED, "HTTP 500: out of  [31mmemory 'now'");
    ck_assert_uint_le(count_in_log("broken", "\"model\""), 8);
}
END_TEST

START_TEST(nobody_there_and_slow_drips_end_with_the_timeout)
{
    config c = scenario("drip");
    c.features.openai.timeout_ms = 300;
    c.features.openai.retries = 1;
    fails(&c, ERR_CLOSED, "(tried 2 times");
    snprintf(url, sizeof url, "http://127.0.0.1:1/v1/embeddings");
    fails(&c, ERR_CLOSED, "Failed to connect");
}
END_TEST

START_TEST(the_key_is_sent_and_never_printed)
{
    config c = scenario("keyed");
    char path[] = "key";
    testing_put_text(path, "s3cret-key\n");
    ck_assert_int_eq(chmod(path, 0600), 0);
    c.features.openai.key_file = path;
    works(&c);
    testing_put_text(path, "wr0ng-key\n");
    float out[N * DIM];
    testing_capture_start();
    err_code rc = embed(&c, TEXTS, N, out);
    const char *said = testing_capture_end();
    ck_assert_int_eq(rc, ERR_CLOSED);
    ck_assert_ptr_null(strstr(said, "wr0ng"));
    testing_expect_part(said, "HTTP 401");
}
END_TEST

START_TEST(a_key_file_must_be_private_and_one_word)
{
    config c = scenario("keyed");
    char path[] = "key";
    c.features.openai.key_file = path;
    fails(&c, ERR_NOT_FOUND, "key");
    testing_put_text(path, "s3cret\r\nX-Other: header");
    ck_assert_int_eq(chmod(path, 0600), 0);
    fails(&c, ERR_INVALID, "one word");
    testing_put_text(path, "s3cret-key\n");
    ck_assert_int_eq(chmod(path, 0644), 0);
    fails(&c, ERR_INVALID, "key");
}
END_TEST

static atomic_int stop;

static void *set_stop(void *arg)
{
    (void)arg;
    usleep(200000);
    atomic_store(&stop, 1);
    return NULL;
}

static void stops(const char *name)
{
    config c = scenario(name);
    float out[N * DIM];
    pthread_t thread;
    embedding_client *e = NULL;
    c.features.openai.timeout_ms = 3600000;
    c.features.openai.retries = 1000;
    atomic_store(&stop, 0);
    ck_assert_int_eq(embedding_client_open(&c, &e), ERR_OK);
    embedding_client_attach(e, NULL, NULL, &stop);
    embedding_client_set_dim(e, DIM);
    ck_assert_int_eq(pthread_create(&thread, NULL, set_stop, NULL), 0);
    ck_assert_int_eq(embedding_client_embed(e, TEXTS, N, out), ERR_STOPPED);
    pthread_join(thread, NULL);
    embedding_client_close(e);
}

START_TEST(only_addresses_of_this_machine_need_no_tls)
{
    ck_assert(!http_post_url_is_open("http://127.0.0.1:8080/v1"));
    ck_assert(!http_post_url_is_open("http://localhost/v1"));
    ck_assert(!http_post_url_is_open("https://embed.example.org/v1"));
    ck_assert(http_post_url_is_open("http://embed.example.org/v1"));
    ck_assert(http_post_url_is_open("http://127.example.org/v1"));
}
END_TEST

START_TEST(a_stop_ends_a_request_and_a_wait)
{
    stops("drip");
    stops("broken");
}
END_TEST

int main(void)
{
    if (access("/usr/bin/python3", X_OK) != 0 || !start_server()) {
        printf("SKIPPED: no python3 for the server\n");
        return SKIPPED;
    }
    Suite *s = suite_create("embedding_client");
    TCase *c = tcase_create("embedding_client");
    tcase_add_checked_fixture(c, testing_enter_folder, testing_leave_folder);
    tcase_add_test(c, vectors_come_in_the_order_of_texts);
    tcase_add_test(c, base64_gives_the_same_numbers);
    tcase_add_test(c, requests_hold_at_most_a_batch);
    tcase_add_test(c, texts_are_cut_and_put_into_the_template);
    tcase_add_test(c, the_first_answer_says_the_width);
    tcase_add_test(c, what_passes_is_tried_again);
    tcase_add_test(c, a_server_that_asks_for_a_day_is_not_waited_for);
    tcase_add_test(c, a_bad_text_is_found_and_named);
    tcase_add_test(c, all_bad_texts_of_a_batch_are_named);
    tcase_add_test(c, a_server_that_takes_few_texts_gets_few);
    tcase_add_test(c, malformed_answers_are_errors);
    tcase_add_test(c, an_index_that_comes_twice_is_sent_again_in_halves);
    tcase_add_test(c, another_width_is_refused);
    tcase_add_test(c, errors_that_do_not_pass_end_it_at_once);
    tcase_add_test(c, a_broken_server_is_not_asked_for_every_text);
    tcase_add_test(c, nobody_there_and_slow_drips_end_with_the_timeout);
    tcase_add_test(c, the_key_is_sent_and_never_printed);
    tcase_add_test(c, a_key_file_must_be_private_and_one_word);
    tcase_add_test(c, only_addresses_of_this_machine_need_no_tls);
    tcase_add_test(c, a_stop_ends_a_request_and_a_wait);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failures = srunner_ntests_failed(r);
    srunner_free(r);
    return failures ? 1 : 0;
}
