/* trained.h - what a finished job left on its servers, by item and user row of the dataset.
 * Threads: one owner. */
#pragma once

#include "common/dataset.h"
#include "deploy/cluster.h"

typedef struct trained {
    uint32_t z_dim, vector_dim, id_dim;
    float *z;                                    /* [items, z_dim] */
    float *item_vectors, *user_vectors;          /* [items | users, vector_dim] */
    float *no_z_item_vectors, *no_z_user_vectors; /* NULL: that stage did not run */
    float *item_id;                              /* [items, id_dim]; NULL: no ids */
    float *hgnn, *two_tower;                     /* flat parameters of model_spec */
} trained;

/* Reads everything; *t is zeroed first, trained_fini in any case. */
MUST_USE err_code trained_read(cluster *c, const job *j, const dataset *d, trained *t);
void trained_fini(trained *t);
