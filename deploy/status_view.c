#include "deploy/status_view.h"

#include "deploy/status_tables.h"

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { EVENTS_SHOWN = 5, SPARKS = 32 };

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

/* The scheduler has ended, and nobody is there any more. */
static bool is_over(const json_t *s)
{
    return status_view_text(s, "ended", NULL) != NULL;
}

static const char *state_of(const json_t *s)
{
    const char *state = status_view_text(s, "state", "?");
    return is_over(s) && strcmp(state, "STOPPING") == 0 ? "STOPPED" : state;
}

static void print_time(const json_t *s, FILE *out)
{
    char text[STATUS_VIEW_DURATION_MAX];
    double eta = status_view_number(s, "eta_s", -1);
    fprintf(out, "time     %s", status_view_duration(status_view_number(s, "elapsed_s", 0), text));
    if (is_over(s)) {
        fprintf(out, ", ended %s\n", status_view_text(s, "ended", ""));
        return;
    }
    fputs(" so far", out);
    if (eta >= 0) fprintf(out, ", %s left in the stage", status_view_duration(eta, text));
    fputc('\n', out);
}

static void print_head(const json_t *s, FILE *out)
{
    fprintf(out, "job      %s  %s\n", status_view_text(s, "job", "?"), state_of(s));
    fprintf(out, "stage    %s", status_view_text(s, "stage", "?"));
    if (status_view_number(s, "steps", 0) > 0) {
        fprintf(out, "  epoch %.0f  step %.0f of %.0f", status_view_number(s, "epoch", 0),
                status_view_number(s, "step", 0), status_view_number(s, "steps", 0));
    }
    fprintf(out, "  %.0f %%\n", 100 * status_view_number(s, "progress", 0));
    print_time(s, out);
}

/* The last SPARKS values of an array, coarsely: as high as they are between the least and the most
 * of them.  What is no number is left out. */
static void print_sparks(const json_t *values, bool pairs, FILE *out)
{
    static const char *const bar[] = {"\u2581", "\u2582", "\u2583", "\u2584",
                                      "\u2585", "\u2586", "\u2587", "\u2588"};
    double v[SPARKS], low = INFINITY, high = -INFINITY;
    size_t n = 0, all = json_array_size(values);
    for (size_t i = all > SPARKS ? all - SPARKS : 0; i < all; i++) {
        const json_t *x = json_array_get(values, i);
        if (pairs) x = json_array_get(x, 1);
        if (!json_is_number(x)) continue;
        v[n] = json_number_value(x);
        low = fmin(low, v[n]);
        high = fmax(high, v[n++]);
    }
    if (n < 2) return;
    fputs("  ", out);
    for (size_t i = 0; i < n; i++)
        fputs(bar[high > low ? (size_t)(7.0 * (v[i] - low) / (high - low)) : 0], out);
}

static void print_training(const json_t *s, FILE *out)
{
    const json_t *curves = json_object_get(s, "curves");
    const json_t *valid = json_object_get(s, "validation");
    double loss = status_view_number(s, "loss", NAN), best = status_view_number(valid, "best", NAN);
    double rate = status_view_number(s, "examples_per_s", 0);
    if (isfinite(loss)) {
        fprintf(out, "loss     %.4f", loss);
        print_sparks(json_object_get(curves, "loss"), false, out);
        fputc('\n', out);
    }
    if (isfinite(best)) {
        fprintf(out, "valid    %s %.4f, best %.4f at step %.0f",
                status_view_text(valid, "metric", ""), status_view_number(valid, "last", 0), best,
                status_view_number(valid, "best_step", 0));
        print_sparks(json_object_get(curves, "validation"), true, out);
        fputc('\n', out);
    }
    if (rate > 0) {
        fprintf(out, "rate     %.0f examples/s", rate);
        print_sparks(json_object_get(curves, "examples_per_s"), false, out);
        fputc('\n', out);
    }
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

static void print_checkpoint(const json_t *s, FILE *out)
{
    char text[STATUS_VIEW_DURATION_MAX];
    const json_t *c = json_object_get(s, "checkpoint"), *last = json_object_get(c, "last");
    const char *phase = status_view_text(c, "under_way", NULL);
    double failed = status_view_number(c, "failed", 0);
    if (!json_is_object(last) && !phase && failed <= 0) return;
    fputs("saved    ", out);
    if (json_is_object(last)) {
        fprintf(out, "%s step %.0f", status_view_text(last, "stage", "?"),
                status_view_number(last, "step", 0));
        double age = status_view_number(last, "age_s", 0);
        if (!is_over(s)) fprintf(out, ", %s ago", status_view_duration(age, text));
        fprintf(out, ", %.1f MB (%s)", status_view_number(last, "bytes", 0) / 1e6,
                status_view_text(last, "reason", ""));
    } else {
        fputs("no checkpoint yet", out);
    }
    if (phase) fprintf(out, ", one is under way (%s)", phase);
    if (failed > 0) fprintf(out, ", %.0f failed", failed);
    fputc('\n', out);
}

static void print_stopped(const json_t *s, FILE *out)
{
    const char *by = status_view_text(s, "stopped_by", NULL);
    bool stopped = strcmp(status_view_text(s, "state", ""), "STOPPING") == 0;
    if (by) fprintf(out, "%s  by %s\n", stopped ? "stopped" : "stops  ", by);
}

/* What the same command does after the end. */
static void print_resume(const json_t *s, FILE *out)
{
    const json_t *r = json_object_get(s, "resume");
    if (!is_over(s) || !json_is_object(r)) return;
    fprintf(out, "resume   the same command goes on from %s", status_view_text(r, "stage", "?"));
    if (status_view_count(r, "step")) fprintf(out, " step %" PRIu32, status_view_count(r, "step"));
    fputc('\n', out);
}

/* Only what should not happen, where it has. */
static void print_trouble(const json_t *s, FILE *out)
{
    static const char *const keys[] = {"void_slots", "hash_mismatches", "refused_peers",
                                       "rollbacks", "reassigned"};
    const json_t *c = json_object_get(s, "counters");
    const char *failure = status_view_text(s, "failure", NULL);
    bool any = false;
    if (failure) fprintf(out, "failed   %s\n", failure);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        double n = status_view_number(c, keys[i], 0);
        if (n <= 0) continue;
        fprintf(out, "%s%s %.0f", any ? ", " : "counted  ", keys[i], n);
        any = true;
    }
    if (any) fputc('\n', out);
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

/* Who is there and what they do. */
static void print_now(const json_t *status, FILE *out)
{
    print_wanted(status, out);
    print_shares(status, out);
    status_tables_print(status, out);
}

void status_view_print(const json_t *status, FILE *out)
{
    print_head(status, out);
    print_training(status, out);
    print_results(status, out);
    if (!is_over(status)) print_waiting(status, out);
    print_checkpoint(status, out);
    print_stopped(status, out);
    print_trouble(status, out);
    print_resume(status, out);
    if (!is_over(status)) print_now(status, out);
    print_events(json_object_get(status, "events"), out);
}
