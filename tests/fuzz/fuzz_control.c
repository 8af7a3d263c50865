/* Fuzzes the bodies of control messages: the first byte chooses which.  A body is refused or
 * becomes a message within its allocator's block, all of which can be read. */
#include "common/panic.h"
#include "common/proto_alloc.h"
#include "proto/weft.pb-c.h"
#include "testing_fuzz.h"

enum { ARENA_BYTES = 1 << 20, BODY_MAX = 1 << 16 };

static const ProtobufCMessageDescriptor *const kinds[] = {
    &weft__hello__descriptor,  &weft__view__descriptor, &weft__work__descriptor,
    &weft__grants__descriptor, &weft__done__descriptor, &weft__progress__descriptor,
    &weft__job_end__descriptor};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static proto_alloc arena, other;
    if (!size) return 0;
    if (!arena.block) {
        proto_alloc_init(&arena, ARENA_BYTES);
        proto_alloc_init(&other, 4 * ARENA_BYTES);
    }
    const ProtobufCMessageDescriptor *kind = kinds[data[0] % (sizeof kinds / sizeof *kinds)];
    blob *body = blob_copy(data + 1, size - 1);
    const ProtobufCMessage *m = proto_unpack(&arena, kind, body, BODY_MAX);
    ASSERT(arena.len <= arena.cap);
    if (m) {
        ASSERT((const uint8_t *)m >= arena.block && (const uint8_t *)m < arena.block + arena.len);
        blob *again = proto_pack(m);
        /* Fields that we do not know may pack to what is refused: no verdict. */
        (void)proto_unpack(&other, kind, again, 2 * BODY_MAX);
        blob_unref(again);
    }
    blob_unref(body);
    return 0;
}
