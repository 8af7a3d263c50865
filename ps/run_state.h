/* run_state.h - a scheduler's durable state in run_dir, or what its checkpoints tell in its place.
 *
 * scheduler.mdb is synced at decisions only: a power failure may cost it, a hand may remove it. The
 * manifests of the checkpoints have all that is needed to go on.  Threads: one owner. */
#pragma once

#include "common/config.h"
#include "ps/metrics_log.h"

/* Before run_state_open, with the same, while the process has one thread: it forks.  A
 * scheduler.mdb that is damaged is put aside.  ERR_IO (printed): whether it is could not be told.
 */
MUST_USE err_code run_state_check(const char *run_dir, bool fresh, const char *from);
/* fresh: forgets what earlier lives wrote.  from: the name of a checkpoint to go back to, whatever
 * the state says; NULL: none.  Any error leaves what was there.  ERR_NOT_FOUND, ERR_CORRUPT: no
 * such checkpoint, or it is not whole, or without a state there are checkpoints and none is; ERR_IO
 * and others of checkpoint_resume_read (all logged).  *out owned: metrics_log_close. */
MUST_USE err_code run_state_open(const config *c, const char *run_dir, bool fresh, const char *from,
                                 metrics_log **out);
