/* stage_past.h - the versions of a stage's trained tables before the newest one (train.delay).
 *
 * Dense weights are immutable and shared.  Of rows a version keeps what the commit that ended it
 * changed, as it was; the rest is in the versions after it.  Threads: as the tables. */
#pragma once

#include "ps/stage_tables_state.h"

/* A commit is about to change the trained tables: what they are now becomes the past. */
void stage_past_begin(stage_tables *t);
/* Row `key` of table i is about to change.  row [dim]: what a pull would have read. */
void stage_past_keep_row(stage_tables *t, uint32_t i, uint64_t key, const float *row);
/* The commit has led to `version`. */
void stage_past_end(stage_tables *t, uint32_t version);
void stage_past_clear(stage_tables *t);
/* What of `to` is to be a copy of the past of `from`. */
void stage_past_copy(stage_tables *to, const stage_tables *from);

/* The number of the past version in force at `version`; past_n: it is the newest one, which is no
 * past; UINT32_MAX: too long ago. */
uint32_t stage_past_at(const stage_tables *t, uint32_t version);
/* Row `key` of table i as it was at past number `at`; NULL: as it is now. */
const float *stage_past_row(const stage_tables *t, uint32_t i, uint32_t at, uint64_t key);

uint64_t stage_past_bytes(const stage_tables *t);
uint64_t stage_past_digest(const stage_tables *t, uint64_t seed);
