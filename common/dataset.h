/* dataset.h - what evaluation, export and `recommend` need from the prepared store: plain arrays.
 *
 * One file, `<store>/dataset`, mapped read-only; every array points into the map.  Items are rows
 * of the items file, users rows of the users file and then of first appearance in the interactions.
 * Lists of a user hold item rows.  "Train" is the train part of the split; a held-out (user, item)
 * has no event of any kind in it.
 *
 * dataset_format.h has the file's bytes.
 *
 * Immutable after open: any thread.
 *
 * Why not LMDB as for partitions: evaluation, export and `recommend` scan whole arrays by row, and
 * a map has no load time and no copy. The price is a second copy of text vectors and lists;
 * histories beyond memory would want a stream instead. */
#pragma once

#include "common/err.h"

#include <stddef.h>
#include <stdint.h>

typedef struct dataset_lists {
    const uint64_t *indptr; /* [users + 1]: list u is item[indptr[u]] .. item[indptr[u + 1] - 1] */
    const uint32_t *item;   /* item rows */
} dataset_lists;

enum { DATASET_TRAIN, DATASET_VALID, DATASET_TEST };

/* A line of split.tsv, in its order. */
typedef struct dataset_split_line {
    uint32_t user, item; /* rows */
    uint32_t part;       /* DATASET_VALID or DATASET_TEST */
} dataset_split_line;

typedef struct dataset {
    uint32_t items, users, types, text_dim;
    const uint8_t *item_type;    /* [items] */
    const uint64_t *item_key;    /* [items] stable keys */
    const uint32_t *item_node;   /* [items] row -> node number */
    const uint32_t *node_item;   /* [items] node number -> row */
    const uint16_t *text;        /* [items, text_dim] f16, L2-normalised (int8 storage: exactly its
                                  * values);        the vectors that the models see */
    const float *text_mean;      /* [text_dim] what was subtracted: `text.mean` of an export */
    const uint64_t *user_key;    /* [users] XXH3-64 of the id, seed 0 */
    const uint32_t *user_number; /* [users] row -> user number of manifest.h */
    const uint32_t *user_row;    /* [users] user number -> row */

    dataset_lists seen_train; /* distinct items with a `seen` event in train; ascending rows */
    dataset_lists seen_valid; /* the same in valid */
    dataset_lists
        history; /* distinct items with a `history` event in train, in order: by (time,
                  * row)    of the first one, by row (order: file) or by stable key (none) */
    const int64_t *history_time; /* [history.indptr[users]] unix seconds, 0 = unknown */
    dataset_lists positive;    /* distinct items with a `positive` event in train; ascending rows */
    dataset_lists valid, test; /* held-out pairs with a positive event; ascending rows */

    const uint32_t *train_positives; /* [items] users with it in `positive` */
    const uint32_t *train_users;     /* [items] users with a `graph` event in train (n_i) */
    const uint32_t *train_any;       /* [items] users with any event in train; 0: never trained */
    const uint64_t *user_types;      /* [users] bit t: has a train event of type t, of any kind */

    const dataset_split_line *split; /* [split_lines] */
    uint64_t split_lines;

    const uint64_t *item_id_at, *item_text_at, *user_id_at; /* offsets of the strings below */
    const char *item_ids, *item_texts, *user_ids;           /* NUL-terminated, back to back */
    void *map;
    size_t map_bytes;
} dataset;

/* Opens the dataset of the store in `folder` and verifies it.  ERR_NOT_FOUND, ERR_IO, ERR_CORRUPT
 * (logged, with the file).  *out is owned: dataset_close. */
MUST_USE err_code dataset_open(const char *folder, dataset **out);
void dataset_close(dataset *d); /* accepts NULL */

static inline const char *dataset_item_id(const dataset *d, uint32_t row)
{
    return d->item_ids + d->item_id_at[row];
}

static inline const char *dataset_item_text(const dataset *d, uint32_t row)
{
    return d->item_texts + d->item_text_at[row];
}

static inline const char *dataset_user_id(const dataset *d, uint32_t row)
{
    return d->user_ids + d->user_id_at[row];
}

static inline const uint16_t *dataset_text(const dataset *d, uint32_t row)
{
    return d->text + (size_t)row * d->text_dim;
}
