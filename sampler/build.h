/* build.h - BUILD: a slot's name becomes its micro-batch.
 *
 * A build is a pure function of (plan, store, name): the same bytes whichever sampler runs it,
 * whatever is local, in whatever order replies come, however often.  No I/O but reads of the mapped
 * store, no clock, no state between requests.
 *
 *   build_new ... build_step -> leaf requests -> build_leaf_reply for each, in any
 * order -> build_step -> ... -> done, body
 *
 * Leaf requests go hop by hop to the partitions that are not local, all chunks of the slot
 * together; a leaf is answered from local data alone (leaf_answer), so that samplers never wait for
 * each other in a circle.
 *
 * Draws: Philox, key = (seed, name, use).  Pairs: plan_pair (plan.h).  Negatives of type t of chunk
 * c: counter node = c x 64 + t.  Neighbours: sampler/hop.h.  History and positives:
 * sampler/history.h.
 *
 * Threads: build_env: immutable after build_env_new, any thread; a build: one owner. */
#pragma once

#include "common/blob.h"
#include "common/config.h"
#include "common/err.h"
#include "common/manifest.h"
#include "common/plan.h"
#include "common/slot.h"
#include "sampler/store.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct build_env build_env;

/* Borrows everything until build_env_free.  Counts the positives of the store's partitions;
 * ERR_MISMATCH: they are not what the manifest says; ERR_CORRUPT: a damaged block. */
MUST_USE err_code build_env_new(const config *c, const manifest *m, const plan *p, const store *s,
                                build_env **out);
void build_env_free(build_env *e); /* accepts NULL */
/* Another limit than WIRE_BODY_MAX on what leaves and features are answered with. */
void build_env_limit(build_env *e, size_t bytes);

typedef struct build build;

typedef struct build_leaf {
    uint32_t partition; /* whose owner answers */
    uint32_t part;      /* names the request within the build: never used twice by it */
    blob *body;         /* borrowed until its reply was taken */
} build_leaf;

typedef enum build_state { BUILD_WAIT, BUILD_DONE } build_state;

typedef struct build_result {
    build_state state;
    blob *body; /* BUILD_DONE: owned: blob_unref */
    const build_leaf
        *leaf; /* BUILD_WAIT: all requests without a reply; borrowed until the next call */
    uint32_t leaves;
} build_result;

/* ERR_NOT_FOUND: the plan has no such slot.  ERR_MISMATCH: its partition is not here. *out owned.
 */
MUST_USE err_code build_new(const build_env *e, slot_name name, build **out);
void build_free(build *b); /* accepts NULL */

/* Goes as far as it can.  ERR_LIMIT, ERR_NO_MEMORY, ERR_CORRUPT (the store is damaged): the build
 * can only be freed. */
MUST_USE err_code build_step(build *b, build_result *out);
/* The reply to request `part` (takes a reference).  A part that has its reply, or is of an earlier
 * hop: ignored.  ERR_INVALID: malformed, logged; the request stays open. */
MUST_USE err_code build_leaf_reply(build *b, uint32_t part, blob *body);

/* Answers another sampler's leaf request for slot `name`.  *out owned.  ERR_INVALID: malformed, or
 * of another slot, logged; ERR_MISMATCH: a partition that is not here; ERR_LIMIT: more than a body
 * may have; ERR_CORRUPT; ERR_NO_MEMORY.
 */
MUST_USE err_code leaf_answer(const build_env *e, slot_name name, const blob *body, blob **out);
/* Answers FEATURES (common/feature_row.h): same errors. */
MUST_USE err_code features_answer(const build_env *e, const blob *body, blob **out);
