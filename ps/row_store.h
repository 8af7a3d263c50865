/* row_store.h - a sparse table's rows: u64 key -> f32 [dim] values and [state] optimizer state.
 *
 * Open addressing over keys; rows live in slabs and never move.  Whatever is read out in bulk comes
 * in the order of the keys asked for or of the sorted keys, never in hash order.  Threads: one
 * owner. */
#pragma once

#include <stddef.h>
#include <stdint.h>

typedef struct row_store row_store;

row_store *row_store_new(uint32_t dim, uint32_t state); /* owned: row_store_free */
void row_store_free(row_store *t);                      /* accepts NULL */
row_store *row_store_copy(const row_store *t);          /* owned */

uint32_t row_store_dim(const row_store *t);
size_t row_store_count(const row_store *t);
size_t row_store_bytes(const row_store *t);

/* The row, [dim + state] floats, borrowed until the store is freed; NULL: absent. */
float *row_store_find(const row_store *t, uint64_t key);
/* The row of a key that is absent, zeroed. */
float *row_store_add(row_store *t, uint64_t key);

/* Looks up keys [n] with prefetch: rows[i] as row_store_find. */
void row_store_find_many(const row_store *t, const uint64_t *keys, size_t n, const float **rows);

/* All keys, ascending.  Owned: free(). */
uint64_t *row_store_keys(const row_store *t);
/* Of all rows in the order of their keys. */
uint64_t row_store_digest(const row_store *t);
