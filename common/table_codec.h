/* table_codec.h - how a stage's parameters are spread over servers, and the bodies that carry them.
 *
 * Keys go to V virtual shards by hash, virtual shards to servers by a versioned map: counts of
 * servers and shards never enter arithmetic.  A stage's dense parameters are one flat f32 array cut
 * into blocks of DENSE_BLOCK_FLOATS (the last one shorter); block b of stage s has the key
 * table_block_key(s, b).  What a server holds, sends and receives is the concatenation of its
 * blocks in ascending order.
 *
 * Result body (PUSH, PUT, VOID), one message per server even if it holds nothing for it:
 *     push_head (40 bytes), dense f32[dense_floats], then per section: push_section_head (16
 * bytes), u64 keys[n] ascending and unique, f32 rows[n * dim]; every part padded with zeros to 8
 * bytes. Threads: any; a map is immutable. */
#pragma once

#include "common/blob.h"
#include "common/bytes.h"
#include "common/err.h"

#include <stdbool.h>
#include <stdint.h>

enum { DENSE_BLOCK_FLOATS = 16384, SHARDS_MAX = 4096, SERVERS_MAX = 1024 };
enum {
    PUSH_SECTIONS_MAX = 16,
    PUSH_MAGIC = 0x48535550,
    TABLE_ROWS_MAX = 1 << 26,
    TABLE_FLOATS_MAX = 1 << 28, /* in one body */
    TABLE_DIM_MAX = 1 << 16
};

typedef struct shard_map {
    uint32_t version;
    uint32_t shards, servers;
    uint16_t server_of[SHARDS_MAX]; /* [shards] */
} shard_map;

/* V virtual shards over N servers by rendezvous hashing (plan_vshard_owner). */
void shard_map_init(shard_map *m, uint32_t version, uint32_t shards, uint32_t servers);

uint64_t table_block_key(uint32_t stage, uint32_t block);
uint32_t table_shard_of(const shard_map *m, uint64_t key);
uint32_t table_server_of(const shard_map *m, uint64_t key);

/* Blocks of a stage with `floats` dense parameters, and the floats of block b. */
uint32_t table_blocks(size_t floats);
size_t table_block_floats(size_t floats, uint32_t block);
uint32_t table_block_server(const shard_map *m, uint32_t stage, uint32_t block);
/* Floats that `server` holds of `stage`. */
size_t table_server_floats(const shard_map *m, uint32_t stage, size_t floats, uint32_t server);
/* out [table_server_floats] overwritten with the server's blocks of flat [floats]; and back. */
void table_gather(float *out, const shard_map *m, uint32_t stage, size_t floats, uint32_t server,
                  const float *flat);
void table_scatter(float *flat, const shard_map *m, uint32_t stage, size_t floats, uint32_t server,
                   const float *blocks);

/* Which sampler of `samplers` owns a partition (plan_partition_owner). */
uint32_t partition_owner(uint32_t partition, uint32_t samplers);

typedef struct push_head {
    uint32_t magic, sections;
    uint64_t examples;     /* 0 in a void slot */
    double loss;           /* summed over the examples, not a mean */
    uint64_t dense_floats; /* of this server's blocks, or 0: no dense gradient (PUT) */
    uint32_t is_void, reserved;
} push_head;

typedef struct push_section {
    uint32_t table, dim;
    uint32_t n;
    const uint64_t *keys; /* [n] ascending */
    const float *rows;    /* [n, dim] */
} push_section;

/* What a worker computed for one slot, before it is cut by server. */
typedef struct push_result {
    uint64_t examples;
    double loss;
    bool is_void;
    uint32_t stage;
    const float *dense; /* [dense_floats] summed (not averaged) gradient; NULL: none */
    size_t dense_floats;
    const push_section *section; /* keys of all servers */
    uint32_t sections;
} push_result;

/* The body for one server.  A void result has its head and nothing else.  NULL: no memory.  Owned.
 */
blob *push_encode(const push_result *r, const shard_map *m, uint32_t server);

/* A checked view of a body: borrowed from it. */
typedef struct push_view {
    push_head head;
    const float *dense; /* [head.dense_floats] */
    push_section section[PUSH_SECTIONS_MAX];
} push_view;

/* ERR_INVALID: malformed (sizes, order of keys, a second section of one table, a void slot with
 * content, a loss that is not finite); ERR_LIMIT. */
MUST_USE err_code push_decode(const blob *body, push_view *out);

/* True if keys [n] are strictly ascending. */
bool table_keys_ascend(const uint64_t *keys, size_t n);
/* The keys of `server` among ascending keys [n]: writes them and their positions; returns how many.
 */
size_t table_keys_of_server(const shard_map *m, uint32_t server, const uint64_t *keys, size_t n,
                            uint64_t *out_keys, uint32_t *out_positions);
