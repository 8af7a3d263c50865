/* evaluation_run.h - evaluation of a prepared data set and what was trained on it. */
#pragma once

#include "common/dataset.h"
#include "worker/evaluation.h"

/* Rows as in the dataset.  Borrowed until evaluation_run returns. */
typedef struct evaluation_run_vectors {
    evaluation_vectors two_tower;
    evaluation_vectors two_tower_no_z; /* item NULL: the stage did not run */
    const float *z;                    /* [items, z_dim]; NULL: none */
    uint32_t z_dim;
} evaluation_run_vectors;

/* `types` are the names in the order of dataset.item_type.  threads: 0 is 1; results do not depend
 * on it. Errors as evaluation_score.  *out is owned: evaluation_free. */
MUST_USE err_code evaluation_run(const config *c, const dataset *d, const string_list *types,
                                 const evaluation_run_vectors *v, uint32_t threads,
                                 const progress *p, evaluation_result **out);
