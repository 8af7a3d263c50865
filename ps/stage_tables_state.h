/* stage_tables_state.h - the tables of a stage as stage_tables.c and stage_snapshot.c see them, and
 * nobody else. */
#pragma once

#include "ps/applied_set.h"
#include "ps/row_store.h"
#include "ps/stage_tables.h"

/* The trained tables as they were from version `since` on, until the next one's. */
typedef struct stage_past {
    uint32_t since;
    blob *dense;
    row_store *rows[SHARD_TABLES_MAX]; /* owned; [dim] before the commit that ended it */
} stage_past;

struct stage_tables {
    const shard_model *model;
    shard_map map;
    const core_mutations *mutations;
    uint32_t server, stage;
    bool finished;        /* adopted, without optimizer state */
    size_t floats, own;   /* of the stage; of this server's blocks */
    uint32_t blocks_read; /* of ours, from parts */
    uint32_t dense_state;
    blob *dense, *best_dense; /* [own]; NULL if own is 0 */
    float *state;             /* [dense_state * own], block by block; NULL: none */
    float *sum;               /* [own] scratch of a commit */
    uint32_t tables;
    shard_table spec[SHARD_TABLES_MAX];
    row_store *rows[SHARD_TABLES_MAX]; /* NULL: a put table not written yet, or dropped */
    row_store *best[SHARD_TABLES_MAX];
    uint64_t updates;    /* on arrival: how many so far */
    applied_set applied; /* of a copy, or just read */
    uint32_t since;      /* the version from which the trained tables are as they are */
    uint32_t past_n;
    uint32_t past_read, past_blocks_read; /* parts, and their blocks of the past */
    stage_past past[DELAY_MAX + 1];       /* [past_n], the oldest first; one more during a commit */
};

/* A walk over the server's own blocks, ascending. */
typedef struct block_walk {
    uint32_t next, blocks;
    uint32_t block;       /* this one */
    size_t offset, at, n; /* in the flat array; position among ours; floats */
} block_walk;

static inline block_walk stage_tables_blocks(const stage_tables *t)
{
    return (block_walk){.blocks = table_blocks(t->floats)};
}

/* Moves on to the next of our blocks; false: there is none. */
bool stage_tables_walk(const stage_tables *t, block_walk *w);

/* Row `key` of trained table i; made if it is absent. */
float *stage_tables_row_for(stage_tables *t, uint32_t i, uint64_t key);

/* The table numbered `id`; UINT32_MAX: the stage has none. */
uint32_t stage_tables_index(const stage_tables *t, uint32_t id);
