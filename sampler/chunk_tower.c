#include "sampler/chunk_tower.h"

#include "common/mem.h"
#include "common/panic.h"

#include <stdlib.h>
#include <string.h>

/* Lists of the rows, one after the other. */
typedef struct row_lists {
    uint64_t *indptr; /* [rows + 1] */
    size_t cap;
    node_list entry;
} row_lists;

struct chunk_tower {
    const manifest *m;
    uint32_t rows, types;
    node_list user, count, attribute, negative, node;
    row_lists history, target, seen;
    float *vector, *weight;
    size_t vector_cap, weight_cap;
    microbatch_tower view;
};

static void lists_add(row_lists *l, uint32_t row, const node_list *nodes)
{
    grow(&l->indptr, &l->cap, (size_t)row + 2, sizeof *l->indptr);
    if (row == 0) l->indptr[0] = 0;
    if (nodes) node_list_append(&l->entry, nodes->node, nodes->n);
    l->indptr[row + 1] = l->entry.n;
}

static void lists_fini(row_lists *l)
{
    free(l->indptr);
    node_list_fini(&l->entry);
}

chunk_tower *chunk_tower_new(const manifest *m)
{
    chunk_tower *c = xcalloc(1, sizeof *c);
    c->m = m;
    c->types = (uint32_t)m->types.n;
    c->history.indptr = xcalloc(1, sizeof *c->history.indptr);
    c->target.indptr = xcalloc(1, sizeof *c->target.indptr);
    c->seen.indptr = xcalloc(1, sizeof *c->seen.indptr);
    c->history.cap = c->target.cap = c->seen.cap = 1;
    return c;
}

void chunk_tower_free(chunk_tower *c)
{
    if (!c) return;
    node_list_fini(&c->user);
    node_list_fini(&c->count);
    node_list_fini(&c->attribute);
    node_list_fini(&c->negative);
    node_list_fini(&c->node);
    lists_fini(&c->history);
    lists_fini(&c->target);
    lists_fini(&c->seen);
    free(c->vector);
    free(c->weight);
    free(c);
}

static void add_counts(chunk_tower *c, const node_list *history)
{
    size_t at = c->count.n;
    for (uint32_t t = 0; t < c->types; t++) node_list_add(&c->count, 0);
    for (size_t i = 0; history && i < history->n; i++) {
        c->count.node[at + manifest_type_of(c->m, history->node[i])]++;
    }
}

static void add_vector(chunk_tower *c, const store_user *u)
{
    size_t d = c->m->user_vector_dim;
    if (!d) return;
    grow(&c->vector, &c->vector_cap, (c->rows + 1) * d, sizeof *c->vector);
    memcpy(c->vector + c->rows * d, u->vector, d * sizeof *c->vector);
}

void chunk_tower_row(chunk_tower *c, uint32_t user, const store_user *u, const node_list *history,
                     const node_list *targets, const node_list *seen)
{
    node_list_add(&c->user, user);
    lists_add(&c->history, c->rows, history);
    lists_add(&c->target, c->rows, targets);
    lists_add(&c->seen, c->rows, seen);
    add_counts(c, history);
    node_list_append(&c->attribute, u->attribute, c->m->user_attributes);
    add_vector(c, u);
    grow(&c->weight, &c->weight_cap, (size_t)c->rows + 1, sizeof *c->weight);
    c->weight[c->rows++] = 1;
}

uint64_t chunk_tower_types(const chunk_tower *c)
{
    uint64_t types = 0;
    for (size_t i = 0; i < c->target.entry.n; i++) {
        types |= UINT64_C(1) << manifest_type_of(c->m, c->target.entry.node[i]);
    }
    return types;
}

void chunk_tower_negatives(chunk_tower *c, const node_list *negatives)
{
    node_list_append(&c->negative, negatives->node, negatives->n);
}

static void to_indexes(const chunk_tower *c, node_list *l)
{
    for (size_t i = 0; i < l->n; i++) {
        size_t at;
        bool found = node_list_find(c->node.node, c->node.n, l->node[i], &at);
        ASSERT(found);
        l->node[i] = (uint32_t)at;
    }
}

const microbatch_tower *chunk_tower_view(chunk_tower *c)
{
    node_list *lists[] = {&c->history.entry, &c->target.entry, &c->seen.entry, &c->negative};
    for (size_t i = 0; i < 4; i++) node_list_append(&c->node, lists[i]->node, lists[i]->n);
    node_list_unique(&c->node);
    for (size_t i = 0; i < 4; i++) to_indexes(c, lists[i]);
    c->view = (microbatch_tower){
        .rows = c->rows,
        .user = c->user.node,
        .nodes = (uint32_t)c->node.n,
        .node = c->node.node,
        .history_indptr = c->history.indptr,
        .history = c->history.entry.node,
        .types = c->types,
        .count = c->count.node,
        .attributes = c->m->user_attributes,
        .attribute = c->attribute.node,
        .vector_dim = c->m->user_vector_dim,
        .vector = c->vector,
        .target_indptr = c->target.indptr,
        .target = c->target.entry.node,
        .weight = c->weight,
        .negatives = (uint32_t)c->negative.n,
        .negative = c->negative.node,
        .seen_indptr = c->seen.indptr,
        .seen = c->seen.entry.node,
    };
    return &c->view;
}
