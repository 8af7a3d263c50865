/* status_curve.h - values over the steps of a stage, for drawing: a bounded number of points.
 *
 * When it is full every second point goes and the rest come half as often.  Plain data.
 * Threads: one owner. */
#pragma once

#include <stdint.h>

enum { STATUS_CURVE_MAX = 500 };

typedef enum curve_value {
    CURVE_LOSS,
    CURVE_RATE,      /* examples a second */
    CURVE_STALENESS, /* steps that the oldest gradient was behind the version it changed */
    CURVE_STEP_S,    /* from the round's opening to the last DONE */
    CURVE_WORKERS,   /* that were there */
    CURVE_VALUES
} curve_value;

typedef struct curve_point {
    uint32_t step;
    double v[CURVE_VALUES]; /* NaN: not known */
} curve_point;

typedef struct status_curve {
    uint32_t n, stride, skip;
    curve_point point[STATUS_CURVE_MAX];
} status_curve;

void status_curve_restart(status_curve *c);
void status_curve_add(status_curve *c, const curve_point *p);
/* Forgets what is behind `step`. */
void status_curve_cut(status_curve *c, uint32_t step);
