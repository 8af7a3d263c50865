/* chunk_tower.h - one chunk of rows of the two-tower model, collected row by row.
 *
 *   chunk_tower_row, lists of its nodes ..., chunk_tower_negatives -> chunk_tower_view
 *
 * Threads: one owner. */
#pragma once

#include "common/manifest.h"
#include "common/microbatch.h"
#include "sampler/node_list.h"
#include "sampler/store.h"

#include <stdint.h>

typedef struct chunk_tower chunk_tower;

chunk_tower *chunk_tower_new(const manifest *m); /* borrows m until chunk_tower_free; owned */
void chunk_tower_free(chunk_tower *c);           /* accepts NULL */

/* Appends a row with weight 1.  history, targets, seen: ascending nodes; NULL: none. */
void chunk_tower_row(chunk_tower *c, uint32_t user, const store_user *u, const node_list *history,
                     const node_list *targets, const node_list *seen);
/* The distinct types of all targets so far: bit t = type t. */
uint64_t chunk_tower_types(const chunk_tower *c);
/* Ascending nodes. */
void chunk_tower_negatives(chunk_tower *c, const node_list *negatives);

/* Nodes unique and ascending, lists as indexes.  Borrowed until chunk_tower_free; no row may
 * follow. */
const microbatch_tower *chunk_tower_view(chunk_tower *c);
