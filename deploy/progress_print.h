/* progress_print.h - progress reports as lines on stderr: stage, done, rate, time left.
 *
 * On a terminal one line is rewritten; otherwise a line at the end of a stage and every 10 s in
 * between.  Threads: one owner. */
#pragma once

#include "common/progress.h"

#include <stdbool.h>

typedef struct progress_printer {
    bool terminal, silent;
    const char *prefix; /* before the stage: "prepare " or "" */
    char stage[32];
    uint64_t stage_start_us, last_us;
    uint64_t mark_us[2],
        mark_done[2]; /* where the rate is taken from: 10 to 20 s ago, then later */
    bool line_open;   /* the terminal's line has no newline yet */
} progress_printer;

/* With --json only a person at a terminal is told how it goes. */
bool progress_is_silent(bool json);
/* silent: reports print nothing.  `prefix` is borrowed until the last report. */
void progress_printer_init(progress_printer *p, const char *prefix, bool silent);
/* A progress_callback; context is the printer. */
void progress_print(void *context, const char *stage, uint64_t done, uint64_t total);
/* Ends an open line. */
void progress_printer_end(progress_printer *p);
