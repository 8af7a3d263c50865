#include "ps/part_piece.h"

#include "common/slot.h"
#include "common/table_codec.h"

#include <string.h>

typedef struct piece_request {
    uint64_t offset;
    uint32_t bytes, shards;
} piece_request;

typedef struct piece_head {
    uint64_t total, hash;
} piece_head;

_Static_assert(sizeof(piece_request) == 16 && sizeof(piece_head) == PART_PIECE_HEAD_BYTES,
               "no padding");
_Static_assert(PART_PIECE_BYTES + PART_PIECE_HEAD_BYTES <= WIRE_CONTROL_MAX, "fits an answer");

wire_header part_piece_ask(const part_id *id, part_piece want, blob **body)
{
    wire_header h = wire_request(WIRE_PART);
    piece_request r = {want.offset, want.bytes, id->shards};
    h.stage = (uint8_t)id->stage;
    h.generation = id->generation;
    h.version = id->version;
    h.part = id->shard;
    h.flags = id->final ? WIRE_FINISH : 0;
    *body = blob_copy(&r, sizeof r);
    return h;
}

const char *part_piece_asked(const wire_header *h, const blob *body, uint64_t plan_hash,
                             part_id *id, part_piece *want)
{
    piece_request r;
    if (blob_size(body) != sizeof r) return "a body of another size";
    memcpy(&r, blob_data(body), sizeof r);
    if (h->stage == STAGE_NONE || h->stage >= STAGE_COUNT) return "no such stage";
    if (!r.shards || r.shards > SHARDS_MAX || h->part >= r.shards) return "no such virtual shard";
    if (!r.bytes || r.bytes > PART_PIECE_BYTES) return "a piece of another size";
    if (r.offset >= PART_BYTES_MAX) return "behind the end of every part";
    *id = (part_id){.plan_hash = plan_hash,
                    .stage = h->stage,
                    .generation = h->generation,
                    .version = h->version,
                    .shard = h->part,
                    .shards = r.shards,
                    .final = h->flags & WIRE_FINISH};
    *want = (part_piece){r.offset, r.bytes};
    return NULL;
}

blob *part_piece_encode(uint64_t total, uint64_t hash, const void *bytes, size_t n)
{
    piece_head head = {total, hash};
    blob *b = blob_new(sizeof head + n);
    if (!b) return NULL;
    memcpy(blob_writable(b), &head, sizeof head);
    if (n) memcpy(blob_writable(b) + sizeof head, bytes, n);
    return b;
}

err_code part_piece_decode(const blob *body, part_piece want, part_piece_view *out)
{
    piece_head head;
    *out = (part_piece_view){0};
    if (blob_size(body) < sizeof head) return ERR_CORRUPT;
    memcpy(&head, blob_data(body), sizeof head);
    size_t n = blob_size(body) - sizeof head;
    if (head.total < PART_HEADER_BYTES || head.total > PART_BYTES_MAX) return ERR_CORRUPT;
    if (want.offset >= head.total) return ERR_CORRUPT;
    uint64_t left = head.total - want.offset;
    if (n != (left < want.bytes ? left : want.bytes)) return ERR_CORRUPT;
    *out = (part_piece_view){head.total, head.hash, blob_data(body) + sizeof head, n};
    return ERR_OK;
}
