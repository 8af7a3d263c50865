/* wire.h - the fixed 96-byte header of every message, its checks and its names.
 *
 * A message is two frames: this header, little-endian, and one raw body (possibly empty).  Every
 * request is idempotent by its name and is answered; the answer carries the same op and tag and the
 * flag WIRE_ANSWER, and is the acknowledgement.  Limits are checked before the body is touched.
 *
 * What the fields mean per op is listed below.
 *
 * Why not protobuf or gRPC for everything: limits are checked before a body is read, and gradients
 * and weights go from buffer to socket without a parser or a copy. Protobuf is inside the bodies
 * of control messages. The price is a header kept by hand, whose layout is asserted. */
#pragma once

#include "common/err.h"
#include "common/slot.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { WIRE_MAGIC = 0x54464557 /* "WEFT" */, WIRE_PROTOCOL = 1, WIRE_HEADER_BYTES = 96 };

typedef enum wire_role {
    WIRE_NONE,
    WIRE_SCHEDULER,
    WIRE_SERVER,
    WIRE_SAMPLER,
    WIRE_WORKER,
    WIRE_DRIVER,
    WIRE_ROLES
} wire_role;

typedef enum wire_op {
    WIRE_HELLO = 1,
    WIRE_WORK,
    WIRE_DONE,
    WIRE_PROGRESS,
    WIRE_CONFIG,
    WIRE_BUILD,
    WIRE_LEAF,
    WIRE_FEATURES,
    WIRE_PULL,
    WIRE_PUSH,
    WIRE_PUT,
    WIRE_VOID,
    WIRE_STAGE,
    WIRE_COMMIT,
    WIRE_STOP,
    WIRE_SNAPSHOT,
    WIRE_ROLLBACK,
    WIRE_PART,
    WIRE_OPS
} wire_op;

typedef enum wire_status {
    WIRE_OK,
    WIRE_GONE,        /* the server is past the version: drop the slot */
    WIRE_BEHIND,      /* not there yet when the budget ended: ask again */
    WIRE_GENERATION,  /* another generation; the answer's field has ours: drop all */
    WIRE_MAP,         /* another map; ask the scheduler for a view */
    WIRE_INCARNATION, /* an order meant for another life of this process, or of a lower term */
    WIRE_REFUSED,     /* the body says why, as text */
    WIRE_NOT_FOUND,   /* no such table or partition here */
    WIRE_FAILED,      /* the peer could not do it; the body says why, as text */
    WIRE_STATUSES
} wire_status;

/* flags */
enum {
    WIRE_ANSWER = 1, /* an answer, not a request */
    WIRE_KEEP = 2,   /* COMMIT: keep what is committed by this as the best so far */
    WIRE_FINISH = 4, /* COMMIT: the stage ends; adopt the kept copy if any, freeze all its tables */
    WIRE_AT_LEAST = 8, /* PULL: the version or any later one */
    WIRE_MAKING = 16,  /* PART: the snapshot is being made, and may not be written yet */
};

/* What a round of slots does to the servers when it is committed. */
typedef enum round_kind { ROUND_TRAIN = 1, ROUND_PUT, ROUND_SCORE } round_kind;

/* clang-format off */
/* Fields not listed are 0.
 *   HELLO     any -> scheduler     body Hello                    answer OK: body View | REFUSED: text
 *   WORK      worker -> scheduler  body Work                     answer OK: body Grants (held <= budget)
 *   DONE      worker -> scheduler  slot name, version, body Done answer OK | GENERATION
 *   PROGRESS  driver -> scheduler  body Progress                 answer OK: of a job that is over, body JobEnd
 *                                  | REFUSED: text
 *   CONFIG    any -> scheduler                                   answer OK: raw body, part = an
 *                                  index no worker has
 *   BUILD     worker -> sampler    slot name                     answer OK: raw micro-batch
 *   LEAF      sampler -> sampler   part = partition, raw body    answer OK: raw body
 *   FEATURES  worker -> sampler    part = partition, raw body    answer OK: raw body
 *   PULL      worker -> server     stage, table, version (rounds committed, or WIRE_FINAL), part = row
 *                                  width (0: any).  TABLE_DENSE: no body, answer the server's blocks;
 *                                  else body u64 keys ascending, answer f32 rows.  Flag AT_LEAST.
 *                                  GONE | BEHIND | GENERATION | NOT_FOUND | MAP
 *   PUSH PUT VOID  worker -> server  slot name, version, part = slots of the round, body of
 *                                  table_codec.h, body_hash
 *                                  answer OK | GENERATION | BEHIND | MAP
 *   STAGE     scheduler -> server  generation, stage, target     answer OK
 *   COMMIT    scheduler -> server  generation, slot name of the round, version = rounds committed before
 *                                  it, part = slots, table = round_kind, flags KEEP | FINISH, target
 *                                  answer OK: version = rounds committed now
 *   STOP      scheduler -> any     target                        answer OK
 *   SNAPSHOT  scheduler -> server  generation, stage, version, target, flags FINISH (of the finished
 *                                  stage), body Snapshot         answer OK: taken, being written | BEHIND
 *   ROLLBACK  scheduler -> server  generation (the new one), stage (0: all are finished), version, map,
 *                                  target, body Rollback         answer OK: heard; HELLO says when ready
 *   PART      server -> server     a piece of a part of a snapshot: stage, generation and version of
 *                                  the snapshot, flags FINISH | MAKING, part = virtual shard, body and
 *                                  answer of part_piece.h (ps)
 *                                  answer OK | BEHIND: not written yet | NOT_FOUND | FAILED: text */
/* clang-format on */
enum { WIRE_FINAL = 0xffffffff }; /* PULL.version: the frozen tables of a finished stage */
/* Index of a worker that was not told one: it takes what CONFIG suggests. */
enum { WIRE_ANY_INDEX = 0xffffffff, WIRE_FREE_INDEX_FIRST = 64 };
enum { TABLE_DENSE = 0 }; /* sparse and put tables of a stage are numbered from 1 */

/* Limits on a body, in bytes: control messages, requests with data, anything. */
enum { WIRE_CONTROL_MAX = 4 << 20, WIRE_REQUEST_MAX = 256 << 20, WIRE_BODY_MAX = 1 << 30 };

typedef struct wire_header {
    uint32_t magic;
    uint16_t protocol;
    uint8_t op, status;
    uint8_t role, stage; /* role of the sender */
    uint16_t table;
    uint32_t index;       /* of the sender */
    uint64_t incarnation; /* of the sender */
    uint64_t target;      /* the incarnation an order is meant for; 0: any */
    uint32_t term, generation, map;
    uint32_t epoch, step, slot, part, version;
    uint32_t
        budget_ms; /* the receiver may hold the request so long; not a deadline: clocks differ */
    uint32_t flags;
    uint64_t tag; /* chosen by the asker, returned in the answer */
    uint64_t body_bytes;
    uint64_t body_hash; /* XXH3 of the body for PUSH, PUT, VOID; else 0 */
} wire_header;

_Static_assert(sizeof(wire_header) == WIRE_HEADER_BYTES, "the wire header has 96 bytes");
_Static_assert(offsetof(wire_header, incarnation) == 16 && offsetof(wire_header, term) == 32 &&
                   offsetof(wire_header, tag) == 72 && offsetof(wire_header, body_hash) == 88,
               "the wire header has no padding");

/* A header with magic, protocol and op set. */
wire_header wire_request(wire_op op);
/* The answer to `request`: same op, tag, name and numbers, WIRE_ANSWER set; the sender fills in
 * who. */
wire_header wire_answer(const wire_header *request, wire_status status);

/* The bytes of `h` (body_bytes and body_hash are the caller's). */
void wire_encode(const wire_header *h, uint8_t out[WIRE_HEADER_BYTES]);
/* Checks everything that can be checked without the body: size, magic, protocol, op, role, status,
 * the limit of that op on body_bytes, and body_bytes == `body`.  ERR_MISMATCH: another protocol
 * version (h is filled in, so that it can be refused by name); ERR_LIMIT; ERR_INVALID. */
MUST_USE err_code wire_decode(const void *frame, size_t bytes, size_t body, wire_header *h);
/* The same for a header that was never bytes (in-process and simulated shells). */
MUST_USE err_code wire_check(const wire_header *h, size_t body);

slot_name wire_slot(const wire_header *h);
void wire_set_slot(wire_header *h, slot_name s);
bool wire_is_answer(const wire_header *h);

const char *wire_op_name(uint32_t op);         /* "hello", ... */
const char *wire_role_name(uint32_t role);     /* "worker", ... */
const char *wire_status_name(uint32_t status); /* "ok", ... */
