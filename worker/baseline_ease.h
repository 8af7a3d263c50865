/* baseline_ease.h - EASE (Steck 2019): B = I - P diag(1 / diag P), P = (X^T X + lambda I)^-1, over
 * the most frequent items of all types together.
 *
 * The model holds the `items_max` items with most users (ties by the order of ties) among those
 * with at least 2 that count (baseline_matrix.h); other items score 0.  A user without an item in
 * the model takes the scores of popularity.
 *
 * In f32: half the memory and twice the speed of f64 for an inverse of up to 12,000 items, which
 * lambda keeps well posed. Where the smallest lambda of the grid wins that would have to be
 * thought over. */
#pragma once

#include "worker/baseline_matrix.h"
#include "worker/scoring.h"

typedef struct baseline_ease baseline_ease;

/* Chooses the items and allocates [n, n] floats.  ERR_NO_MEMORY.  *out is owned:
 * baseline_ease_free. */
MUST_USE err_code baseline_ease_new(const candidates *c, const baseline_matrix *m,
                                    uint32_t items_max, baseline_ease **out);
void baseline_ease_free(baseline_ease *e); /* accepts NULL */
uint32_t baseline_ease_items(const baseline_ease *e);

/* Solves for `lambda`, in float: against double, B is off by 4e-5 (norm-wise, ml_1m, lambda 20).
 * ERR_INVALID: not positive definite in float (printed).  ERR_NO_MEMORY.  ERR_STOPPED. */
MUST_USE err_code baseline_ease_solve(baseline_ease *e, const evaluation_input *in, double lambda);
/* After solve. */
scorer baseline_ease_scorer(const baseline_ease *e);

/* Chooses lambda 20, 100 or 400 by hr_10 on valid for each wanted type (the smallest of equal ones)
 * and hands the scorers to `sink`, by lambda.  *ran is false, and nothing was handed over, if fewer
 * than 2 items qualify. */
MUST_USE err_code baseline_ease_run(const candidates *c, const baseline_matrix *m,
                                    const scoring_sink *sink, uint32_t items_max, bool *ran);
