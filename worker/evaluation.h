/* evaluation.h - scores the held-out test positives with every model, once, and says which
 * differences are real.
 *
 * Per type: candidates are all items of the type, less what the user has in train and valid (never
 * a positive); users are those with a test positive of the type.  Ranks are exact, 1 = best, ties
 * by hash(seed, stable key).  Baselines use train only and choose their grid values on valid.
 * Scores come from fixed ranges of users and fixed tiles of candidates and sums have a fixed order,
 * so that results do not depend on `threads`; what is skipped depends on sizes, never on free
 * memory.
 *
 * "Item" is an item's row (the items file's order), "user" a user's row.  Threads: one owner. */
#pragma once

#include "common/config.h"
#include "common/err.h"
#include "common/progress.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* In the order of the report. */
typedef enum evaluation_model {
    MODEL_TWO_TOWER,
    MODEL_TWO_TOWER_NO_Z,
    MODEL_HGNN_KNN,
    MODEL_EASE,
    MODEL_ITEM_KNN,
    MODEL_TEXT_KNN,
    MODEL_POPULARITY,
    EVALUATION_MODELS
} evaluation_model;

typedef enum evaluation_segment {
    SEGMENT_ALL,
    SEGMENT_WARM, /* the user has a train event of the type, of any kind */
    SEGMENT_COLD,
    SEGMENT_HISTORY_0, /* items in the user's train history, all types */
    SEGMENT_HISTORY_1_4,
    SEGMENT_HISTORY_5_19,
    SEGMENT_HISTORY_20_PLUS,
    SEGMENT_ITEM_UNTRAINED, /* from here on: of positives */
    SEGMENT_ITEM_TIER_1,    /* tiers hold equal train mass, 1 the most popular items */
    SEGMENT_ITEM_TIER_2,
    SEGMENT_ITEM_TIER_3,
    SEGMENT_ITEM_TIER_4,
    SEGMENT_ITEM_TIER_5,
    SEGMENT_ITEM_TAIL, /* tiers 3 to 5 */
    EVALUATION_SEGMENTS
} evaluation_segment;

typedef enum evaluation_metric {
    METRIC_HR,     /* any positive in the top 10 */
    METRIC_RECALL, /* positives in the top 10 / positives */
    METRIC_NDCG,   /* at 10; the ideal has min(10, positives) hits */
    METRIC_MRR,    /* 1 / best rank, 0 beyond 100 */
    EVALUATION_METRICS
} evaluation_metric;

typedef enum evaluation_verdict { VERDICT_EVEN, VERDICT_BETTER, VERDICT_WORSE } evaluation_verdict;

enum {
    EVALUATION_EVERY_TYPE = 0xffffffff, /* the "*" rows */
    EVALUATION_CUT = 10,
    EVALUATION_LIST = 100 /* length of the lists that coverage_100 looks at */
};

const char *evaluation_model_name(evaluation_model m);
const char *evaluation_segment_name(evaluation_segment s);
const char *evaluation_metric_name(evaluation_metric m); /* hr_10, recall_10, ndcg_10, mrr_100 */
const char *evaluation_verdict_name(evaluation_verdict v);

/* Per user a list of items, ascending: item[indptr[u]] .. item[indptr[u + 1] - 1]. */
typedef struct evaluation_lists {
    const uint64_t *indptr; /* [users + 1] */
    const uint32_t *item;
} evaluation_lists;

/* One vector per item and one per user; a score is their dot product.  NULL: no such model. */
typedef struct evaluation_vectors {
    const float *item; /* [items, dim] */
    const float *user; /* [users, dim] */
    uint32_t dim;
} evaluation_vectors;

/* Everything is borrowed until evaluation_score returns. */
typedef struct evaluation_input {
    uint64_t seed;
    uint32_t types, items, users;
    const char *const *type_name; /* [types] */
    const uint8_t *item_type;     /* [items] */
    const uint64_t *item_key;     /* [items] stable keys */
    const uint32_t *train_count;  /* [items] users with it in `train` */
    const uint32_t *train_any;    /* [items] users with any train event; 0: never trained */
    const uint64_t *user_types;   /* [users] bit t: a train event of type t, of any kind */
    evaluation_lists train;       /* train positives: what item-kNN, EASE and popularity know */
    evaluation_lists history;     /* what vectors of users are means of; any fixed order */
    evaluation_lists seen_train, seen_valid;
    evaluation_lists valid, test; /* positives */
    evaluation_vectors two_tower, two_tower_no_z;
    const float *z; /* [items, z_dim]; NULL: none */
    uint32_t z_dim;
    const uint16_t *text; /* [items, text_dim] f16; NULL: none */
    uint32_t text_dim;
    uint32_t baselines;       /* BASELINE_* */
    uint32_t ease_items;      /* config evaluate.ease_items */
    uint32_t bootstrap;       /* resamples, e.g. 1000 */
    uint32_t recommendations; /* length of two_tower's lists; 0: none */
    uint32_t threads;         /* 0: 1 */
    const progress *progress; /* stage "evaluate", in (model, type) pairs; NULL: none */
} evaluation_input;

typedef struct evaluation_row {
    uint32_t type; /* or EVALUATION_EVERY_TYPE */
    evaluation_model model;
    evaluation_segment segment;
    uint64_t users, positives, untrained_candidates; /* users = 0: no values */
    bool has_interval;
    double value[EVALUATION_METRICS], lo[EVALUATION_METRICS], hi[EVALUATION_METRICS];
    double coverage_10, coverage_100; /* share of the type's items in any user's list */
} evaluation_row;

/* two_tower (a) against `b`, segment all. */
typedef struct evaluation_comparison {
    uint32_t type;
    evaluation_metric metric;
    evaluation_model b;
    double difference, lo, hi;
    evaluation_verdict verdict;
} evaluation_comparison;

/* A grid choice.  Numbers that do not apply to the model are 0. */
typedef struct evaluation_choice {
    uint32_t type;
    evaluation_model model;
    uint32_t lambda, items; /* ease: items of the type in the model */
    uint32_t top;           /* item_knn: neighbours per scored item; 0: all */
    bool user_weights;      /* item_knn: users count 1/sqrt(items they have) */
    bool own_type;          /* item_knn: neighbours of the scored item's type only */
    uint64_t valid_users;   /* 0: nothing to choose by, the default was taken */
    double valid_hr;
} evaluation_choice;

typedef struct evaluation_skip {
    uint32_t type; /* or EVALUATION_EVERY_TYPE */
    int model;     /* evaluation_model, or -1: all */
    char reason[120];
} evaluation_skip;

/* What per_user.tsv and recommendations.tsv are written from: the users of one type. */
typedef struct evaluation_type_users {
    uint32_t users;
    uint32_t *user;                    /* [users] rows, ascending */
    uint64_t *indptr;                  /* [users + 1] */
    uint32_t *positive;                /* [indptr[users]] items, ascending per user */
    uint32_t *rank[EVALUATION_MODELS]; /* [indptr[users]]; NULL: the model was skipped */
    uint32_t *list_items;              /* [users, recommendations], by rank; two_tower */
    float *list_scores;
    uint32_t *list_len; /* [users] */
} evaluation_type_users;

typedef struct evaluation_result {
    uint32_t types, recommendations;
    evaluation_type_users *type_users; /* [types] */
    evaluation_row *rows;              /* in the order of the report */
    size_t rows_n;
    evaluation_comparison *comparisons;
    size_t comparisons_n;
    evaluation_choice *choices;
    size_t choices_n;
    evaluation_skip *skipped;
    size_t skipped_n;
} evaluation_result;

/* *out is owned: evaluation_free.  ERR_INVALID: a score is not finite (printed: model, user row).
 * ERR_NO_MEMORY.  ERR_STOPPED. */
MUST_USE err_code evaluation_score(const evaluation_input *in, evaluation_result **out);
void evaluation_free(evaluation_result *r); /* accepts NULL */

/* value [EVALUATION_METRICS] overwritten: of one user with `n` >= 1 positives of these ranks. */
void evaluation_user_metrics(double *value, const uint32_t *rank, size_t n);

/* The row, or NULL. */
const evaluation_row *evaluation_find(const evaluation_result *r, uint32_t type, evaluation_model m,
                                      evaluation_segment s);

/* Cosine of 1,000 keyed random pairs of rows of z [n, d]: mean and standard deviation.  n < 2: 0.
 */
void evaluation_z_cosine(double *mean, double *sd, const float *z, size_t n, size_t d,
                         uint64_t seed);
