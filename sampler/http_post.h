/* http_post.h - POSTs of JSON to one URL over http or https, with a bound on the answer (libcurl).
 *
 * Redirects are not followed, and proxies of the environment are not used: a key goes to the host
 * that the configuration names.  Connections are kept.  Threads: one owner. */
#pragma once

#include "common/err.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HTTP_POST_WHY_MAX = 320 };

typedef struct http_post http_post;

typedef struct http_answer {
    long status;            /* HTTP's */
    uint64_t retry_after_s; /* what the server asks for; 0: nothing */
    char *body;             /* [bytes], borrowed until the next call */
    size_t bytes;
    char why[HTTP_POST_WHY_MAX]; /* of ERR_CLOSED, ERR_MISMATCH and ERR_LIMIT */
} http_answer;

/* NULL: `url` can be used; else what is wrong with it, static. */
const char *http_post_url_problem(const char *url);
/* Whether it is http, not https, to another machine: what goes there can be read on the way. */
bool http_post_url_is_open(const char *url);
/* `url` without its query, for messages; owned. */
char *http_post_url_label(const char *url);

/* bearer: sent as Authorization; NULL: none; not borrowed.  `stop` (NULL: none), not 0: a send ends
 * soon.  owned: http_post_close. */
http_post *http_post_open(const char *url, const char *bearer, uint32_t timeout_ms,
                          const atomic_int *stop);
void http_post_close(http_post *h); /* accepts NULL; wipes the bearer */

/* ERR_OK: a whole answer, of any status.  ERR_CLOSED: none within the timeout, or cut.
 * ERR_MISMATCH: the server's certificate is not trusted.  ERR_LIMIT: more than bytes_max.
 * ERR_STOPPED.  ERR_NO_MEMORY. */
MUST_USE err_code http_post_send(http_post *h, const void *json, size_t bytes, size_t bytes_max,
                                 http_answer *a);
