/* baseline_item_knn.h - item-kNN: score(u, i) = sum over u's items j, among the `top` most similar
 * of i, of cosine(i, j).
 *
 * cosine = c_ij / sqrt(c_ii c_jj), c_ij = sum of w_u over the users with both; w_u = 1, or
 * 1/sqrt(items of u) with user_weights.  own_type: only j of i's type.  Ties by the order of ties.
 * A user without an item it can use takes the scores of popularity. */
#pragma once

#include "worker/baseline_matrix.h"
#include "worker/scoring.h"

typedef struct baseline_item_knn baseline_item_knn;

/* A list holds all neighbours, or the best max(100, 2^25 / items) of a catalogue with more pairs
 * (0.5 GB).  ERR_NO_MEMORY.  *out is owned: baseline_item_knn_free. */
MUST_USE err_code baseline_item_knn_new(const candidates *c, const baseline_matrix *m,
                                        bool user_weights, bool own_type, baseline_item_knn **out);
void baseline_item_knn_free(baseline_item_knn *k); /* accepts NULL */

/* top: 20, 100 or 0 (all).  Changes what later scores use: one owner. */
scorer baseline_item_knn_scorer(baseline_item_knn *k, uint32_t top);

/* Chooses among top 20/100/all, user weights and (with several types) own_type by hr_10 on valid,
 * for each wanted type, and hands the scorers to `sink`. */
MUST_USE err_code baseline_item_knn_run(const candidates *c, const baseline_matrix *m,
                                        const scoring_sink *sink);
