/* evaluate.h - `weft evaluate` and `weft export`: the files of a result from what a finished
 * training left (trained_job.h).
 *
 * With the configuration of the training they are those that `weft train` wrote; with other
 * `evaluate` keys those that a training with these would write, but that metrics.jsonl and the
 * training of the report tell of the one that was.  Threads: one owner. */
#pragma once

#include "common/config.h"
#include "common/err.h"

#include <stdatomic.h>
#include <stdbool.h>

typedef struct evaluate_options {
    const config *config;
    const char *data_dir; /* --data: it must have been trained on this; NULL: anything */
    const char *out_dir;  /* NULL: work_dir/out, or of export_only work_dir/export */
    const char *command;  /* the command line, for run.json */
    bool export_only;     /* vectors, ids and weights; no evaluation, no report */
    bool json;
    const atomic_int *stop; /* the number of a signal that asked to stop, or 0 */
} evaluate_options;

/* Errors as trained_job_open; ERR_INVALID: export_only, and there is a report in out_dir;
 * ERR_STOPPED; ERR_IO (all printed).  The files in out_dir are as before then. */
MUST_USE err_code evaluate_run(const evaluate_options *o);
