#include "testing_part.h"

#include "common/hash.h"
#include "common/mem.h"
#include "common/panic.h"
#include "common/slot.h"

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

const checkpoint_manifest *testing_checkpoint_manifest(uint32_t version, uint32_t parts,
                                                       const checkpoint_manifest_part *part)
{
    static const checkpoint_id previous = {STAGE_HGNN, 2, 40, true};
    static checkpoint_manifest m;
    part_id id = testing_part_id(version, 0, parts);
    m = (checkpoint_manifest){.job = "a \"job\" \xc3\xa4",
                              .numerics = "openblas-0.3.21 HASWELL",
                              .plan_hash = id.plan_hash,
                              .id = checkpoint_files_id(&id),
                              .stage_index = 1,
                              .epoch = 1,
                              .step = version,
                              .reason = CHECKPOINT_BEST,
                              .shards = parts,
                              .servers = 2,
                              .metrics = 17,
                              .previous = &previous,
                              .previous_n = 1,
                              .part = part,
                              .parts = parts,
                              .state = "\0\x01\xfe\xff",
                              .state_bytes = 4};
    return &m;
}

/* Writes the parts of the snapshot and lists them in part [4]. */
static void put_parts(const char *dir, part_id id, checkpoint_manifest_part *part)
{
    char why[CHECKPOINT_WHY_MAX];
    for (id.shard = 0; id.shard < 4; id.shard++) {
        blob *b = testing_part(&id);
        err_code rc = checkpoint_files_write(dir, &id, b, why);
        ASSERT(rc == ERR_OK);
        part[id.shard] = (checkpoint_manifest_part){id.shard, (uint64_t)blob_size(b), part_hash(b)};
        blob_unref(b);
    }
}

void testing_put_snapshot(const char *dir, uint32_t version)
{
    char why[CHECKPOINT_WHY_MAX];
    checkpoint_manifest_part part[4];
    part_id id = testing_part_id(version, 0, 4), last = testing_part_id(40, 0, 4);
    last.stage = STAGE_HGNN;
    last.generation = 2;
    last.final = true;
    put_parts(dir, last, part);
    checkpoint_manifest m = *testing_checkpoint_manifest(version, 4, part);
    m.id = checkpoint_files_id(&last);
    m.previous_n = 0;
    m.reason = CHECKPOINT_STAGE_END;
    err_code rc = checkpoint_manifest_write(dir, &m, why);
    ASSERT(rc == ERR_OK);
    put_parts(dir, id, part);
    rc = checkpoint_manifest_write(dir, testing_checkpoint_manifest(version, 4, part), why);
    ASSERT(rc == ERR_OK);
}
