/* two_tower.h - the two-tower model on a chunk: inputs from histories and items, towers, loss, and
 * the gradients of everything trainable.
 *
 * v is z, or the text vector where z is not used.
 *
 *     user input = [pooled v | pooled item_id | 0.3 log1p(count) per type | attributes | dense]
 *     item input = [v | text (where v is z and use_text) | type | attributes | item_id]
 *     skip input = [mean v | mean text (where v is z and skip_text) | pooled item_id], means over
 * the whole history, and [v | text | item_id]
 *
 * Pooled v: mean over the history (pool all), per type of the store in their order (per_type), or
 * both (all first).  Pooled item_id: mean over the history items whose id is not dropped.  An empty
 * mean is zeros.
 *
 * With popularity, vectors have one coordinate more than the towers give, after normalising: b + w
 * . (0.3 log1p(count) per type) for users; for items 0.3 log1p(positives), for unknown ones a
 * number of their type that is learned (0 would hide it for good).  A user of whom nothing is
 * known, neither history nor attributes nor a dense vector, has zeros before it, and so gets what
 * is popular.
 *
 * Where item_drop is x > 0, an item that nobody has in train is unknown, and in training one that n
 * have with chance x / (x + n), at least .05: zeros in place of z and item_id as an item, not in
 * histories.  So rare items do not learn their users by heart and new ones have a place; the same
 * chance for all would cost the frequent ones.  Measured on amazon_movie_book at 600 steps, HR@10
 * on valid: books .036 without, .049 with it; movies .070 and .072.
 *
 * Dropout is of the towers' hidden layers, of the chunk's users and of its targets.
 *
 * Threads: a two_tower belongs to one thread. */
#pragma once

#include "common/model_spec.h"

/* A chunk.  Unique items come first as plain arrays; rows 0 .. targets-1 are those that occur as
 * item rows, histories may use any.  All borrowed until the call returns. */
typedef struct two_tower_batch {
    uint32_t unique, targets;
    const uint32_t *node; /* [unique] node numbers: which items are the same, id drop */
    const uint32_t *type; /* [unique] */
    const float *z;       /* [unique, z_dim]; NULL unless v is z */
    /* f16 [targets, text_dim], [unique, text_dim] where v is text or the skip has text; NULL where
     * not used */
    const uint16_t *text;
    const uint32_t *positives; /* [targets] how many have it in train; NULL: needed by nothing */
    const float *id;           /* [unique, item_id]; NULL without ids */
    const uint32_t *item_attribute; /* [targets, attributes] value, 0 = unknown; NULL: none */
    uint32_t users;
    const uint64_t *history_indptr; /* [users + 1] */
    const uint32_t *history;        /* unique rows */
    const uint32_t *user_attribute; /* [users, user attributes]; NULL: none */
    const float *user_dense;        /* [users, user_dense_dim]; NULL: none */
    /* Training: item row i < users is the positive of user i, the others are uniform negatives. */
    uint32_t items;
    const uint32_t *item; /* [items] unique rows, < targets */
    const float *log_q;   /* [items]; NULL: none */
    const float *weight;  /* [users]; NULL: all 1 */
    uint64_t id_drop_key; /* rng key of USE_ID_DROP; an item is dropped in the whole chunk */
    uint64_t dropout_key; /* of USE_DROPOUT */
    bool training;        /* false: inference, nothing is dropped */
} two_tower_batch;

typedef struct two_tower two_tower;

/* owned: two_tower_free.  `s` of stage two_tower or two_tower_no_z; copies what it needs. */
two_tower *two_tower_new(const config *c, const model_facts *f, const model_spec *s);
void two_tower_free(two_tower *m); /* accepts NULL */

/* Inference.  *out [users | targets, output_dim], borrowed until the next call on m.  Rows of a
 * batch of the same size have the same bits whatever the other rows hold.  ERR_NO_MEMORY. */
MUST_USE err_code two_tower_users(two_tower *m, const float *params, const two_tower_batch *b,
                                  const float **out);
MUST_USE err_code two_tower_items(two_tower *m, const float *params, const two_tower_batch *b,
                                  const float **out);

/* Sums over the users of the chunk: *loss (weighted cross-entropy), *weight (sum of weights).
 * grads [spec values] accumulated; did [unique, item_id] gradient of the id rows, overwritten (NULL
 * without ids; dropped rows get 0).  ERR_NO_MEMORY. */
MUST_USE err_code two_tower_train(two_tower *m, const float *params, const two_tower_batch *b,
                                  float *grads, float *did, double *loss, double *weight);
