/* user_vector.h - the vector of a user who is not in the export, from a history and the exported
 * model.
 *
 * Attributes are unknown (index 0), a dense vector is zeros.  Threads: one owner. */
#pragma once

#include "deploy/result_folder.h"

/* out [folder->dim] overwritten.  history [n]: distinct rows, the most recent last; items outside
 * history.types are left out, and only the last history.max_items of the others count.
 * ERR_INVALID: the model takes text vectors where an export has none (printed); ERR_MISMATCH: the
 * model file does not fit its configuration or the folder (printed); ERR_NO_MEMORY. */
MUST_USE err_code user_vector_compute(const result_folder *folder, const uint32_t *history,
                                      size_t n, float *out);
