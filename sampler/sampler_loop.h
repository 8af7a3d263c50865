/* sampler_loop.h - the sampler's protocol core: micro-batches built on request, nothing kept.
 *
 * Pure (common/core.h).  BUILD(name) starts a build, or joins the one already running for that
 * name; a build asks the owners of other partitions for leaves; the answer is complete or not sent.
 * LEAF and FEATURES are answered at once from local data, so that samplers never wait in a circle.
 * The ops are called from the step function, on its thread.  Threads: one owner. */
#pragma once

#include "common/core.h"
#include "common/table_codec.h"

enum { SAMPLER_BUILDS_MAX = 256, SAMPLER_WAITERS_MAX = 16 };

typedef struct sampler_want {
    uint32_t id;        /* the build's own; given back with the reply */
    uint32_t partition; /* whose owner answers */
    blob *body;         /* owned: the core takes it */
} sampler_want;

typedef struct sampler_wants {
    sampler_want *items; /* grown with sampler_wants_add */
    size_t n, cap;
} sampler_wants;
void sampler_wants_add(sampler_wants *w, uint32_t id, uint32_t partition,
                       blob *body); /* takes body */

typedef enum sampler_build { BUILD_READY, BUILD_WAITS, BUILD_FAILED } sampler_build;

typedef struct sampler_ops {
    void *ctx;
    /* A build of slot `name`.  NULL: no such slot in the plan.  Owned: build_free. */
    void *(*build_new)(void *ctx, slot_name name, const blob *request);
    /* Goes on as far as it can; appends the leaves it needs next.  WAITS: call again when all wants
     * so far are answered. */
    sampler_build (*build_step)(void *ctx, void *build, sampler_wants *wants);
    void (*build_leaf)(void *ctx, void *build, uint32_t id, const blob *reply);
    blob *(*build_take)(void *ctx, void *build); /* READY: the micro-batch, owned */
    void (*build_free)(void *ctx, void *build);
    /* *out owned.  ERR_NOT_FOUND: the partition is not here. */
    err_code (*leaf_answer)(void *ctx, slot_name name, uint32_t partition, const blob *request,
                            blob **out);
    err_code (*features_answer)(void *ctx, uint32_t partition, const blob *request, blob **out);
} sampler_ops;

typedef struct sampler_loop_config {
    uint32_t index, samplers;
    uint64_t incarnation, plan_hash;
    const char *numerics; /* borrowed until sampler_loop_free, as what follows */
    const char *address;
    uint32_t pid;
    const sampler_ops *ops;
    uint32_t builds; /* at a time; 0: 64 */
    const core_mutations *mutations;
} sampler_loop_config;

typedef struct sampler_loop sampler_loop;

sampler_loop *sampler_loop_new(const sampler_loop_config *c); /* owned: sampler_loop_free */
void sampler_loop_free(sampler_loop *s);
uint64_t sampler_loop_step(sampler_loop *s, const core_event *e, core_actions *out);
uint64_t sampler_loop_digest(const sampler_loop *s);
void sampler_loop_note_rss(sampler_loop *s, uint64_t bytes);
/* How much the shell has refused so far, for the status page. */
void sampler_loop_note_refused(sampler_loop *s, uint64_t total);

typedef struct sampler_loop_stats {
    uint64_t batches, joined, leaves_asked, leaves_answered, features, resends, builds_open;
    bool stopping, known; /* known: member_is_known */
} sampler_loop_stats;
void sampler_loop_stats_get(const sampler_loop *s, sampler_loop_stats *out);
