/* node_list.h - a growing list of node numbers.  Zero-initialised: empty.  Threads: one owner. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct node_list {
    uint32_t *node; /* owned: node_list_fini */
    size_t n, cap;
} node_list;

void node_list_fini(node_list *l);
void node_list_add(node_list *l, uint32_t node);
void node_list_append(node_list *l, const uint32_t *node, size_t n);
void node_list_sort(node_list *l);   /* ascending */
void node_list_unique(node_list *l); /* sorts, and drops repeats */
/* Where `node` is in an ascending list; false: nowhere, and *at is where it would be. */
bool node_list_find(const uint32_t *node, size_t n, uint32_t wanted, size_t *at);
