#include "deploy/status_view.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { EVENTS_SHOWN = 5 };

const char *status_view_text(const json_t *o, const char *key, const char *absent)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : absent;
}

double status_view_number(const json_t *o, const char *key, double absent)
{
    const json_t *v = json_object_get(o, key);
    return json_is_number(v) ? json_number_value(v) : absent;
}

uint32_t status_view_count(const json_t *o, const char *key)
{
    double v = status_view_number(o, key, 0);
    return v >= 0 && v <= (double)UINT32_MAX ? (uint32_t)v : 0;
}

const char *status_view_duration(double seconds, char *text)
{
    const size_t n = STATUS_VIEW_DURATION_MAX;
    long s = seconds > 0.0 && seconds < 1e9 ? lround(seconds) : 0;
    if (s < 100) {
        snprintf(text, n, "%ld s", s);
    } else if (s < 3600) {
        snprintf(text, n, "%ldm%02lds", s / 60, s % 60);
    } else if (s < 86400) {
        snprintf(text, n, "%ldh%02ldm", s / 3600, s % 3600 / 60);
    } else {
        snprintf(text, n, "%ldd%02ldh", s / 86400, s % 86400 / 3600);
    }
    return text;
}

static void print_head(const json_t *s, FILE *out)
{
    char text[STATUS_VIEW_DURATION_MAX];
    double eta = status_view_number(s, "eta_s", -1);
    fprintf(out, "job      %s  %s\n", status_view_text(s, "job", "?"),
            status_view_text(s, "state", "?"));
    fprintf(out, "stage    %s", status_view_text(s, "stage", "?"));
    if (status_view_number(s, "steps", 0) > 0) {
        fprintf(out, "  epoch %.0f  step %.0f of %.0f", status_view_number(s, "epoch", 0),
                status_view_number(s, "step", 0), status_view_number(s, "steps", 0));
    }
    fprintf(out, "  %.0f %%\n", 100 * status_view_number(s, "progress", 0));
    fprintf(out, "time     %s so far",
            status_view_duration(status_view_number(s, "elapsed_s", 0), text));
    if (eta >= 0) fprintf(out, ", %s left in the stage", status_view_duration(eta, text));
    fputc('\n', out);
}

static void print_training(const json_t *s, FILE *out)
{
    const json_t *valid = json_object_get(s, "validation");
    double loss = status_view_number(s, "loss", NAN), best = status_view_number(valid, "best", NAN);
    double rate = status_view_number(s, "examples_per_s", 0);
    if (isfinite(loss)) fprintf(out, "loss     %.4f\n", loss);
    if (isfinite(best)) {
        fprintf(out, "valid    %s %.4f, best %.4f at step %.0f\n",
                status_view_text(valid, "metric", ""), status_view_number(valid, "last", 0), best,
                status_view_number(valid, "best_step", 0));
    }
    if (rate > 0) fprintf(out, "rate     %.0f examples/s\n", rate);
}

static void print_results(const json_t *s, FILE *out)
{
    size_t i;
    json_t *r, *results = json_object_get(s, "results");
    json_array_foreach(results, i, r)
    {
        fprintf(out, "done     %s  %s %.4f at step %.0f of %.0f\n",
                status_view_text(r, "stage", "?"), status_view_text(r, "metric", ""),
                status_view_number(r, "best", 0), status_view_number(r, "best_step", 0),
                status_view_number(r, "steps", 0));
    }
}

static void print_waiting(const json_t *s, FILE *out)
{
    char text[STATUS_VIEW_DURATION_MAX];
    const json_t *w = json_object_get(s, "waiting");
    if (!json_is_object(w)) return;
    fprintf(out, "waiting  for %s of %s, %s\n", status_view_text(w, "for", "?"),
            status_view_text(w, "whom", "?"),
            status_view_duration(status_view_number(w, "since_s", 0), text));
}

/* How many processes the job is to have, which is not how many there are now. */
static void print_wanted(const json_t *s, FILE *out)
{
    const json_t *w = json_object_get(s, "wanted");
    if (!json_is_object(w)) return;
    fprintf(out, "wanted   workers %.0f, servers %.0f\n", status_view_number(w, "workers", 0),
            status_view_number(w, "servers", 0));
}

static void print_shares(const json_t *s, FILE *out)
{
    const char *key;
    json_t *v;
    double sum = 0;
    json_t *shares = json_object_get(s, "time_share");
    json_object_foreach(shares, key, v) sum += json_number_value(v);
    if (sum <= 0) return;
    fputs("share  ", out);
    json_object_foreach(shares, key, v)
    {
        fprintf(out, "  %s %.0f %%", key, 100 * json_number_value(v));
    }
    fputc('\n', out);
}

/* ---- Tables of peers ---- */

typedef struct column {
    const char *key, *title; /* key "id" and "state": text, others numbers */
    int width;               /* of numbers; texts are as wide as the longest */
    double unit;             /* numbers are divided by it */
    int digits;
} column;

enum { COLUMNS_MAX = 8 };

static const column worker_columns[COLUMNS_MAX] = {{"id", "worker", 0, 0, 0},
                                                   {"state", "state", 0, 0, 0},
                                                   {"slot", "slot", 0, 0, 0},
                                                   {"examples_per_s", "examples/s", 10, 1, 0},
                                                   {"step_ms_p50", "p50 ms", 7, 1, 0},
                                                   {"step_ms_p99", "p99 ms", 7, 1, 0},
                                                   {"last_seen_ms", "seen s", 7, 1e3, 1},
                                                   {"rss_bytes", "MB", 7, 1e6, 0}};
static const column server_columns[COLUMNS_MAX] = {{"id", "server", 0, 0, 0},
                                                   {"state", "state", 0, 0, 0},
                                                   {"rows", "rows", 10, 1, 0},
                                                   {"bytes", "MB held", 8, 1e6, 1},
                                                   {"pulls", "pulls", 9, 1, 0},
                                                   {"pushes", "pushes", 9, 1, 0},
                                                   {"apply_ms_p99", "apply p99 ms", 12, 1, 1},
                                                   {"last_seen_ms", "seen s", 7, 1e3, 1}};
static const column sampler_columns[COLUMNS_MAX] = {{"id", "sampler", 0, 0, 0},
                                                    {"state", "state", 0, 0, 0},
                                                    {"batches", "batches", 9, 1, 0},
                                                    {"batches_per_s", "batches/s", 10, 1, 1},
                                                    {"queue", "queue", 6, 1, 0},
                                                    {"remote_share", "remote %", 9, 0.01, 0},
                                                    {"last_seen_ms", "seen s", 7, 1e3, 1},
                                                    {"rss_bytes", "MB", 7, 1e6, 0}};

static int text_width(const json_t *peers, const column *c)
{
    size_t i, width = strlen(c->title);
    json_t *peer;
    json_array_foreach(peers, i, peer)
    {
        size_t n = strlen(status_view_text(peer, c->key, ""));
        width = n > width ? n : width;
    }
    return (int)width;
}

static void print_cell(const json_t *peer, const column *c, int width, FILE *out)
{
    if (c->width == 0) {
        fprintf(out, "%-*s", width, status_view_text(peer, c->key, ""));
    } else {
        double v = status_view_number(peer, c->key, 0) / c->unit;
        fprintf(out, "%*.*f", c->width, c->digits, v);
    }
}

static void print_peers(const json_t *peers, const column *columns, FILE *out)
{
    int width[COLUMNS_MAX];
    json_t *peer;
    size_t i;
    if (json_array_size(peers) == 0) return;
    fputc('\n', out);
    for (size_t k = 0; k < COLUMNS_MAX; k++) {
        const column *c = &columns[k];
        width[k] = c->width ? c->width : text_width(peers, c);
        if (k) fputs("  ", out);
        fprintf(out, c->width ? "%*s" : "%-*s", width[k], c->title);
    }
    fputc('\n', out);
    json_array_foreach(peers, i, peer)
    {
        for (size_t k = 0; k < COLUMNS_MAX; k++) {
            if (k) fputs("  ", out);
            print_cell(peer, &columns[k], width[k], out);
        }
        fputc('\n', out);
    }
}

static void print_events(const json_t *events, FILE *out)
{
    size_t n = json_array_size(events), first = n > EVENTS_SHOWN ? n - EVENTS_SHOWN : 0;
    if (n) fputc('\n', out);
    for (size_t i = first; i < n; i++) {
        const json_t *e = json_array_get(events, i);
        const char *why = status_view_text(e, "why", "");
        fprintf(out, "%s  %-12s %s%s%s\n", status_view_text(e, "time", ""),
                status_view_text(e, "event", ""), status_view_text(e, "who", ""), *why ? "  " : "",
                why);
    }
}

void status_view_print(const json_t *status, FILE *out)
{
    print_head(status, out);
    print_training(status, out);
    print_results(status, out);
    print_waiting(status, out);
    print_wanted(status, out);
    print_shares(status, out);
    print_peers(json_object_get(status, "workers"), worker_columns, out);
    print_peers(json_object_get(status, "servers"), server_columns, out);
    print_peers(json_object_get(status, "samplers"), sampler_columns, out);
    print_events(json_object_get(status, "events"), out);
}
