/* job_sampler.h - the sampler core's work for a real job: adapters from build.h to sampler_ops, and the
 * opened partitions.  Threads: one owner. */
#pragma once

#include "common/job.h"
#include "sampler/sampler_loop.h"

typedef struct job_sampler job_sampler;

/* Opens the partitions of the store in `folder` that sampler `index` of `samplers` owns.  Borrows `j`.
 * Errors as store_open.  *out owned: job_sampler_close. */
MUST_USE err_code job_sampler_open(const job *j, const char *folder, uint32_t index,
                                   uint32_t samplers, job_sampler **out);
void job_sampler_close(job_sampler *s); /* accepts NULL */
/* Borrowed until close. */
const sampler_ops *job_sampler_ops(const job_sampler *s);
/* The partitions it has [n]. */
const uint32_t *job_sampler_partitions(const job_sampler *s, uint32_t *n);
