/* metrics_log.h - the scheduler's metrics on disk: durable for its own restart, and as lines.
 *
 * In run_dir: `scheduler.mdb` (LMDB: the core's state and every metric under its index),
 * `metrics.jsonl` (what `--out` gets, in plan order), `steps.jsonl` (step lines with seconds) and
 * `tensorboard/` (tensorboard_log.h).
 * Threads: one owner. */
#pragma once

#include "common/job.h"
#include "ps/scheduler.h"

typedef struct metrics_log metrics_log;

/* Whether an earlier life's database, if there is one, can be used: LMDB trusts its pages, so this
 * is tried in a child process; call it while there is one thread.  ERR_CORRUPT: it is damaged;
 * ERR_IO: that could not be told (both logged). */
MUST_USE err_code metrics_log_check(const char *run_dir);
/* Opens or creates; `fresh` forgets what an earlier life wrote.  Otherwise after metrics_log_check.
 * ERR_IO; ERR_CORRUPT: not what was written (logged).  *out owned: metrics_log_close. */
MUST_USE err_code metrics_log_open(const char *run_dir, bool fresh, metrics_log **out);
void metrics_log_close(metrics_log *m); /* accepts NULL */
/* The database becomes one with metrics 0..n-1 and this state, in one step; the lines of the one
 * before go.  On an error (logged) it stays as it was.  No log of run_dir may be open. */
MUST_USE err_code metrics_log_replace(const char *run_dir, const core_metric *metric, size_t n,
                                      const void *state, size_t bytes);

/* What earlier lives made durable, borrowed until the next persist or close. */
scheduler_durable metrics_log_durable(const metrics_log *m);
/* The first n metrics, owned: free.  ERR_NOT_FOUND: there are fewer. */
MUST_USE err_code metrics_log_read(const metrics_log *m, size_t n, core_metric **out);
MUST_USE err_code metrics_log_persist(metrics_log *m, const void *bytes, size_t size);
/* Forgets every metric from `index` on, and their lines in metrics.jsonl: a rollback. */
MUST_USE err_code metrics_log_cut(metrics_log *m, uint64_t index);
/* Stores and writes one metric; its lines need the job (lr, type names).  The first after a restart
 * writes metrics.jsonl anew from what is stored. */
void metrics_log_add(metrics_log *m, const job *j, const core_metric *metric, double seconds);

/* One line of metrics.jsonl, with its line feed, owned.  Not of METRIC_PUT, which has none. */
char *metrics_log_line(const job *j, const core_metric *metric);
