/* split.h - cuts the events into train, valid and test, once; nothing else decides what training
 * sees.
 *
 * What is held out is a (user, item) pair with a positive event: all events of the pair, of every
 * kind, take its part, so that no part of the answer stays in train.  test is cut first, valid from
 * the rest by the same rule.  Events that only happen after a time cut (kinds that are no
 * positives) take the part of their time and are never in train.  Choices depend on the seed, user
 * ids and stable keys, never on row numbers where order is unknown.
 *
 *   time    events from the cut on: at most holdout_fraction of the positive events (at least the
 *           latest time), or the last holdout_days; valid the same before that.  Events of unknown
 * time are train unless their pair is held out. last    the last positive event by (time, row) of a
 * user (per type, or overall) with at least min_events events; events of unknown time are not
 * candidates under order: time. random  per user (and type): floor(holdout_fraction * n), at least
 * 1, of her n positive pairs; the last pair a user has stays in train. file    the pairs of a
 * split.tsv.
 *
 * Plain data, immutable after split_make: any thread. */
#pragma once

#include "sampler/catalog.h"

enum { SPLIT_TRAIN, SPLIT_VALID, SPLIT_TEST, SPLIT_PARTS };

/* A pair outside train; positive: it has a positive event, so it is a target. */
typedef struct split_pair {
    uint32_t user, item;
    uint8_t part; /* SPLIT_VALID or SPLIT_TEST */
    bool positive;
} split_pair;

typedef struct split {
    split_method method;             /* resolved: never SPLIT_AUTO */
    uint8_t *part;                   /* [catalog.events_n] SPLIT_* of every event */
    uint64_t events[SPLIT_PARTS];    /* events per part */
    uint64_t positives[SPLIT_PARTS]; /* pairs with a positive event per part */
    split_pair *pairs; /* [pairs_n] all of whose events are outside train, as split.tsv orders them:
                        * by user, type, valid before test, item */
    uint64_t pairs_n;
    int64_t valid_from, test_from; /* time: events from here on are in the part; else 0 */
} split;

/* "train", "valid", "test". */
const char *split_part_name(int part);
/* "time", "last", ...: the resolved method. */
const char *split_method_name(split_method method);

/* Cuts `data` as c->split says.  Adds warnings to data (an empty part).  ERR_INVALID: the method
 * does not suit the data or split.file is malformed (printed).  ERR_NOT_FOUND, ERR_IO.  *out is
 * owned: split_free. */
MUST_USE err_code split_make(const config *c, catalog *data, split **out);
void split_free(split *s); /* accepts NULL */

/* Writes split.tsv: user_id item_id part.  ERR_IO (printed). */
MUST_USE err_code split_write(const split *s, const catalog *data, const char *path);
