/* stage_tables.h - one stage's tables on one server: the arithmetic of a commit.
 *
 * Dense parameters are one immutable blob per version (this server's blocks, ascending); trained
 * rows are created by commits only; put tables are replaced whole by the round that writes them. No
 * protocol here. Threads: one owner. */
#pragma once

#include "common/core.h"
#include "common/table_codec.h"
#include "ps/shard.h"

typedef struct stage_tables stage_tables;

/* The tables of `stage` at version 0.  model is borrowed until stage_tables_free. */
stage_tables *stage_tables_new(const shard_model *model, const shard_map *map, uint32_t server,
                               uint32_t stage, const core_mutations *mutations);
void stage_tables_free(stage_tables *t); /* accepts NULL */

/* NULL if a decoded push fits these tables, else what is wrong with it (static). */
const char *stage_tables_check(const stage_tables *t, const push_view *v, bool is_put);

/* Sums the slots' gradients in the order given, divides by their examples, runs the optimizer; that
 * leads to `version`.  A step without any example changes nothing. */
void stage_tables_train(stage_tables *t, uint32_t step, uint32_t version, const push_view *slot,
                        uint32_t n);
/* Replaces the put tables named in the slots by their rows. */
void stage_tables_put(stage_tables *t, const push_view *slot, uint32_t n);
/* Keeps a copy of what is trained as the best so far. */
void stage_tables_keep(stage_tables *t);
/* The end of the stage: adopts the kept copy, drops optimizer state and scratch tables. */
void stage_tables_finish(stage_tables *t);

blob *stage_tables_dense(const stage_tables *t); /* borrowed; NULL: none here */
/* True if the table (or TABLE_DENSE) is one that training changes. */
bool stage_tables_is_trained(const stage_tables *t, uint32_t table);
/* True if it is, and is still known as it was at an earlier version. */
bool stage_tables_has(const stage_tables *t, uint32_t table, uint32_t version);
/* The dense weights at `version`; at one that is not known any more, or the newest: as they are. */
blob *stage_tables_dense_at(const stage_tables *t, uint32_t version);
/* Rows of keys [n] at `version` (as above) as f32 [n, dim] into *out (owned).  Absent trained rows
 * have their initial values. ERR_NOT_FOUND: no such table, or (absent != NULL: the key) a put table
 * without that key. ERR_MISMATCH: `dim` is not 0 and not the table's.  ERR_LIMIT, ERR_NO_MEMORY. */
MUST_USE err_code stage_tables_rows(stage_tables *t, uint32_t table, uint32_t version, uint32_t dim,
                                    const uint64_t *keys, size_t n, blob **out, uint64_t *absent);
const float *stage_tables_row(const stage_tables *t, uint32_t table, uint64_t key);

uint64_t stage_tables_row_count(const stage_tables *t);
uint64_t stage_tables_bytes(const stage_tables *t);
uint64_t stage_tables_digest(const stage_tables *t);
