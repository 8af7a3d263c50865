#include "common/keyed_sort.h"

#include <stdlib.h>

int compare_u32(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static int compare_keyed(const void *a, const void *b)
{
    const keyed *x = a, *y = b;
    if (x->key != y->key) return x->key < y->key ? -1 : 1;
    return (x->at > y->at) - (x->at < y->at);
}

void keyed_sort(keyed *k, size_t n)
{
    if (n) qsort(k, n, sizeof *k, compare_keyed);
}

const keyed *keyed_find(const keyed *k, size_t n, uint64_t key)
{
    size_t low = 0, high = n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (k[middle].key < key) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < n && k[low].key == key ? &k[low] : NULL;
}
