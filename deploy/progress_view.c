#include "deploy/progress_view.h"

#include "common/clock.h"
#include "common/mem.h"
#include "common/slot.h"
#include "deploy/status_view.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { STAGE_BYTES = 32, LINE_BYTES = 256, PLAIN_EVERY_US = 10000000, WAIT_SHOWN_S = 5 };
/* A scheduler that is away is mentioned after a while: most starts take less. */
enum { AWAY_SHOWN_US = 2000000 };

struct progress_view {
    FILE *out;
    bool silent;
    progress_view_options options;
    char stage[STAGE_BYTES]; /* "" before the first */
    uint64_t start_us, shown_us, last_us;
    uint64_t away_us; /* since when there is no status; 0: there is */
    bool away_shown;
    bool line_open; /* the terminal's line has no line feed yet */
    uint32_t step, steps;
    int place;             /* of the last stage shown, in the job's list; 0: prepare */
    char best[LINE_BYTES]; /* what is known of the stage's result */
};

typedef struct line {
    char text[LINE_BYTES]; /* always ends with a NUL */
    size_t n;
} line;

static void add(line *l, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add(line *l, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(l->text + l->n, sizeof l->text - l->n, format, args);
    va_end(args);
    if (n > 0) l->n += (size_t)n;
    if (l->n >= sizeof l->text) l->n = sizeof l->text - 1;
}

static uint32_t columns_of(int fd)
{
    struct winsize size;
    return ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

progress_view *progress_view_new(FILE *out, bool silent)
{
    progress_view *v = xcalloc(1, sizeof *v);
    const char *no_color = getenv("NO_COLOR");
    int fd = fileno(out);
    v->out = out;
    v->silent = silent;
    v->options.terminal = fd >= 0 && isatty(fd) == 1;
    v->options.color = v->options.terminal && !(no_color && *no_color);
    v->options.columns = v->options.terminal ? columns_of(fd) : 0;
    return v;
}

void progress_view_configure(progress_view *v, const progress_view_options *o)
{
    v->options = *o;
}

void progress_view_free(progress_view *v)
{
    free(v);
}

/* ---- Lines ---- */

static void add_live(line *l, const json_t *s)
{
    char text[STATUS_VIEW_DURATION_MAX];
    const json_t *valid = json_object_get(s, "validation"), *wait = json_object_get(s, "waiting");
    double loss = status_view_number(s, "loss", NAN), best = status_view_number(valid, "best", NAN);
    double rate = status_view_number(s, "examples_per_s", 0);
    double eta = status_view_number(s, "eta_s", -1),
           waited = status_view_number(wait, "since_s", 0);
    add(l, "%4.0f/%.0f", status_view_number(s, "step", 0), status_view_number(s, "steps", 0));
    if (rate > 0) add(l, "  %.0f/s", rate);
    if (eta >= 0) add(l, "  %s left", status_view_duration(eta, text));
    if (isfinite(loss)) add(l, "  loss %.4f", loss);
    if (isfinite(best)) {
        add(l, "  %s %.4f best %.4f", status_view_text(valid, "metric", ""),
            status_view_number(valid, "last", 0), best);
    }
    if (isfinite(loss)) add(l, "  epoch %.0f", status_view_number(s, "epoch", 0));
    if (waited >= WAIT_SHOWN_S) {
        add(l, "  waiting %s for %s of %s", status_view_duration(waited, text),
            status_view_text(wait, "for", "?"), status_view_text(wait, "whom", "?"));
    } else if (strcmp(status_view_text(s, "state", ""), "VALIDATING") == 0) {
        add(l, "  validating");
    }
}

static void add_best(line *l, const json_t *valid)
{
    double best = status_view_number(valid, "best", NAN);
    if (!isfinite(best)) return;
    add(l, "  best %s %.4f at step %.0f", status_view_text(valid, "metric", ""), best,
        status_view_number(valid, "best_step", 0));
}

/* Loss and step are those of the last look, not of the end: they are left out. */
static void note_best(progress_view *v, const json_t *s)
{
    line l = {.n = 0};
    add_best(&l, json_object_get(s, "validation"));
    memcpy(v->best, l.text, l.n + 1);
    v->step = status_view_count(s, "step");
    v->steps = status_view_count(s, "steps");
}

static void put_line(progress_view *v, const char *stage, const char *text, bool live)
{
    const progress_view_options *o = &v->options;
    char head[STAGE_BYTES + 16];
    snprintf(head, sizeof head, "%-*s ", PROGRESS_VIEW_HEAD, stage);
    size_t room = strlen(text);
    if (live && o->columns > strlen(head) && room >= o->columns - strlen(head)) {
        room = o->columns - strlen(head) - 1;
    }
    if (o->terminal) fputs("\r\033[K", v->out);
    fprintf(v->out, "%s%s%s%.*s", o->color ? "\033[1m" : "", head, o->color ? "\033[0m" : "",
            (int)room, text);
    v->line_open = live && o->terminal;
    if (!v->line_open) fputc('\n', v->out);
    fflush(v->out);
}

/* ---- Stages ---- */

/* What a finished stage came to, or NULL. */
static const json_t *result_of(const json_t *status, const char *stage)
{
    size_t i;
    json_t *r, *results = json_object_get(status, "results");
    json_array_foreach(results, i, r)
    {
        if (strcmp(status_view_text(r, "stage", ""), stage) == 0) return r;
    }
    return NULL;
}

/* status: the first after the stage is over, or NULL: it is not over; known: v->step is where it
 * stopped. */
static void end_stage(progress_view *v, const json_t *status, bool known)
{
    char text[STATUS_VIEW_DURATION_MAX];
    line l = {.n = 0};
    if (!v->stage[0]) return;
    const json_t *result = result_of(status, v->stage);
    if (status) {
        add(&l, "done");
    } else {
        add(&l, "%s at step %" PRIu32 " of %" PRIu32, known ? "stopped" : "last seen", v->step,
            v->steps);
    }
    if (result) {
        add_best(&l, result);
    } else {
        add(&l, "%s", v->best);
    }
    double seconds = (double)(v->last_us - v->start_us) / 1e6;
    add(&l, "  %s", status_view_duration(seconds, text));
    put_line(v, v->stage, l.text, false);
    v->stage[0] = '\0';
}

/* Place of a stage in the job, or -1. */
static int place_of(const json_t *stages, const char *stage)
{
    for (size_t i = 0; i < json_array_size(stages); i++) {
        const char *name = json_string_value(json_array_get(stages, i));
        if (name && strcmp(name, stage) == 0) return (int)i;
    }
    return -1;
}

/* Stages before place `to`, between two statuses: too short to have been seen.  What comes before
 * the first leased stage reports by itself. */
static void show_passed(progress_view *v, const json_t *status, int to)
{
    const json_t *stages = json_object_get(status, "stages");
    for (int i = v->place + 1; i < to; i++) {
        line l = {.n = 0};
        const char *name = json_string_value(json_array_get(stages, (size_t)i));
        if (!name) continue;
        add(&l, "done");
        add_best(&l, result_of(status, name));
        put_line(v, name, l.text, false);
    }
    if (to > v->place) v->place = to;
}

static void change_stage(progress_view *v, const json_t *status, const char *stage, bool leased,
                         uint64_t now_us)
{
    v->last_us = now_us;
    end_stage(v, status, true);
    show_passed(v, status, place_of(json_object_get(status, "stages"), stage));
    if (!leased) return;
    snprintf(v->stage, sizeof v->stage, "%s", stage);
    v->start_us = now_us;
    v->shown_us = 0;
}

static bool is_due(const progress_view *v, const json_t *status, uint64_t now_us)
{
    if (v->options.terminal) return true;
    if (v->shown_us) return now_us - v->shown_us >= PLAIN_EVERY_US;
    return status_view_number(status, "step", 0) > 0;
}

void progress_view_update_at(progress_view *v, const json_t *status, uint64_t now_us)
{
    const char *stage = status_view_text(status, "stage", "");
    bool leased = status_view_number(status, "steps", 0) > 0;
    if (v->silent) return;
    v->away_us = 0;
    v->away_shown = false;
    bool changes = strncmp(stage, v->stage, STAGE_BYTES - 1) != 0;
    if (changes) change_stage(v, status, stage, leased, now_us);
    if (!leased) return;
    v->last_us = now_us;
    note_best(v, status);
    if (!is_due(v, status, now_us)) return;
    line l = {.n = 0};
    add_live(&l, status);
    put_line(v, v->stage, l.text, true);
    v->shown_us = now_us ? now_us : 1;
}

void progress_view_update(progress_view *v, const json_t *status)
{
    progress_view_update_at(v, status, clock_now_us());
}

void progress_view_away_at(progress_view *v, uint64_t now_us)
{
    if (v->silent || !v->stage[0]) return; /* Before the first stage others report. */
    if (!v->away_us) v->away_us = now_us ? now_us : 1;
    if (now_us - v->away_us < AWAY_SHOWN_US) return;
    if (v->away_shown && !v->options.terminal) return;
    char text[STATUS_VIEW_DURATION_MAX];
    line l = {.n = 0};
    add(&l, "waiting %s for the scheduler, which starts again",
        status_view_duration((double)(now_us - v->away_us) / 1e6, text));
    put_line(v, v->stage, l.text, true);
    v->away_shown = true;
}

void progress_view_away(progress_view *v)
{
    progress_view_away_at(v, clock_now_us());
}

void progress_view_end(progress_view *v, const json_t *last)
{
    if (v->silent) return;
    if (last) progress_view_update(v, last);
    end_stage(v, NULL, last != NULL);
    if (v->line_open) fputc('\n', v->out);
    v->line_open = false;
}

void progress_view_end_before(progress_view *v, const json_t *status)
{
    const json_t *stages = json_object_get(status, "stages");
    int to = place_of(stages, status_view_text(status, "stage", ""));
    if (v->silent) return;
    end_stage(v, status, true);
    show_passed(v, status, to > v->place ? to : place_of(stages, stage_name(STAGE_EVALUATE)));
}
