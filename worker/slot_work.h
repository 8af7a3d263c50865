/* slot_work.h - computes one slot from its task and the replies: gradients, rows or scores.
 *
 * The chunks of a training slot are computed by `threads` threads, each with models of its own, into
 * gradients of their own, and summed in chunk order.  Threads: one owner. */
#pragma once

#include "worker/hgnn.h"
#include "worker/task.h"
#include "worker/two_tower.h"

typedef struct slot_result {
    push_result push;     /* what goes to the servers; its arrays are the ones below */
    push_section section; /* the one section of push */
    float *dense, *rows;  /* owned */
    uint64_t *keys;       /* owned */
    double *sums;         /* scores: per type {sum of the metric, users}; owned */
    uint32_t sums_n;
    double loss; /* of a gradient, as computed: a void push has no loss and no examples */
    uint64_t examples;
} slot_result;

void slot_result_fini(slot_result *r);

/* The models of one thread. */
typedef struct slot_models {
    hgnn *hgnn;
    two_tower *two_tower, *two_tower_no_z;
} slot_models;

typedef struct slot_work slot_work;

/* Borrows `j`.  Owned: slot_work_free. */
slot_work *slot_work_new(const job *j, uint32_t threads);
void slot_work_free(slot_work *s); /* accepts NULL */

/* *out is empty before, and filled on ERR_OK: slot_result_fini.  A gradient or row that is not finite
 * gives a void result, not an error.  ERR_NO_MEMORY, ERR_INVALID (a reply of the wrong size). */
MUST_USE err_code slot_work_compute(slot_work *s, const task *t, const worker_task *w,
                                    slot_result *out);

/* ---- What the kinds of work share ---- */

/* A reply as floats; NULL (ERR_INVALID for the caller) unless it has `floats` of them. */
const float *slot_reply(const worker_task *w, uint32_t need, size_t floats);
const float *slot_dense(const task *t, const worker_task *w, const model_spec *s);

/* One chunk of a training slot: accumulates into grads and rows ([t->nodes, rows_dim] by node index;
 * NULL: no row table), adds its loss and examples. */
typedef struct chunk_gradient {
    float *dense, *rows;
    double loss;
    uint64_t examples;
} chunk_gradient;

/* graph_work.c */
err_code graph_work_chunk(slot_models *m, const task *t, const worker_task *w, uint32_t chunk,
                          chunk_gradient *out);
err_code graph_work_layer(slot_models *m, const task *t, const worker_task *w, slot_result *out);
/* tower_work.c */
err_code tower_work_chunk(slot_models *m, const task *t, const worker_task *w, uint32_t chunk,
                          chunk_gradient *out);
err_code tower_work_vectors(slot_models *m, const task *t, const worker_task *w, slot_result *out);
/* The vectors of the users of t's chunk [rows, dim], owned. */
err_code tower_work_users(slot_models *m, const task *t, const worker_task *w, float **out);
/* score_work.c */
err_code score_work_users(slot_models *m, const task *t, const worker_task *w, slot_result *out);

/* Fills out->push for a PUT: row i of rows [n, dim] has keys[i]; sorts both by key.  Takes rows and
 * keys. */
err_code slot_put_rows(slot_result *out, uint32_t table, uint32_t dim, uint64_t *keys, float *rows,
                       uint32_t n);
