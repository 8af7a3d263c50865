#include "sampler/chunk_graph.h"

#include "common/mem.h"
#include "common/panic.h"

#include <stdlib.h>
#include <string.h>

enum { NO_ROW = UINT32_MAX };

/* node -> row: open addressing, at most half full. */
typedef struct row_map {
    uint32_t *node; /* node + 1; 0: free */
    uint32_t *row;
    size_t size, used; /* size: a power of two */
} row_map;

typedef struct adjacency {
    uint64_t *indptr;
    uint32_t *index;
    uint16_t *weight;
} adjacency;

struct chunk_graph {
    const manifest *m;
    const hop_relations *into;
    bool weighted;
    uint32_t layers, types, hops;
    node_list node[CONFIG_TYPES_MAX];
    row_map map;
    adjacency *adjacency; /* [layers, relations] */
    subgraph view;
    subgraph_relation *relation; /* what view points to */
    subgraph_adjacency *layer;   /* [layers, relations], likewise */
};

/* --- Rows --------------------------------------------------------------------------------------
 */

static size_t map_slot(const row_map *map, uint32_t node)
{
    size_t at = (size_t)((node * UINT64_C(0x9e3779b97f4a7c15)) >> 20) & (map->size - 1);
    while (map->node[at] && map->node[at] != node + 1) at = (at + 1) & (map->size - 1);
    return at;
}

static void map_resize(row_map *map)
{
    row_map old = *map;
    map->size = old.size ? old.size * 2 : 1024;
    map->node = xcalloc(map->size, sizeof *map->node);
    map->row = xcalloc(map->size, sizeof *map->row);
    for (size_t i = 0; i < old.size; i++) {
        if (!old.node[i]) continue;
        size_t at = map_slot(map, old.node[i] - 1);
        map->node[at] = old.node[i];
        map->row[at] = old.row[i];
    }
    free(old.node);
    free(old.row);
}

/* Adds `node` without a row; false: it is there. */
static bool map_add(row_map *map, uint32_t node)
{
    if (2 * (map->used + 1) > map->size) map_resize(map);
    size_t at = map_slot(map, node);
    if (map->node[at]) return false;
    map->node[at] = node + 1;
    map->row[at] = NO_ROW;
    map->used++;
    return true;
}

uint32_t chunk_graph_row(const chunk_graph *g, uint32_t node)
{
    size_t at = map_slot(&g->map, node);
    ASSERT(g->map.node[at] && g->map.row[at] != NO_ROW);
    return g->map.row[at];
}

/* Gives rows to nodes that map_add has added, ascending. */
static void give_rows(chunk_graph *g, const uint32_t *node, size_t n)
{
    uint32_t type = 0;
    for (size_t i = 0; i < n; i++) {
        while (manifest_type_begin(g->m, type + 1) <= node[i]) type++;
        g->map.row[map_slot(&g->map, node[i])] = (uint32_t)g->node[type].n;
        node_list_add(&g->node[type], node[i]);
    }
}

static void note_rows(chunk_graph *g, uint32_t layer)
{
    for (uint32_t t = 0; t < g->types; t++) g->view.rows[layer][t] = (uint32_t)g->node[t].n;
}

chunk_graph *chunk_graph_new(const manifest *m, const hop_relations *into, uint32_t layers,
                             bool weighted, node_list *seeds)
{
    ASSERT(layers >= 1 && layers <= CONFIG_LAYERS_MAX);
    chunk_graph *g = xcalloc(1, sizeof *g);
    g->m = m;
    g->into = into;
    g->weighted = weighted;
    g->layers = layers;
    g->types = (uint32_t)m->types.n;
    g->adjacency = xcalloc((size_t)layers * m->relations + 1, sizeof *g->adjacency);
    g->layer = xcalloc((size_t)layers * m->relations + 1, sizeof *g->layer);
    g->relation = xcalloc((size_t)m->relations + 1, sizeof *g->relation);
    for (uint32_t r = 0; r < m->relations; r++) {
        g->relation[r] = (subgraph_relation){m->relation[r].source, m->relation[r].destination};
    }
    map_resize(&g->map);
    node_list_unique(seeds);
    for (size_t i = 0; i < seeds->n; i++) map_add(&g->map, seeds->node[i]);
    give_rows(g, seeds->node, seeds->n);
    note_rows(g, layers);
    node_list_fini(seeds);
    return g;
}

void chunk_graph_free(chunk_graph *g)
{
    if (!g) return;
    for (size_t i = 0; i < (size_t)g->layers * g->m->relations; i++) {
        free(g->adjacency[i].indptr);
        free(g->adjacency[i].index);
        free(g->adjacency[i].weight);
    }
    for (uint32_t t = 0; t < g->types; t++) node_list_fini(&g->node[t]);
    free(g->adjacency);
    free(g->layer);
    free(g->relation);
    free(g->map.node);
    free(g->map.row);
    free(g);
}

void chunk_graph_nodes(const chunk_graph *g, node_list *out)
{
    for (uint32_t t = 0; t < g->types; t++) node_list_append(out, g->node[t].node, g->node[t].n);
}

/* --- Hops --------------------------------------------------------------------------------------
 */

/* The lists of all nodes so far, type after type, in the order of rows. */
static const hop_list **find_lists(const chunk_graph *g, const hop *h)
{
    size_t n = 0;
    for (uint32_t t = 0; t < g->types; t++) n += g->node[t].n;
    const hop_list **list = xcalloc(n + 1, sizeof *list);
    n = 0;
    for (uint32_t t = 0; t < g->types; t++) {
        for (size_t i = 0; i < g->node[t].n; i++, n++) {
            list[n] = hop_find(h, g->node[t].node[i]);
            ASSERT(list[n]);
        }
    }
    return list;
}

/* Nodes that the lists add, ascending. */
static void new_nodes(chunk_graph *g, const hop_list *const *list, node_list *fresh)
{
    for (uint32_t t = 0; t < g->types; t++) {
        uint32_t relations = g->into->base[t + 1] - g->into->base[t];
        for (size_t i = 0; i < g->node[t].n; i++, list++) {
            for (uint32_t r = 0; r < relations; r++) {
                const hop_list *l = &(*list)[r];
                for (uint32_t j = 0; j < l->n; j++) {
                    if (map_add(&g->map, l->source[j])) node_list_add(fresh, l->source[j]);
                }
            }
        }
    }
    node_list_sort(fresh);
}

/* CSR of the r-th relation into a type over its `rows` rows, whose lists start at `list`. */
static void fill_relation(const chunk_graph *g, adjacency *a, const hop_list *const *list,
                          uint32_t rows, uint32_t r)
{
    a->indptr = xcalloc((size_t)rows + 1, sizeof *a->indptr);
    for (uint32_t i = 0; i < rows; i++) a->indptr[i + 1] = a->indptr[i] + list[i][r].n;
    size_t edges = (size_t)a->indptr[rows] + 1;
    a->index = xcalloc(edges, sizeof *a->index);
    if (g->weighted) a->weight = xcalloc(edges, sizeof *a->weight);
    for (uint32_t i = 0; i < rows; i++) {
        const hop_list *l = &list[i][r];
        size_t at = (size_t)a->indptr[i];
        for (uint32_t j = 0; j < l->n; j++) a->index[at + j] = chunk_graph_row(g, l->source[j]);
        if (a->weight && l->n) memcpy(a->weight + at, l->weight, l->n * sizeof *l->weight);
    }
}

void chunk_graph_expand(chunk_graph *g, const hop *h)
{
    ASSERT(g->hops < g->layers);
    uint32_t layer = g->layers - g->hops++;
    const hop_list **list = find_lists(g, h), **next = list;
    node_list fresh = {0};
    new_nodes(g, (const hop_list *const *)list, &fresh);
    give_rows(g, fresh.node, fresh.n);
    node_list_fini(&fresh);
    note_rows(g, layer - 1);
    for (uint32_t t = 0; t < g->types; t++) {
        uint32_t rows = g->view.rows[layer][t];
        for (uint32_t i = g->into->base[t]; i < g->into->base[t + 1]; i++) {
            size_t at = (size_t)(layer - 1) * g->m->relations + g->into->into[i];
            fill_relation(g, &g->adjacency[at], (const hop_list *const *)next, rows,
                          i - g->into->base[t]);
        }
        next += rows;
    }
    free(list);
}

subgraph *chunk_graph_view(chunk_graph *g)
{
    ASSERT(g->hops == g->layers);
    subgraph *v = &g->view;
    v->layers = g->layers;
    v->types = g->types;
    v->relations = g->m->relations;
    v->relation = g->relation;
    for (uint32_t t = 0; t < g->types; t++) v->node[t] = g->node[t].node;
    for (uint32_t k = 1; k <= g->layers; k++) {
        size_t at = (size_t)(k - 1) * g->m->relations;
        for (uint32_t r = 0; r < g->m->relations; r++) {
            const adjacency *a = &g->adjacency[at + r];
            g->layer[at + r] = (subgraph_adjacency){a->indptr, a->index, a->weight};
        }
        v->layer[k] = g->layer + at;
    }
    return v;
}
