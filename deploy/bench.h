/* bench.h - how fast each part of a job is on this machine, each beside its physical limit,
 * measured in the same run.  Workers and servers are shown by the fastest of many repeats, as the
 * limits are, so that what else runs on the machine counts little.  Not a test: nothing passes or
 * fails.  Threads: one owner. */
#pragma once

#include "common/job.h"
#include "deploy/calibrate.h"
#include "ps/status_json.h"
#include "sampler/prepare.h"

#include <stdatomic.h>
#include <stdio.h>

typedef struct bench_row {
    const char *part;            /* static: prepare, network, sampler, worker, server, training */
    char *what;                  /* owned: "hgnn slots" */
    double rate;                 /* a second */
    const char *unit;            /* static: what the rate counts */
    double used, limit;          /* of the resource that bounds it, a second; 0: none is named */
    const char *of;              /* static: "sgemm", "memory copy", "tcp on loopback" */
    bool has_shares;             /* training: where the workers' time went */
    double share[STATUS_PHASES]; /* by status_phases; sums to 1 */
} bench_row;

typedef struct bench {
    bench_row *row; /* owned */
    size_t n, cap;
    calibration speed;
    double seconds; /* of each measurement */
} bench;

void bench_fini(bench *b);
/* Takes what. */
void bench_add(bench *b, bench_row row);

void bench_prepare(bench *b, const prepare_stats *s);
/* ERR_IO (printed). */
MUST_USE err_code bench_network(bench *b);
/* Sampler, worker and server, over the slots of each training stage.  Errors of replay_slot.h. */
MUST_USE err_code bench_slots(bench *b, const job *j, const char *store_folder);

/* All of it together: the processes of `weft train`, as many as the job has, over `seconds` of each
 * training stage, in a folder of their own.  *stop not 0: ERR_STOPPED soon; silent: no progress is
 * shown.  Others of cluster.h, printed. */
MUST_USE err_code bench_training(bench *b, const job *j, const char *store_folder, bool silent,
                                 const atomic_int *stop);

/* ERR_IO. */
MUST_USE err_code bench_print(const bench *b, bool json, FILE *out);
