/* stage_pace.h - what is left of a stage, from the times of its steps.
 *
 * The first step counts as the beginning: it waits for tables, and for workers that come, and tells
 * nothing of the others.  Threads: one owner. */
#pragma once

#include <stdint.h>

/* What is left is said after so many steps, if they took so long or are such a part of all. */
enum { PACE_STEPS_MIN = 2, PACE_US = 5000000, PACE_PART = 100 };

typedef struct stage_pace { /* all 0: no step yet */
    uint64_t first_us, last_us;
    uint32_t first, last; /* the steps done then */
} stage_pace;

/* `step` is done at now_us, which is not 0. */
void stage_pace_step(stage_pace *p, uint32_t step, uint64_t now_us);
/* Seconds until step `steps`, counting down from one step to the next; -1: not known yet. */
double stage_pace_left_s(const stage_pace *p, uint32_t steps, uint64_t now_us);
