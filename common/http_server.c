#include "common/http_server.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/token_file.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PAGES_MAX = 8, POST_BYTES_MAX = 4096 };

typedef struct page {
    char *path, *content_type, *text;
    unsigned status;
    uint64_t until_us; /* 0: for ever */
    bool is_file;      /* text is its path */
} page;

struct http_server {
    struct MHD_Daemon *daemon;
    bool loopback;
    char *token;
    http_post *on_post;
    void *user;
    pthread_mutex_t lock; /* guards: pages, pages_n */
    page pages[PAGES_MAX];
    size_t pages_n;
};

/* What a POST has sent so far. */
typedef struct upload {
    size_t bytes;
    bool too_long;
    char text[POST_BYTES_MAX + 1];
} upload;

/* A page is one file: it loads nothing, is framed by nobody and asks its own server only. */
static const char page_policy[] =
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

static enum MHD_Result answer(struct MHD_Connection *c, unsigned status, const char *type,
                              const char *text)
{
    struct MHD_Response *r = MHD_create_response_from_buffer(strlen(text), (void *)(uintptr_t)text,
                                                             MHD_RESPMEM_MUST_COPY);
    if (!r) return MHD_NO;
    MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    MHD_add_response_header(r, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
    if (strncmp(type, "text/html", 9) == 0)
        MHD_add_response_header(r, "Content-Security-Policy", page_policy);
    if (status == MHD_HTTP_UNAUTHORIZED) /* a browser asks for it */
        MHD_add_response_header(r, MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Basic realm=\"weft\"");
    enum MHD_Result queued = MHD_queue_response(c, status, r);
    MHD_destroy_response(r);
    return queued;
}

/* Compares in constant time, so that timing tells nothing about the token. */
static bool is_token(const http_server *s, const char *given)
{
    size_t n = strlen(s->token);
    size_t m = strlen(given);
    unsigned difference = m != n; /* The steps depend on what was given only. */
    for (size_t i = 0; i < m; i++)
        difference |= (unsigned)((unsigned char)given[i] ^ (unsigned char)s->token[i < n ? i : 0]);
    return difference == 0;
}

static bool has_token(const http_server *s, struct MHD_Connection *c)
{
    const char *given =
        MHD_lookup_connection_value(c, MHD_HEADER_KIND, MHD_HTTP_HEADER_AUTHORIZATION);
    return s->token && given && strncmp(given, "Bearer ", 7) == 0 && is_token(s, given + 7);
}

/* For reading only: a browser sends a password again for every page that posts to us. */
static bool has_password(const http_server *s, struct MHD_Connection *c)
{
    char *password = NULL, *user = MHD_basic_auth_get_username_password(c, &password);
    bool good = s->token && user && password && is_token(s, password);
    if (user) MHD_free(user);
    token_free(password);
    return good;
}

static bool is_open_path(const char *path)
{
    return strcmp(path, "/healthz") == 0 || strcmp(path, "/readyz") == 0 ||
           strcmp(path, "/metrics") == 0;
}

static enum MHD_Result answer_file(struct MHD_Connection *c, const char *path, const char *type)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct MHD_Response *r = NULL;
    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
        r = MHD_create_response_from_fd64((uint64_t)st.st_size, fd);
    if (!r && fd >= 0) close(fd);
    if (!r) return answer(c, MHD_HTTP_NOT_FOUND, "text/plain", "not there yet\n");
    MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    MHD_add_response_header(r, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
    enum MHD_Result queued = MHD_queue_response(c, MHD_HTTP_OK, r);
    MHD_destroy_response(r);
    return queued;
}

static enum MHD_Result answer_page(struct MHD_Connection *c, const page *p)
{
    if (p->until_us && clock_now_us() > p->until_us)
        return answer(c, MHD_HTTP_SERVICE_UNAVAILABLE, "text/plain", "the process hangs\n");
    return answer(c, p->status, p->content_type, p->text);
}

static enum MHD_Result on_get(http_server *s, struct MHD_Connection *c, const char *path)
{
    if (!s->loopback && !is_open_path(path) && !has_token(s, c) && !has_password(s, c))
        return answer(c, MHD_HTTP_UNAUTHORIZED, "text/plain", "a bearer token is needed\n");
    enum MHD_Result result = MHD_NO;
    bool found = false;
    char *file = NULL, *type = NULL; /* read without the lock: a disk may hang */
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < s->pages_n && !found; i++) {
        if (strcmp(s->pages[i].path, path) != 0) continue;
        found = true;
        if (!s->pages[i].is_file) {
            result = answer_page(c, &s->pages[i]);
            continue;
        }
        file = xstrdup(s->pages[i].text);
        type = xstrdup(s->pages[i].content_type);
    }
    pthread_mutex_unlock(&s->lock);
    if (file) result = answer_file(c, file, type);
    free(file);
    free(type);
    return found ? result : answer(c, MHD_HTTP_NOT_FOUND, "text/plain", "no such page\n");
}

/* A POST is answered only after its body was consumed: an earlier answer resets the connection. */
static enum MHD_Result on_upload(http_server *s, struct MHD_Connection *c, const char *path,
                                 const char *data, size_t *bytes, void **state)
{
    upload *u = *state;
    if (!u) {
        *state = xcalloc(1, sizeof *u);
        return MHD_YES;
    }
    if (*bytes) {
        size_t room = POST_BYTES_MAX - u->bytes, take = *bytes < room ? *bytes : room;
        u->too_long = u->too_long || take < *bytes;
        memcpy(u->text + u->bytes, data, take);
        u->bytes += take;
        *bytes = 0;
        return MHD_YES;
    }
    if (!has_token(s, c))
        return answer(c, MHD_HTTP_UNAUTHORIZED, "text/plain", "a bearer token is needed\n");
    if (u->too_long)
        return answer(c, MHD_HTTP_CONTENT_TOO_LARGE, "text/plain", "more than 4096 bytes\n");
    if (strlen(u->text) != u->bytes)
        return answer(c, MHD_HTTP_BAD_REQUEST, "text/plain", "a body has no NUL\n");
    if (!s->on_post) return answer(c, MHD_HTTP_NOT_FOUND, "text/plain", "nothing to post here\n");
    char *text = NULL;
    unsigned status = s->on_post(s->user, path, u->text, &text);
    enum MHD_Result result = answer(c, status, "text/plain", text ? text : "ok\n");
    free(text);
    return result;
}

static enum MHD_Result on_request(void *user, struct MHD_Connection *c, const char *path,
                                  const char *method, const char *version, const char *data,
                                  size_t *bytes, void **state)
{
    (void)version;
    http_server *s = user;
    if (strcmp(method, "POST") == 0) return on_upload(s, c, path, data, bytes, state);
    if (strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0) return on_get(s, c, path);
    return answer(c, MHD_HTTP_METHOD_NOT_ALLOWED, "text/plain", "GET or POST\n");
}

static void on_completed(void *user, struct MHD_Connection *c, void **state,
                         enum MHD_RequestTerminationCode why)
{
    (void)user, (void)c, (void)why;
    free(*state);
    *state = NULL;
}

static err_code parse_bind(const char *text, struct sockaddr_in *out)
{
    char host[64];
    const char *colon = strrchr(text, ':');
    char *end;
    if (!colon || (size_t)(colon - text) >= sizeof host) goto bad;
    memcpy(host, text, (size_t)(colon - text));
    host[colon - text] = 0;
    unsigned long port = strtoul(colon + 1, &end, 10);
    *out = (struct sockaddr_in){.sin_family = AF_INET};
    if (colon[1] == 0 || *end || port > 65535) goto bad;
    if (inet_pton(AF_INET, host, &out->sin_addr) != 1) goto bad;
    out->sin_port = htons((uint16_t)port);
    return ERR_OK;
bad:
    log_user_error("http.bind: \"%s\" is not address:port", text);
    return ERR_INVALID;
}

static void page_fini(page *p)
{
    free(p->path);
    free(p->content_type);
    free(p->text);
}

static void server_free(http_server *s)
{
    for (size_t i = 0; i < s->pages_n; i++) page_fini(&s->pages[i]);
    pthread_mutex_destroy(&s->lock);
    token_free(s->token);
    free(s);
}

err_code http_start(const http_options *o, http_server **out, char url[64])
{
    struct sockaddr_in address;
    err_code rc = parse_bind(o->bind, &address);
    if (rc != ERR_OK) return rc;
    bool loopback = (ntohl(address.sin_addr.s_addr) >> 24) == 127;
    if (!loopback && !o->token && !o->health_only) {
        log_user_error("http.bind: %s is not loopback: http.token_file is needed", o->bind);
        return ERR_INVALID;
    }
    if (o->token && !o->token[0]) {
        log_user_error("http.token_file: the token is empty");
        return ERR_INVALID;
    }
    http_server *s = xcalloc(1, sizeof *s);
    s->loopback = loopback;
    s->token = o->token ? xstrdup(o->token) : NULL;
    s->on_post = o->on_post;
    s->user = o->user;
    pthread_mutex_init(&s->lock, NULL);
    s->daemon = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD, ntohs(address.sin_port), NULL, NULL, on_request, s,
        MHD_OPTION_SOCK_ADDR, &address, MHD_OPTION_CONNECTION_LIMIT, 64u,
        MHD_OPTION_PER_IP_CONNECTION_LIMIT, 32u, MHD_OPTION_CONNECTION_TIMEOUT, 5u,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)16384, MHD_OPTION_NOTIFY_COMPLETED,
        on_completed, NULL, MHD_OPTION_END);
    if (!s->daemon) {
        log_user_error("http.bind: cannot listen on %s: %s", o->bind, strerror(errno));
        server_free(s);
        return ERR_IO;
    }
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_BIND_PORT);
    char host[INET_ADDRSTRLEN];
    inet_ntop(AF_INET, &address.sin_addr, host, sizeof host);
    snprintf(url, 64, "http://%s:%u", host, info ? (unsigned)info->port : 0u);
    *out = s;
    return ERR_OK;
}

void http_publish(http_server *s, const char *path, const char *content_type, const char *text)
{
    http_publish_status(s, path, content_type, text, MHD_HTTP_OK, 0);
}

/* Puts `now` in the place of what was at its path; takes its texts. */
static void replace_page(http_server *s, page now)
{
    pthread_mutex_lock(&s->lock);
    size_t i = 0;
    while (i < s->pages_n && strcmp(s->pages[i].path, now.path) != 0) i++;
    if (i < PAGES_MAX) {
        page old = s->pages[i];
        s->pages[i] = now;
        now = old;
        if (i == s->pages_n) s->pages_n++;
    }
    pthread_mutex_unlock(&s->lock);
    page_fini(&now);
}

void http_publish_status(http_server *s, const char *path, const char *content_type,
                         const char *text, unsigned status, uint32_t fresh_ms)
{
    page now = {.path = xstrdup(path),
                .content_type = xstrdup(content_type),
                .text = xstrdup(text),
                .status = status,
                .until_us = fresh_ms ? clock_now_us() + fresh_ms * UINT64_C(1000) : 0};
    replace_page(s, now);
}

void http_publish_file(http_server *s, const char *path, const char *content_type, const char *file)
{
    page now = {.path = xstrdup(path),
                .content_type = xstrdup(content_type),
                .text = xstrdup(file),
                .is_file = true};
    replace_page(s, now);
}

void http_stop(http_server *s)
{
    if (!s) return;
    MHD_stop_daemon(s->daemon);
    server_free(s);
}
