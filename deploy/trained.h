/* trained.h - what a finished job left, by item and user row of the dataset, and its evaluation.
 * Threads: one owner. */
#pragma once

#include "common/dataset.h"
#include "common/job.h"
#include "common/progress.h"
#include "deploy/trained_source.h"
#include "worker/evaluation.h"

typedef struct trained {
    uint32_t z_dim, vector_dim, id_dim;
    float *z;                                     /* [items, z_dim] */
    float *item_vectors, *user_vectors;           /* [items | users, vector_dim] */
    float *no_z_item_vectors, *no_z_user_vectors; /* NULL: that stage did not run */
    float *item_id;                               /* [items, id_dim]; NULL: no ids */
    float *hgnn, *two_tower;                      /* flat parameters of model_spec */
} trained;

/* Reads everything that `j` has and `s` knows; *t is zeroed first, trained_fini in any case.  Fails
 * as `s` does; ERR_NO_MEMORY. */
MUST_USE err_code trained_read(const trained_source *s, const job *j, const dataset *d, trained *t);
void trained_fini(trained *t);
/* Scores it by the evaluate keys of `j`, on prepare.threads threads.  Errors as evaluation_run.
 * *out owned: evaluation_free. */
MUST_USE err_code trained_evaluate(const trained *t, const job *j, const dataset *d,
                                   const progress *p, evaluation_result **out);
