/* testing_job.h - a small prepared job in the current folder, for tests of what runs on one. */
#pragma once

#include "common/job.h"

/* Narrow models, few steps, chunks of 32: `extra` follows at the top level (keys that are in none
 * of hgnn, two_tower, validate, data, features). */
#define TESTING_JOB_KEYS                                                                           \
    "hgnn: {dims: [8, 8], random_features: 4, batch: 32, negatives: 8, max_steps: 20}\n"           \
    "two_tower: {dims: [16, 8], item_id: 4, type_embedding: 2, attribute_embedding: 2, "           \
    "uniform_negatives: 12, batch: 32, max_steps: 20}\n"                                           \
    "validate: {every: 10}\n"

/* Writes a data set (150 users, 90 items), prepares it and loads its job; *store is the folder,
 * owned: free.  Owned: job_free. */
job *testing_job(const char *keys, char **store);
