/* run_state.h - a scheduler's durable state in run_dir, or what its checkpoints tell in its place.
 *
 * scheduler.mdb is synced at decisions only: a power failure may cost it, a hand may remove it. The
 * manifests of the checkpoints have all that is needed to go on.  Threads: one owner. */
#pragma once

#include "common/config.h"
#include "ps/metrics_log.h"

/* fresh: forgets what earlier lives wrote.  from: the name of a checkpoint to go back to, whatever
 * the state says; NULL: none.  A damaged scheduler.mdb is put aside.  ERR_NOT_FOUND, ERR_CORRUPT:
 * no such checkpoint, or it is not whole; ERR_IO (all logged).  *out owned: metrics_log_close. */
MUST_USE err_code run_state_open(const config *c, const char *run_dir, bool fresh, const char *from,
                                 metrics_log **out);
