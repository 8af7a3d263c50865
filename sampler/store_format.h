/* store_format.h - the bytes of a partition: what store_write puts and store reads.
 *
 * sampler/README.md says the same in words.  All numbers little-endian; every array of a payload
 * starts at a multiple of 8 bytes. */
#pragma once

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

enum {
    STORE_MAGIC = 0x42544657, /* "WFTB" */
    STORE_VERSION = 1,
    STORE_BLOCK_ROWS = 4096, /* nodes or users of a block; the last of a range has fewer */
    STORE_KEY_BYTES = 8
};
#define STORE_PAYLOAD_MAX (UINT64_C(1) << 31)

typedef enum store_block_kind {
    STORE_ADJACENCY = 1, /* sub = relation; rows = nodes of its destination type */
    STORE_ITEM = 2,      /* sub = type */
    STORE_TEXT = 3,      /* sub = type */
    STORE_USER = 4,      /* sub = 0 */
    STORE_EVENTS = 5,    /* sub = 0 */
    STORE_KINDS = 6
} store_block_kind;

/* The first 64 bytes of every value; the payload follows at once. */
typedef struct store_header {
    uint32_t magic;
    uint16_t version, kind;
    uint32_t sub, first; /* first row: a node or user number */
    uint32_t rows;       /* 1..STORE_BLOCK_ROWS */
    uint32_t width;      /* numbers a row: attributes (ITEM, USER), text_dim (TEXT) */
    uint64_t entries;    /* edges (ADJACENCY), events (EVENTS), else 0 */
    uint64_t first_edge; /* ADJACENCY: edges of the blocks before it in (relation, partition) */
    uint64_t payload_bytes;
    uint64_t extra; /* ADJACENCY: pair weights of the blocks before it; TEXT: 0 f16, 1 int8;
                     * USER: width of the dense vector; else 0 */
    uint64_t hash;  /* XXH3 of the payload, seeded by the XXH3 of the 56 bytes before */
} store_header;

static_assert(sizeof(store_header) == 64, "a block's header has 64 bytes");
static_assert(offsetof(store_header, hash) == 56, "the hash comes last");

/* Keys sort by (kind, sub, block): u8 kind, u8 0, u16 sub and u32 block number, big-endian. */
static inline void store_key(uint8_t key[STORE_KEY_BYTES], uint32_t kind, uint32_t sub,
                             uint32_t block)
{
    key[0] = (uint8_t)kind;
    key[1] = 0;
    key[2] = (uint8_t)(sub >> 8);
    key[3] = (uint8_t)sub;
    for (unsigned i = 0; i < 4; i++) key[4 + i] = (uint8_t)(block >> (24 - 8 * i));
}

/* Offsets of a payload's arrays; `end` is payload_bytes. */
typedef struct store_layout {
    uint64_t at[5];
    uint64_t end;
} store_layout;

/* The layout that a header's kind, rows, width, entries and extra imply. */
store_layout store_layout_of(const store_header *h);
uint64_t store_hash(const store_header *h, const void *payload);
