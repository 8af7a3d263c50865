#include "sampler/embedding_client.h"

#include "common/clock.h"
#include "common/hash.h"
#include "common/json.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/panic.h"
#include "common/secret_file.h"
#include "sampler/embedding_answer.h"
#include "sampler/http_post.h"
#include "sampler/text_norm.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { STOP_LOOK_MS = 50 };

struct embedding_client {
    const config *config;
    char *label; /* the URL without its query */
    http_post *http;
    const atomic_int *stop;
    embedding_name_text *name;
    void *context;
    uint32_t dim;
    size_t batch_max; /* texts of a request: the server may have refused more */
    size_t bad;       /* texts refused in this call */
    float *rows;      /* [rows_cap] of the answer */
    size_t rows_cap;
    /* Of the last request: */
    long status;
    uint64_t retry_after_s;
    char why[EMBEDDING_WHY_MAX];
};

typedef enum verdict {
    VERDICT_DONE,
    VERDICT_AGAIN,   /* may pass */
    VERDICT_SUSPECT, /* may pass; a text may be to blame */
    VERDICT_REFUSED, /* a text is to blame, or their number */
    VERDICT_FATAL,   /* neither time nor other texts will help: printed */
    VERDICT_STOPPED,
    VERDICT_NO_MEMORY
} verdict;

err_code embedding_client_open(const config *c, embedding_client **out)
{
    const char *url = c->features.openai.url, *model = c->features.openai.model;
    const char *problem = url && *url ? http_post_url_problem(url)
                                      : "is needed, such as http://127.0.0.1:8080/v1/embeddings";
    *out = NULL;
    if (problem) {
        log_user_error("features.openai.url: %s (features.encoder is openai)", problem);
        return ERR_INVALID;
    }
    if (!model || !*model) {
        log_user_error("features.openai.model: is needed: vectors are kept under that name, also "
                       "where the server ignores it (features.encoder is openai)");
        return ERR_INVALID;
    }
    embedding_client *e = xcalloc(1, sizeof *e);
    e->config = c;
    e->label = http_post_url_label(url);
    e->batch_max = c->features.openai.batch;
    if (e->batch_max > EMBEDDING_TEXTS_MAX) e->batch_max = EMBEDDING_TEXTS_MAX;
    *out = e;
    return ERR_OK;
}

void embedding_client_close(embedding_client *e)
{
    if (!e) return;
    http_post_close(e->http);
    free(e->label);
    free(e->rows);
    free(e);
}

void embedding_client_attach(embedding_client *e, embedding_name_text *name, void *context,
                             const atomic_int *stop)
{
    ASSERT(!e->http);
    e->name = name;
    e->context = context;
    e->stop = stop;
}

uint64_t embedding_client_id(const embedding_client *e)
{
    const config *c = e->config;
    uint64_t id = hash64_string("openai", c->features.openai.max_chars);
    id = hash64_string(c->features.openai.model, id);
    return hash64_string(c->features.openai.template, id);
}

uint32_t embedding_client_dim(const embedding_client *e)
{
    return e->dim;
}

void embedding_client_set_dim(embedding_client *e, uint32_t dim)
{
    ASSERT(dim >= 1 && dim <= EMBEDDING_DIM_MAX);
    e->dim = dim;
}

/* ---- The key ---- */

/* One word: a line's end in it would be another header. */
static bool is_key(const char *text)
{
    for (size_t i = 0; text[i]; i++) {
        if (text[i] <= ' ' || text[i] > '~') return false;
    }
    return *text != 0;
}

static err_code read_key(const char *path, char key[EMBEDDING_KEY_BYTES_MAX])
{
    err_code rc = secret_file_read(path, "the API key", key, EMBEDDING_KEY_BYTES_MAX);
    if (rc == ERR_LIMIT) log_user_error("%s: too long for an API key", path);
    if (rc != ERR_OK) return rc;
    size_t n = strlen(key);
    while (n > 0 && strchr(" \t\r\n", key[n - 1])) key[--n] = 0;
    if (is_key(key)) return ERR_OK;
    log_user_error("%s: an API key is one word of printable characters", path);
    return ERR_INVALID;
}

static err_code connect_once(embedding_client *e)
{
    const config *c = e->config;
    const char *url = c->features.openai.url, *path = c->features.openai.key_file;
    char key[EMBEDDING_KEY_BYTES_MAX];
    bool has_key = path && *path;
    if (e->http) return ERR_OK;
    err_code rc = has_key ? read_key(path, key) : ERR_OK;
    if (rc != ERR_OK) {
        explicit_bzero(key, sizeof key);
        return rc;
    }
    if (has_key && http_post_url_is_open(url)) {
        log_warn("embedding_key_in_clear", "url=\"%s\" why=\"http without TLS\"", e->label);
    }
    e->http = http_post_open(url, has_key ? key : NULL, c->features.openai.timeout_ms, e->stop);
    if (has_key) explicit_bzero(key, sizeof key);
    return ERR_OK;
}

/* ---- Requests ---- */

/* The bytes of the first `max` characters. */
static size_t cut(const char *text, size_t max)
{
    size_t at = 0, characters = 0;
    for (; text[at]; at++) {
        bool starts = ((unsigned char)text[at] & 0xc0) != 0x80;
        if (starts && characters++ == max) break;
    }
    return at;
}

static void put_input(const config *c, bytes_writer *out, const char *text)
{
    static const char place[] = "{text}";
    const char *at = c->features.openai.template, *found;
    size_t bytes = cut(text, c->features.openai.max_chars);
    for (; (found = strstr(at, place)) != NULL; at = found + sizeof place - 1) {
        bytes_put(out, at, (size_t)(found - at));
        bytes_put(out, text, bytes);
    }
    bytes_put(out, at, strlen(at));
}

static void put_request(const embedding_client *e, bytes_writer *out, const char *const *texts,
                        const size_t *at, size_t n)
{
    const config *c = e->config;
    bytes_writer input;
    json_writer w;
    json_init_bytes(&w, out, JSON_STYLE_COMPACT);
    json_object_begin(&w);
    json_field_string(&w, "model", c->features.openai.model);
    json_field_string(&w, "encoding_format", c->features.openai.base64 ? "base64" : "float");
    json_key(&w, "input");
    json_array_begin(&w);
    bytes_writer_init(&input);
    for (size_t i = 0; i < n; i++) {
        input.len = 0;
        put_input(c, &input, texts[at[i]]);
        json_str_n(&w, (const char *)input.data, input.len);
    }
    bytes_writer_fini(&input);
    json_array_end(&w);
    json_object_end(&w);
    err_code rc = json_finish(&w);
    ASSERT(rc == ERR_OK);
}

static bool reserve_rows(embedding_client *e, size_t n)
{
    size_t need = n * (e->dim ? e->dim : EMBEDDING_DIM_MAX);
    if (need <= e->rows_cap) return true;
    float *rows = try_realloc(e->rows, need, sizeof *rows);
    if (!rows) return false;
    e->rows = rows;
    e->rows_cap = need;
    return true;
}

static verdict fatal(const embedding_client *e, const char *hint)
{
    char code[32] = "";
    if (e->status) snprintf(code, sizeof code, "HTTP %ld: ", e->status);
    log_user_error("%s: %s%s%s", e->label, code, e->why, hint);
    return VERDICT_FATAL;
}

/* Of an answer that is no 200. */
static verdict judge_status(const embedding_client *e)
{
    switch (e->status) {
    case 400:
    case 413:
    case 422: return VERDICT_REFUSED;
    case 424:
    case 500: return VERDICT_SUSPECT;
    case 408:
    case 425:
    case 429: return VERDICT_AGAIN;
    case 401:
    case 403: return fatal(e, " (features.openai.key_file: is it the key for this server?)");
    case 404:
        return fatal(e, " (features.openai.url ends in /v1/embeddings with most servers; "
                        "features.openai.model must be known there)");
    default: break;
    }
    if (e->status >= 500) return VERDICT_AGAIN;
    return fatal(e, e->status >= 300 && e->status < 400 ? " (redirects are not followed)" : "");
}

static verdict judge_answer(embedding_client *e, const http_answer *a, size_t n)
{
    e->status = a->status;
    e->retry_after_s = a->retry_after_s;
    if (a->status != 200) {
        embedding_answer_error(a->body, a->bytes, e->why);
        return judge_status(e);
    }
    if (!reserve_rows(e, n)) return VERDICT_NO_MEMORY;
    err_code rc = embedding_answer_decode(a->body, a->bytes, n, &e->dim, e->rows, e->why);
    if (rc == ERR_OK) return VERDICT_DONE;
    if (rc != ERR_MISMATCH) return VERDICT_SUSPECT;
    return fatal(e, " (another model under the same features.openai.model? Vectors of the one "
                    "before are in the cache under that name)");
}

static verdict send_once(embedding_client *e, const char *const *texts, const size_t *at, size_t n)
{
    bytes_writer body;
    http_answer a;
    e->status = 0;
    e->retry_after_s = 0;
    bytes_writer_init(&body);
    put_request(e, &body, texts, at, n);
    err_code rc =
        http_post_send(e->http, body.data, body.len, embedding_answer_bytes_max(n, e->dim), &a);
    bytes_writer_fini(&body);
    switch (rc) {
    case ERR_OK: return judge_answer(e, &a, n);
    case ERR_STOPPED: return VERDICT_STOPPED;
    case ERR_NO_MEMORY: return VERDICT_NO_MEMORY;
    default: break;
    }
    snprintf(e->why, sizeof e->why, "%s", a.why);
    if (rc == ERR_MISMATCH) return fatal(e, " (certificates that the system trusts are taken)");
    return rc == ERR_LIMIT ? VERDICT_SUSPECT : VERDICT_AGAIN;
}

/* ---- Trying again ---- */

static bool stopped(const embedding_client *e)
{
    return e->stop && atomic_load_explicit(e->stop, memory_order_relaxed) != 0;
}

static bool sleep_ms(const embedding_client *e, uint64_t ms)
{
    uint64_t end = clock_now_us() + ms * 1000;
    const struct timespec slice = {0, STOP_LOOK_MS * 1000000L};
    while (!stopped(e) && clock_now_us() < end) nanosleep(&slice, NULL);
    return !stopped(e);
}

static uint64_t back_off_ms(const embedding_client *e, uint32_t tries)
{
    if (e->retry_after_s) return e->retry_after_s * 1000;
    uint64_t ms = EMBEDDING_BACK_OFF_MS;
    for (uint32_t i = 0; i < tries && ms < EMBEDDING_BACK_OFF_MAX_MS; i++) ms *= 2;
    return ms < EMBEDDING_BACK_OFF_MAX_MS ? ms : EMBEDDING_BACK_OFF_MAX_MS;
}

/* After the last try. */
static verdict give_up(const embedding_client *e, verdict v, uint32_t tries)
{
    char hint[96];
    if (v == VERDICT_SUSPECT) return VERDICT_SUSPECT;
    snprintf(hint, sizeof hint, " (tried %" PRIu32 " times; features.openai.retries, .timeout)",
             tries);
    return fatal(e, hint);
}

static verdict send_with_retries(embedding_client *e, const char *const *texts, const size_t *at,
                                 size_t n)
{
    uint32_t retries = e->config->features.openai.retries;
    for (uint32_t tries = 1;; tries++) {
        verdict v = send_once(e, texts, at, n);
        if (v != VERDICT_AGAIN && v != VERDICT_SUSPECT) return v;
        uint32_t tries_max = v == VERDICT_SUSPECT && n > 1 && retries > 1 ? 2 : retries + 1;
        bool too_long = e->retry_after_s > EMBEDDING_RETRY_AFTER_MAX_S;
        if (tries >= tries_max || too_long) return give_up(e, v, tries);
        uint64_t ms = back_off_ms(e, tries - 1);
        log_warn("embedding_retry",
                 "url=\"%s\" texts=%zu status=%ld try=%" PRIu32 " wait_ms=%" PRIu64 " why=\"%s\"",
                 e->label, n, e->status, tries, ms, e->why);
        if (!sleep_ms(e, ms)) return VERDICT_STOPPED;
    }
}

/* ---- Halves ---- */

static void name_bad(embedding_client *e, const char *text)
{
    char *where = e->name ? e->name(e->context, text) : NULL, code[32] = "", hint[96] = "";
    if (e->status != 200 && e->status != 0) {
        snprintf(code, sizeof code, "HTTP %ld: ", e->status);
    }
    if (*code) {
        snprintf(hint, sizeof hint,
                 "; features.openai.max_chars cuts texts to %" PRIu32 " characters",
                 e->config->features.openai.max_chars);
    }
    log_user_error("%s: the text cannot be encoded: %s%s (%s%s)", where ? where : "an item", code,
                   e->why, e->label, hint);
    free(where);
    e->bad++;
}

static err_code embed_some(embedding_client *e, const char *const *texts, const size_t *at,
                           size_t n, float *out);

/* In as many requests as batch_max asks for; a bad text does not keep the others from being looked
 * at. */
static err_code embed_all(embedding_client *e, const char *const *texts, const size_t *at, size_t n,
                          float *out)
{
    err_code rc = ERR_OK;
    for (size_t done = 0, batch; done < n; done += batch) {
        batch = n - done < e->batch_max ? n - done : e->batch_max;
        err_code some = stopped(e) ? ERR_STOPPED : embed_some(e, texts, at + done, batch, out);
        if (rc == ERR_OK || some == ERR_STOPPED) rc = some;
        if (some != ERR_OK && (some != ERR_INVALID || e->bad >= EMBEDDING_BAD_TEXTS_MAX)) break;
    }
    return rc;
}

/* The texts are good, so it was their number. */
static void learn_batch(embedding_client *e, size_t n)
{
    if (n >= e->batch_max) return;
    e->batch_max = n;
    log_info("embedding_batch", "url=\"%s\" texts=%zu why=\"the server refuses more at once\"",
             e->label, n);
}

static err_code embed_halves(embedding_client *e, const char *const *texts, const size_t *at,
                             size_t n, float *out, verdict v)
{
    size_t half = (n + 1) / 2;
    err_code first = embed_some(e, texts, at, half, out);
    if (first != ERR_OK && (first != ERR_INVALID || e->bad >= EMBEDDING_BAD_TEXTS_MAX)) {
        return first;
    }
    err_code second = embed_all(e, texts, at + half, n - half, out);
    if (first == ERR_OK && second == ERR_OK && v == VERDICT_REFUSED) learn_batch(e, half);
    return first != ERR_OK && second != ERR_STOPPED ? first : second;
}

static err_code embed_some(embedding_client *e, const char *const *texts, const size_t *at,
                           size_t n, float *out)
{
    verdict v = send_with_retries(e, texts, at, n);
    switch (v) {
    case VERDICT_DONE:
        for (size_t i = 0; i < n; i++) {
            memcpy(out + at[i] * e->dim, e->rows + i * e->dim, e->dim * sizeof *out);
        }
        return ERR_OK;
    case VERDICT_STOPPED: return ERR_STOPPED;
    case VERDICT_NO_MEMORY: return ERR_NO_MEMORY;
    case VERDICT_FATAL: return e->status == 200 ? ERR_MISMATCH : ERR_CLOSED;
    case VERDICT_REFUSED:
    case VERDICT_SUSPECT:
    case VERDICT_AGAIN: break;
    }
    if (n > 1) return embed_halves(e, texts, at, n, out, v);
    name_bad(e, texts[at[0]]);
    /* After a server's own error the others are not tried one by one. */
    return v == VERDICT_REFUSED ? ERR_INVALID : ERR_CLOSED;
}

err_code embedding_client_embed(embedding_client *e, const char *const *texts, size_t n, float *out)
{
    ASSERT(e->dim || n == 1);
    size_t *at = try_malloc(n + 1, sizeof *at), sent = 0;
    err_code rc = at ? connect_once(e) : ERR_NO_MEMORY;
    for (size_t i = 0; rc == ERR_OK && i < n; i++) {
        if (!text_norm_is_blank(texts[i])) {
            at[sent++] = i;
        } else if (e->dim) {
            memset(out + i * e->dim, 0, e->dim * sizeof *out);
        }
    }
    e->bad = 0;
    if (rc == ERR_OK) rc = embed_all(e, texts, at, sent, out);
    free(at);
    return rc;
}
