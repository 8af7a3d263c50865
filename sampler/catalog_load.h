/* catalog_load.h - the steps of catalog_read, each of one input file: items, then users, then
 * events. Used by catalog.c only.  Threads: one owner. */
#pragma once

#include "sampler/attribute_builder.h"
#include "sampler/table_reader.h"

enum { CATALOG_ATTRIBUTES_MAX = 256, CATALOG_NAME_MAX = 64 };

typedef struct catalog_load {
    const config *config;
    catalog *data;
    string_pool *other_ids; /* items left out by data.types */
    attribute_builder *user_attributes;
    size_t user_attributes_n, user_attributes_cap;
    uint64_t hash_items, hash_users, hash_interactions;
} catalog_load;

MUST_USE err_code catalog_load_items(catalog_load *l);
MUST_USE err_code catalog_load_users(catalog_load *l); /* nothing when data.users.path is "" */
MUST_USE err_code catalog_load_events(catalog_load *l);

/* True for [A-Za-z0-9_-]{1,64}. */
bool catalog_name_ok(const char *name, size_t n);
/* NULL, or why the id cannot be one. */
const char *catalog_id_problem(const char *id, size_t n);
/* Notes the bad rows a reader left out and logs the columns of it that nothing uses: used[i] is
 * true for those that are.  `what` (items, users, interactions) stands for the file in warnings. */
void catalog_load_note(catalog_load *l, const table_reader *r, const char *what, const char *path,
                       const bool *used);
void catalog_load_mark(bool *used, const table_column *column);
