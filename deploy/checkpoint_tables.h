/* checkpoint_tables.h - reads finished tables of a job from the checkpoints at the ends of its
 * stages: no server is needed.
 *
 * Threads: one owner. */
#pragma once

#include "common/job.h"
#include "deploy/trained_source.h"
#include "ps/checkpoint_manifest.h"

#include <stdatomic.h>

typedef struct checkpoint_tables checkpoint_tables;

/* `last`: the end of the last stage in the folder `dir`, which names those before.  `stop`: not 0
 * asks reading to end with ERR_STOPPED.  All borrowed until checkpoint_tables_close. ERR_NOT_FOUND,
 * ERR_CORRUPT, ERR_MISMATCH, ERR_IO (printed): one of those is not there, not whole or of another
 * plan.  *out owned: checkpoint_tables_close. */
MUST_USE err_code checkpoint_tables_open(const char *dir, const checkpoint_manifest *last,
                                         const job *j, const atomic_int *stop,
                                         checkpoint_tables **out);
void checkpoint_tables_close(checkpoint_tables *t); /* accepts NULL */

/* Fails as checkpoint_files_read; ERR_CORRUPT: it does not fit the model; ERR_NO_MEMORY (all
 * printed); ERR_STOPPED.  Borrows t until checkpoint_tables_close. */
trained_source checkpoint_tables_source(checkpoint_tables *t);
