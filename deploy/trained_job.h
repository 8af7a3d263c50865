/* trained_job.h - what a finished training left in work_dir, read without a process of its cluster:
 * from the checkpoints at the ends of its stages.
 *
 * The training is that of a plan: this configuration's, where `evaluate` keys may be others.  They
 * say what is made of a trained model, and do not enter it; whether there is a model without z they
 * do say.  Which they were is in run/plan.yaml; that it is that plan, the hash in every checkpoint
 * says.  That `evaluate` keys stay in the plan's hash is meant: a report of other keys has another
 * one.  Reading a table is a pass over the parts of its stage.  Threads: one owner. */
#pragma once

#include "common/dataset.h"
#include "common/job.h"
#include "deploy/trained.h"

#include <stdatomic.h>

typedef struct trained_job {
    job *job; /* of the configuration as it is */
    dataset *data;
    trained trained;
    char *metrics_path;  /* lines of the training, a file until trained_job_fini */
    char *numerics;      /* that it was trained with */
    bool other_numerics; /* those are not ours */
    int metrics_file;
} trained_job;

/* `data_dir`: input files that it must have been trained on (--data); NULL: those that were
 * prepared last.  `stop`: not 0 asks to end.  ERR_STOPPED; ERR_NOT_FOUND: nothing was prepared or
 * trained, or training has not come to its end; ERR_MISMATCH: of another plan, or other data;
 * others of checkpoint_tables.h (all printed). *t is zeroed first: trained_job_fini in any case. */
MUST_USE err_code trained_job_open(const config *c, const char *data_dir, const atomic_int *stop,
                                   trained_job *t);
void trained_job_fini(trained_job *t);
