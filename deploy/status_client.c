#include "deploy/status_client.h"
#include "common/bytes.h"
#include <curl/curl.h>
#include <stdlib.h>
static size_t take(char *p, size_t a, size_t b, void *u) { bytes_put(u, p, a * b); return a * b; }
err_code status_client_get(const char *url, const char *token, char **text)
{
    (void)token;
    bytes_writer w;
    bytes_writer_init(&w);
    CURL *c = curl_easy_init();
    curl_easy_setopt(c, CURLOPT_URL, url);
    curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, 3000L);
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, &w);
    CURLcode rc = curl_easy_perform(c);
    curl_easy_cleanup(c);
    bytes_put_u8(&w, 0);
    *text = (char *)w.data;
    if (rc == CURLE_OK) return ERR_OK;
    free(w.data); *text = NULL;
    return ERR_CLOSED;
}
