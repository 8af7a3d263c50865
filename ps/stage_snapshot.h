/* stage_snapshot.h - the tables of a stage at one moment: a copy, its parts, and tables from parts.
 *
 * A copy shares the dense weights, which are immutable, and copies what commits change in place.  A
 * part (checkpoint_part.h) is what one virtual shard holds of it, so that any number of servers can
 * read them.  Threads: one owner; a copy may be another thread's than its original. */
#pragma once

#include "ps/checkpoint_part.h"
#include "ps/stage_tables.h"

/* Owned: stage_tables_free. */
stage_tables *stage_tables_copy(const stage_tables *t);

/* Writes the parts of tables, which are borrowed until stage_parts_free. */
typedef struct stage_parts stage_parts;
stage_parts *stage_parts_new(const stage_tables *t); /* owned: stage_parts_free */
void stage_parts_free(stage_parts *p);               /* accepts NULL */
/* The part of id->shard, one of this server's.  Owned; NULL: no memory. */
blob *stage_parts_encode(const stage_parts *p, const part_id *id);

/* Fresh tables (stage_tables_new) take in the part of one of their server's virtual shards.
 * ERR_CORRUPT: it does not fit the model. */
MUST_USE err_code stage_tables_take_part(stage_tables *t, const part_view *p);
/* After the last part: `final` tables are finished.  ERR_CORRUPT: a block was in no part. */
MUST_USE err_code stage_tables_taken(stage_tables *t, bool final);
