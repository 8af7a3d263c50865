/* pair_loss.h - the HGNN's loss over pairs (anchor, positive) with negatives shared by the chunk.
 *
 * Scores are dot products of z.  Pairs are taken type by type of the positive, in their order; a
 * negative equal to the pair's anchor or positive, or whose mask bit is set, is left out; with
 * in_batch the other pairs' positives of the type follow the negatives (no mask bits).
 *
 * Threads: the arena's. */
#pragma once

#include "common/arena.h"
#include "worker/hgnn.h"

/* z[t], dz[t] [rows[L][t], d]: dz accumulated with the gradient of the sum.  *sum: the sum of the
 * loss over the pairs.  Scratch comes from memory and goes back.  ERR_NO_MEMORY. */
MUST_USE err_code pair_loss(const hgnn_shape *s, const subgraph *g, const float *const *z,
                            float *const *dz, arena *memory, double *sum);
