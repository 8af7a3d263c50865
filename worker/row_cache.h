/* row_cache.h - rows of one size by node number, within a budget of bytes.
 *
 * Rows never change (node features, a frozen table), so that one which is present is right.  When
 * the budget is used up the oldest row not touched since its last pass is dropped (CLOCK). Threads:
 * one owner. */
#pragma once

#include <stddef.h>
#include <stdint.h>

typedef struct row_cache row_cache;

/* Rows of `row_bytes`; as many as fit into `budget_bytes`, at least ROW_CACHE_ROWS_MIN; memory is
 * taken as rows come.  Owned: row_cache_free. */
enum { ROW_CACHE_ROWS_MIN = 1024 };
row_cache *row_cache_new(size_t row_bytes, uint64_t budget_bytes);
void row_cache_free(row_cache *c); /* accepts NULL */

/* The row of `node`, 8-byte aligned, borrowed until the next put; NULL: not here. */
const void *row_cache_get(row_cache *c, uint32_t node);
/* A place for the row of `node`, which is not here yet; the caller fills it at once. */
void *row_cache_put(row_cache *c, uint32_t node);

uint64_t row_cache_rows(const row_cache *c);
void row_cache_clear(row_cache *c);
