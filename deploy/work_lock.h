/* work_lock.h - one `weft train` in a work_dir at a time, and none beside what a killed one left.
 *
 * Two files in run_dir: `lock` is held by this process alone, `lock.roles` is inherited by every
 * process it starts, so that the roles of a killed parent are waited for while they end.  The
 * kernel drops both when their holders are gone, however they went.  Threads: one owner. */
#pragma once

#include "common/err.h"

#include <stdatomic.h>

enum { WORK_LOCK_WAIT_MS = 15000 };

typedef struct work_lock {
    int own, roles; /* descriptors, -1: not held */
} work_lock;

void work_lock_init(work_lock *l);
/* ERR_LIMIT (printed): another `weft train` is at work, or roles of a killed one did not end within
 * WORK_LOCK_WAIT_MS; ERR_STOPPED: *stop was set; ERR_IO (printed). */
MUST_USE err_code work_lock_take(work_lock *l, const char *run_dir, const atomic_int *stop);
void work_lock_drop(work_lock *l);
