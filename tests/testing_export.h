/* testing_export.h - a prepared store with made-up weights, its vectors as the model computes them,
 * and its exported folder, for tests. */
#pragma once

#include "deploy/export_files.h"

typedef struct testing_export {
    char *store;
    job *job;
    dataset *data;
    float *z, *item_id, *hgnn, *two_tower, *item_vectors, *user_vectors;
    export_input in;
} testing_export;

/* Prepares a small data set in the current folder; `extra` is more YAML,
 * order is data.order.  User vectors are the
 * tower's, with every user's own history and attributes unknown; item vectors are random units. */
void testing_export_init(testing_export *e, const char *extra, order_kind order);
void testing_export_fini(testing_export *e);
/* Writes the folder `dir`, with a metrics.jsonl of one line and a run.json. */
void testing_export_write(const testing_export *e, const char *dir);
