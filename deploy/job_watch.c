#include "deploy/job_watch.h"

#include "common/files.h"
#include "common/mem.h"
#include "common/token_file.h"
#include "deploy/status_client.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { URL_BYTES_MAX = 4096 };

void job_watch_init(job_watch *w, const char *run_dir, const char *token_file)
{
    *w = (job_watch){.run_dir = run_dir, .token_file = token_file};
}

static void drop(char **text)
{
    free(*text);
    *text = NULL;
}

void job_watch_fini(job_watch *w)
{
    drop(&w->url);
    drop(&w->place);
    drop(&w->text);
}

void job_watch_forget(job_watch *w)
{
    static const char scheme[] = "http://";
    char *path = files_join(w->run_dir, "url");
    unlink(path);
    free(path);
    drop(&w->place);
    if (w->url && strncmp(w->url, scheme, strlen(scheme)) == 0)
        w->place = xstrdup(w->url + strlen(scheme));
    drop(&w->url);
    drop(&w->text);
}

bool job_watch_find(job_watch *w)
{
    char *path = files_join(w->run_dir, "url");
    size_t bytes;
    if (!w->url && files_exist(path) && files_read(path, URL_BYTES_MAX, &w->url, &bytes) != ERR_OK)
        w->url = NULL;
    free(path);
    return w->url != NULL;
}

static bool is_one_of(const char *state, const char *const *list)
{
    for (size_t i = 0; list[i]; i++) {
        if (state && strcmp(state, list[i]) == 0) return true;
    }
    return false;
}

static void take(job_watch *w, const json_t *status)
{
    static const char *const ending[] = {"STOPPING", "DONE", "FAILED", NULL};
    static const char *const running[] = {"RUNNING", "VALIDATING", NULL};
    const char *state = json_string_value(json_object_get(status, "state"));
    const json_t *wanted = json_object_get(status, "wanted");
    w->ends = is_one_of(state, ending);
    w->runs = is_one_of(state, running);
    w->wants = json_is_object(wanted);
    w->workers = (uint32_t)json_integer_value(json_object_get(wanted, "workers"));
    w->servers = (uint32_t)json_integer_value(json_object_get(wanted, "servers"));
    w->servers_now = (uint32_t)json_array_size(json_object_get(status, "servers"));
}

/* The status as text, owned; NULL: no answer. */
static char *fetch(const job_watch *w)
{
    char *text = NULL, *token = NULL, *url = xprintf("%s/api/v1/status", w->url);
    err_code rc = w->token_file[0] ? status_client_read_token(w->token_file, &token) : ERR_OK;
    if (rc == ERR_OK) rc = status_client_get(url, token, &text);
    token_free(token);
    free(url);
    return rc == ERR_OK ? text : NULL;
}

void job_watch_poll(job_watch *w, uint64_t now_us)
{
    if (now_us - w->tried_us < JOB_WATCH_MS * UINT64_C(1000) || !job_watch_find(w)) return;
    w->tried_us = now_us;
    drop(&w->text);
    w->text = fetch(w);
    json_t *status = w->text ? json_loads(w->text, 0, NULL) : NULL;
    if (status) {
        take(w, status);
        w->asked_us = now_us;
    } else {
        drop(&w->text);
    }
    json_decref(status);
}
