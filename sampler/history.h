/* history.h - what a user's vector is made from, and a user's training positives.
 *
 * History = distinct train items of history.types with the role `history`, each at its first event:
 *   order time  strictly earlier than the time it is as of and not before that time less
 *               history.window_days; the last history.max_items of them (an unknown time is never
 *               earlier; a positive of unknown time: as order none)
 *   order file  earlier rows; the last max_items
 *   order none  all of the user's (a training row: others than the target), max_items drawn by hash
 * never the target in any kind.  "As of the end of train" is after every train event; its window
 * counts back from the manifest's as_of.
 *
 * Positives = distinct train items of two_tower.targets with the role `positive`, each at its first
 * such event, in the user's event order; at most two_tower.positives_per_user (0: all) an epoch,
 * the first of a permutation keyed by (seed, epoch, user).
 *
 * Pure functions of the user's row.  Threads: any. */
#pragma once

#include "common/config.h"
#include "common/manifest.h"
#include "sampler/node_list.h"
#include "sampler/store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The configuration's names as type sets: bit t = type t. */
typedef struct history_rule {
    uint64_t history_types, target_types;
    uint32_t max_items; /* UINT32_MAX: no limit */
    int64_t window_s;   /* 0: no limit */
    order_kind order;
    int64_t as_of;
    uint32_t positives_max; /* UINT32_MAX: no limit */
    uint64_t seed;
} history_rule;

void history_rule_init(history_rule *r, const config *c, const manifest *m);

/* History as of the end of train, ascending by node: overwrites `out`. */
void history_at_end(node_list *out, const history_rule *r, const manifest *m, uint32_t user,
                    const store_user *u);
/* History of a training row whose positive is event `event` of the user: same. */
void history_before(node_list *out, const history_rule *r, const manifest *m, uint32_t user,
                    const store_user *u, uint32_t event);

/* Events that are the user's training positives of an epoch: how many (the same in every epoch),
 * and the j-th in `epoch` of `stage`. */
uint32_t history_positives(const history_rule *r, const manifest *m, const store_user *u);
uint32_t history_positive(const history_rule *r, const manifest *m, uint32_t stage, uint32_t epoch,
                          uint32_t user, const store_user *u, uint32_t j);

/* Ascending by node: distinct items of `types` that are positives in `part` (STORE_VALID, ...);
 * distinct items with the role `seen` in the parts up to and including `through`. */
void history_targets(node_list *out, uint64_t types, const manifest *m, const store_user *u,
                     uint32_t part);
void history_seen(node_list *out, const store_user *u, uint32_t through);
