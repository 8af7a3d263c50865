/* stage_arrival.h - a slot's gradient applied to a stage's tables when it comes (ssp, asp).
 *
 * Divided by the slot's own examples, at the step's learning rate times its share of the examples
 * that the plan has for the step: the slots of a step move the weights about as far as its commit
 * would.  Threads: as the tables. */
#pragma once

#include "ps/applied_set.h"
#include "ps/stage_tables.h"

/* shards: those that have it already, and do not get it again; NULL: none has. */
void stage_tables_arrive(stage_tables *t, uint32_t step, const push_view *slot,
                         const uint64_t *shards);

/* What of the open rounds is applied: filled in before a copy is written, and by reading parts. */
applied_set *stage_tables_applied(stage_tables *t);
