/* notify.h - tells a service manager how this process is: the protocol of sd_notify(3).
 *
 * Datagrams to the socket that NOTIFY_SOCKET names; where there is none, nothing happens.  The
 * watchdog (WATCHDOG_USEC, WATCHDOG_PID) is fed by work that gets on, never by a timer alone: a
 * process that is stuck must look stuck.  Threads: the main one.
 *
 * It is also not fed while a task of another thread is older than the last feeding, as a held
 * thread and a waiting task look the same: `WatchdogSec` must be longer than any slot takes, and
 * than a server's disk needs for one file. Four datagrams do not need libsystemd. */
#pragma once

#include "common/core.h"

#include <stdint.h>

typedef struct notify_health {
    bool ready; /* it does what it was started for */
    /* When the oldest piece of work that is under way beside the main loop began; 0: none is.  The
     * main loop says that it gets on by asking. */
    uint64_t busy_since_us;
    char status[CORE_TEXT_MAX]; /* a line for a person; "": nothing to say */
} notify_health;

/* What the messages of a life depend on; separate from the socket for tests. */
typedef struct notify_state {
    uint64_t watchdog_us; /* how long silence may last; 0: no watchdog */
    uint64_t fed_us, status_us;
    bool ready, started;
    char status[CORE_TEXT_MAX];
} notify_state;

enum { NOTIFY_STATUS_US = 1000000, NOTIFY_TEXT_MAX = CORE_TEXT_MAX + 64 };

/* The message that `h` calls for now, "" for none: READY=1 once; WATCHDOG=1 four times an interval,
 * unless what is under way began before it was said last; STATUS= where it changed. */
void notify_next(notify_state *s, uint64_t now_us, const notify_health *h,
                 char out[NOTIFY_TEXT_MAX]);

/* Sends what `h` calls for.  Call it from the main loop, more often than the watchdog wants. */
void notify_update(uint64_t now_us, const notify_health *h);
/* STATUS=, and EXTEND_TIMEOUT_USEC=: a start that waits for others gets so much more time. */
void notify_waiting(const char *status, uint64_t extend_us);
/* STOPPING=1, once. */
void notify_stopping(const char *status);
