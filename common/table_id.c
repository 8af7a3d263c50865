#include "common/table_id.h"

static uint32_t last_dim(const uint32_t *dims, size_t layers)
{
    return dims[layers - 1];
}

static uint32_t vectors_table(uint32_t step)
{
    static const uint32_t tables[] = {TABLE_ITEM_VECTORS, TABLE_USER_VECTORS,
                                      TABLE_NO_Z_ITEM_VECTORS, TABLE_NO_Z_USER_VECTORS};
    return step >= 1 && step <= 4 ? tables[step - 1] : TABLE_COUNT;
}

uint32_t table_of_step(const config *c, uint32_t stage, uint32_t step)
{
    switch (stage) {
    case STAGE_EMBED: return step < c->hgnn.layers ? TABLE_LAYER + step : TABLE_Z;
    case STAGE_HGNN_VALID: return step <= c->hgnn.layers ? TABLE_VALID_LAYER + step : TABLE_COUNT;
    case STAGE_TWO_TOWER_VALID:
    case STAGE_TWO_TOWER_NO_Z_VALID: return step == 1 ? TABLE_VALID_ITEMS : TABLE_COUNT;
    case STAGE_VECTORS: return vectors_table(step);
    default: return TABLE_COUNT;
    }
}

uint32_t table_sparse(const config *c, uint32_t stage)
{
    switch (stage) {
    case STAGE_HGNN: return c->hgnn.id_embedding ? TABLE_HGNN_ID : TABLE_COUNT;
    case STAGE_TWO_TOWER: return c->two_tower.item_id ? TABLE_ITEM_ID : TABLE_COUNT;
    case STAGE_TWO_TOWER_NO_Z: return c->two_tower.item_id ? TABLE_NO_Z_ITEM_ID : TABLE_COUNT;
    default: return TABLE_COUNT;
    }
}

static uint32_t vector_dim(const config *c)
{
    return last_dim(c->two_tower.dims, c->two_tower.layers) + c->two_tower.popularity;
}

uint32_t table_dim(const config *c, uint32_t table)
{
    uint32_t layers = (uint32_t)c->hgnn.layers;
    if (table == TABLE_HGNN_ID) return c->hgnn.id_embedding;
    if (table == TABLE_ITEM_ID || table == TABLE_NO_Z_ITEM_ID) return c->two_tower.item_id;
    if (table == TABLE_Z) return last_dim(c->hgnn.dims, c->hgnn.layers);
    if (table >= TABLE_ITEM_VECTORS && table <= TABLE_NO_Z_USER_VECTORS) return vector_dim(c);
    if (table == TABLE_VALID_ITEMS) return vector_dim(c);
    if (table > TABLE_LAYER && table < TABLE_LAYER + layers)
        return c->hgnn.dims[table - TABLE_LAYER - 1];
    if (table > TABLE_VALID_LAYER && table <= TABLE_VALID_LAYER + layers)
        return c->hgnn.dims[table - TABLE_VALID_LAYER - 1];
    return 0;
}

bool table_is_scratch(uint32_t table)
{
    return table >= TABLE_VALID_LAYER && table <= TABLE_VALID_ITEMS;
}

const char *table_name(uint32_t table)
{
    switch (table) {
    case TABLE_DENSE: return "dense";
    case TABLE_HGNN_ID: return "hgnn.id";
    case TABLE_ITEM_ID: return "two_tower.item_id";
    case TABLE_NO_Z_ITEM_ID: return "two_tower_no_z.item_id";
    case TABLE_Z: return "z";
    case TABLE_ITEM_VECTORS: return "item_vectors";
    case TABLE_USER_VECTORS: return "user_vectors";
    case TABLE_NO_Z_ITEM_VECTORS: return "no_z_item_vectors";
    case TABLE_NO_Z_USER_VECTORS: return "no_z_user_vectors";
    case TABLE_VALID_ITEMS: return "valid_items";
    default: break;
    }
    if (table > TABLE_LAYER && table < TABLE_VALID_LAYER) return "layer";
    return table_is_scratch(table) ? "valid_layer" : "unknown";
}
