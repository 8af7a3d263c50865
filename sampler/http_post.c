#include "sampler/http_post.h"

#include "common/address.h"
#include "common/mem.h"
#include "common/version.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { CONNECT_TIMEOUT_MS = 10000, BODY_START = 65536 };

struct http_post {
    CURL *curl;
    struct curl_slist *headers;
    const atomic_int *stop;
    char *body; /* [cap] */
    size_t bytes, cap, bytes_max;
    err_code refused; /* why `take` gave up */
};

/* ---- URLs ---- */

/* Owned (curl_free); NULL: it has none. */
static char *url_part(CURLU *u, CURLUPart part)
{
    char *text = NULL;
    return curl_url_get(u, part, &text, 0) == CURLUE_OK ? text : NULL;
}

static bool has_part(CURLU *u, CURLUPart part)
{
    char *text = url_part(u, part);
    bool found = text && *text;
    curl_free(text);
    return found;
}

static CURLU *parse_url(const char *url)
{
    CURLU *u = curl_url();
    if (u && curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK) return u;
    curl_url_cleanup(u);
    return NULL;
}

const char *http_post_url_problem(const char *url)
{
    const char *problem = address_problem(ADDRESS_URL, url);
    if (problem) return problem;
    CURLU *u = parse_url(url);
    if (!u) {
        problem = "is malformed";
    } else if (has_part(u, CURLUPART_USER) || has_part(u, CURLUPART_PASSWORD)) {
        problem = "must not hold a user or password, which would be printed";
    }
    curl_url_cleanup(u);
    return problem;
}

bool http_post_url_is_open(const char *url)
{
    CURLU *u = parse_url(url);
    char *host = u ? url_part(u, CURLUPART_HOST) : NULL;
    struct in_addr v4;
    bool loopback = host && (strcmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0 ||
                             (inet_pton(AF_INET, host, &v4) == 1 && ntohl(v4.s_addr) >> 24 == 127));
    curl_free(host);
    curl_url_cleanup(u);
    return !loopback && strncasecmp(url, "http://", 7) == 0;
}

char *http_post_url_label(const char *url)
{
    return xstrndup(url, strcspn(url, "?#"));
}

/* ---- Requests ---- */

static size_t take(char *data, size_t size, size_t n, void *user)
{
    http_post *h = user;
    size_t bytes = size * n;
    if (bytes > h->bytes_max - h->bytes) {
        h->refused = ERR_LIMIT;
        return 0;
    }
    if (h->bytes + bytes > h->cap) {
        size_t cap = h->cap ? h->cap : BODY_START;
        while (cap < h->bytes + bytes) cap *= 2;
        char *grown = try_realloc(h->body, cap, 1);
        if (!grown) {
            h->refused = ERR_NO_MEMORY;
            return 0;
        }
        h->body = grown;
        h->cap = cap;
    }
    memcpy(h->body + h->bytes, data, bytes);
    h->bytes += bytes;
    return bytes;
}

static int asked_to_stop(void *user, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    const http_post *h = user;
    (void)a;
    (void)b;
    (void)c;
    (void)d;
    return h->stop && atomic_load_explicit(h->stop, memory_order_relaxed) != 0;
}

static void add_header(http_post *h, const char *line)
{
    struct curl_slist *longer = curl_slist_append(h->headers, line);
    if (longer) h->headers = longer;
}

static void set_options(http_post *h, const char *url, uint32_t timeout_ms)
{
    CURL *c = h->curl;
    long connect_ms = timeout_ms < CONNECT_TIMEOUT_MS ? (long)timeout_ms : CONNECT_TIMEOUT_MS;
    curl_easy_setopt(c, CURLOPT_URL, url);
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c, CURLOPT_PROXY, "");
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, connect_ms);
    curl_easy_setopt(c, CURLOPT_USERAGENT, "weft/" WEFT_VERSION);
    curl_easy_setopt(c, CURLOPT_HTTPHEADER, h->headers);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, h);
    curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, asked_to_stop);
    curl_easy_setopt(c, CURLOPT_XFERINFODATA, h);
}

http_post *http_post_open(const char *url, const char *bearer, uint32_t timeout_ms,
                          const atomic_int *stop)
{
    http_post *h = xcalloc(1, sizeof *h);
    h->stop = stop;
    h->curl = curl_easy_init();
    add_header(h, "Content-Type: application/json");
    add_header(h, "Expect:"); /* no round trip before a large body */
    if (bearer) {
        char *line = xprintf("Authorization: Bearer %s", bearer);
        add_header(h, line);
        explicit_bzero(line, strlen(line));
        free(line);
    }
    if (h->curl) set_options(h, url, timeout_ms);
    return h;
}

void http_post_close(http_post *h)
{
    if (!h) return;
    curl_easy_cleanup(h->curl);
    for (struct curl_slist *l = h->headers; l; l = l->next) {
        explicit_bzero(l->data, strlen(l->data));
    }
    curl_slist_free_all(h->headers);
    free(h->body);
    free(h);
}

static err_code failed(const http_post *h, CURLcode code, const char *detail, http_answer *a)
{
    if (code == CURLE_ABORTED_BY_CALLBACK) return ERR_STOPPED;
    if (h->refused == ERR_NO_MEMORY) return ERR_NO_MEMORY;
    if (h->refused == ERR_LIMIT) {
        snprintf(a->why, sizeof a->why, "the answer is longer than %zu bytes", h->bytes_max);
        return ERR_LIMIT;
    }
    snprintf(a->why, sizeof a->why, "%s", *detail ? detail : curl_easy_strerror(code));
    return code == CURLE_PEER_FAILED_VERIFICATION ? ERR_MISMATCH : ERR_CLOSED;
}

err_code http_post_send(http_post *h, const void *json, size_t bytes, size_t bytes_max,
                        http_answer *a)
{
    static char empty[1];
    char detail[CURL_ERROR_SIZE] = "";
    curl_off_t retry_after = 0;
    *a = (http_answer){0};
    if (!h->curl) return ERR_NO_MEMORY;
    h->bytes = 0;
    h->bytes_max = bytes_max;
    h->refused = ERR_OK;
    curl_easy_setopt(h->curl, CURLOPT_ERRORBUFFER, detail);
    curl_easy_setopt(h->curl, CURLOPT_POSTFIELDS, json);
    curl_easy_setopt(h->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)bytes);
    CURLcode code = curl_easy_perform(h->curl);
    curl_easy_setopt(h->curl, CURLOPT_ERRORBUFFER, NULL);
    if (code != CURLE_OK) return failed(h, code, detail, a);
    curl_easy_getinfo(h->curl, CURLINFO_RESPONSE_CODE, &a->status);
    curl_easy_getinfo(h->curl, CURLINFO_RETRY_AFTER, &retry_after);
    a->retry_after_s = retry_after > 0 ? (uint64_t)retry_after : 0;
    a->body = h->body ? h->body : empty;
    a->bytes = h->bytes;
    return ERR_OK;
}
