/* op_meter.h - counts what a process is asked and asks itself, by operation, with how long the
 * answers took.
 *
 * A shell tells it of every event and action of its core; nothing else knows of it.  How long is
 * known for at most OP_METER_OPEN requests at a time: of more, some are counted without.  Threads:
 * one owner. */
#pragma once

#include "common/bytes.h"
#include "common/core.h"

enum { OP_METER_OPEN = 4096 };

typedef struct op_meter op_meter;

op_meter *op_meter_new(void);    /* owned: op_meter_free */
void op_meter_free(op_meter *m); /* accepts NULL */

/* Before the core's step. */
void op_meter_event(op_meter *m, const core_event *e);
/* After it: what it wants to be done at now_us. */
void op_meter_actions(op_meter *m, const core_actions *a, uint64_t now_us);

/* Its families as Prometheus text: of operations that have been seen. */
void op_meter_write(const op_meter *m, bytes_writer *b);

/* Requests of `op` that were answered by us, and by others. */
uint64_t op_meter_served(const op_meter *m, wire_op op);
uint64_t op_meter_asked(const op_meter *m, wire_op op);
