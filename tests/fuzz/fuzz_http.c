/* Fuzzes the handling of HTTP requests in common/http_server.c.  libmicrohttpd is replaced by a
 * caller that hands over any method, path, authorization and body in pieces, as the library does:
 * every request gets one answer, POSTs reach the callback with the token only, and what the address
 * is decides which pages are open. */
#include "common/http_server.h"
#include "common/mem.h"
#include "common/panic.h"
#include "testing_fuzz.h"

#include <microhttpd.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_MAX = 300, BODY_MAX = 4096 };

static const char token[] = "secret";

struct MHD_Response {
    size_t bytes;
};

struct MHD_Daemon {
    MHD_AccessHandlerCallback handler;
    void *user;
    MHD_RequestCompletedCallback completed;
};

struct MHD_Connection {
    const char *authorization;
    size_t bytes; /* of the body so far */
    bool has_nul;
    unsigned status, answers;
};

/* ---- In place of libmicrohttpd ---- */

struct MHD_Daemon *MHD_start_daemon(unsigned flags, uint16_t port, MHD_AcceptPolicyCallback accept,
                                    void *accept_user, MHD_AccessHandlerCallback handler,
                                    void *user, ...)
{
    (void)flags, (void)port, (void)accept, (void)accept_user;
    struct MHD_Daemon *d = xcalloc(1, sizeof *d);
    *d = (struct MHD_Daemon){.handler = handler, .user = user};
    va_list list;
    va_start(list, user);
    for (int option; (option = va_arg(list, int)) != MHD_OPTION_END;) {
        switch (option) {
        case MHD_OPTION_SOCK_ADDR: (void)va_arg(list, void *); break;
        case MHD_OPTION_CONNECTION_LIMIT:
        case MHD_OPTION_PER_IP_CONNECTION_LIMIT:
        case MHD_OPTION_CONNECTION_TIMEOUT: (void)va_arg(list, unsigned); break;
        case MHD_OPTION_CONNECTION_MEMORY_LIMIT: (void)va_arg(list, size_t); break;
        case MHD_OPTION_NOTIFY_COMPLETED:
            d->completed = va_arg(list, MHD_RequestCompletedCallback);
            (void)va_arg(list, void *);
            break;
        default: ASSERT(!"an option that this target does not know");
        }
    }
    va_end(list);
    return d;
}

void MHD_stop_daemon(struct MHD_Daemon *d)
{
    free(d);
}

const union MHD_DaemonInfo *MHD_get_daemon_info(struct MHD_Daemon *d, enum MHD_DaemonInfoType type,
                                                ...)
{
    (void)d, (void)type;
    return NULL;
}

const char *MHD_lookup_connection_value(struct MHD_Connection *c, enum MHD_ValueKind kind,
                                        const char *key)
{
    ASSERT(kind == MHD_HEADER_KIND && strcmp(key, MHD_HTTP_HEADER_AUTHORIZATION) == 0);
    return c->authorization;
}

/* As if it had decoded them: "Basic user:password" in plain text. */
char *MHD_basic_auth_get_username_password(struct MHD_Connection *c, char **password)
{
    const char *given = c->authorization, *colon = given ? strchr(given, ':') : NULL;
    *password = NULL;
    if (!colon || strncmp(given, "Basic ", 6) != 0) return NULL;
    *password = xstrdup(colon + 1);
    return xstrndup(given + 6, (size_t)(colon - given - 6));
}

void MHD_free(void *p)
{
    free(p);
}

struct MHD_Response *MHD_create_response_from_buffer(size_t bytes, void *data,
                                                     enum MHD_ResponseMemoryMode mode)
{
    ASSERT(mode == MHD_RESPMEM_MUST_COPY && strlen(data) == bytes);
    struct MHD_Response *r = xcalloc(1, sizeof *r);
    r->bytes = bytes;
    return r;
}

enum MHD_Result MHD_add_response_header(struct MHD_Response *r, const char *name, const char *value)
{
    return r && *name && *value ? MHD_YES : MHD_NO;
}

enum MHD_Result MHD_queue_response(struct MHD_Connection *c, unsigned status,
                                   struct MHD_Response *r)
{
    ASSERT(r);
    c->status = status;
    c->answers++;
    return MHD_YES;
}

void MHD_destroy_response(struct MHD_Response *r)
{
    free(r);
}

/* ---- Requests ---- */

static uint32_t posts;

static unsigned on_post(void *user, const char *path, const char *body, char **text)
{
    (void)user;
    posts++;
    ASSERT(strlen(body) <= BODY_MAX);
    *text = xstrdup(path);
    return MHD_HTTP_ACCEPTED;
}

/* A string without a zero byte, as headers and paths are; owned. */
static char *take_text(testing_fuzz_input *in)
{
    size_t got;
    const uint8_t *p = testing_fuzz_bytes(in, testing_fuzz_number(in, 2) % TEXT_MAX, &got);
    return xstrndup((const char *)p, strnlen((const char *)p, got));
}

static char *take_authorization(testing_fuzz_input *in)
{
    switch (testing_fuzz_number(in, 1) % 4) {
    case 0: return NULL;
    case 1: return xprintf("Bearer %s", token);
    case 3: return xprintf("Basic :%s", token);
    default: return take_text(in);
    }
}

/* The handler is called once with the headers, then per piece of the body, then once more. */
static void deliver(const struct MHD_Daemon *d, struct MHD_Connection *c, const char *method,
                    const char *path, testing_fuzz_input *in)
{
    void *state = NULL;
    size_t none = 0;
    enum MHD_Result more = d->handler(d->user, c, path, method, "HTTP/1.1", NULL, &none, &state);
    uint64_t pieces = testing_fuzz_number(in, 1) % 8;
    while (more == MHD_YES && !c->answers && pieces-- && in->size) {
        size_t n;
        const uint8_t *p = testing_fuzz_bytes(in, testing_fuzz_number(in, 2), &n);
        if (!n) continue;
        char *copy = xmalloc(n); /* of its exact size */
        memcpy(copy, p, n);
        c->bytes += n;
        c->has_nul |= memchr(p, 0, n) != NULL;
        more = d->handler(d->user, c, path, method, "HTTP/1.1", copy, &n, &state);
        ASSERT(n == 0);
        free(copy);
    }
    none = 0;
    if (more == MHD_YES && !c->answers)
        more = d->handler(d->user, c, path, method, "HTTP/1.1", NULL, &none, &state);
    ASSERT(more == MHD_YES && c->answers == 1);
    d->completed(NULL, c, &state, MHD_REQUEST_TERMINATED_COMPLETED_OK);
    ASSERT(!state);
}

static void check(const struct MHD_Connection *c, const char *method, const char *path,
                  bool loopback)
{
    bool good = c->authorization && strcmp(c->authorization, "Bearer secret") == 0;
    bool is_open = strcmp(path, "/healthz") == 0;
    if (strcmp(method, "POST") == 0) {
        unsigned want = !good                 ? MHD_HTTP_UNAUTHORIZED
                        : c->bytes > BODY_MAX ? MHD_HTTP_CONTENT_TOO_LARGE
                        : c->has_nul          ? MHD_HTTP_BAD_REQUEST
                                              : MHD_HTTP_ACCEPTED;
        ASSERT(c->status == want && posts == (want == MHD_HTTP_ACCEPTED));
    } else if (strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0) {
        good = good || (c->authorization && strcmp(c->authorization, "Basic :secret") == 0);
        ASSERT(!posts && (good || loopback || is_open || c->status != MHD_HTTP_OK));
        ASSERT((c->status == MHD_HTTP_OK) <= (path[0] == '/'));
    } else {
        ASSERT(!posts && c->status == MHD_HTTP_METHOD_NOT_ALLOWED);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const methods[] = {"GET", "POST", "HEAD"};
    static const char *const paths[] = {"/", "/healthz", "/api/v1/status", "/metrics"};
    testing_fuzz_input in = {data, size};
    http_server *s;
    char url[64];
    uint64_t choice = testing_fuzz_number(&in, 1);
    bool loopback = choice & 1;
    const char *where = loopback ? "127.0.0.1:7000" : "10.0.0.1:7000";
    http_options o = {.bind = where, .token = token, .on_post = on_post};
    if (choice & 2) { /* any address */
        char *bind = take_text(&in);
        o.bind = bind;
        if (http_start(&o, &s, url) == ERR_OK) http_stop(s);
        free(bind);
        return 0;
    }
    ASSERT(http_start(&o, &s, url) == ERR_OK);
    struct MHD_Daemon *d = *(struct MHD_Daemon *const *)(const void *)s; /* its first member */
    http_publish(s, "/", "text/html", "page");
    http_publish(s, "/healthz", "text/plain", "ok\n");
    http_publish(s, "/api/v1/status", "application/json", "{}");
    char *method = choice & 4 ? take_text(&in) : xstrdup(methods[(choice >> 4) % 3]);
    char *path = choice & 8 ? take_text(&in) : xstrdup(paths[choice >> 6]);
    char *authorization = take_authorization(&in);
    struct MHD_Connection c = {.authorization = authorization};
    posts = 0;
    deliver(d, &c, method, path, &in);
    check(&c, method, path, loopback);
    free(authorization);
    free(path);
    free(method);
    http_stop(s);
    return 0;
}
