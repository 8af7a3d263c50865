/* status_client.h - talks to a running job over its status endpoint.
 *
 * Proxies of the environment are not used.  Threads: any. */
#pragma once

#include "common/config.h"
#include "common/err.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    STATUS_CLIENT_TIMEOUT_MS = 3000,
    STATUS_CLIENT_SILENT_S = 10,
    STATUS_CLIENT_BYTES_MAX = 64 << 20
};
#define STATUS_CLIENT_FILE_BYTES_MAX (UINT64_C(64) << 30)

/* The answer to a GET (POST) of `url`, NUL-terminated; *text is owned (free), NULL on errors.
 * token: sent as bearer; NULL: none.  Nothing is printed: status_client_explain does that.
 * ERR_CLOSED: nobody answers within STATUS_CLIENT_TIMEOUT_MS; ERR_INVALID: the token is not good;
 * ERR_NOT_FOUND: no such page; ERR_LIMIT: more than STATUS_CLIENT_BYTES_MAX; ERR_IO: another
 * HTTP status or a malformed URL. */
MUST_USE err_code status_client_get(const char *url, const char *token, char **text);
MUST_USE err_code status_client_post(const char *url, const char *token, char **text);
/* The same, with `json` as the body; *text is owned on ERR_OK and, the reason as a line, on
 * ERR_MISMATCH: the job refuses it. */
MUST_USE err_code status_client_send(const char *url, const char *token, const char *json,
                                     char **text);
/* The answer to a GET into the file `path`, however long that takes while it comes.  ERR_CLOSED:
 * nobody answers; ERR_CORRUPT: the answer broke off, or nothing more of it came for
 * STATUS_CLIENT_SILENT_S: what is in the file is not all.  Others are printed: ERR_IO also: the
 * file cannot be written; ERR_LIMIT: more than STATUS_CLIENT_FILE_BYTES_MAX. */
MUST_USE err_code status_client_download(const char *url, const char *token, const char *path);
/* Prints what an error of the first three means; returns it. */
err_code status_client_explain(const char *url, err_code rc);

/* The endpoint of the job that runs in c->work_dir, or, where none does or it listens
 * on every address, at the host of cluster.scheduler and the port of http.bind, and the token that
 * it takes: http.token_file, else work_dir/run/token.  Owned (free, token_free).  ERR_NOT_FOUND
 * (printed): no job is running; ERR_IO; a token: those of token_file.h. */
bool status_client_knows(const config *c); /* there is a URL */
MUST_USE err_code status_client_url(const config *c, char **url);
MUST_USE err_code status_client_token(const config *c, char **token);
/* token_file_read. */
MUST_USE err_code status_client_read_token(const char *path, char **token);
