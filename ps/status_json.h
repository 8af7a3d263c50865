/* status_json.h - the scheduler's status as JSON (GET /api/v1/status).  Threads: one owner. */
#pragma once

#include "common/config.h"
#include "common/manifest.h"
#include "ps/scheduler.h"

typedef struct status_input {
    const scheduler_status *status;
    const config *config;
    const uint32_t *stages; /* the job's leased stages in order; NULL before the plan is known */
    uint32_t stages_n;
    uint32_t partitions;   /* 0: not known yet */
    uint64_t start_wall_s; /* unix seconds at status time 0 */
    uint64_t start_us;     /* monotonic, the same moment */
    uint64_t end_us;       /* the scheduler ends; 0: it runs */
} status_input;

/* Where a worker's time goes: "sample", "pull", "compute", "push", "wait". */
enum { STATUS_PHASES = 5 };
extern const char *const status_phases[STATUS_PHASES];

char *status_json(const status_input *in); /* owned */
