/* catalog.h - everything that the input files say: items, users and events, checked and numbered.
 *
 * Items are numbered in the order of the items file, users in the order of the users file and then
 * of first appearance in the interactions, types and kinds (without data.kinds) by first
 * appearance. Items, users and events of types outside data.types and events of kinds without roles
 * are left out. Plain data, immutable after catalog_read: any thread. */
#pragma once

#include "common/config.h"
#include "sampler/string_pool.h"

#include <stdio.h>

enum { CATALOG_KINDS_MAX = 64, CATALOG_VECTOR_MAX = 4096 };

typedef struct catalog_attribute {
    char *key;
    string_pool *values; /* 0 is "" = unknown, then the values by bytes */
    uint32_t *index;     /* [items_n or users_n] into values */
} catalog_attribute;

typedef struct catalog_kind {
    char *name;
    uint32_t roles; /* ROLE_*, of events that reach min_weight */
    bool has_min_weight;
    double min_weight;
    uint64_t events; /* after removing duplicates */
} catalog_kind;

/* The first by (time, row) of its (user, item, kind).  Times are unix seconds, 0 = unknown; unknown
 * is neither early nor late.  An event below its kind's min_weight keeps only the role `seen` (what
 * a user rated low is no evidence, but not news either), and gives way to a later one that reaches
 * it. */
typedef struct catalog_event {
    int64_t time;
    uint64_t row; /* row of the interactions file, from 0 */
    uint32_t user, item;
    float weight;
    uint16_t kind;
    uint8_t roles; /* ROLE_* of this event, never 0 */
    uint8_t pad;
} catalog_event;

typedef struct catalog {
    /* Types, in the order of every per-type thing. */
    uint32_t types_n;
    char *types[CONFIG_TYPES_MAX];
    uint32_t type_items[CONFIG_TYPES_MAX]; /* items of the type */
    /* Items. */
    uint32_t items_n;
    string_pool *item_ids;   /* number = item */
    string_pool *item_texts; /* number = item */
    uint8_t *item_type;      /* [items_n] */
    uint64_t *item_key;      /* [items_n] stable keys, all different */
    catalog_attribute *item_attributes;
    size_t item_attributes_n; /* in the order of data.items.attributes */
    /* Users. */
    uint32_t users_n, users_in_file; /* the first users_in_file stand in the users file */
    string_pool *user_ids;           /* number = user */
    catalog_attribute *user_attributes;
    size_t user_attributes_n; /* in the order of data.users.attributes; found keys: by bytes */
    float *user_vectors;      /* [users_n, user_vector_d], 0 where absent; NULL: none */
    uint32_t user_vector_d;
    /* Events, by user; within a user by (time, row) for ORDER_TIME, by row for ORDER_FILE, by
     * (stable key of the item, kind) for ORDER_NONE. */
    order_kind order; /* resolved: never ORDER_UNSET */
    uint64_t events_n;
    catalog_event *events;
    uint64_t *user_events; /* [users_n + 1]: events[user_events[u]..] are those of user u */
    catalog_kind *kinds;
    uint32_t kinds_n; /* data.kinds order without those that have no role, or first appearance */
    /* What the report says about the data. */
    uint64_t rows;              /* good rows of the interactions file */
    uint64_t pairs;             /* distinct (user, item) */
    uint64_t unknown_items;     /* rows whose item is not in the items file */
    uint64_t other_types;       /* rows left out by data.types */
    uint64_t ignored_kinds;     /* rows of kinds with roles: [] */
    uint64_t light_rows;        /* rows left out by min_weight (kinds without the role seen) */
    uint64_t bad_rows;          /* of all files; 0 unless on_bad_row: skip */
    uint64_t duplicates;        /* rows given up for another of the same (user, item, kind) */
    uint64_t missing_times;     /* events without a time */
    uint64_t empty_texts;       /* items without text */
    int64_t time_min, time_max; /* of events with a time; 0: none */
    string_list warnings;       /* also logged; without paths, so that they can stand in a report */
    uint64_t content_hash;      /* catalog_content_hash of the same config */
} catalog;

/* Reads the files of c->data.  Problems are printed with file, line and field.  ERR_INVALID,
 * ERR_NOT_FOUND, ERR_IO, ERR_LIMIT (2^32 items or users), ERR_NO_MEMORY.  *out is owned:
 * catalog_free. */
MUST_USE err_code catalog_read(const config *c, catalog **out);
void catalog_free(catalog *c); /* accepts NULL */

/* One hash of the unpacked contents of the input files (items, interactions, users, split.file),
 * read without parsing; paths do not count.  ERR_NOT_FOUND, ERR_IO. */
MUST_USE err_code catalog_content_hash(const config *c, uint64_t *out);

static inline const char *catalog_item_id(const catalog *c, uint32_t item)
{
    return string_pool_get(c->item_ids, item);
}

static inline const char *catalog_item_text(const catalog *c, uint32_t item)
{
    return string_pool_get(c->item_texts, item);
}

static inline const char *catalog_user_id(const catalog *c, uint32_t user)
{
    return string_pool_get(c->user_ids, user);
}

/* Numbers by name; UINT32_MAX: none. */
uint32_t catalog_find_item(const catalog *c, const char *id);
uint32_t catalog_find_user(const catalog *c, const char *id);
uint32_t catalog_find_type(const catalog *c, const char *name);

/* Adds a warning (owned copy of the text) and logs it. */
void catalog_warn(catalog *c, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* True and the two positions when two of the n keys are equal. */
bool catalog_keys_collide(const uint64_t *keys, size_t n, size_t pair[2]);

/* A few lines for a person: types, users, events per kind, times, what was left out. */
void catalog_print_summary(const catalog *c, FILE *file);
