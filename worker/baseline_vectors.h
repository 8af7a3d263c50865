/* baseline_vectors.h - scorers that are dot products: trained user and item vectors, and kNN by the
 * mean of the history's vectors (HGNN-kNN over z, text-kNN over text).
 *
 * kNN is a cosine; a user without history takes the scores of popularity.  Products have fixed
 * shapes: a range of users by SCORING_TILE candidates.  State is borrowed by the scorer; any
 * thread. */
#pragma once

#include "worker/scoring.h"

typedef struct baseline_vectors {
    const float *item;        /* [items, dim]; NULL: item_f16 */
    const uint16_t *item_f16; /* [items, dim] */
    const float *user;        /* [users, dim]; NULL: the mean over the history */
    uint32_t dim;
} baseline_vectors;

scorer baseline_vectors_scorer(const baseline_vectors *v, evaluation_model model);
