/* restart_policy.h - when a process that ended is started again: soon, then later and later.
 *
 * Pure: the caller's clock.  Threads: one owner. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum {
    RESTART_DELAY_MS = 200, /* before the first restart; doubles with each one */
    RESTART_DELAY_MAX_MS = 10000,
    RESTART_CALM_MS = 5000, /* a life this long is no crash loop: everything is forgotten */
    RESTARTS_MAX = 10,      /* of shorter lives within RESTARTS_WINDOW_MS; one more is refused */
    RESTARTS_WINDOW_MS = 120000,
};

typedef struct restart_policy {
    uint32_t delay_ms;            /* of the last restart; 0: none yet */
    uint64_t at_us[RESTARTS_MAX]; /* when restarts were granted: a ring */
    uint32_t n;                   /* restarts since a calm life */
} restart_policy;                 /* all 0: a process that never ended */

/* A life from started_us to now_us is over.  True: start the next one at *due_us; false: it ended
 * RESTARTS_MAX times within the window already, and is not to be started again. */
bool restart_policy_next(restart_policy *p, uint64_t started_us, uint64_t now_us, uint64_t *due_us);
