#include "ps/row_store.h"

#include "common/hash.h"
#include "common/mem.h"
#include "common/panic.h"

#include <stdlib.h>
#include <string.h>

enum { SLAB_ROWS = 1024, CELLS_FIRST = 64, LOOKAHEAD = 8 };
#define ABSENT UINT32_MAX

typedef struct cell {
    uint64_t key;
    uint32_t row; /* ABSENT: free */
} cell;

struct row_store {
    uint32_t dim, width; /* width = dim + state */
    cell *cells;
    size_t cells_n; /* a power of two, at most 3/4 full */
    size_t rows;
    float **slab;
    size_t slab_cap, slabs;
};

static void clear_cells(cell *c, size_t n)
{
    for (size_t i = 0; i < n; i++) c[i].row = ABSENT;
}

static cell *new_cells(size_t n)
{
    cell *c = xmalloc(n * sizeof *c);
    clear_cells(c, n);
    return c;
}

row_store *row_store_new(uint32_t dim, uint32_t state)
{
    row_store *t = xcalloc(1, sizeof *t);
    t->dim = dim;
    t->width = dim + state;
    t->cells_n = CELLS_FIRST;
    t->cells = new_cells(t->cells_n);
    return t;
}

void row_store_free(row_store *t)
{
    if (!t) return;
    for (size_t i = 0; i < t->slabs; i++) free(t->slab[i]);
    free(t->slab);
    free(t->cells);
    free(t);
}

uint32_t row_store_dim(const row_store *t)
{
    return t->dim;
}

size_t row_store_count(const row_store *t)
{
    return t->rows;
}

size_t row_store_bytes(const row_store *t)
{
    return t->slabs * SLAB_ROWS * t->width * sizeof(float) + t->cells_n * sizeof(cell);
}

/* Keys may be hashes already or small numbers: mix them (the finalizer of murmur3). */
static size_t home(const row_store *t, uint64_t key)
{
    key ^= key >> 33;
    key *= 0xff51afd7ed558ccdULL;
    key ^= key >> 33;
    return (size_t)key & (t->cells_n - 1);
}

static cell *probe(const row_store *t, uint64_t key)
{
    size_t i = home(t, key);
    while (t->cells[i].row != ABSENT && t->cells[i].key != key) i = (i + 1) & (t->cells_n - 1);
    return &t->cells[i];
}

static float *row_at(const row_store *t, uint32_t row)
{
    return t->slab[row / SLAB_ROWS] + (size_t)(row % SLAB_ROWS) * t->width;
}

float *row_store_find(const row_store *t, uint64_t key)
{
    const cell *c = probe(t, key);
    return c->row == ABSENT ? NULL : row_at(t, c->row);
}

static void rehash(row_store *t)
{
    cell *old = t->cells;
    size_t old_n = t->cells_n;
    t->cells_n *= 2;
    t->cells = new_cells(t->cells_n);
    for (size_t i = 0; i < old_n; i++) {
        if (old[i].row != ABSENT) *probe(t, old[i].key) = old[i];
    }
    free(old);
}

float *row_store_add(row_store *t, uint64_t key)
{
    ASSERT(t->rows < ABSENT);
    if ((t->rows + 1) * 4 > t->cells_n * 3) rehash(t);
    cell *c = probe(t, key);
    ASSERT(c->row == ABSENT);
    c->key = key;
    c->row = (uint32_t)t->rows++;
    if (c->row / SLAB_ROWS >= t->slabs) {
        grow(&t->slab, &t->slab_cap, t->slabs + 1, sizeof *t->slab);
        t->slab[t->slabs++] = xcalloc(SLAB_ROWS, (size_t)t->width * sizeof(float));
    }
    return row_at(t, c->row);
}

void row_store_find_many(const row_store *t, const uint64_t *keys, size_t n, const float **rows)
{
    for (size_t i = 0; i < n; i++) {
        if (i + LOOKAHEAD < n) __builtin_prefetch(&t->cells[home(t, keys[i + LOOKAHEAD])]);
        rows[i] = row_store_find(t, keys[i]);
        if (rows[i]) __builtin_prefetch(rows[i]);
    }
}

static int compare_keys(const void *a, const void *b)
{
    uint64_t x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return x < y ? -1 : x > y;
}

uint64_t *row_store_keys(const row_store *t)
{
    uint64_t *keys = xmalloc((t->rows + 1) * sizeof *keys);
    size_t n = 0;
    for (size_t i = 0; i < t->cells_n; i++) {
        if (t->cells[i].row != ABSENT) keys[n++] = t->cells[i].key;
    }
    ASSERT(n == t->rows);
    qsort(keys, n, sizeof *keys, compare_keys);
    return keys;
}

row_store *row_store_copy(const row_store *t)
{
    row_store *c = xcalloc(1, sizeof *c);
    *c = *t;
    c->cells = xmalloc(t->cells_n * sizeof *c->cells);
    memcpy(c->cells, t->cells, t->cells_n * sizeof *c->cells);
    c->slab_cap = t->slabs;
    c->slab = xcalloc(t->slabs + 1, sizeof *c->slab);
    size_t bytes = SLAB_ROWS * (size_t)t->width * sizeof(float);
    for (size_t i = 0; i < t->slabs; i++) {
        c->slab[i] = xmalloc(bytes);
        memcpy(c->slab[i], t->slab[i], bytes);
    }
    return c;
}

uint64_t row_store_digest(const row_store *t)
{
    uint64_t *keys = row_store_keys(t), h = t->rows;
    for (size_t i = 0; i < t->rows; i++) {
        h = hash64(&keys[i], sizeof keys[i], h);
        h = hash64(row_store_find(t, keys[i]), t->width * sizeof(float), h);
    }
    free(keys);
    return h;
}
