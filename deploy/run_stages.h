/* run_stages.h - how long each stage took and how fast it was, for run.json.
 *
 * The driver looks at the status now and then: it misses short stages and the last examples of
 * others.  The scheduler's steps.jsonl has every step of training.  Threads: one owner. */
#pragma once

#include "common/slot.h"
#include "deploy/run_json.h"

typedef struct run_stages {
    run_json_stage stage[STAGE_COUNT]; /* in pipeline order */
    size_t n;
} run_stages;

/* seen [n]: what the driver saw, with stage names that outlive *out; steps_path: steps.jsonl, or
 * NULL.  A stage that was not seen takes as long as its steps; the rate of a training stage is that
 * of its steps, without validation.  A missing or malformed file changes nothing. */
void run_stages_merge(run_stages *out, const run_json_stage *seen, size_t n,
                      const char *steps_path);
