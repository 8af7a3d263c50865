/* job_status.h - what a driver reads off a job's status (JSON of GET /api/v1/status).
 *
 * Threads: pure functions. */
#pragma once

#include "common/plan.h"

#include <jansson.h>

/* The scheduler has no plan yet. */
bool job_status_is_starting(const json_t *status);
/* All leased stages are done: the last generation is over and the stage shown is the driver's
 * again. */
bool job_status_is_trained(const json_t *status, const plan *p);
/* The stage it is in, STAGE_NONE: none that is known. */
uint32_t job_status_stage(const json_t *status);
