/* hop.h - one hop of a slot: the drawn neighbour lists of a set of nodes, from the partitions that
 * own them.
 *
 * Asked and answered per partition in one message each way, by the same code whether the partition
 * is local or not: request  slot name, hop, partition, nodes (ascending), excluded edges whose
 * destination is among them reply    per node, per relation into its type: count; then all sources
 * (ascending in each list) and weights The answer is a function of (plan, store, request).
 *
 * Which neighbours: training: min(fanout[hop - 1], max(1, fanout_total / relations with edges into
 * the type)), none where neighbour_drop strikes (once a slot for a node, in every hop); embedding
 * and validation: all with mean aggregators, the training fan-out with max_pool, drawn by a key
 * that holds the layer but no slot.  Draw number = ((hop - 1) x relations + relation) x 2^16 + i.
 *
 * Threads: rules are immutable, any; a hop has one owner. */
#pragma once

#include "common/blob.h"
#include "common/config.h"
#include "common/err.h"
#include "common/manifest.h"
#include "common/slot.h"
#include "sampler/store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HOP_NODES_MAX = 1 << 24, HOP_FANOUT_MAX = 1 << 16 };

/* Relations by destination. */
typedef struct hop_relations {
    uint32_t *into; /* [relations] relation numbers, by destination, ascending in each; owned */
    uint32_t base[CONFIG_TYPES_MAX + 1]; /* into[base[t]..base[t + 1]-1] lead into type t */
    uint32_t with_edges[CONFIG_TYPES_MAX];
} hop_relations;
void hop_relations_init(hop_relations *r, const manifest *m);
void hop_relations_fini(hop_relations *r);

typedef struct hop_list {
    uint32_t n;
    const uint32_t *source; /* ascending */
    const uint16_t *weight;
} hop_list;

typedef struct hop {
    slot_name name;
    uint32_t hop; /* from 1 */
    uint32_t n;
    uint32_t *node; /* [n] ascending, unique */
    size_t *base; /* [n + 1]: node i's lists are list[base[i]..], one per relation into its type */
    hop_list *list;  /* filled by hop_take; point into the replies */
    uint8_t *type;   /* [n] */
    uint32_t *order; /* [n] indexes into node[], by partition */
    uint32_t *part;  /* [partitions + 1]: order[part[p]..part[p + 1]-1] are partition p's */
    uint32_t partitions;
    blob **request; /* [partitions] NULL: nothing is wanted of it, or its reply is there */
    blob **reply;   /* [partitions] */
    uint32_t open;  /* requests without a reply */
} hop;

/* Takes node[n] (ascending, unique); exclude[excludes] is sorted (draw_edge).  ERR_LIMIT. */
MUST_USE err_code hop_init(hop *h, slot_name name, uint32_t number, uint32_t *node, uint32_t n,
                           const uint64_t *exclude, size_t excludes, const manifest *m,
                           const hop_relations *into);
void hop_fini(hop *h);
/* Takes a reference to the reply of `partition` if it is a good one and still wanted (else nothing
 * happens).  ERR_INVALID: malformed, logged. */
MUST_USE err_code hop_take(hop *h, uint32_t partition, blob *reply, const manifest *m,
                           const hop_relations *into);
/* The lists of `node`, one per relation into its type; NULL: not a node of this hop. */
const hop_list *hop_find(const hop *h, uint32_t node);

/* Answers a request of slot `name` from partitions of `s`.  *out owned.  ERR_INVALID: malformed or
 * of another slot, logged; ERR_MISMATCH: the partition is not here; ERR_LIMIT: the reply would have
 * more than `max` bytes; ERR_CORRUPT; ERR_NO_MEMORY. */
MUST_USE err_code hop_answer(const config *c, const manifest *m, const hop_relations *into,
                             const store *s, slot_name name, const blob *request, size_t max,
                             blob **out);
