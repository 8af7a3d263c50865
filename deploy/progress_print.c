#include "deploy/progress_print.h"

#include "common/clock.h"
#include "deploy/progress_view.h"
#include "deploy/status_view.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    TERMINAL_EVERY_US = 200000,
    LINE_EVERY_US = 10000000,
    RATE_AFTER_US = 500000,
    MARK_EVERY_US = 10000000
};

bool progress_is_silent(bool json)
{
    return json && isatty(STDERR_FILENO) != 1;
}

void progress_printer_init(progress_printer *p, const char *prefix, bool silent)
{
    *p = (progress_printer){
        .terminal = isatty(STDERR_FILENO) == 1, .silent = silent, .prefix = prefix};
}

void progress_printer_end(progress_printer *p)
{
    if (p->line_open) fputc('\n', stderr);
    p->line_open = false;
}

/* Of late, not of the whole stage: what is taken from a cache comes first and fast. */
static double rate_of(progress_printer *p, uint64_t now, uint64_t done)
{
    if (now - p->mark_us[1] >= MARK_EVERY_US) {
        p->mark_us[0] = p->mark_us[1];
        p->mark_done[0] = p->mark_done[1];
        p->mark_us[1] = now;
        p->mark_done[1] = done;
    }
    double seconds = (double)(now - p->mark_us[0]) / 1e6;
    return seconds > 0 && done > p->mark_done[0] ? (double)(done - p->mark_done[0]) / seconds : 0;
}

static void print_line(progress_printer *p, uint64_t now, uint64_t done, uint64_t total)
{
    char head[48], left[STATUS_VIEW_DURATION_MAX];
    double seconds = (double)(now - p->stage_start_us) / 1e6;
    double late = rate_of(p, now, done), rate = done == total ? (double)done / seconds : late;
    bool rated = now - p->stage_start_us > RATE_AFTER_US && rate > 0 && total > 1;

    snprintf(head, sizeof head, "%s%s", p->prefix, p->stage);
    fprintf(stderr, "%s%-*s", p->terminal ? "\r\033[K" : "", PROGRESS_VIEW_HEAD, head);
    if (total > 1) fprintf(stderr, " %4" PRIu64 "/%" PRIu64, done, total);
    if (total <= 1 && done == total) fputs(" done", stderr);
    if (rated) fprintf(stderr, rate < 10 ? "  %.1f/s" : "  %.0f/s", rate);
    if (rated && done < total) {
        const double wait = (double)(total - done) / rate;
        fprintf(stderr, "  %s left", status_view_duration(wait, left));
    }
    if (done == total) fprintf(stderr, "  %.1f s", seconds);
    if (!p->terminal || done == total) fputc('\n', stderr);
    p->line_open = p->terminal && done != total;
    fflush(stderr);
}

void progress_print(void *context, const char *stage, uint64_t done, uint64_t total)
{
    progress_printer *p = context;
    uint64_t now = clock_now_us();

    if (p->silent) return;
    if (strcmp(p->stage, stage) != 0) {
        progress_printer_end(p);
        snprintf(p->stage, sizeof p->stage, "%s", stage);
        p->stage_start_us = p->last_us = p->mark_us[0] = p->mark_us[1] = now;
        p->mark_done[0] = p->mark_done[1] = done;
        if (p->terminal) print_line(p, now, done, total);
    }
    uint64_t every = p->terminal ? TERMINAL_EVERY_US : LINE_EVERY_US;
    if (now - p->last_us < every && done != total) return;
    p->last_us = now;
    print_line(p, now, done, total);
}
