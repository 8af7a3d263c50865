/* log_q.h - how often an item is among a row's candidates, for the logQ correction.
 *
 * Candidates are the positives of a chunk's rows, drawn by train positives, and uniform negatives,
 * drawn type by type without repeats.  q of an item is its expected number among them, as a share
 * of them all (`all`) or of those of its type, which then are its only rivals.
 *
 * Pure.  Threads: any. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct log_q_input {
    uint32_t types;
    bool all;                  /* candidates of every type are compared */
    const uint32_t *positives; /* [types] rows of the chunk whose positive is of the type */
    const uint32_t *uniform;   /* [types] uniform negatives drawn from it */
    const uint64_t *train;     /* [types] train positives of its items; 0: no target */
    const uint32_t *catalogue; /* [types] its items */
} log_q_input;

/* log q of an item of `type` with `train` train positives. */
float log_q_of(const log_q_input *in, uint32_t type, uint32_t train);
