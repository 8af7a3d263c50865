/* Fuzzes what arrives from the network first: the header of a message, then its body as a push or
 * as the control message the first byte chooses.  What decodes encodes again. */
#include "common/panic.h"
#include "common/proto_alloc.h"
#include "common/table_codec.h"
#include "common/wire.h"
#include "proto/weft.pb-c.h"
#include "testing_fuzz.h"

#include <math.h>
#include <string.h>

enum { ARENA_BYTES = 1 << 20 };

static void check_header(const uint8_t *data, size_t size)
{
    wire_header h;
    uint8_t again[WIRE_HEADER_BYTES];
    size_t head = size < WIRE_HEADER_BYTES ? size : WIRE_HEADER_BYTES;
    if (wire_decode(data, head, size - head, &h) != ERR_OK) return;
    ASSERT(strcmp(wire_op_name(h.op), "unknown") != 0);
    ASSERT(strcmp(wire_role_name(h.role), "unknown") != 0);
    ASSERT(h.body_bytes == size - head && h.stage < STAGE_COUNT);
    wire_encode(&h, again);
    ASSERT(memcmp(again, data, sizeof again) == 0);
    wire_header answer = wire_answer(&h, WIRE_OK);
    answer.role = WIRE_SERVER;
    ASSERT(wire_is_answer(&answer) && wire_check(&answer, 0) == ERR_OK);
}

static void check_push(const blob *body)
{
    push_view v;
    if (push_decode(body, &v) != ERR_OK) return;
    ASSERT(isfinite(v.head.loss));
    double sum = 0;
    for (uint64_t i = 0; i < v.head.dense_floats; i++) sum += (double)v.dense[i];
    for (uint32_t s = 0; s < v.head.sections; s++) {
        const push_section *p = &v.section[s];
        ASSERT(p->dim && table_keys_ascend(p->keys, p->n));
        for (size_t i = 0; i < (size_t)p->n * p->dim; i++) sum += (double)p->rows[i];
    }
    ASSERT(sum != 0.1234567890123); /* Every byte was read. */
}

static void check_proto(uint8_t which, const blob *body)
{
    static const ProtobufCMessageDescriptor *const kinds[] = {
        &weft__hello__descriptor,  &weft__view__descriptor, &weft__work__descriptor,
        &weft__grants__descriptor, &weft__done__descriptor, &weft__progress__descriptor};
    static proto_alloc arena;
    if (!arena.block) proto_alloc_init(&arena, ARENA_BYTES);
    const ProtobufCMessage *m =
        proto_unpack(&arena, kinds[which % (sizeof kinds / sizeof *kinds)], body, 1 << 16);
    if (!m) return;
    /* Unknown fields may pack to something else; all that is there must be readable. */
    blob_unref(proto_pack(m));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_header(data, size);
    if (!size) return 0;
    blob *body = blob_copy(data + 1, size - 1);
    if (data[0] % 7 == 6) {
        check_push(body);
    } else {
        check_proto(data[0] % 7, body);
    }
    blob_unref(body);
    return 0;
}
