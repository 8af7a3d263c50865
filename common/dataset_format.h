/* dataset_format.h - the bytes of a dataset file: what dataset_write puts and dataset_open reads.
 */
#pragma once

#include <assert.h>
#include <stdint.h>

enum {
    DATASET_MAGIC = 0x53444657, /* "WFDS" */
    DATASET_VERSION = 1,
    DATASET_ALIGN = 64
};

typedef enum dataset_section {
    DATASET_ITEM_TYPE, /* u8 [items] */
    DATASET_ITEM_KEY,  /* u64 [items] */
    DATASET_ITEM_NODE, /* u32 [items] */
    DATASET_NODE_ITEM, /* u32 [items] */
    DATASET_TEXT,      /* u16 [items * text_dim] */
    DATASET_TEXT_MEAN, /* f32 [text_dim] */
    DATASET_USER_KEY,  /* u64 [users] */
    DATASET_USER_NUMBER,
    DATASET_USER_ROW,
    DATASET_SEEN_TRAIN_PTR, /* u64 [users + 1]; its list follows */
    DATASET_SEEN_TRAIN,
    DATASET_SEEN_VALID_PTR,
    DATASET_SEEN_VALID,
    DATASET_HISTORY_PTR,
    DATASET_HISTORY,
    DATASET_HISTORY_TIME, /* i64, as DATASET_HISTORY */
    DATASET_POSITIVE_PTR,
    DATASET_POSITIVE,
    DATASET_VALID_PTR,
    DATASET_VALID_LIST,
    DATASET_TEST_PTR,
    DATASET_TEST_LIST,
    DATASET_TRAIN_POSITIVES, /* u32 [items] */
    DATASET_TRAIN_USERS,
    DATASET_TRAIN_ANY,
    DATASET_USER_TYPES, /* u64 [users] */
    DATASET_SPLIT,      /* dataset_split_line */
    DATASET_ITEM_ID_AT, /* u64 [items + 1] */
    DATASET_ITEM_TEXT_AT,
    DATASET_USER_ID_AT, /* u64 [users + 1] */
    DATASET_ITEM_IDS,   /* bytes, NUL after each */
    DATASET_ITEM_TEXTS,
    DATASET_USER_IDS,
    DATASET_SECTIONS
} dataset_section;

typedef struct dataset_header {
    uint32_t magic, version, sections, text_dim;
    uint64_t file_bytes;
    uint64_t table_hash; /* XXH3 of the table, seeded by the XXH3 of this header with 0 here */
    uint32_t items, users, types, zero[5];
} dataset_header;
static_assert(sizeof(dataset_header) == 64, "the header has 64 bytes");

typedef struct dataset_entry {
    uint32_t section, entry_bytes;
    uint64_t offset, bytes, hash;
} dataset_entry;
static_assert(sizeof(dataset_entry) == 32, "an entry has 32 bytes");
