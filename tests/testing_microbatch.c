#include "testing_microbatch.h"

#include "common/panic.h"

enum { TYPES = 3, RELATIONS = 9 };

/* Relation a -> a is number 0, b -> a number 3. */
static void fill_layer(subgraph_adjacency *layer)
{
    static const uint64_t none[3] = {0, 0, 0}, from_a[3] = {0, 2, 3}, from_b[3] = {0, 1, 1};
    static const uint32_t a[3] = {1, 2, 0}, b[1] = {0};
    static const uint16_t weight[3] = {65535, 7, 1};
    for (uint32_t r = 0; r < RELATIONS; r++) {
        layer[r] = (subgraph_adjacency){none, a, weight};
    }
    layer[0] = (subgraph_adjacency){from_a, a, weight};
    layer[3] = (subgraph_adjacency){from_b, b, weight};
}

blob *testing_graph_body(const manifest *m)
{
    static const uint32_t type_a[3] = {0, 5, 9}, type_b[1] = {700}, negative[2] = {0, 1};
    static const subgraph_pair pairs[2] = {{0, 0, 0, 1}, {1, 0, 0, 0}};
    static const uint64_t mask[2] = {2, 1};
    subgraph_relation relation[RELATIONS];
    for (uint32_t r = 0; r < RELATIONS; r++) {
        relation[r] = (subgraph_relation){m->relation[r].source, m->relation[r].destination};
    }
    subgraph_adjacency layer[RELATIONS];
    fill_layer(layer);
    subgraph g[2] = {{.layers = 1, .types = TYPES, .relations = RELATIONS, .relation = relation}};
    g[0].node[0] = type_a;
    g[0].node[1] = type_b;
    g[0].rows[0][0] = 3;
    g[0].rows[1][0] = 2;
    g[0].rows[0][1] = g[0].rows[1][1] = 1;
    g[0].layer[1] = layer;
    g[0].pairs = 2;
    g[0].pair = pairs;
    g[0].negatives[0] = 2;
    g[0].negative[0] = negative;
    g[0].mask = mask;
    g[0].mask_words = 1;
    g[1] = g[0];
    blob *body;
    err_code rc = microbatch_encode_graph((slot_name){STAGE_HGNN, 1, 2, 3}, g, 2, &body);
    ASSERT(rc == ERR_OK);
    return body;
}

blob *testing_tower_body(const manifest *m)
{
    static const uint32_t user[2] = {3, 4}, node[5] = {1, 4, 100, 701, 750};
    static const uint64_t history_at[3] = {0, 2, 3}, target_at[3] = {0, 1, 2},
                          seen_at[3] = {0, 0, 1};
    static const uint32_t history[3] = {0, 3, 4}, target[2] = {1, 2}, seen[1] = {2};
    static const uint32_t count[2 * TYPES] = {1, 1, 0, 0, 0, 1}, negative[2] = {2, 3};
    static const float weight[2] = {1, 0.5f};
    microbatch_tower t = {.rows = 2,
                          .user = user,
                          .nodes = 5,
                          .node = node,
                          .history_indptr = history_at,
                          .history = history,
                          .types = (uint32_t)m->types.n,
                          .count = count,
                          .target_indptr = target_at,
                          .target = target,
                          .weight = weight,
                          .negatives = 2,
                          .negative = negative,
                          .seen_indptr = seen_at,
                          .seen = seen};
    blob *body;
    err_code rc = microbatch_encode_tower((slot_name){STAGE_TWO_TOWER, 1, 2, 3}, &t, 1, &body);
    ASSERT(rc == ERR_OK);
    return body;
}

blob *testing_items_body(void)
{
    blob *body;
    err_code rc = microbatch_encode_items((slot_name){STAGE_VECTORS, 1, 1, 0}, 5, 7, &body);
    ASSERT(rc == ERR_OK);
    return body;
}
