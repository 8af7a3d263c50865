/* status_metrics.h - the scheduler's status as Prometheus text (GET /metrics).
 *
 * One name for each number, and at most some hundred samples besides those of each process: labels
 * are role, index, stage, op and phase only.  Threads: one owner. */
#pragma once

#include "common/op_meter.h"
#include "ps/status_json.h"

/* Space on the disks that a job needs; size 0: not known. */
typedef struct status_disks {
    uint64_t work_free, work_size, checkpoint_free, checkpoint_size;
} status_disks;

/* meter: of the scheduler's own messages.  Owned. */
char *status_metrics(const status_input *in, const status_disks *disks, const op_meter *meter);
