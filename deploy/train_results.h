/* train_results.h - writes and prints what `weft train`, `weft evaluate` and `weft export` leave
 * behind.  Threads: one owner. */
#pragma once

#include "common/out_dir.h"
#include "deploy/run_json.h"
#include "deploy/train_facts.h"
#include "deploy/trained.h"
#include "worker/evaluation.h"

typedef struct train_results { /* all borrowed */
    const config *config;
    const char *command; /* the command line, for run.json */
    bool json;           /* report.json's content is what is printed */
    run_json_processes processes;
    const job *job;
    const dataset *dataset;
    const trained *trained;
    const evaluation_result *result; /* NULL: nothing was evaluated, and there is no report */
    const train_facts *facts;
    const char *metrics_path;   /* the lines of the training */
    const char *steps_path;     /* the seconds of its steps; NULL: not this command's */
    const char *other_numerics; /* that it was trained with; NULL: ours */
} train_results;

/* Every file but run.json; of what was not evaluated those of the model only.  ERR_IO,
 * ERR_NO_MEMORY (logged). */
MUST_USE err_code train_results_write(const train_results *r, out_dir *dir);
MUST_USE err_code train_results_write_run(const train_results *r, out_dir *dir);
/* The report's table, or report.json with --json; and where the files are.  It was evaluated. */
void train_results_print(const train_results *r, const char *out);
