/* http_server.h - the status endpoint: whole pages published by the owner, served by libmicrohttpd.
 *
 * The owner publishes each page as text every now and then; a request is answered from the last
 * text, so that a slow or dead peer never blocks an answer.  POSTs go to one callback and always
 * need the bearer token; so does every GET but /healthz, /readyz and /metrics when the address is
 * not loopback, where a browser may also give it as the password.  Threads: http_start/stop/publish
 * by the owner; callbacks run on the server's thread. */
#pragma once

#include "common/err.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct http_server http_server;

/* A POST to `path` with a good token; `body` is the whole of it, at most 4 KiB.
 * Returns the HTTP status; *answer may be set to owned text. */
typedef unsigned http_post(void *user, const char *path, const char *body, char **answer);

typedef struct http_options {
    const char *bind;  /* "127.0.0.1:0"; port 0: any free one */
    bool health_only;  /* there are only pages that need no token: none is needed to start */
    const char *token; /* NULL: POSTs are refused */
    http_post *on_post;
    void *user;
} http_options;

/* Starts the server; writes "http://127.0.0.1:1234" into url[64].  ERR_INVALID: malformed bind, or
 * not loopback and no token.  ERR_IO: cannot bind.  *out owned: http_stop. */
MUST_USE err_code http_start(const http_options *options, http_server **out, char url[64]);
/* Replaces what GET `path` answers.  Copies the text. */
void http_publish(http_server *s, const char *path, const char *content_type, const char *text);
/* The same with an HTTP status; fresh_ms (0: for ever) later the page is out of date and answered
 * with 503: whoever publishes it hangs. */
void http_publish_status(http_server *s, const char *path, const char *content_type,
                         const char *text, unsigned status, uint32_t fresh_ms);
/* GET `path` answers with what the file holds then. */
void http_publish_file(http_server *s, const char *path, const char *content_type,
                       const char *file);
void http_stop(http_server *s); /* accepts NULL */
