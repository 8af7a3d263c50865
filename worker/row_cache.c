#include "worker/row_cache.h"

#include "common/mem.h"
#include "common/panic.h"

#include <stdlib.h>
#include <string.h>

enum { SLAB_ROWS = 1024, EMPTY = 0 };

struct row_cache {
    size_t row_bytes;     /* rounded up to 8 */
    uint32_t rows, limit; /* rows in use, most rows */
    uint32_t hand;        /* CLOCK */
    uint8_t **slab;       /* [limit / SLAB_ROWS + 1], allocated as rows come */
    uint32_t *node;       /* [rows cap] */
    uint8_t *touched;     /* [rows cap] */
    size_t node_cap, touched_cap;
    uint32_t *index; /* open addressing: row + 1, EMPTY: none */
    uint32_t mask;
};

row_cache *row_cache_new(size_t row_bytes, uint64_t budget_bytes)
{
    row_cache *c = xcalloc(1, sizeof *c);
    c->row_bytes = (row_bytes + 7) / 8 * 8;
    uint64_t limit = budget_bytes / (c->row_bytes + 16);
    if (limit < ROW_CACHE_ROWS_MIN) limit = ROW_CACHE_ROWS_MIN;
    if (limit > UINT32_MAX / 4) limit = UINT32_MAX / 4;
    c->limit = (uint32_t)limit;
    c->slab = xcalloc(c->limit / SLAB_ROWS + 1, sizeof *c->slab);
    c->mask = 4095;
    c->index = xcalloc((size_t)c->mask + 1, sizeof *c->index);
    return c;
}

void row_cache_free(row_cache *c)
{
    if (!c) return;
    for (uint32_t i = 0; i <= c->limit / SLAB_ROWS; i++) free(c->slab[i]);
    free(c->slab);
    free(c->node);
    free(c->touched);
    free(c->index);
    free(c);
}

static uint8_t *row_at(const row_cache *c, uint32_t row)
{
    return c->slab[row / SLAB_ROWS] + (size_t)(row % SLAB_ROWS) * c->row_bytes;
}

static uint32_t home(const row_cache *c, uint32_t node)
{
    return (uint32_t)((node * UINT64_C(0x9E3779B97F4A7C15)) >> 32) & c->mask;
}

/* The place of `node` in the index, or the empty place where it would go. */
static uint32_t find(const row_cache *c, uint32_t node)
{
    uint32_t i = home(c, node);
    while (c->index[i] != EMPTY && c->node[c->index[i] - 1] != node) i = (i + 1) & c->mask;
    return i;
}

const void *row_cache_get(row_cache *c, uint32_t node)
{
    uint32_t found = c->index[find(c, node)];
    if (found == EMPTY) return NULL;
    c->touched[found - 1] = 1;
    return row_at(c, found - 1);
}

/* Removes the entry at `i`, moving later ones of its run back (linear probing without tombstones).
 */
static void unlink_index(row_cache *c, uint32_t i)
{
    uint32_t hole = i;
    c->index[hole] = EMPTY;
    for (uint32_t j = (i + 1) & c->mask; c->index[j] != EMPTY; j = (j + 1) & c->mask) {
        uint32_t want = home(c, c->node[c->index[j] - 1]);
        if (((j - want) & c->mask) < ((j - hole) & c->mask)) continue;
        c->index[hole] = c->index[j];
        c->index[j] = EMPTY;
        hole = j;
    }
}

static uint32_t evict(row_cache *c)
{
    while (c->touched[c->hand]) {
        c->touched[c->hand] = 0;
        c->hand = (c->hand + 1) % c->rows;
    }
    uint32_t row = c->hand;
    c->hand = (c->hand + 1) % c->rows;
    unlink_index(c, find(c, c->node[row]));
    return row;
}

static void rebuild_index(row_cache *c)
{
    c->mask = c->mask * 2 + 1;
    c->index = xrealloc(c->index, (size_t)c->mask + 1, sizeof *c->index);
    memset(c->index, 0, ((size_t)c->mask + 1) * sizeof *c->index);
    for (uint32_t row = 0; row < c->rows; row++) c->index[find(c, c->node[row])] = row + 1;
}

static uint32_t append(row_cache *c)
{
    uint32_t row = c->rows++;
    grow(&c->node, &c->node_cap, c->rows, sizeof *c->node);
    grow(&c->touched, &c->touched_cap, c->rows, sizeof *c->touched);
    if (!c->slab[row / SLAB_ROWS]) {
        c->slab[row / SLAB_ROWS] = xmalloc(SLAB_ROWS * c->row_bytes);
    }
    return row;
}

void *row_cache_put(row_cache *c, uint32_t node)
{
    ASSERT(c->index[find(c, node)] == EMPTY);
    bool room = c->rows < c->limit;
    uint32_t row = room ? append(c) : evict(c);
    c->node[row] = UINT32_MAX; /* not yet linked: the index must not find it while it is rebuilt */
    if (room && (uint64_t)c->rows * 2 > c->mask) {
        c->rows--;
        rebuild_index(c);
        c->rows++;
    }
    c->node[row] = node;
    c->touched[row] = 1;
    c->index[find(c, node)] = row + 1;
    return row_at(c, row);
}

uint64_t row_cache_rows(const row_cache *c)
{
    return c->rows;
}

void row_cache_clear(row_cache *c)
{
    c->rows = c->hand = 0;
    memset(c->index, 0, ((size_t)c->mask + 1) * sizeof *c->index);
}
