/* calibrate.h - how fast this machine is, from about a second of measuring: the fastest of
 * many short runs, so that what else runs on it counts little.  Threads: one owner. */
#pragma once

#include "common/err.h"

typedef struct calibration {
    double sgemm_flops;    /* a second, of one thread, at the shapes of this project */
    double copy_bytes;     /* a second, of one thread */
    double loopback_bytes; /* a second, one connection over tcp on 127.0.0.1 */
    double round_trip_s;   /* of a small message over it */
    unsigned cores;
} calibration;

/* ERR_IO (printed): no socket on the loopback address. */
MUST_USE err_code calibrate(calibration *out);
