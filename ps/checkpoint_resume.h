/* checkpoint_resume.h - what a scheduler can go on from without a state of its own: the manifests
 * of a folder of checkpoints.
 *
 * For one whose scheduler.mdb is lost or damaged (the newest checkpoint), and for `--from` (one of
 * choice).  Threads: any. */
#pragma once

#include "ps/checkpoint_manifest.h"
#include "ps/scheduler.h"

typedef struct checkpoint_resume {
    checkpoint_id id;
    blob *state; /* owned: for scheduler_durable, as the next */
    core_metric *metric;
    size_t metrics;
} checkpoint_resume;

void checkpoint_resume_fini(checkpoint_resume *r);
/* `from` NULL: the newest one that can be gone on from.  ERR_NOT_FOUND: `from` or a file of it is
 * not there; without `from`: the folder has no complete one at all.  ERR_CORRUPT, ERR_MISMATCH,
 * ERR_IO, ERR_LIMIT, ERR_NO_MEMORY: why says what is wrong with `from`, the newest one or the
 * folder.  *out owned: checkpoint_resume_fini. */
MUST_USE err_code checkpoint_resume_read(const char *dir, const checkpoint_id *from,
                                         checkpoint_resume *out, char *why);
