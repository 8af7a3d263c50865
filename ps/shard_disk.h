/* shard_disk.h - what a server does with its disk: write a snapshot, read one back.
 *
 * The jobs are data, made by the shard's core and carried out by its shell on another thread;
 * where the parts go is a part_store: files (ps/server_node.c), or memory (tests/sim).  Threads: a
 * job belongs to whoever carries it out until its result is back. */
#pragma once

#include "common/core.h"
#include "common/table_codec.h"
#include "ps/checkpoint_part.h"
#include "ps/stage_tables.h"

/* Where parts are kept.  Every function: what went wrong into why[CORE_TEXT_MAX]. */
typedef struct part_store {
    void *ctx;
    err_code (*write)(void *ctx, const part_id *id, blob *part, char *why);
    /* All parts of this server are written: make them durable. */
    err_code (*seal)(void *ctx, const part_id *id, char *why);
    /* *part owned, *view its checked content. */
    err_code (*read)(void *ctx, const part_id *id, blob **part, part_view *view, char *why);
    /* Removes snapshots older than `newest` that are not among keep [n]. */
    void (*prune)(void *ctx, const part_id *keep, uint32_t n, const part_id *newest);
} part_store;

typedef struct saved_part {
    uint32_t shard;
    uint64_t bytes, hash;
} saved_part;

typedef struct shard_save {
    part_id id; /* its shard is not used */
    uint32_t server;
    shard_map map;
    stage_tables *tables; /* owned */
    part_id *keep;        /* owned, [keep_n] */
    uint32_t keep_n;
    /* the result */
    saved_part *part; /* owned, [parts] */
    uint32_t parts;
    char why[CORE_TEXT_MAX];
} shard_save;

void shard_save_free(shard_save *s); /* accepts NULL */
/* Writes and seals this server's parts, then prunes.  ERR_IO, ERR_NO_MEMORY: s->why. */
MUST_USE err_code shard_disk_save(const part_store *store, shard_save *s);

typedef struct shard_load {
    const shard_model *model; /* borrowed */
    const core_mutations *mutations;
    uint32_t server;
    shard_map map;
    part_id *from; /* owned, [n]: a snapshot each, shard not used */
    uint32_t n;
    /* the result */
    stage_tables *tables[STAGE_COUNT]; /* owned */
    char why[CORE_TEXT_MAX];
} shard_load;

void shard_load_free(shard_load *l); /* accepts NULL */
/* Reads this server's parts of all snapshots.  ERR_CORRUPT, ERR_NOT_FOUND, ERR_IO: l->why names the
 * part. */
MUST_USE err_code shard_disk_load(const part_store *store, shard_load *l);
