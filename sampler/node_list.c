#include "sampler/node_list.h"

#include "common/mem.h"

#include <stdlib.h>
#include <string.h>

void node_list_fini(node_list *l)
{
    free(l->node);
    *l = (node_list){0};
}

void node_list_add(node_list *l, uint32_t node)
{
    grow(&l->node, &l->cap, l->n + 1, sizeof *l->node);
    l->node[l->n++] = node;
}

void node_list_append(node_list *l, const uint32_t *node, size_t n)
{
    if (!n) return;
    grow(&l->node, &l->cap, l->n + n, sizeof *l->node);
    memcpy(l->node + l->n, node, n * sizeof *node);
    l->n += n;
}

static int node_order(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

void node_list_sort(node_list *l)
{
    if (l->n) qsort(l->node, l->n, sizeof *l->node, node_order);
}

void node_list_unique(node_list *l)
{
    node_list_sort(l);
    size_t n = 0;
    for (size_t i = 0; i < l->n; i++) {
        if (n && l->node[n - 1] == l->node[i]) continue;
        l->node[n++] = l->node[i];
    }
    l->n = n;
}

bool node_list_find(const uint32_t *node, size_t n, uint32_t wanted, size_t *at)
{
    size_t low = 0, high = n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (node[mid] < wanted) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    *at = low;
    return low < n && node[low] == wanted;
}
