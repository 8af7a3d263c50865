/* report_curves.h - the curves of metrics.jsonl: loss and validation metric per stage, thinned for
 * drawing.  Threads: one owner. */
#pragma once

#include "common/err.h"

#include <stddef.h>
#include <stdint.h>

enum { REPORT_CURVES_STAGES = 8, REPORT_CURVES_POINTS = 400 };

typedef struct report_curve {
    double *x, *y; /* step, value; rising x */
    size_t n, cap_x, cap_y;
} report_curve;

typedef struct report_stage_curves {
    char stage[32], metric[32];
    report_curve loss, valid;
} report_stage_curves;

typedef struct report_curves {
    report_stage_curves stage[REPORT_CURVES_STAGES]; /* in order of first appearance */
    size_t stages;
} report_curves;

/* Lines that are no step or validation are passed over; each loss curve becomes the means of at
 * most REPORT_CURVES_POINTS equal runs of steps.  ERR_NOT_FOUND, ERR_IO (printed).  Release with
 * report_curves_fini, in any case. */
MUST_USE err_code report_curves_read(report_curves *c, const char *path);
void report_curves_fini(report_curves *c);
