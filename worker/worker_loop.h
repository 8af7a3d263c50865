/* worker_loop.h - the worker's protocol core: lease, build, fetch, compute, push, done.
 *
 * Pure (common/core.h).  For each leased slot:
 *   BUILD to a sampler (if worker_plan.partition says so) -> COMPUTE WORKER_DIGEST: what does this
 * slot need? -> FEATURES and PULL requests, replies gathered -> COMPUTE WORKER_SLOT: bodies to push
 * -> PUSH | PUT | VOID to every server, all acknowledged -> DONE to the scheduler. One WORKER_SLOT
 * runs at a time; leases ahead are built and fetched meanwhile.  Everything of another generation
 * is dropped.  Threads: one owner; tasks are read by the shell's compute threads. */
#pragma once

#include "common/core.h"
#include "common/table_codec.h"

enum {
    WORKER_LEASES_MAX = 64,
    WORKER_NEEDS_MAX = 4112 /* of a slot: one per partition, and a few */
};

/* COMPUTE kinds; detail: worker_task.  RESULT details: worker_digest, worker_output. */
enum { WORKER_DIGEST = 1, WORKER_SLOT = 2 };

typedef enum worker_need_kind {
    NEED_FEATURES, /* raw request to the owner of `partition`; reply: its raw answer */
    NEED_DENSE, /* dense parameters of `stage`; reply: flat f32 [dense_floats], shared between slots
                 */
    NEED_ROWS   /* rows of a table; reply: f32 [n, dim] in the order of the keys */
} worker_need_kind;

typedef struct worker_need {
    worker_need_kind kind;
    uint32_t partition;
    uint32_t stage, table, dim; /* main stage that owns the table */
    bool final;                 /* of the finished stage; else at the slot's version */
    size_t floats;              /* DENSE: dense_floats of the stage */
    blob *body; /* FEATURES: request; ROWS: u64 keys[n], strictly ascending.  Owned by the task */
} worker_need;

typedef struct worker_task {
    slot_name name;
    round_kind kind;
    uint32_t generation, version;
    const shard_map *map;
    blob *build;             /* the sampler's answer; NULL: none was asked */
    const worker_need *need; /* SLOT, and a repeated DIGEST: all needs so far, in order */
    uint32_t needs;
    blob *const *reply; /* [needs] */
} worker_task;

/* RESULT of WORKER_DIGEST, borrowed during the step: the core takes references on the bodies.  A
 * status other than ERR_OK returns the slot. */
typedef struct worker_digest {
    const worker_need *need; /* what is missing; added to the task's needs */
    uint32_t needs;
    bool again; /* when all are answered, DIGEST once more: some needs follow from replies */
} worker_digest;

/* RESULT of WORKER_SLOT, borrowed during the step.  TRAIN, PUT: body[map->servers] made by
 * push_encode; SCORE: bodies 0, sums. */
typedef struct worker_output {
    blob *const *body;
    uint32_t bodies;
    uint64_t examples;
    double loss;
    bool is_void;
    const double *sums;
    uint32_t sums_n;
} worker_output;

typedef struct worker_plan {
    void *ctx;
    /* Partition whose owner builds this slot; UINT32_MAX: nothing to build, DIGEST at once. */
    uint32_t (*partition)(void *ctx, slot_name name);
} worker_plan;

typedef struct worker_loop_config {
    uint32_t index;
    uint64_t incarnation, plan_hash;
    const char *numerics; /* borrowed until worker_loop_free, as what follows */
    const char *address;
    uint32_t pid;
    const worker_plan *plan;
    uint32_t leases; /* wanted at a time, of the open step; as many ahead.  0: 2 */
    const core_mutations *mutations;
} worker_loop_config;

typedef struct worker_loop worker_loop;

worker_loop *worker_loop_new(const worker_loop_config *c); /* owned: worker_loop_free */
/* The shell has joined its compute threads: no task is being read. */
void worker_loop_free(worker_loop *w);
uint64_t worker_loop_step(worker_loop *w, const core_event *e, core_actions *out);
uint64_t worker_loop_digest(const worker_loop *w);
void worker_loop_note_rss(worker_loop *w, uint64_t bytes);

typedef struct worker_loop_stats {
    uint32_t generation, leases;
    uint64_t slots_done, dropped, gone, resends;
    uint64_t phase_us[5]; /* sample, pull, compute, push, wait */
    bool stopping, known; /* known: member_is_known */
} worker_loop_stats;
void worker_loop_stats_get(const worker_loop *w, worker_loop_stats *out);
