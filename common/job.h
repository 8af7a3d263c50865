/* job.h - what every role knows about the job: configuration, manifest, plan and model shapes.
 *
 * Immutable after job_new: any thread. */
#pragma once

#include "common/blob.h"
#include "common/config.h"
#include "common/manifest.h"
#include "common/model_spec.h"
#include "common/plan.h"

typedef struct job {
    config *config;
    manifest *manifest;
    plan *plan;
    model_facts facts;
    model_spec *hgnn, *two_tower, *two_tower_no_z; /* two_tower_no_z: NULL where it is not trained */
    uint64_t plan_hash;
} job;

/* Takes config and manifest (on success only).  Fails as plan_new.  *out owned: job_free. */
MUST_USE err_code job_new(config *c, manifest *m, job **out);
/* The job of the store in `folder`. */
MUST_USE err_code job_load(config *c, const char *folder, job **out);
void job_free(job *j); /* accepts NULL */

/* The answer to CONFIG: everything a process needs that has only the scheduler's address. */
blob *job_encode(const job *j); /* owned */
MUST_USE err_code job_decode(const blob *b, job **out);

/* The spec of a training stage or its validation; NULL for others. */
const model_spec *job_spec(const job *j, uint32_t stage);
