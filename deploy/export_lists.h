/* export_lists.h - what each user has, and what each user's vector is made from, as CSR of item
 * rows.  Threads: one owner. */
#pragma once

#include "common/dataset.h"
#include "common/job.h"

typedef struct export_lists {
    uint32_t users;
    int64_t *indptr; /* [users + 1] */
    int32_t *item;   /* [indptr[users]] rows, ascending within a user */
} export_lists;

/* Items with a `seen` event in train or valid.  ERR_LIMIT: the dataset has more items than an i32
 * holds (printed); ERR_NO_MEMORY: *out is empty.  Release with export_lists_fini. */
MUST_USE err_code export_lists_seen(const dataset *d, export_lists *out);
/* The histories of the stage `vectors`: as of the end of train, by the `history` keys. */
MUST_USE err_code export_lists_history(const job *j, const dataset *d, export_lists *out);
void export_lists_fini(export_lists *l);
