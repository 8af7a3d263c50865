#include "testing_part.h"

#include "common/hash.h"
#include "common/mem.h"
#include "common/panic.h"

#include <string.h>

const part_section *testing_part_sections(void)
{
    static const uint64_t blocks[2] = {0, 7}, rows[3] = {5, 6, UINT64_MAX}, slots[2] = {1, 4};
    static const float values[9] = {1, -2, 3.5F, 0, 5, -6, 7, 8, 9};
    static const part_section section[TESTING_PART_SECTIONS] = {
        {PART_DENSE, 0, 2, 2, blocks, values},      {PART_DENSE_STATE, 0, 3, 2, blocks, values},
        {PART_DENSE_BEST, 0, 1, 2, blocks, values}, {PART_ROWS, 1, 3, 3, rows, values},
        {PART_ROWS, 2, 4, 0, NULL, NULL},           {PART_ROWS_BEST, 1, 3, 3, rows, values},
        {PART_APPLIED, 0, 0, 2, slots, NULL},
    };
    return section;
}

part_id testing_part_id(uint32_t version, uint32_t shard, uint32_t shards)
{
    return (part_id){.plan_hash = 0x1234567890abcdef,
                     .stage = 2,
                     .generation = 3,
                     .version = version,
                     .shard = shard,
                     .shards = shards};
}

blob *testing_part(const part_id *id)
{
    blob *b = part_encode(id, testing_part_sections(), TESTING_PART_SECTIONS);
    ASSERT(b);
    return b;
}

void testing_part_seal(uint8_t *bytes, size_t n)
{
    if (n < 16) return;
    uint64_t hash = hash64(bytes + 16, n - 16, 0);
    memcpy(bytes + 8, &hash, sizeof hash);
}
