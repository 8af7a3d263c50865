/* top_items.h - the items of an exported folder whose vectors have the largest dot product with a
 * vector.  Threads: one owner.
 *
 * Exact, by brute force: a list that depends on an index could not be compared with the
 * evaluation, which ranks every candidate. The price is time linear in the catalogue; the vectors
 * are plain `.npy` for any library of indexes. */
#pragma once

#include "deploy/result_folder.h"

enum { TOP_ITEMS_MAX = 10000 };

typedef struct top_items_entry {
    uint32_t row;
    float score;
    uint64_t tie; /* hash(seed, stable key): the lower wins, as in the evaluation */
} top_items_entry;

/* Everything is borrowed until the call returns. */
typedef struct top_items_query {
    const result_folder *folder;
    const float *vectors; /* [items, dim] */
    const float *query;   /* [dim] */
    uint32_t dim;
    uint32_t ignored;    /* last columns that do not count */
    const char *type;    /* NULL: all */
    const uint8_t *skip; /* [items] nonzero: left out; NULL: none */
    uint32_t k;          /* 1..TOP_ITEMS_MAX */
} top_items_query;

/* out [k] overwritten, best first; returns how many there are. */
uint32_t top_items_find(const top_items_query *q, top_items_entry *out);
