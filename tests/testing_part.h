/* testing_part.h - a small checkpoint part with a section of every kind. */
#pragma once

#include "ps/checkpoint_part.h"

enum { TESTING_PART_SECTIONS = 7 };

/* That of shard `shard` of `shards`: its bytes depend on everything given.  Owned: blob_unref. */
blob *testing_part(const part_id *id);
part_id testing_part_id(uint32_t version, uint32_t shard, uint32_t shards);
/* The sections testing_part encodes, in its order; borrowed for ever. */
const part_section *testing_part_sections(void);
/* Makes the checksum of `bytes` true again. */
void testing_part_seal(uint8_t *bytes, size_t n);
