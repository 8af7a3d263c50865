/* histogram.h - durations counted in fixed buckets, from 100 us to 5 minutes, for Prometheus.
 *
 * Unlike latency.h it never forgets, as counters must not.  Plain data, zero is empty.  Threads:
 * one owner. */
#pragma once

#include <stdint.h>

enum { HISTOGRAM_BOUNDS = 19 };

/* Upper ends of the buckets in seconds, ascending; one more bucket has no end. */
extern const double histogram_bound[HISTOGRAM_BOUNDS];

typedef struct histogram {
    uint64_t count[HISTOGRAM_BOUNDS + 1];
    uint64_t n, sum_us;
} histogram;

void histogram_add(histogram *h, uint64_t us);
