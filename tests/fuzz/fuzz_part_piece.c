/* Fuzzes the bodies of PART.  The input is the name (24 bytes: offset, bytes, shards, shard, stage,
 * flags) and then a body, which is taken as a request and as the answer to one of that name: it is
 * refused, or stays within it and encodes to the same bytes. */
#include "common/panic.h"
#include "common/slot.h"
#include "common/table_codec.h"
#include "ps/part_piece.h"
#include "testing_fuzz.h"

#include <string.h>

static void as_request(const wire_header *h, const blob *body)
{
    part_id id;
    part_piece want;
    blob *again;
    if (part_piece_asked(h, body, 7, &id, &want)) return;
    ASSERT(id.shard < id.shards && id.shards <= SHARDS_MAX && id.stage < STAGE_COUNT);
    ASSERT(want.bytes && want.bytes <= PART_PIECE_BYTES && want.offset < PART_BYTES_MAX);
    wire_header x = part_piece_ask(&id, want, &again);
    ASSERT(x.stage == h->stage && x.part == h->part);
    ASSERT(blob_size(again) == blob_size(body) &&
           memcmp(blob_data(again), blob_data(body), blob_size(body)) == 0);
    blob_unref(again);
}

static void as_answer(part_piece want, const blob *body)
{
    part_piece_view v;
    if (part_piece_decode(body, want, &v) != ERR_OK) {
        ASSERT(!v.bytes && !v.n);
        return;
    }
    ASSERT(v.n <= want.bytes && v.total <= PART_BYTES_MAX && want.offset + v.n <= v.total);
    blob *again = part_piece_encode(v.total, v.hash, v.bytes, v.n);
    ASSERT(again && blob_size(again) == blob_size(body) &&
           memcmp(blob_data(again), blob_data(body), blob_size(body)) == 0);
    blob_unref(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    testing_fuzz_input in = {data, size};
    size_t n;
    part_piece want = {testing_fuzz_number(&in, 8), (uint32_t)testing_fuzz_number(&in, 4)};
    wire_header h = wire_request(WIRE_PART);
    testing_fuzz_number(&in, 4);
    h.part = (uint32_t)testing_fuzz_number(&in, 4);
    h.stage = (uint8_t)testing_fuzz_number(&in, 2);
    h.flags = (uint32_t)testing_fuzz_number(&in, 2);
    const uint8_t *bytes = testing_fuzz_bytes(&in, size, &n);
    blob *body = n ? blob_copy(bytes, n) : NULL;
    as_request(&h, body);
    as_answer(want, body);
    blob_unref(body);
    return 0;
}
