/* replay.h - recomputes one slot alone: what it holds, what went in and what came out.
 *
 * Without a model the slot is computed from the values the plan starts with (version 0), with one
 * from trained weights: in neither case the bits that step pushed, but the same inputs, the same
 * shapes, and the same place where a number stops being finite.
 * Threads: one owner. */
#pragma once

#include "common/job.h"
#include "common/plan.h"

#include <stdbool.h>
#include <stdio.h>

/* What a chunk of the micro-batch holds.  A range of items is one chunk of `rows`. */
typedef struct replay_chunk {
    uint64_t rows;      /* pairs, (user, positive) rows, users or items */
    uint64_t nodes;     /* distinct items */
    uint64_t edges;     /* sampled edges, or entries of histories */
    uint64_t negatives; /* shared by the chunk */
} replay_chunk;

typedef struct replay_array {
    const char *role; /* "input", "parameter", "gradient", "output"; static */
    char *name;       /* owned */
    uint64_t values;
    double norm;                /* over the finite values */
    uint64_t hash;              /* XXH3 of its bytes */
    uint64_t not_finite, first; /* how many, and which is the first */
    float first_value;
} replay_array;

typedef struct replay_result {
    slot_name name;
    plan_work work;
    const char *parameters;           /* "initial", "model"; static */
    uint64_t batch_bytes, batch_hash; /* the micro-batch as a sampler sends it; XXH3 */
    replay_chunk *chunk;              /* owned [chunks] */
    uint32_t chunks;
    uint64_t examples;
    double loss; /* summed; may not be finite */
    bool has_loss, is_void;
    replay_array *array; /* owned [arrays]; inputs, parameters, then gradients or outputs */
    size_t arrays, arrays_cap;
} replay_result;

/* Borrows j; `store`: the folder j was loaded from; model_dir: NULL, or the --out folder of a
 * finished job.  ERR_INVALID (printed): the plan has no such slot.  ERR_NOT_FOUND (printed): it
 * needs what neither has.  Errors of the store and the model.  *r is zeroed first: replay_fini in
 * any case. */
MUST_USE err_code replay_run(const job *j, const char *store, const char *model_dir, slot_name name,
                             replay_result *r);
void replay_fini(replay_result *r);

/* The result as a table or as one JSON object.  ERR_IO. */
MUST_USE err_code replay_print(const job *j, const replay_result *r, bool json, FILE *out);
