/* item_table.h - a short ranked list of items for a person, or as JSON.  Threads: one owner. */
#pragma once

#include "common/json.h"
#include "deploy/top_items.h"

#include <stdio.h>

/* Aligned lines: rank, id, type, score, text; control characters are shown as spaces. */
void item_table_print(const result_folder *r, const top_items_entry *entry, uint32_t n, FILE *out);
/* "items": [{"rank", "item_id", "item_type", "text", "score"}, ...] into an open object. */
void item_table_json(json_writer *w, const result_folder *r, const top_items_entry *entry,
                     uint32_t n);
