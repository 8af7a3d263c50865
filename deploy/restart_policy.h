/* restart_policy.h - when a process that ended is started again: soon, then later and later.
 *
 * Pure: the caller's clock.  Threads: one owner.
 *
 * It is the parent that restarts, under `weft train` as under systemd or a kubelet: a process
 * cannot tell its own crash from a job that is hopeless, and the one place that starts processes
 * needs no protocol for it. Commands such as `weft scale` change a number, the parent makes it
 * true. That a scheduler decided to end, and must not be restarted, is told by the last line of
 * its log. */
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
