/* sim_model.h - the small job of the simulation: a plan, a model with real float arithmetic,
 * gradients that are a hash of everything they were computed from, and a sequential loop that says
 * what must come out (the oracle).
 *
 * Five stages: hgnn (trained, validated), embed (put), two_tower and two_tower_no_z (trained,
 * validated, of the same shape, so that a message of one would fit into the other) and vectors
 * (put).
 *
 * Where gradients are applied on arrival the result would depend on when: there gradients are
 * functions of the name alone, sums of whole numbers in which each slot has its own digit, so that
 * every table says exactly which slots it has seen, and how often. */
#pragma once

#include "common/core.h"
#include "common/table_codec.h"
#include "ps/scheduler.h"
#include "ps/shard.h"
#include "worker/worker_loop.h"

enum { SIM_PARTITIONS = 4, SIM_NEEDS_MAX = 6, SIM_SUMS = 3, SIM_ITEMS = 40 };
enum { SIM_PLAN_HASH = 0x51 };

/* Of bsp; the others differ in their staleness only. */
const scheduler_plan *sim_plan(void);
const shard_model *sim_shard_model(void);
scheduler_plan sim_plan_of(staleness how);
shard_model sim_shard_model_of(staleness how);

/* What a slot needs; pass 0, then (if *again) pass 1.  Appends to need[], bodies owned by the
 * caller. */
uint32_t sim_needs(slot_name name, uint32_t pass, worker_need *need, bool *again);

/* The micro-batch of a slot, its leaves and features: pure functions of their names. */
blob *sim_build(slot_name name);
/* Hop 0 and 1 of a build: the partition asked and the question (owned). */
uint32_t sim_leaf_partition(slot_name name, uint32_t hop, uint64_t so_far);
blob *sim_leaf_question(slot_name name, uint32_t hop, uint64_t so_far);
blob *sim_leaf(uint32_t partition, const blob *question);
uint64_t sim_leaf_fold(uint64_t so_far, const blob *reply);
blob *sim_features(uint32_t partition, const blob *question);

typedef struct sim_output {
    uint64_t hash; /* of everything the slot was computed from */
    uint64_t examples;
    double loss;
    bool is_void;
    double sums[SIM_SUMS];
    uint32_t sums_n;
    float *dense; /* owned */
    size_t dense_floats;
    push_section section[2]; /* keys and rows owned */
    uint32_t sections;
} sim_output;

void sim_compute(staleness how, slot_name name, round_kind kind, const blob *build,
                 blob *const *reply, uint32_t replies, sim_output *out);
void sim_output_fini(sim_output *o);

/* The version of the round of a training step, or (step 0) of the first. */
uint32_t sim_version_of(uint32_t stage, uint32_t step);
/* On arrival: what is wrong with dense parameters offset.. [n] of a stage in which every slot of
 * the steps up to `all` must be applied, and none of those after `none`; NULL: nothing. */
const char *sim_check_arrival(uint32_t stage, uint32_t all, uint32_t none, const float *dense,
                              size_t n);

/* ---- the oracle ---- */

typedef struct sim_oracle sim_oracle;

sim_oracle *sim_oracle_new(staleness how); /* runs the whole job; owned */
void sim_oracle_free(sim_oracle *o);
/* The hash that a slot must be computed from; false: the job never computes it. */
bool sim_oracle_slot(const sim_oracle *o, slot_name name, uint64_t *hash);
/* Dense parameters of a stage after `version` rounds, flat; NULL: no such version. */
const float *sim_oracle_dense(const sim_oracle *o, uint32_t stage, uint32_t version,
                              size_t *floats);
/* Of the finished stage. */
const float *sim_oracle_final(const sim_oracle *o, uint32_t stage, size_t *floats);
size_t sim_oracle_metrics(const sim_oracle *o, const core_metric **m);

typedef struct sim_row {
    uint32_t stage, table;
    uint64_t key;
    uint32_t dim;
    float w[4];
    float state[1];
} sim_row;
/* All rows of finished stages. */
size_t sim_oracle_rows(const sim_oracle *o, const sim_row **rows);
