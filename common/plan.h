/* plan.h - what the whole job computes: its stages, steps and slots, and what each slot holds.
 *
 * Pure: a function of the configuration's plan keys and the manifest, without I/O, clock or state.
 * Every role holds the same plan.  Nothing here depends on the number of processes.
 *
 *   stage                 epoch       step                     slots
 *   hgnn, two_tower,      1..         1.. over the whole       the epoch's slots in permuted order,
 *   two_tower_no_z                    stage                    cut into steps of M
 *   hgnn_valid            training    1..L embed layer k,      chunks of nodes (layers < L: all,
 *                         step        L+1 score users          L: the sample); chunks of users
 *   two_tower*_valid      training    1 item vectors of the    chunks of nodes, chunks of users
 *                         step        sample, 2 score users
 *   embed                 layer       layer                    chunks of nodes
 *   vectors               1           1 items, 2 users; 3 and  chunks of nodes, chunks of users
 *                                     4 the same without z
 *
 * Quotas of the relations, with base = max(edges of the smallest relation that has any,
 * hgnn.balance_floor): `min` takes min(E, base) pairs, `sqrt` min(E, isqrt(E x base)), `none` E.  A
 * quota is split over the partitions by largest remainder (ties: lower partition), in proportion to
 * their edges (pairs: edges) or their summed pair weight (user_norm).  A partition's positives of
 * all relations are permuted together, keyed by (seed, stage, epoch, partition), and cut into
 * ceil(n / (C x batch)) slots of sizes that differ by at most one; a slot into ceil(n / batch)
 * chunks likewise.
 *
 * Chunks of nodes never cross a (type, partition) range, chunks of users never a partition.  The
 * validation sample is a prefix of each range; validate.items (users) is split over the ranges by
 * largest remainder, 0 = all.
 *
 * Threads: immutable after plan_new, any thread. */
#pragma once

#include "common/config.h"
#include "common/manifest.h"
#include "common/slot.h"

#include <stdbool.h>
#include <stdint.h>

enum { PLAN_VERSION = 1, PLAN_CHUNK_NODES = 1024, PLAN_CHUNK_USERS = 512 };
enum { PLAN_NO_TYPE = UINT32_MAX };

typedef struct plan plan;

typedef enum plan_kind {
    PLAN_TRAIN, /* a gradient is pushed to the servers */
    PLAN_PUT,   /* rows of nodes or users are computed and put */
    PLAN_SCORE, /* validation users are scored; sums go to the scheduler */
} plan_kind;

/* What a slot holds. */
typedef struct plan_work {
    plan_kind kind;
    uint32_t partition; /* whose sampler builds it */
    uint32_t type;      /* PLAN_PUT of nodes: their type; else PLAN_NO_TYPE */
    uint32_t layer;     /* embed and hgnn_valid: the layer 1..L that is computed; else 0 */
    bool users;         /* PLAN_PUT and PLAN_SCORE: first and count are users, else nodes */
    uint64_t first;     /* TRAIN: position among the epoch's positives of the partition; else the
                         * first node or user number */
    uint32_t count;     /* TRAIN: positives = examples of the slot; else nodes or users */
    uint32_t chunks;    /* TRAIN: plan_chunk cuts it; else 1 */
} plan_work;

/* *out owned: plan_free; borrows c and m until then.  ERR_INVALID (named by log_user_error): a
 * training stage without positives, epochs and max_steps both 0. */
MUST_USE err_code plan_new(const config *c, const manifest *m, plan **out);
void plan_free(plan *p); /* accepts NULL */

/* Stages in order, without the *_valid ones: hgnn, embed, two_tower, two_tower_no_z (if it is a
 * baseline and two_tower.use_z), vectors.  Returns their number. */
uint32_t plan_stages(const plan *p, uint32_t stages[STAGE_COUNT]);
bool plan_has_stage(const plan *p, uint32_t stage);
bool plan_is_training(uint32_t stage);
/* The *_valid stage of a training stage and back; STAGE_NONE for others. */
uint32_t plan_valid_stage(uint32_t stage);
uint32_t plan_trained_stage(uint32_t valid_stage);
/* "mrr_100" for hgnn, "hr_10" for the towers; "" where nothing is selected. */
const char *plan_metric(uint32_t stage);
/* Validations without improvement before a training stage ends; 0: never. */
uint32_t plan_patience(const plan *p, uint32_t stage);

/* Steps of a stage: training: min(epochs x steps of an epoch, max_steps); embed: layers; vectors: 2
 * or 4; a *_valid stage: its phases.  Slots of a step; 0 outside the plan.  Slot counts of a step
 * are at most microbatches_per_step in a training stage. */
uint32_t plan_steps(const plan *p, uint32_t stage);
uint32_t plan_steps_per_epoch(const plan *p, uint32_t stage); /* training stages; else plan_steps */
uint32_t plan_slots(const plan *p, uint32_t stage, uint32_t step);
/* The epoch of a step: training: from 1; embed: the layer; vectors: 1.  Not for *_valid stages,
 * whose epoch is the training step they follow. */
uint32_t plan_epoch(const plan *p, uint32_t stage, uint32_t step);
/* The name of slot `slot` of `step`; not for *_valid stages. */
slot_name plan_name(const plan *p, uint32_t stage, uint32_t step, uint32_t slot);
/* What `name` holds.  False: the plan has no such slot. */
bool plan_slot(const plan *p, slot_name name, plan_work *out);
/* Examples (positives) of a training step: what bsp divides the sum of its slots by if none is
 * void. */
uint64_t plan_step_examples(const plan *p, uint32_t stage, uint32_t step);
/* Chunk `chunk` of a training slot holds positions *first .. *first + *count - 1. */
void plan_chunk(const plan_work *w, uint32_t chunk, uint64_t *first, uint32_t *count);

/* True: validation follows `step` of training stage `stage`: every validate.every steps and after
 * the last one, if there are validation users. */
bool plan_validates(const plan *p, uint32_t stage, uint32_t step);
/* Learning rate of a step: warm-up (at most a quarter of the steps), then cosine over the plan's
 * steps or constant.  The horizon does not depend on where training stops.  plan_lr_scale is the
 * factor alone (for sparse_lr). */
float plan_lr(const plan *p, uint32_t stage, uint32_t step);
float plan_lr_scale(const plan *p, uint32_t stage, uint32_t step);

/* Positives of an epoch in a partition, for hgnn or a two-tower stage. */
uint64_t plan_positives(const plan *p, uint32_t stage, uint32_t partition);
/* The quota of a relation in a partition. */
uint64_t plan_quota(const plan *p, uint32_t relation, uint32_t partition);
/* The index, before the epoch's permutation, of the positive at `position`: what the permutation of
 * (seed, stage, epoch, partition) puts there. */
uint64_t plan_position(const plan *p, uint32_t stage, uint32_t epoch, uint32_t partition,
                       uint64_t position);
/* hgnn: index -> pair i of (relation, partition), i < its quota. */
void plan_pair(const plan *p, uint32_t partition, uint64_t index, uint32_t *relation, uint64_t *i);

/* The validation sample: nodes of a (type, partition) range, users of a partition, and whether a
 * node belongs to it. */
uint32_t plan_sample_nodes(const plan *p, uint32_t type, uint32_t partition);
uint32_t plan_sample_users(const plan *p, uint32_t partition);
bool plan_in_sample(const plan *p, uint32_t node);

/* Rendezvous hashing: which of n (>= 1) samplers serves a partition, which of n servers a virtual
 * shard.  A change of n moves only what it must. */
uint32_t plan_partition_owner(uint32_t partition, uint32_t samplers);
uint32_t plan_vshard_owner(uint32_t vshard, uint32_t servers);
/* The next in that order, of n >= 2: whose it becomes when its server goes. */
uint32_t plan_vshard_second(uint32_t vshard, uint32_t servers);
/* The virtual shard of a table key, < virtual_shards. */
uint32_t plan_vshard(uint64_t key, uint32_t virtual_shards);

/* Splits `total` over n parts in proportion to weight[] by largest remainder, ties to the lower
 * index; all weights 0: all shares 0.  total <= sum(weight): share[i] <= weight[i]. */
void plan_split(uint64_t *share, const uint64_t *weight, uint32_t n, uint64_t total);
