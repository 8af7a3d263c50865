/* latency.h - a histogram of durations in quarter octaves, that forgets the past slowly.
 *
 * Plain data, zero is empty.  Threads: one owner. */
#pragma once

#include <stdint.h>

enum { LATENCY_BUCKETS = 160 };

typedef struct latency {
    uint32_t count[LATENCY_BUCKETS];
    uint32_t n;
} latency;

void latency_add(latency *l, uint64_t us);
/* The upper end of the bucket that holds quantile q of the durations, in us; 0: none yet. */
uint64_t latency_quantile(const latency *l, double q);
