#include "deploy/progress_print.h"

#include "common/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { TERMINAL_EVERY_US = 200000, LINE_EVERY_US = 10000000, RATE_AFTER_US = 500000 };

void progress_printer_init(progress_printer *p, bool silent)
{
    *p = (progress_printer){.terminal = isatty(STDERR_FILENO) == 1, .silent = silent};
}

void progress_printer_end(progress_printer *p)
{
    if (p->line_open) fputc('\n', stderr);
    p->line_open = false;
}

static void print_line(progress_printer *p, uint64_t now, uint64_t done, uint64_t total)
{
    double seconds = (double)(now - p->stage_start_us) / 1e6;
    double rate = seconds > 0.0 ? (double)done / seconds : 0.0;
    bool rated = now - p->stage_start_us > RATE_AFTER_US && done > 0 && total > 1;

    fprintf(stderr, "%sprepare %-9s", p->terminal ? "\r\033[K" : "", p->stage);
    if (total > 1) fprintf(stderr, " %" PRIu64 "/%" PRIu64, done, total);
    if (rated) fprintf(stderr, "  %.0f/s", rate);
    if (rated && done < total) fprintf(stderr, "  %.0f s left", (double)(total - done) / rate);
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
        p->stage_start_us = p->last_us = now;
        if (p->terminal) print_line(p, now, done, total);
    }
    uint64_t every = p->terminal ? TERMINAL_EVERY_US : LINE_EVERY_US;
    if (now - p->last_us < every && done != total) return;
    p->last_us = now;
    print_line(p, now, done, total);
}
