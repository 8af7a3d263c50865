/* rng.h - random draws as pure functions: Philox4x32-10 keyed by the name of the work.
 *
 * No generator has state.  A draw is a function of (key, node, draw): the key is made from the
 * job's seed, the name of the unit of work and what the draw is for; `node` is whatever is drawn
 * for (a node number, a stable key, a pair, an element); `draw` counts the draws for it.  Who
 * computes it, when and how often is irrelevant.
 *
 * Threads: any. */
#pragma once

#include "common/slot.h"

#include <stdint.h>

/* What a draw is for.  Values are part of the plan: never renumber, only append. */
typedef enum rng_use {
    USE_NEGATIVES = 1,
    USE_NEIGHBOURS = 2,
    USE_DROP = 3,
    USE_PAIRS = 4,
    USE_PERMUTE = 5,
    USE_SLOTS = 6,
    USE_INIT = 7,
    USE_RANDOM_FEATURES = 8,
    USE_HISTORY = 9,
    USE_ID_DROP = 10,
    USE_BOOTSTRAP = 11,
    USE_TIES = 12,
    USE_SPLIT = 13,
    USE_VALIDATE = 14,
    USE_SYNTH = 15,
    USE_WIRE = 16,
    USE_UNIFORM_ITEMS = 17,
    USE_POSITIVES = 18,
    USE_CAP = 19,
    USE_HISTORY_DROP = 20,
    USE_DROPOUT = 21,
    USE_TEST = 1000
} rng_use;

/* The key of (seed, stage, epoch, step, slot, use): XXH3-64 of the six as little-endian u64. */
uint64_t rng_key(uint64_t seed, uint64_t stage, uint64_t epoch, uint64_t step, uint64_t slot,
                 uint64_t use);
/* The same for a unit of work. */
uint64_t rng_slot_key(uint64_t seed, slot_name name, rng_use use);

/* out[0..3]: the Philox block of counter (node, draw, retry). */
void rng_block(uint64_t key, uint64_t node, uint32_t draw, uint32_t retry, uint32_t out[4]);

uint32_t rng_u32(uint64_t key, uint64_t node, uint32_t draw);
uint64_t rng_u64(uint64_t key, uint64_t node, uint32_t draw);
/* Uniform in [0, 1): multiples of 2^-24, of 2^-53. */
float rng_unit(uint64_t key, uint64_t node, uint32_t draw);
double rng_unit_f64(uint64_t key, uint64_t node, uint32_t draw);
/* Uniform in [0, n), without bias for every n >= 1. */
uint64_t rng_below(uint64_t key, uint64_t node, uint32_t draw, uint64_t n);
/* Standard normal; own arithmetic (no libm), the same bits everywhere. */
float rng_normal(uint64_t key, uint64_t node, uint32_t draw);

/* A keyed bijection of [0, n) in O(1) memory (Feistel network with cycle walking); i < n. */
uint64_t rng_permute(uint64_t key, uint64_t n, uint64_t i);
/* rng_unpermute(key, n, rng_permute(key, n, i)) == i. */
uint64_t rng_unpermute(uint64_t key, uint64_t n, uint64_t i);
