/* export_files.h - the files of --out that hold the model: vectors, ids, lists, weights, plan keys.
 *
 * items.npy items.tsv users.npy users.tsv item_embeddings.npy seen_*.npy history_*.npy
 * model.safetensors config.yaml split.tsv metrics.jsonl.  Their bytes are a function of the input
 * alone: no time, host or path.  Rows are those of the dataset.  Threads: one owner. */
#pragma once

#include "common/dataset.h"
#include "common/job.h"
#include "common/out_dir.h"

/* Everything is borrowed until the call returns. */
typedef struct export_input {
    const job *job;
    const dataset *data;
    const float *item_vectors, *user_vectors; /* [items | users, two_tower output_dim] */
    const float *z;                           /* [items, hgnn z_dim]; NULL: there is none */
    const float *hgnn, *two_tower;            /* flat, as model_spec; NULL: not exported */
    const float *item_id;     /* [items, two_tower.item_id]; NULL: no id embeddings */
    const char *metrics_path; /* metrics.jsonl is a copy of it; NULL: no such file */
    const char *numerics;     /* numerics_id() */
    uint64_t z_id;
    bool model_only; /* without split.tsv and metrics.jsonl, which tell of the training */
} export_input;

/* What z is a function of: the store's items, text and graph, the seed, and the HGNN with its
 * weights [job->hgnn->values]. */
uint64_t export_z_id(const job *j, const float *hgnn);

/* Writes all files.  ERR_IO, ERR_NOT_FOUND (metrics_path), ERR_LIMIT: more items than the formats
 * hold (all printed); ERR_NO_MEMORY. */
MUST_USE err_code export_write(const export_input *in, const out_dir *dir);
