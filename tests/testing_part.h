/* testing_part.h - a small checkpoint part with a section of every kind, and snapshots of such. */
#pragma once

#include "ps/checkpoint_manifest.h"

enum { TESTING_PART_SECTIONS = 7 };

/* That of shard `shard` of `shards`: its bytes depend on everything given.  Owned: blob_unref. */
blob *testing_part(const part_id *id);
part_id testing_part_id(uint32_t version, uint32_t shard, uint32_t shards);
/* The sections testing_part encodes, in its order; borrowed for ever. */
const part_section *testing_part_sections(void);
/* Makes the checksum of `bytes` true again. */
void testing_part_seal(uint8_t *bytes, size_t n);

/* A manifest of parts 0 .. parts-1 of the snapshot of testing_part_id(version, ..); it refers to
 * one finished stage.  Borrowed until the next call. */
const checkpoint_manifest *testing_checkpoint_manifest(uint32_t version, uint32_t parts,
                                                       const checkpoint_manifest_part *part);
/* Writes such a snapshot of 4 shards with its manifest, and the finished stage it refers to. */
void testing_put_snapshot(const char *dir, uint32_t version);
