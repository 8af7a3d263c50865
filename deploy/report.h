/* report.h - the files of --out that say how good the model is, and the table `weft train` ends
 * with.
 *
 * report.json, report.md, report.html, per_user.tsv and recommendations.tsv are functions of plan,
 * data and numerics alone: no time, host or path.  Threads: one owner. */
#pragma once

#include "common/dataset.h"
#include "common/err.h"
#include "worker/evaluation.h"

#include <stdio.h>

typedef struct report_training {
    const char *stage; /* hgnn, two_tower, two_tower_no_z */
    uint32_t epochs, steps, best_step;
    const char *stopped; /* epochs, max_steps, patience */
    const char *metric;  /* mrr_100, hr_10 */
    double best, last_loss;
    uint32_t void_slots;
} report_training;

/* Everything is borrowed until the call returns. */
typedef struct report_input {
    const char *numerics; /* numerics_id() */
    bool bits_guaranteed;
    uint64_t seed, plan_hash, foundation_id, z_id;
    const char *encoder, *encoder_note;
    uint32_t encoder_dim;
    const char *data_json; /* manifest.data_json */
    const report_training *training;
    size_t training_n;
    double z_cosine_mean, z_cosine_sd;
    const char *const *type_name; /* [result->types] */
    const dataset *data;          /* ids, and the history column of per_user.tsv */
    const char *metrics_path;     /* metrics.jsonl, for the curves; NULL: none */
    const evaluation_result *result;
} report_input;

/* Writes the files into `dir`, which exists (recommendations.tsv only if the result has lists).
 * ERR_IO (printed). */
MUST_USE err_code report_write(const report_input *r, const char *dir);
/* The content of report.json as text with a line feed at the end, owned (free). */
char *report_json(const report_input *r);
/* The table for the terminal, and in plain words where two_tower wins and where it does not. */
void report_print(const report_input *r, FILE *out);
