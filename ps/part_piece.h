/* part_piece.h - bodies of PART: a server asks another one for a part of a snapshot, piece by
 * piece.
 *
 * A request names the part in its header (wire.h) and says in its body which bytes of it; the
 * answer has them, and says how many there are in all and the part's checksum, so that pieces of
 * two files are told apart.  Little-endian:
 *
 *     request   0  u64 offset, 8 u32 bytes (at most PART_PIECE_BYTES), 12 u32 shards
 *     answer    0  u64 total, 8 u64 hash (part_hash), 16 the bytes: as many as were asked for, or
 * as there are behind the offset
 *
 * What they belong to is checked when all of them are there (shard_disk.h).  Pure.  Threads: any.
 */
#pragma once

#include "common/wire.h"
#include "ps/checkpoint_part.h"

enum { PART_PIECE_BYTES = 1 << 20, PART_PIECE_HEAD_BYTES = 16 };

typedef struct part_piece {
    uint64_t offset;
    uint32_t bytes; /* that are wanted, at least 1 */
} part_piece;

typedef struct part_piece_view {
    uint64_t total, hash;
    const uint8_t *bytes; /* [n] borrowed from the body */
    size_t n;
} part_piece_view;

/* The request; the caller opens it.  *body owned. */
wire_header part_piece_ask(const part_id *id, part_piece want, blob **body);
/* Of a server with this plan.  NULL: *id and *want are checked; else what is wrong (static). */
const char *part_piece_asked(const wire_header *h, const blob *body, uint64_t plan_hash,
                             part_id *id, part_piece *want);

/* The answer, owned; NULL: no memory. */
blob *part_piece_encode(uint64_t total, uint64_t hash, const void *bytes, size_t n);
/* The answer to `want`; *out borrowed from body.  ERR_CORRUPT. */
MUST_USE err_code part_piece_decode(const blob *body, part_piece want, part_piece_view *out);
