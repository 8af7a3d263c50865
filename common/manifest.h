/* manifest.h - what `prepare` made, as far as the plan needs it: every role holds one.
 *
 * Nodes are items, renumbered so that a partition owns a contiguous range per type: the nodes of
 * type t in partition p are node_base[t * partitions + p] .. node_base[t * partitions + p + 1] - 1,
 * and the nodes of type t node_base[t * partitions] .. node_base[(t + 1) * partitions] - 1.  Within
 * a range they are ordered by hash(seed, stable key), so that a prefix is a random sample.  Users
 * likewise: user_base[p] .. user_base[p + 1] - 1.  Immutable after load: any thread. */
#pragma once

#include "common/config.h"
#include "common/err.h"

#include <stdint.h>

enum { MANIFEST_FORMAT = 1, MANIFEST_PARTITIONS_MAX = 4096, MANIFEST_FILE_BYTES_MAX = 1 << 30 };

typedef struct manifest_attribute {
    char *key;
    string_list values; /* value i has index i + 1; 0 is unknown */
} manifest_attribute;

typedef struct manifest_relation {
    uint32_t source, destination; /* types */
    uint64_t edges;
    uint64_t *partition_edges;       /* [partitions], of the destination's partition */
    uint64_t *partition_pair_weight; /* [partitions], sums of the edges' pair weights */
} manifest_relation;

typedef struct manifest {
    uint64_t prepare_hash;  /* names the store */
    uint64_t content_hash;  /* of everything stored; enters plan_hash */
    uint64_t foundation_id; /* items, text, graph, numbering */
    uint32_t partitions;
    string_list types;
    uint32_t items, users;
    uint32_t *node_base; /* [types * partitions + 1] */
    uint32_t *user_base; /* [partitions + 1] */
    manifest_relation *relation;
    uint32_t relations;
    char *encoder, *encoder_note;
    uint32_t text_dim;    /* columns of a text vector */
    uint32_t text_blocks; /* reserved, 1 */
    storage_kind storage;
    manifest_attribute *item_attribute, *user_attribute;
    uint32_t item_attributes, user_attributes;
    uint32_t user_vector_dim;
    int64_t as_of; /* newest event of train, unix seconds; 0: no times */
    order_kind order;
    uint64_t *positives; /* [partitions]: positives of an epoch under two_tower.positives_per_user
                          * and targets; 0 until filled by manifest_count_positives */
    uint32_t
        *valid_users; /* [partitions]: users with a validation positive, first of their range */
    uint64_t *type_positives;  /* [types]: train positives of each type: q's denominator */
    uint64_t *partition_bytes; /* [partitions] size of part-<p>/data.mdb */
    uint64_t *partition_hash;  /* [partitions] XXH3 of that file: what `verify: open` checks */
    char *data_json;           /* report.json's "data" object, as text */
} manifest;

/* The manifest of the store in `folder`; *out owned: manifest_free.  ERR_NOT_FOUND, ERR_CORRUPT. */
MUST_USE err_code manifest_load(const char *folder, manifest **out);
/* The same from its JSON text (what a worker receives), and back (owned). */
MUST_USE err_code manifest_parse(const char *text, manifest **out);
char *manifest_print(const manifest *m);
void manifest_free(manifest *m); /* accepts NULL */
/* Writes <folder>/manifest.json (fsynced).  ERR_IO. */
MUST_USE err_code manifest_write(const manifest *m, const char *folder);

/* What <folder>/positives holds, little-endian: the struct, then u32 [users, types] in the order of
 * user numbers: distinct train positives of a user per type. */
typedef struct manifest_positives_header {
    uint32_t magic, version; /* MANIFEST_POSITIVES_MAGIC, 1 */
    uint32_t users, types;
    uint64_t hash; /* XXH3 of the counts */
    uint64_t zero;
} manifest_positives_header;

enum { MANIFEST_POSITIVES_MAGIC = 0x43504657 }; /* "WFPC" */

/* What a plan names or needs must be in the prepared data: types, times.  ERR_INVALID (printed). */
MUST_USE err_code manifest_check_config(const manifest *m, const config *c);

/* target[t]: type t is one of two_tower.targets.  ERR_INVALID: one of them is no type of the
 * catalogue (printed). */
MUST_USE err_code manifest_target_types(const manifest *m, const config *c,
                                        bool *target /* [types] */);

/* Fills positives[] for two_tower.positives_per_user and two_tower.targets from <folder>/positives,
 * a small file (a count per user and type): it needs no partition.  ERR_NOT_FOUND, ERR_IO,
 * ERR_CORRUPT; ERR_INVALID: a target is no type of the catalogue (printed). */
MUST_USE err_code manifest_count_positives(const char *folder, const config *c, manifest *m);

uint32_t manifest_type_of(const manifest *m, uint32_t node);
uint32_t manifest_partition_of(const manifest *m, uint32_t node);
uint32_t manifest_user_partition(const manifest *m, uint32_t user);
static inline uint32_t manifest_type_begin(const manifest *m, uint32_t type)
{
    return m->node_base[type * m->partitions];
}

/* plan_hash: P keys, content of the store, PLAN_VERSION (plan.h). */
uint64_t manifest_plan_hash(const manifest *m, const config *c);
