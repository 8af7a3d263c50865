/* tensorboard_log.h - loss, validation and throughput as TensorBoard's event files.
 *
 * One folder (one "run") a stage, one file in it for each life of the scheduler:
 * folder/hgnn/events.out.tfevents.*.  A file is a list of records, each framed by its length and
 * masked CRC-32C, that hold a protobuf Event; after a restart or a rollback an event says from
 * which step on what came before does not count.  It is a copy for people: what cannot be written
 * is logged once and training goes on.  Threads: one owner. */
#pragma once

#include "common/job.h"
#include "ps/scheduler.h"

typedef struct tensorboard_log tensorboard_log;

/* folder: made when the first event comes.  Owned: tensorboard_log_close. */
tensorboard_log *tensorboard_log_new(const char *folder);
void tensorboard_log_close(tensorboard_log *t); /* accepts NULL */
/* A metric that was not written before; `seconds` since the step before it. */
void tensorboard_log_add(tensorboard_log *t, const job *j, const core_metric *m, double seconds);
/* The next metric may be one of those that were written: it goes back to there. */
void tensorboard_log_back(tensorboard_log *t);
