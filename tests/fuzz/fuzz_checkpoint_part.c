/* Fuzzes part_decode, also behind its checksum, which is made right here: any bytes are refused or
 * become a view that can be read and encodes to the same bytes. */
#include "common/mem.h"
#include "common/panic.h"
#include "ps/checkpoint_part.h"
#include "testing_fuzz.h"
#include "testing_part.h"

#include <stdlib.h>
#include <string.h>

enum { SIZE_AT = 24, HEADER_BYTES = 64 };

static void check(const uint8_t *bytes, size_t size)
{
    part_view v;
    if (part_decode(bytes, size, &v) != ERR_OK) {
        ASSERT(v.sections == 0);
        return;
    }
    ASSERT(v.id.shard < v.id.shards && v.sections <= PART_SECTIONS_MAX);
    blob *again = part_encode(&v.id, v.section, v.sections);
    ASSERT(again && blob_size(again) == size && memcmp(blob_data(again), bytes, size) == 0);
    blob_unref(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy = xmalloc(size ? size : 1);
    uint64_t n = size;
    memcpy(copy, data, size);
    check(copy, size);
    testing_part_seal(copy, size);
    check(copy, size);
    if (size >= HEADER_BYTES) {
        memcpy(copy + SIZE_AT, &n, sizeof n);
        testing_part_seal(copy, size);
        check(copy, size);
    }
    free(copy);
    return 0;
}
