/* compare.h - which of two results is better, user by user; how much several results scatter.
 *
 * Reads folders that `weft train` wrote: per_user.tsv and config.yaml; and report.json, items.tsv,
 * split.tsv and seen_items.npy, where they are there, for whether the data are the same.  Only
 * users with the same held-out items in all are compared; where the data differ, what a difference
 * says of them is said before it.  Threads: one owner. */
#pragma once

#include "common/err.h"
#include "sampler/string_pool.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum { COMPARE_METRICS = 4, COMPARE_TYPES_MAX = 64 };
extern const char
    *const compare_metric_names[COMPARE_METRICS]; /* hr_10, recall_10, ndcg_10, mrr_100 */

/* One folder's rows of a model, by number in the common pool of "type user". */
typedef struct compare_side {
    const char *dir;                  /* borrowed */
    double (*value)[COMPARE_METRICS]; /* [cap] */
    uint64_t *items;                  /* [cap] hash of the held-out items; 0: has no row */
    size_t value_cap, items_cap;
    uint32_t rows;
} compare_side;

typedef struct compare_cell {
    double a, b, difference, lo, hi; /* lo, hi: 95 % of the paired difference */
    const char *verdict;             /* static, of b: better, worse, even */
} compare_cell;

typedef struct compare_type {
    const char *name;               /* borrowed from the pool of types */
    uint32_t users;                 /* compared */
    uint32_t only_a, only_b, other; /* other: with other held-out items */
    compare_cell cell[COMPARE_METRICS];
    double mean[COMPARE_METRICS], deviation[COMPARE_METRICS]; /* over more than two sides */
} compare_type;

typedef struct compare {
    const char *model;
    compare_side *side; /* [sides] */
    uint32_t sides;
    string_pool *rows, *types;
    uint8_t *row_type; /* [rows] */
    size_t row_type_cap;
    compare_type type[COMPARE_TYPES_MAX];
    char **differs; /* owned, [differs_n] "key: a -> b" of the first two configurations */
    size_t differs_n;
    char **data; /* owned, [data_n] what differs in the data: counts of the report, files */
    size_t data_n;
} compare;

/* dirs[0..n-1], n >= 2.  ERR_NOT_FOUND: no such folder or no result in it; ERR_INVALID: a malformed
 * file, no row of that model; ERR_MISMATCH: nobody has the same held-out items; all printed.  *out
 * owned: compare_free. */
MUST_USE err_code compare_make(const char *const *dirs, uint32_t n, const char *model,
                               compare **out);
void compare_free(compare *c); /* accepts NULL */
/* Fills data; a part of compare_make.  ERR_IO; ERR_INVALID: a malformed report (printed). */
MUST_USE err_code compare_data(compare *c);
/* ERR_IO. */
MUST_USE err_code compare_print(const compare *c, bool json, FILE *out);
