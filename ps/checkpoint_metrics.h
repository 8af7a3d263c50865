/* checkpoint_metrics.h - metrics.bin of a snapshot: every metric of the job that came before it.
 *
 * What a scheduler that has lost its own state goes on with.  Little-endian: u64 magic, u64
 * checksum (XXH3-64 of every byte after it), u64 count, then per metric u64 bytes and the metric up
 * to the last of its sums.  `why` is as in checkpoint_files.h.  Threads: any. */
#pragma once

#include "common/core.h"
#include "ps/checkpoint_files.h"

enum { CHECKPOINT_METRICS_BYTES_MAX = 1 << 30 };

/* The bytes of a metric that are kept; and one of them again (false: it is none). */
size_t checkpoint_metrics_stored(const core_metric *m);
bool checkpoint_metrics_take(const void *bytes, size_t n, core_metric *out);

blob *checkpoint_metrics_encode(const core_metric *m, size_t n); /* owned */
/* *out owned: free.  ERR_CORRUPT: damaged, or not 0, 1, ... by index. */
MUST_USE err_code checkpoint_metrics_decode(const void *bytes, size_t size, core_metric **out,
                                            size_t *n);

/* Into the folder of a snapshot, durably.  ERR_LIMIT: the disk is full; ERR_IO. */
MUST_USE err_code checkpoint_metrics_write(const char *dir, const checkpoint_id *id,
                                           const core_metric *m, size_t n, char *why);
/* *out owned: free.  ERR_NOT_FOUND, ERR_CORRUPT, ERR_IO, ERR_NO_MEMORY. */
MUST_USE err_code checkpoint_metrics_read(const char *dir, const checkpoint_id *id,
                                          core_metric **out, size_t *n, char *why);
