/* baseline_matrix.h - the train matrix of item-kNN and EASE by column, and what a user weighs in
 * counting items together.
 *
 * A user with more than BASELINE_MATRIX_USER_MAX items counts for nothing there (she says nothing
 * about which items are alike, and costs the square of her items); she is scored like others.
 * Immutable after init: any thread. */
#pragma once

#include "worker/candidates.h"

enum { BASELINE_MATRIX_USER_MAX = 10000 };

typedef struct baseline_matrix {
    const evaluation_lists *rows; /* users -> items, borrowed */
    uint64_t *indptr;             /* [items + 1] into user */
    uint32_t *user;               /* users of each item that count, ascending */
} baseline_matrix;

/* ERR_NO_MEMORY: m is as after fini. */
MUST_USE err_code baseline_matrix_init(baseline_matrix *m, const evaluation_input *in);
void baseline_matrix_fini(baseline_matrix *m);

static inline uint32_t baseline_matrix_users(const baseline_matrix *m, uint32_t item)
{
    return (uint32_t)(m->indptr[item + 1] - m->indptr[item]);
}
