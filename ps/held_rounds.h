/* held_rounds.h - the pushes that a server holds for its open round and the ones ahead of it.
 *
 * In ssp and asp a gradient is applied when it comes, and only that it was is remembered.  A ring:
 * the round of version v is at v % rounds, while first <= v < first + rounds.  Threads: one
 * owner. */
#pragma once

#include "common/core.h"
#include "common/table_codec.h"
#include "ps/applied_set.h"

typedef struct held_push {
    bool full;
    bool restored;  /* applied, as a snapshot says: there is no head */
    uint32_t times; /* 1; more only without CORE_RULE_DEDUPE */
    core_peer from;
    uint64_t hash;
    blob *body; /* owned; NULL: it is applied already */
    push_head head;
    uint64_t *shards; /* owned; not full: the virtual shards that have applied it; NULL: none */
} held_push;

typedef struct held_round {
    held_push *push; /* owned, [n], by slot */
    size_t n, cap;
    uint32_t count;    /* of those that are full */
    uint32_t *arrival; /* owned, [count]: slots in the order they came */
    size_t arrival_cap;
} held_round;

typedef struct held_rounds {
    uint32_t first;    /* version of the open round */
    uint32_t rounds;   /* how many are open to pushes */
    held_round *round; /* owned */
} held_rounds;

void held_rounds_init(held_rounds *h, uint32_t rounds);
void held_rounds_fini(held_rounds *h);
/* Forgets everything; the open round is that of version `first`. */
void held_rounds_reset(held_rounds *h, uint32_t first);
/* The open round is committed: the next one is open. */
void held_rounds_advance(held_rounds *h);
/* NULL: not open to pushes. */
held_round *held_rounds_at(const held_rounds *h, uint32_t version);
uint32_t held_rounds_count(const held_rounds *h); /* pushes, of all rounds */
uint64_t held_rounds_digest(const held_rounds *h, uint64_t seed);

/* NULL: not held. */
held_push *held_round_find(const held_round *r, uint32_t slot);
/* The virtual shards that have applied a slot that is not held; NULL: none. */
const uint64_t *held_round_shards(const held_round *r, uint32_t slot);
/* Holds what was not; takes nothing, the body is referenced. */
void held_round_add(held_round *r, uint32_t slot, core_peer from, uint64_t hash, blob *body,
                    const push_head *head);
bool held_round_has_all(const held_round *r, uint32_t slots);

/* What is applied, into *a, for a snapshot; and back. */
void held_rounds_applied(const held_rounds *h, applied_set *a);
void held_rounds_restore(held_rounds *h, const applied_set *a);
