#include "deploy/status_client.h"

#include "common/bytes.h"
#include "common/files.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/token_file.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_BYTES_MAX = 4096 };

static size_t take(char *data, size_t size, size_t n, void *user)
{
    bytes_writer *w = user;
    if (w->len + size * n > STATUS_CLIENT_BYTES_MAX) return 0;
    bytes_put(w, data, size * n);
    return size * n;
}

static err_code code_of(CURLcode rc, long status)
{
    if (rc == CURLE_WRITE_ERROR) return ERR_LIMIT;
    if (rc == CURLE_URL_MALFORMAT || rc == CURLE_UNSUPPORTED_PROTOCOL) return ERR_IO;
    if (rc != CURLE_OK) return ERR_CLOSED;
    if (status >= 200 && status < 300) return ERR_OK;
    if (status == 401 || status == 403) return ERR_INVALID;
    return status == 404 ? ERR_NOT_FOUND : ERR_IO;
}

static struct curl_slist *headers_of(const char *token)
{
    if (!token) return NULL;
    char *line = xprintf("Authorization: Bearer %s", token);
    struct curl_slist *list = curl_slist_append(NULL, line);
    token_free(line);
    return list;
}

static void wipe(struct curl_slist *headers)
{
    for (; headers; headers = headers->next) explicit_bzero(headers->data, strlen(headers->data));
}

/* What every request has; the caller keeps `headers` until it is over. */
static void set_common(CURL *c, const char *url, struct curl_slist *headers)
{
    curl_easy_setopt(c, CURLOPT_URL, url);
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
}

/* Ends with the connection and the headers. */
static CURLcode perform(CURL *c, struct curl_slist *headers, long *status)
{
    CURLcode rc = curl_easy_perform(c);
    curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, status);
    curl_easy_cleanup(c);
    wipe(headers);
    curl_slist_free_all(headers);
    return rc;
}

/* body: of a POST; NULL: a GET.  *status: HTTP's, 0 without an answer. */
static err_code request(const char *url, const char *token, const char *body, char **text,
                        long *status)
{
    bytes_writer w;
    CURL *c = curl_easy_init();
    *text = NULL;
    *status = 0;
    if (!c) return ERR_IO;
    struct curl_slist *headers = headers_of(token);
    bytes_writer_init(&w);
    set_common(c, url, headers);
    curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)STATUS_CLIENT_TIMEOUT_MS);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, &w);
    if (body) curl_easy_setopt(c, CURLOPT_POSTFIELDS, body);
    CURLcode rc = perform(c, headers, status);
    bytes_put_u8(&w, 0);
    *text = (char *)w.data;
    return code_of(rc, *status);
}

/* Without an error the answer is of use. */
static err_code keep_answer(err_code rc, char **text)
{
    if (rc != ERR_OK) {
        free(*text);
        *text = NULL;
    }
    return rc;
}

err_code status_client_get(const char *url, const char *token, char **text)
{
    long status;
    return keep_answer(request(url, token, NULL, text, &status), text);
}

err_code status_client_post(const char *url, const char *token, char **text)
{
    long status;
    return keep_answer(request(url, token, "", text, &status), text);
}

err_code status_client_send(const char *url, const char *token, const char *json, char **text)
{
    enum { HTTP_BAD_REQUEST = 400 };
    long status;
    err_code rc = request(url, token, json, text, &status);
    if (rc == ERR_IO && status == HTTP_BAD_REQUEST) return ERR_MISMATCH;
    return keep_answer(rc, text);
}

/* ---- Files ---- */

typedef struct download {
    FILE *file;
    uint64_t bytes;
    int error; /* errno of a write that failed; 0: none */
} download;

static size_t take_to_file(char *data, size_t size, size_t n, void *user)
{
    download *d = user;
    if (d->bytes + size * n > STATUS_CLIENT_FILE_BYTES_MAX) return 0;
    if (fwrite(data, 1, size * n, d->file) != size * n) {
        d->error = errno;
        return 0;
    }
    d->bytes += size * n;
    return size * n;
}

static err_code download_to(download *d, const char *url, const char *token)
{
    long status = 0;
    CURL *c = curl_easy_init();
    if (!c) return ERR_IO;
    struct curl_slist *headers = headers_of(token);
    set_common(c, url, headers);
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, (long)STATUS_CLIENT_TIMEOUT_MS);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, (long)STATUS_CLIENT_SILENT_S);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take_to_file);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, d);
    CURLcode rc = perform(c, headers, &status);
    bool broke_off = rc != CURLE_OK && rc != CURLE_WRITE_ERROR && status;
    return broke_off ? ERR_CORRUPT : code_of(rc, status);
}

err_code status_client_download(const char *url, const char *token, const char *path)
{
    download d = {.file = fopen(path, "wbe")};
    err_code rc = ERR_IO;
    if (d.file) {
        rc = download_to(&d, url, token);
        if (fclose(d.file) != 0 && !d.error) d.error = errno;
    } else {
        d.error = errno;
    }
    if (d.error) {
        log_user_error("%s: %s", path, strerror(d.error));
        return ERR_IO;
    }
    return rc == ERR_CLOSED || rc == ERR_CORRUPT ? rc : status_client_explain(url, rc);
}

err_code status_client_explain(const char *url, err_code rc)
{
    switch (rc) {
    case ERR_OK: break;
    case ERR_CLOSED: log_user_error("%s: no answer: is the job still running?", url); break;
    case ERR_INVALID: log_user_error("%s: the token is missing or not the job's", url); break;
    case ERR_NOT_FOUND:
        log_user_error("%s: no such page: not a status endpoint of weft", url);
        break;
    case ERR_LIMIT: log_user_error("%s: the answer is too long", url); break;
    default: log_user_error("%s: no proper URL, or an error there", url); break;
    }
    return rc;
}

static err_code read_line(const char *path, char **out)
{
    size_t bytes;
    err_code rc = files_read(path, LINE_BYTES_MAX, out, &bytes);
    if (rc == ERR_OK) (*out)[strcspn(*out, "\r\n")] = '\0';
    return rc;
}

typedef err_code read_function(const char *path, char **out);

/* A file of the scheduler's in work_dir/run. */
static err_code read_run_file(const config *c, const char *name, read_function *read, char **out)
{
    char *path = xprintf("%s/run/%s", c->work_dir, name);
    err_code rc = ERR_NOT_FOUND;
    *out = NULL;
    if (files_exist(path)) {
        rc = read(path, out);
    } else {
        log_user_error("no job with a status endpoint is running in %s (there is no run/%s; "
                       "--in-process has none)",
                       c->work_dir, name);
    }
    free(path);
    return rc;
}

/* Of a scheduler that may be elsewhere: its host by cluster.scheduler, its port by http.bind;
 * owned.  NULL: they do not say. */
static char *url_by_address(const config *c)
{
    char host[256], port[16], http[16];
    if (sscanf(c->cluster.scheduler, "tcp://%255[^:]:%15s", host, port) != 2) return NULL;
    const char *colon = strrchr(c->http.bind, ':');
    if (!colon || sscanf(colon, ":%15[0-9]", http) != 1 || strcmp(http, "0") == 0) return NULL;
    return xprintf("http://%s:%s", host, http);
}

bool status_client_knows(const config *c)
{
    char *url = url_by_address(c), *file = xprintf("%s/run/url", c->work_dir);
    bool knows = url || files_exist(file);
    free(file);
    free(url);
    return knows;
}

err_code status_client_url(const config *c, char **url)
{
    /* A file in a folder that two machines share would name each one's own loopback. */
    bool everywhere = strncmp(c->http.bind, "0.0.0.0:", 8) == 0;
    char *file = xprintf("%s/run/url", c->work_dir);
    *url = everywhere || !files_exist(file) ? url_by_address(c) : NULL;
    free(file);
    return *url ? ERR_OK : read_run_file(c, "url", read_line, url);
}

err_code status_client_token(const config *c, char **token)
{
    if (c->http.token_file && c->http.token_file[0])
        return token_file_read(c->http.token_file, token);
    return read_run_file(c, "token", token_file_read, token);
}

err_code status_client_read_token(const char *path, char **token)
{
    return token_file_read(path, token);
}
