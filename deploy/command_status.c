#include "deploy/command_status.h"

#include "common/clock.h"
#include "common/files.h"
#include "common/log.h"
#include "common/mem.h"
#include "deploy/endpoint_options.h"
#include "deploy/last_status.h"
#include "deploy/status_client.h"
#include "deploy/status_view.h"
#include "deploy/status_watch.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* A status as a text for a person, owned. */
static char *view_of(const json_t *status)
{
    char *text = NULL;
    size_t bytes;
    FILE *out = open_memstream(&text, &bytes);
    if (!out) return xstrdup("");
    status_view_print(status, out);
    fclose(out);
    char *plain = status_watch_frame(text, 0, 0);
    free(text);
    return plain;
}

static err_code print_status(const char *url, const char *text, bool json)
{
    json_t *status = json_loads(text, 0, NULL);
    if (!json_is_object(status)) {
        log_user_error("%s: the answer is no status of weft", url);
        json_decref(status);
        return ERR_CORRUPT;
    }
    char *view = json ? NULL : view_of(status);
    fputs(json ? text : view, stdout);
    free(view);
    json_decref(status);
    return ERR_OK;
}

/* Nobody answers: what the last scheduler left.  ERR_NOT_FOUND: nothing. */
static err_code show_last(const endpoint_options *o)
{
    char *text = o->work_dir ? last_status_text(o->work_dir) : NULL;
    err_code rc = text ? print_status(o->work_dir, text, o->cli.json) : ERR_NOT_FOUND;
    free(text);
    return rc;
}

static err_code show(endpoint_options *o)
{
    char *text = NULL;
    err_code rc = endpoint_options_find(o, false);
    if (rc != ERR_OK) return rc;
    if (!o->url) return show_last(o);
    char *url = xprintf("%s/api/v1/status", o->url);
    rc = status_client_get(url, o->token, &text);
    if (rc == ERR_CLOSED && show_last(o) == ERR_OK)
        rc = ERR_OK;
    else if (status_client_explain(url, rc) == ERR_OK)
        rc = print_status(url, text, o->cli.json);
    free(text);
    free(url);
    return rc;
}

/* ---- Again and again ---- */

enum { WATCH_MS = 1000, AWAY_MAX_S = 60 };

typedef struct watched {
    const char *url;
    char *text;       /* what is shown; NULL: nothing yet */
    uint64_t seen_us; /* when the newest answer came */
    bool ends, failed;
} watched;

/* Takes a new status.  ERR_CORRUPT (printed): it is none. */
static err_code take_answer(watched *w, const char *answer)
{
    json_t *status = json_loads(answer, 0, NULL);
    const char *state = status_view_text(status, "state", NULL);
    if (state) {
        free(w->text);
        w->text = view_of(status);
        w->seen_us = clock_now_us();
        w->failed = strcmp(state, "FAILED") == 0;
        w->ends = w->failed || strcmp(state, "DONE") == 0 || strcmp(state, "STOPPING") == 0;
    } else {
        log_user_error("%s: the answer is no status of weft", w->url);
    }
    json_decref(status);
    return state ? ERR_OK : ERR_CORRUPT;
}

static err_code show_frame(watched *w, const char *answer, bool json)
{
    if (json) {
        fputs(answer ? answer : "", stdout);
        return fflush(stdout) == 0 ? ERR_OK : ERR_IO;
    }
    if (answer) return status_watch_show(STDOUT_FILENO, w->text);
    uint64_t away_s = (clock_now_us() - w->seen_us) / 1000000;
    char *text = xprintf("no answer from %s for %" PRIu64 " s\n%s", w->url, away_s, w->text);
    err_code rc = away_s ? status_watch_show(STDOUT_FILENO, text) : ERR_OK;
    free(text);
    return rc;
}

/* One look.  ERR_STOPPED: the job is over. */
static err_code look(watched *w, const endpoint_options *o)
{
    char *answer = NULL;
    err_code rc = status_client_get(w->url, o->token, &answer);
    if (rc == ERR_OK) {
        rc = take_answer(w, answer);
        if (rc == ERR_OK) rc = show_frame(w, answer, o->cli.json);
    } else if (w->text && (w->ends || (o->url_file && !files_exist(o->url_file)))) {
        rc = ERR_STOPPED;
    } else if (w->text && rc == ERR_CLOSED &&
               clock_now_us() - w->seen_us < AWAY_MAX_S * 1000000ull) {
        rc = show_frame(w, NULL, o->cli.json); /* the scheduler may start again */
    } else {
        rc = status_client_explain(w->url, rc);
    }
    free(answer);
    return rc;
}

/* The job is over: its last status goes over what was shown.  The exit code. */
static int show_end(watched *w, const endpoint_options *o)
{
    char *text = o->work_dir ? last_status_text(o->work_dir) : NULL;
    err_code rc = text ? take_answer(w, text) : ERR_OK;
    if (text && rc == ERR_OK) rc = show_frame(w, text, o->cli.json);
    free(text);
    free(w->text);
    w->text = NULL;
    return rc != ERR_OK ? err_exit(rc) : w->failed ? 1 : 0;
}

static void block_signals(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGTERM);
    sigprocmask(SIG_BLOCK, set, NULL);
}

static int watch(endpoint_options *o)
{
    sigset_t set;
    struct timespec pause = {.tv_sec = WATCH_MS / 1000, .tv_nsec = WATCH_MS % 1000 * 1000000};
    watched w = {0};
    int number = -1;
    err_code rc = endpoint_options_find(o, false);
    if (rc != ERR_OK) return err_exit(rc);
    if (!o->url) return show_end(&w, o);
    char *url = xprintf("%s/api/v1/status", o->url);
    w.url = url;
    block_signals(&set);
    if (!o->cli.json) status_watch_begin(STDOUT_FILENO);
    while (rc == ERR_OK && number < 0) {
        rc = look(&w, o);
        if (rc == ERR_OK) number = sigtimedwait(&set, NULL, &pause);
    }
    if (rc == ERR_STOPPED) number = show_end(&w, o);
    if (!o->cli.json) status_watch_end(STDOUT_FILENO);
    free(w.text);
    free(url);
    if (rc == ERR_STOPPED) return number;
    return rc == ERR_OK ? 128 + number : err_exit(rc);
}

int command_status(int argc, char **argv)
{
    endpoint_options o = {.watches = true};
    endpoint_options_parse("What a running job does: stage, progress, processes, events.", argc,
                           argv, &o);
    int code = o.watch ? watch(&o) : err_exit(show(&o));
    endpoint_options_fini(&o);
    return code;
}
