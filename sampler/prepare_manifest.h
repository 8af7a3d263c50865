/* prepare_manifest.h - the manifest of a store that was just built.  Part of prepare.h. */
#pragma once

#include "common/manifest.h"
#include "sampler/store_write.h"

/* What only the builder knows; borrowed. */
typedef struct manifest_facts {
    uint64_t prepare_hash;
    const uint32_t *valid_users;  /* [partitions] */
    const store_written *written; /* [partitions] */
    uint64_t dataset_hash, positives_hash;
    int64_t as_of;
} manifest_facts;

/* Owned: manifest_free. */
manifest *prepare_manifest_new(const store_source *s, const manifest_facts *f);
