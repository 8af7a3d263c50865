/* Fuzzes checkpoint_manifest_decode, also behind its checksum, which is made right here: any text
 * is refused or becomes a manifest that encodes to the same text. */
#include "common/hash.h"
#include "common/mem.h"
#include "common/panic.h"
#include "ps/checkpoint_manifest.h"
#include "testing_fuzz.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void seal(char *text, size_t size)
{
    const char prefix[] = "{\n  \"checksum\": \"";
    const size_t at = sizeof prefix - 1, from = at + 16;
    char digits[17];
    if (size < from) return;
    memcpy(text, prefix, at);
    snprintf(digits, sizeof digits, "%016" PRIx64, hash64(text + from, size - from, 0));
    memcpy(text + at, digits, 16);
}

static void check(const char *text, size_t size)
{
    checkpoint_manifest m;
    const char *wrong;
    size_t n;
    if (checkpoint_manifest_decode(text, size, &m, &wrong) != ERR_OK) {
        ASSERT(wrong && !m.memory);
        return;
    }
    for (uint32_t i = 0; i < m.parts; i++) ASSERT(m.part[i].shard < m.shards);
    char *again = checkpoint_manifest_encode(&m, &n);
    ASSERT(n == size && memcmp(again, text, size) == 0);
    free(again);
    checkpoint_manifest_fini(&m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = xmalloc(size ? size : 1);
    memcpy(copy, data, size);
    check(copy, size);
    seal(copy, size);
    check(copy, size);
    free(copy);
    return 0;
}
