/* testing_evaluation.h - a small random evaluation input for tests, and naive versions of what
 * worker/evaluation.h computes. */
#pragma once

#include "worker/evaluation.h"

enum {
    FIXTURE_MOVIES = 60, /* type 0 */
    FIXTURE_BOOKS = 1,   /* type 1: one item */
    FIXTURE_DECADES = 9, /* type 2: no test positives */
    FIXTURE_ITEMS = FIXTURE_MOVIES + FIXTURE_BOOKS + FIXTURE_DECADES,
    FIXTURE_USERS = 90, /* the last 10 have no history */
    FIXTURE_DIM = 4
};

typedef struct fixture_lists {
    uint64_t indptr[FIXTURE_USERS + 1];
    uint32_t item[FIXTURE_USERS * FIXTURE_ITEMS];
} fixture_lists;

/* Per user every item is in one part: none, train, valid or test.  Vectors hold few values, so that
 * scores tie.  The last 6 movies are never trained. */
typedef struct fixture {
    uint8_t type[FIXTURE_ITEMS];
    uint64_t key[FIXTURE_ITEMS], user_types[FIXTURE_USERS];
    uint32_t count[FIXTURE_ITEMS];
    uint8_t part[FIXTURE_USERS][FIXTURE_ITEMS]; /* 0 none, 1 train, 2 valid, 3 test */
    fixture_lists train, valid, test;
    float item[FIXTURE_ITEMS * FIXTURE_DIM], user[FIXTURE_USERS * FIXTURE_DIM];
    float z[FIXTURE_ITEMS * FIXTURE_DIM];
    uint16_t text[FIXTURE_ITEMS * FIXTURE_DIM];
    evaluation_input in; /* all baselines on, no two_tower_no_z */
} fixture;

fixture *fixture_new(uint64_t seed); /* owned: free() */

/* Sorts all candidates of the type for a user and looks for `item`; score [FIXTURE_ITEMS] by row.
 */
uint32_t fixture_naive_rank(const fixture *f, uint32_t user, uint32_t item, const float *score);
