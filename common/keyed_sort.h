/* keyed_sort.h - positions in the order of their keys, and plain numbers for qsort and bsearch.
 *
 * Threads: any. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* What stands at position `at` has this key. */
typedef struct keyed {
    uint64_t key;
    size_t at;
} keyed;

/* k [n] ascending by key; equal keys by position. */
void keyed_sort(keyed *k, size_t n);
/* The first of the sorted k [n] with this key; NULL: none. */
const keyed *keyed_find(const keyed *k, size_t n, uint64_t key);

/* Of two uint32_t or uint64_t, ascending. */
int compare_u32(const void *a, const void *b);
int compare_u64(const void *a, const void *b);
