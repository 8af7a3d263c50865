/* evaluation_rows.h - from ranks to the rows and comparisons of the report. */
#pragma once

#include "worker/candidates.h"

/* How many items of a type are in any list of a segment's users. */
typedef struct evaluation_coverage {
    uint32_t top_10[EVALUATION_SEGMENTS], top_100[EVALUATION_SEGMENTS];
} evaluation_coverage;

/* Fills rows and comparisons of r from its type_users.  coverage [types * EVALUATION_MODELS].
 * ERR_NO_MEMORY. */
MUST_USE err_code evaluation_rows_fill(evaluation_result *r, const candidates *c,
                                       const evaluation_coverage *coverage);
