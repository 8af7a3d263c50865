/* use_lite_batch.h - the transformer of USE Lite over several windows of tokens at once.
 *
 * A matrix product over many rows reads the weights once, which is three times as fast as one text
 * at a time; but OpenBLAS's Haswell kernel gives two rows with the same numbers different bits when
 * they stand 6 rows apart: there are two classes of rows, in turns of 6.  Hence every product has
 * BATCH_TILE rows, and row i of a window always stands in class i % 2, so that its bits do not
 * depend on the other windows.  use_lite_batch_can_share measures on this CPU whether that holds;
 * if not, a batch takes one window only.
 *
 * Threads: one owner per batch. */
#pragma once

#include "sampler/use_lite_weights.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    BATCH_TILE = 192, /* rows of a product; a multiple of 12 */
    BATCH_ROWS = 2 * BATCH_TILE,
    BATCH_WINDOW = 128, /* tokens of a window at most */
};

typedef struct use_lite_batch use_lite_batch;

/* position: [BATCH_WINDOW, 256], borrowed like w until free.  can_share: use_lite_batch_can_share.
 * Owned: use_lite_batch_free; NULL: no memory. */
use_lite_batch *use_lite_batch_new(const use_lite_weights *w, const float *position,
                                   bool can_share);
void use_lite_batch_free(use_lite_batch *b); /* accepts NULL */

/* False when the batch is full: run it first.  A batch that was run is empty and takes any window
 * of 1..BATCH_WINDOW tokens.  Running it adds weight times the window's vector (length 1) to out
 * [512], borrowed until then. */
bool use_lite_batch_add(use_lite_batch *b, const uint32_t *ids, size_t t, float weight, float *out);
void use_lite_batch_run(use_lite_batch *b);

/* Whether products of these weights on this CPU treat all rows of a class alike. */
bool use_lite_batch_can_share(const use_lite_weights *w);
