/* train.h - `weft train`: the whole pipeline on this machine, from input files to a report.
 *
 * prepare -> scheduler leases hgnn, embed, two_tower, two_tower_no_z, vectors -> evaluate ->
 * export. Threads: one owner. */
#pragma once

#include "common/config.h"
#include "common/err.h"

#include <stdatomic.h>
#include <stdbool.h>

typedef struct train_options {
    const config *config;
    const char *out_dir;   /* NULL: work_dir/out */
    const char *command;   /* the command line, for run.json */
    bool fresh;            /* forget what an earlier run left; else it is gone on with */
    const char *from;      /* from this checkpoint (checkpoint_pick.h); NULL: from the newest */
    bool attach;           /* to a cluster whose processes others have started */
    bool prepared;         /* with attach: the store is awaited in store.source */
    bool in_process, json; /* json: report.json's content is the only stdout, and
                            * progress is shown on a terminal only */
    atomic_int *stop;      /* the number of a signal that asked to stop, or 0; set by `weft stop` */
} train_options;

/* ERR_OK: everything worked, and the report was printed.  Others are logged or printed;
 * ERR_STOPPED: stopped cleanly.  Nothing of it is left running in any case. */
MUST_USE err_code train_run(const train_options *o);
