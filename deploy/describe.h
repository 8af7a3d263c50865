/* describe.h - what is in the data, before anything is trained: whether there is enough of it, what
 * the graph will be like, and whether types help each other at all.
 *
 * Train, valid and test are cut as `prepare` will; test is counted, never looked at.  Plain data,
 * immutable after describe_make. */
#pragma once

#include "common/config.h"
#include "common/progress.h"
#include "sampler/graph_lists.h"

#include <stdio.h>

typedef struct describe_type {
    uint64_t events, train_users; /* events of it; users with one in train */
    uint64_t untouched;           /* items without a train event */
    uint64_t valid, test;         /* held-out pairs with a positive event */
    uint64_t valid_users;
    uint64_t also[CONFIG_TYPES_MAX]; /* train users who have items of the other type, too */
    /* Types from the others' items: HR@10 on valid of users with items of other types. */
    uint32_t cross_users;
    double cross_hr, popularity_hr;
} describe_type;

typedef struct describe_relation {
    uint32_t source, destination;
    double neighbours, kept;       /* of an item, mean; after min_users and max_degree */
    double users_1, users_2, more; /* shares of the pairs with 1, 2, 3 and more users */
} describe_relation;

typedef struct describe {
    catalog *data;
    split *parts;
    describe_type type[CONFIG_TYPES_MAX];
    describe_relation *relation; /* [relations] */
    uint32_t relations;
    bool any_kind;           /* data.kinds is empty */
    uint32_t user_events[4]; /* distinct items of a user: median, 90 %, 99 %, most */
    double tied;       /* share of timed events that share their second with another of the user */
    double tied_last;  /* share of users whose last event does */
    double alone;      /* share of (history item, target) pairs in train whose edge is the user's */
    uint64_t list_cut; /* items taken away by graph.max_items_per_user */
    string_list warnings; /* ours and the catalogue's */
} describe;

/* Reads the input files.  ERR_INVALID, ERR_NOT_FOUND, ERR_IO, ERR_NO_MEMORY as prepare_run.  *out
 * owned: describe_free. */
MUST_USE err_code describe_make(const config *c, const progress *p, describe **out);
void describe_free(describe *d); /* accepts NULL */
/* ERR_IO. */
MUST_USE err_code describe_print(const describe *d, bool json, FILE *out);

/* In describe_cross.c: fills cross_users, cross_hr and popularity_hr of every type. */

MUST_USE err_code describe_cross(describe *d, const graph_lists *l, uint64_t seed);
