/* progress.h - how long work says where it is, and asks whether to go on.
 *
 * A NULL progress, and a NULL member, are allowed everywhere.  Threads: the receiver of reports is
 * called by one thread at a time; the stop flag may be set from a signal handler. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* `done` of `total` units of `stage` ("graph", "text", ...); total 0: not known. */
typedef void progress_callback(void *context, const char *stage, uint64_t done, uint64_t total);

typedef struct progress {
    progress_callback *report;
    void *context;
    const atomic_int *stop; /* not 0: end with ERR_STOPPED soon */
} progress;

static inline void progress_report(const progress *p, const char *stage, uint64_t done,
                                   uint64_t total)
{
    if (p != NULL && p->report != NULL) {
        p->report(p->context, stage, done, total);
    }
}

static inline bool progress_stopped(const progress *p)
{
    return p != NULL && p->stop != NULL && atomic_load_explicit(p->stop, memory_order_relaxed) != 0;
}
