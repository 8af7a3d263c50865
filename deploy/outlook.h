/* outlook.h - how large the data of a job are: read off the prepared store where there is one, else
 * estimated from the input files, without building anything.
 *
 * Plain data, immutable after it is made: any thread. */
#pragma once

#include "common/config.h"
#include "common/manifest.h"
#include "common/progress.h"

enum { OUTLOOK_CLASSES = 32 };

/* The items of a type by how many have them in train: class k holds those with 2^(k-1) .. 2^k - 1
 * users, class 0 those that nobody has. */
typedef struct outlook_popularity {
    double items[OUTLOOK_CLASSES];
    double users[OUTLOOK_CLASSES]; /* summed over the class */
    double users_all;
} outlook_popularity;

typedef struct outlook {
    /* true: exact, of the store; false: edges are estimated, and partitions are equal shares. */
    bool prepared;
    manifest *manifest;
    outlook_popularity popularity[CONFIG_TYPES_MAX];
    uint64_t events;          /* lines of the interactions that are used; 0: not known (prepared) */
    uint64_t history;         /* items in train histories, summed over the users */
    uint64_t pairs;           /* (user, item) with a positive event, of all parts */
    uint64_t tested;          /* (user, item) pairs of the test part */
    uint64_t string_bytes;    /* ids and texts; 0: part of dataset_bytes (prepared) */
    uint64_t ease_items;      /* items of evaluate.ease_items that EASE would have */
    double neighbours;        /* (item, other item) with a user in common: what item_knn keeps */
    uint64_t partition_bytes; /* files of the store */
    uint64_t dataset_bytes;
    uint64_t input_bytes;  /* files, as they are on disk */
    uint64_t encode_texts; /* texts that the encoder must still turn into vectors, at most */
} outlook;

/* Looks at the prepared store of `c` if there is one that fits it, else at the input files.
 * ERR_INVALID, ERR_NOT_FOUND, ERR_IO, ... as prepare_run (printed).  *out owned: outlook_free. */
MUST_USE err_code outlook_make(const config *c, const progress *p, outlook **out);
/* Of the input files only: what outlook_make does without a store. */
MUST_USE err_code outlook_read(const config *c, const progress *p, outlook **out);
void outlook_free(outlook *o); /* accepts NULL */

void outlook_count_item(outlook_popularity *p, uint32_t users);
/* Different items among `draws` by popularity and `uniform` (a share of the type) besides. */
double outlook_distinct(const outlook_popularity *p, double draws, double uniform);
