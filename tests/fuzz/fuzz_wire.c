/* Fuzzes what arrives from the network first: the header of a message and the size of its body.
 * What is accepted encodes to the same bytes. */
#include "common/panic.h"
#include "common/wire.h"
#include "testing_fuzz.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    wire_header h;
    uint8_t again[WIRE_HEADER_BYTES];
    size_t head = size < WIRE_HEADER_BYTES ? size : WIRE_HEADER_BYTES;
    if (wire_decode(data, head, size - head, &h) != ERR_OK) return 0;
    ASSERT(strcmp(wire_op_name(h.op), "unknown") != 0);
    ASSERT(strcmp(wire_role_name(h.role), "unknown") != 0);
    ASSERT(strcmp(wire_status_name(h.status), "unknown") != 0);
    ASSERT(h.body_bytes == size - head && h.stage < STAGE_COUNT);
    wire_encode(&h, again);
    ASSERT(memcmp(again, data, sizeof again) == 0);
    wire_header answer = wire_answer(&h, WIRE_OK);
    answer.role = WIRE_SERVER;
    ASSERT(wire_is_answer(&answer) && wire_check(&answer, 0) == ERR_OK);
    return 0;
}
