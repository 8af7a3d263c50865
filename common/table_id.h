/* table_id.h - the tables that the servers hold, by number, and which step puts which.
 *
 * Trained tables (dense, *_ID) change at every commit of their stage and are frozen when it ends.  Put
 * tables are written once, by the PUT steps of one (stage, step), and published at that step's commit.
 * Scratch tables live for one validation.  Threads: pure functions. */
#pragma once

#include "common/config.h"
#include "common/slot.h"
#include "common/wire.h" /* TABLE_DENSE */

#include <stdbool.h>
#include <stdint.h>

typedef enum table_id { /* 0: TABLE_DENSE, the flat parameters of a stage */
    TABLE_HGNN_ID = 1,
    TABLE_ITEM_ID = 2,      /* two_tower.item_id */
    TABLE_NO_Z_ITEM_ID = 3, /* two_tower_no_z.item_id */
    TABLE_Z = 8,            /* key: stable key of the item */
    TABLE_ITEM_VECTORS = 9,
    TABLE_USER_VECTORS = 10, /* key: user number */
    TABLE_NO_Z_ITEM_VECTORS = 11,
    TABLE_NO_Z_USER_VECTORS = 12,
    TABLE_LAYER = 16,       /* + k: h of layer k < L of `embed` */
    TABLE_VALID_LAYER = 32, /* + k: h of layer k <= L of a validation; scratch */
    TABLE_VALID_ITEMS = 48, /* item vectors of a validation; scratch */
    TABLE_COUNT = 64,
} table_id;

/* The table a PUT step fills; TABLE_COUNT: the step puts none (training, scoring). */
uint32_t table_of_step(const config *c, uint32_t stage, uint32_t step);
/* The trained sparse table of a training stage, or TABLE_COUNT. */
uint32_t table_sparse(const config *c, uint32_t stage);
/* Width of a row of a put or sparse table; 0: unknown table. */
uint32_t table_dim(const config *c, uint32_t table);
bool table_is_scratch(uint32_t table);
const char *table_name(uint32_t table); /* static */
