/* optimizer.h - one step of an optimizer on a slice of a tensor, or on one row of a sparse table.
 *
 * Element by element: any cut of a tensor into slices gives the same bits.  PyTorch's definitions.
 * All arrays are float [n]; w and the state are read from one buffer and written to another, which
 * may be the same.  Threads: any. */
#pragma once

#include "common/config.h"

#include <stddef.h>
#include <stdint.h>

enum { OPTIMIZER_STATES_MAX = 2 };

/* How many state arrays `name` keeps per element: sgd 0, momentum and adagrad 1, adam and adamw 2.
 * They start as zeros. */
uint32_t optimizer_states(optimizer_kind name);

/* w_new, state_new[i] <- step number `step` (from 1) with gradient g and learning rate lr. */
void optimizer_apply(const config_optimizer *o, float lr, uint64_t step, float *w_new,
                     float *const *state_new, const float *w, const float *const *state,
                     const float *g, size_t n);

/* Sparse rows.  State floats of one row of width d: rowwise_adagrad 1 (the sum of mean squares),
 * lazy_adam 2 * d + 1 (m, v and the row's own step count).  They start as zeros. */
uint32_t optimizer_sparse_states(sparse_kind kind, uint32_t d);
/* w [d] and state in place; only rows that have a gradient are visited. */
void optimizer_sparse_apply(const config_optimizer *o, float lr, float *w, float *state,
                            const float *g, size_t d);
