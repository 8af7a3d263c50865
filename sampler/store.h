/* store.h - the prepared partitions: neighbour lists, item and user rows, as pointers into the map.
 *
 * A store is the folder work_dir/store/<prepare_hash>; partition p is the LMDB environment part-<p>
 * in it, read-only.  sampler/README.md has the layout byte by byte.  Node and user numbers are
 * those of manifest.h.  Neighbour lists ascend by node number.
 *
 * verify: open - every byte of the opened partitions is checked by store_open; lazy - a block is
 * checked the first time it is touched; off - only headers.  With open and lazy a block's content is
 * looked at once, too (store_check.h).  A damaged block found then is logged once, reads as empty,
 * and makes store_failed true from then on: whoever built something from the store asks it before
 * handing the result out.
 *
 * Threads: any, after store_open. */
#pragma once

#include "common/config.h"
#include "common/err.h"
#include "common/manifest.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct store store;

/* Opens partition[0..n-1] of the store in `folder`; n = 0: all of them.  ERR_NOT_FOUND: no such
 * store or partition; ERR_CORRUPT; ERR_MISMATCH: other format version; ERR_IO.  All logged with the
 * file.  *out is owned: store_close. */
MUST_USE err_code store_open(const char *folder, const uint32_t *partition, uint32_t n,
                             verify_kind verify, store **out);
void store_close(store *s); /* accepts NULL */

const manifest *store_manifest(const store *s); /* borrowed until store_close */
bool store_has(const store *s, uint32_t partition);
bool store_failed(const store *s);

/* The neighbours of one node by one relation; all pointers borrowed until store_close. */
typedef struct store_list {
    uint32_t n;
    const uint32_t *source;      /* [n] nodes of the relation's source type, ascending */
    const uint16_t *aggregation; /* [n] 1..65535, the heaviest of the list has 65535 */
    const uint32_t *pair;        /* [n] pair weights, at least 1 */
    uint64_t first_edge;         /* CSR position of the first, within (relation, partition) */
} store_list;

/* Of `node`, which must be of the relation's destination type, in an opened partition.  A damaged
 * block: an empty list (see store_failed). */
store_list store_neighbours(const store *s, uint32_t relation, uint32_t node);

typedef struct store_edge {
    uint64_t index; /* CSR position within (relation, partition) */
    uint32_t destination, source;
} store_edge;

/* The edge at a CSR position, 0 <= index < manifest.relation[].partition_edges[partition]. */
bool store_edge_at(const store *s, uint32_t relation, uint32_t partition, uint64_t index,
                   store_edge *out);
/* The edge at `point` of the running sum of pair weights, 0 <= point <
 * manifest.relation[].partition_pair_weight[partition].  Both: false on a damaged block. */
bool store_edge_at_weight(const store *s, uint32_t relation, uint32_t partition, uint64_t point,
                          store_edge *out);

typedef struct store_item {
    uint64_t key;              /* stable key */
    uint32_t train_users;      /* users with a graph event in train */
    uint32_t positives;        /* users with a positive event in train */
    const uint32_t *attribute; /* [manifest.item_attributes] value indexes, 0 = unknown */
    const uint16_t *text_f16;  /* [manifest.text_dim] for STORAGE_F16, else NULL */
    const int8_t *text_int8;   /* [manifest.text_dim] for STORAGE_INT8, else NULL */
    float scale;               /* of text_int8: a power of two; 1 for f16 */
} store_item;

/* Of `node` in an opened partition.  false on a damaged block. */
bool store_item_get(const store *s, uint32_t node, store_item *out);
/* The text vector as f32 into out[text_dim]. */
bool store_text(const store *s, uint32_t node, float *out);

enum { STORE_TRAIN, STORE_VALID, STORE_TEST };

typedef struct store_user {
    uint64_t key;              /* XXH3-64 of the user id, seed 0 */
    const uint32_t *attribute; /* [manifest.user_attributes] value indexes, 0 = unknown */
    const float *vector;       /* [manifest.user_vector_dim]; 0 where absent */
    /* Events, ordered by (time, row) - order: file: by row; none: by stable key.  `role` holds the
     * ROLE_* bits for which this event is the first of its (user, item, part): an item is in the
     * history (positive, seen) of train once, at its first event with that role. */
    uint32_t n;
    const uint32_t *node;
    const int64_t *time; /* unix seconds, 0 = unknown */
    const uint8_t *role; /* ROLE_* */
    const uint8_t *part; /* STORE_TRAIN, ... */
} store_user;

/* Of `user` in an opened partition.  false on a damaged block. */
bool store_user_get(const store *s, uint32_t user, store_user *out);
