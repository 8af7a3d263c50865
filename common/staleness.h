/* staleness.h - how far training may run ahead of what the servers have committed.
 *
 *   bsp, delay 0   step t is computed on the tables that step t - 1 left
 *   bsp, delay k   step t on the tables that step t - 1 - k left, exactly: the same bits always
 *   ssp, s         servers apply a push when it comes; step t on tables in which every slot up to
 *                  step t - 1 - s is applied, and whatever came since
 *   asp            the same with STALENESS_MAX for s, which no worker of a healthy job comes up to
 *
 * A validation is a barrier in every mode.  Threads: pure functions. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { DELAY_MAX = 16, STALENESS_MAX = 64 };

typedef struct staleness {
    uint32_t steps;  /* k, s or STALENESS_MAX */
    bool on_arrival; /* ssp and asp: a push is applied when it comes, not at the commit */
} staleness;

struct config;
staleness staleness_of(const struct config *c);
/* Old versions of the tables that a server keeps beside the newest one. */
uint32_t staleness_past(staleness s);
/* Rounds from the open one on whose pushes a server takes. */
uint32_t staleness_window(staleness s);
