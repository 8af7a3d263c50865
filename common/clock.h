/* clock.h - the one place that reads the time.  Threads: any. */
#pragma once

#include <stdint.h>

uint64_t clock_now_us(void);     /* monotonic */
uint64_t clock_wall_s(void);     /* unix seconds, for reports and logs only */
/* "2026-01-01T00:00:00Z" of unix seconds `s` into text[21]. */
void clock_iso(uint64_t s, char text[21]);
