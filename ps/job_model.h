/* job_model.h - the shard's arithmetic and the scheduler's plan for a real job: adapters from job.h
 * to shard_model and scheduler_plan.  Immutable: any thread. */
#pragma once

#include "common/job.h"
#include "ps/scheduler.h"
#include "ps/shard.h"

/* Both borrow `j`. */
shard_model job_shard_model(const job *j);
scheduler_plan job_scheduler_plan(const job *j);
