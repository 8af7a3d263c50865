/* checkpoint_part.h - one file of a checkpoint: what one virtual shard holds of one stage.
 *
 * Pure: bytes in, bytes out; the files are checkpoint_files.h's.  A part is full (never a
 * difference), immutable, and says whose it is.  The same content has the same bytes, whoever wrote
 * it.
 *
 * Layout, little-endian, everything aligned to 8 from the start:
 *
 *     0  u64 magic       "WEFTPART"
 *     8  u64 checksum    XXH3-64, seed 0, of every byte from 16 to the end
 *    16  u32 format      1
 *    20  u32 sections    at most PART_SECTIONS_MAX
 *    24  u64 bytes       of the whole part, at most PART_BYTES_MAX
 *    32  u64 plan_hash
 *    40  u32 stage, 44 generation, 48 version, 52 shard, 56 shards
 *    60  u32 flags       bit 0: final; the others 0
 *    64  the table: per section u32 kind, table, dim, n (16 bytes); (kind, table) strictly
 * ascending .  per section, in the order of the table: u64 keys [n], f32 values [n, dim], and 4
 * bytes of 0 where n * dim is odd
 *
 * Magic and checksum keep their places in every format, so that another format is told from damage.
 * Threads: any. */
#pragma once

#include "common/blob.h"
#include "common/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct part_id {
    uint64_t plan_hash;
    uint32_t stage;               /* main stage whose tables these are */
    uint32_t generation, version; /* rounds of the stage committed when it was taken */
    uint32_t shard, shards;       /* virtual shard, of how many */
    bool final;                   /* the finished stage: adopted weights, no optimizer state */
} part_id;

typedef enum part_kind {
    PART_DENSE = 1,   /* keys: block numbers; dim DENSE_BLOCK_FLOATS, the last block of a stage
                       * padded with zeros */
    PART_DENSE_STATE, /* the same, dim DENSE_BLOCK_FLOATS * dense_state */
    PART_DENSE_BEST,  /* the best kept copy, if there is one */
    PART_ROWS,        /* table, keys: row keys, dim: row width + state */
    PART_ROWS_BEST,
    PART_APPLIED, /* keys: version << 32 | slot of the applied slots (ssp, asp), dim 0 */
    /* train.delay: the versions before this one, oldest first, each from the first commit that led
     * to it. */
    PART_SINCE,      /* keys: that commit's version, of the past ones and of this one; dim 0 */
    PART_PAST_DENSE, /* table: part_past_table; as PART_DENSE */
    PART_PAST_ROWS,  /* the same: rows that the next version changed, as they were; no state */
    PART_UPDATES     /* keys: how many updates there were (ssp, asp), dim 0 */
} part_kind;

enum { PART_PAST_SHIFT = 16 };
/* A section's table: of past version k. */
static inline uint32_t part_past_table(uint32_t k, uint32_t table)
{
    return k << PART_PAST_SHIFT | table;
}

typedef struct part_section {
    uint32_t kind, table; /* table 0 where the kind names none */
    uint32_t dim, n;
    const uint64_t *keys; /* [n] strictly ascending; n = 0: anything */
    const float *values;  /* [n, dim]; n * dim = 0: anything */
} part_section;

enum { PART_SECTIONS_MAX = 64, PART_BYTES_MAX = 1 << 30, PART_FORMAT = 1, PART_HEADER_BYTES = 64 };

typedef struct part_view {
    part_id id;
    uint32_t sections;
    part_section section[PART_SECTIONS_MAX];
} part_view;

/* The size of such a part; may be more than PART_BYTES_MAX. */
uint64_t part_bytes(const part_section *section, uint32_t sections);
/* Sections in any order, at most PART_SECTIONS_MAX, no (kind, table) twice, keys ascending:
 * anything else is our bug.  Owned; NULL: no memory, or part_bytes is more than PART_BYTES_MAX. */
blob *part_encode(const part_id *id, const part_section *section, uint32_t sections);
/* A checked view, borrowed from `bytes` (8-byte aligned): magic, XXH3 over everything, format,
 * sizes, sections, order of keys.  Values may be any bits.  ERR_CORRUPT; ERR_MISMATCH: undamaged,
 * of another format.  *out is all zeros then. */
MUST_USE err_code part_decode(const void *bytes, size_t n, part_view *out);
/* The same; *wrong: what is, static (NULL on ERR_OK). */
MUST_USE err_code part_check(const void *bytes, size_t n, part_view *out, const char **wrong);
/* What the header of a part of n bytes, data [PART_HEADER_BYTES], says of itself; that it is true
 * is for who has all of it.  false: this is no such header. */
bool part_label(const void *data, uint64_t n, part_id *id, uint64_t *hash);
/* The checksum of all of a part, when it comes in pieces: the first has PART_HEADER_BYTES at least.
 */
enum { PART_HASHED_FROM = 16 };
/* NULL: it has no such section. */
const part_section *part_find(const part_view *v, part_kind kind, uint32_t table);
bool part_id_equal(const part_id *a, const part_id *b);
/* Parts of one snapshot, by its name. */
bool part_same_snapshot(const part_id *a, const part_id *b);
uint64_t part_hash(const blob *part); /* the checksum it carries: what a manifest lists */
