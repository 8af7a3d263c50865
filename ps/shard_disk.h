/* shard_disk.h - what a server does with its disk: write a snapshot, read one back, give another
 * server pieces of a part, and write those it gets.
 *
 * The jobs are data, made by the shard's core and carried out by its shell on another thread;
 * where the parts go is a part_store: files (ps/server_node.c), or memory (tests/sim).  Threads: a
 * job belongs to whoever carries it out until its result is back. */
#pragma once

#include "common/core.h"
#include "common/table_codec.h"
#include "ps/part_piece.h"
#include "ps/stage_tables.h"

/* Where parts are kept.  Every function: what went wrong into why[CORE_TEXT_MAX]. */
typedef struct part_store {
    void *ctx;
    err_code (*write)(void *ctx, const part_id *id, blob *part, char *why);
    /* All parts of this server are written: make them durable. */
    err_code (*seal)(void *ctx, const part_id *id, char *why);
    /* *part owned, *view its checked content. */
    err_code (*read)(void *ctx, const part_id *id, blob **part, part_view *view, char *why);
    /* The four of checkpoint_copy.h. */
    bool (*is_there)(void *ctx, const part_id *id);
    err_code (*read_piece)(void *ctx, const part_id *id, part_piece want, blob **bytes,
                           uint64_t *total, uint64_t *hash, char *why);
    err_code (*write_piece)(void *ctx, const part_id *id, uint64_t offset, const void *bytes,
                            size_t n, char *why);
    err_code (*finish)(void *ctx, const part_id *id, uint64_t total, uint64_t hash, char *why);
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
    uint32_t copies;  /* of each part; more than 1: others get theirs from us */
    uint32_t attempt; /* of the scheduler; the core's */
    bool written;     /* our parts are there; the core's */
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
    uint32_t copies; /* of each part; more than 1: what is not here may be elsewhere */
    /* the result */
    stage_tables *tables[STAGE_COUNT]; /* owned */
    part_id *missing;                  /* owned, [missing_n]: to be got, then loaded again */
    size_t missing_n, missing_cap;
    char why[CORE_TEXT_MAX]; /* of the first that is missing, too */
} shard_load;

void shard_load_free(shard_load *l); /* accepts NULL */
/* Forgets the result. */
void shard_load_reset(shard_load *l);
/* Reads this server's parts of all snapshots.  ERR_CORRUPT, ERR_NOT_FOUND, ERR_IO: l->why names the
 * part.  With copies ERR_OK and missing parts: ours that cannot be read, and those we are to have a
 * copy of; the tables are not whole then. */
MUST_USE err_code shard_disk_load(const part_store *store, shard_load *l);

/* Those parts of a snapshot that `server` is to have a copy of; *out owned: free. */
uint32_t shard_disk_seconds(const shard_map *map, uint32_t server, const part_id *snapshot,
                            part_id **out);

/* A piece of a part for another server. */
typedef struct shard_give {
    part_id id;
    part_piece want;
    /* the result */
    blob *answer; /* owned */
    char why[CORE_TEXT_MAX];
} shard_give;
/* ERR_NOT_FOUND, ERR_CORRUPT, ERR_IO, ERR_NO_MEMORY: g->why. */
MUST_USE err_code shard_disk_give(const part_store *store, shard_give *g);

/* A piece from another server. */
typedef struct shard_get {
    part_id id;
    uint64_t offset;
    blob *body;            /* owned */
    part_piece_view piece; /* of it */
    bool last;             /* all the others are written */
    bool seals;            /* and so are all parts of that snapshot that are wanted */
    char why[CORE_TEXT_MAX];
} shard_get;
/* ERR_CORRUPT: all together are not that part; ERR_LIMIT, ERR_IO: our disk; g->why. */
MUST_USE err_code shard_disk_get(const part_store *store, shard_get *g);
