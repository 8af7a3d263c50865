/* synth.h - a generated catalogue with text of real words, and people who use it.
 *
 * Latent topics drive both: an item has a topic (sometimes two) and a theme of it, which its text
 * names; a user has one to four topics, a few themes and types she prefers.  Popularity follows a
 * power law, tastes drift over about 180 days, a few items appear late and a few are never touched.
 * Types differ in density: the first has most of the events.  Part of the behaviour (scenes) is in
 * no text.
 *
 * The same options give the same bytes, on every machine. */
#pragma once

#include "common/err.h"

#include <stdint.h>

enum {
    SYNTH_USERS_MAX = 100000000,
    SYNTH_ITEMS_MAX = 100000000,
    SYNTH_START = 1704067200, /* 2024-01-01, the time of the first event at the earliest */
    SYNTH_DAYS = 180
};

typedef struct synth_options {
    uint32_t users, items, types; /* types: 1 to SYNTH_TYPES, at most `items` */
    uint64_t interactions, seed;
} synth_options;

typedef struct synth_counts {
    uint32_t type_items[12];
    uint64_t type_events[12];
    uint64_t streams, follows;
    uint32_t untouched_items, active_users;
} synth_counts;

/* Writes items.tsv, users.tsv and interactions.tsv into `dir`, made if need be.  interactions.tsv
 * has exactly `interactions` rows, by user, oldest first.  All or none; ERR_INVALID (printed):
 * options out of bounds, or one of the files is there with other content.  ERR_IO, ERR_NO_MEMORY.
 */
MUST_USE err_code synth_write(const synth_options *options, const char *dir, synth_counts *counts);
