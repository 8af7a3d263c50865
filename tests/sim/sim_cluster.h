/* sim_cluster.h - a whole cluster in one process and in simulated time, under a seed.
 *
 * Scheduler, servers, samplers and workers are the production cores; the network between them
 * drops, repeats, delays and reorders; processes die, hang, come back, and a scheduler that
 * everybody believed dead wakes up.  After every event the invariants are checked, and whatever is
 * computed, committed or written is compared with the oracle of sim_model.h. */
#pragma once

#include "common/core.h"
#include "sim/sim_model.h"

typedef enum sim_mode {
    SIM_LOSSY,   /* the network never gets good; the job ends all the same */
    SIM_HEALING, /* every fault ends at some time, and the job ends soon after */
    SIM_ENDLESS  /* faults never end: nothing wrong is committed, whether or not the job ends */
} sim_mode;

typedef struct sim_options {
    uint64_t seed;
    sim_mode mode;
    uint32_t servers, samplers, workers; /* 0: drawn from the seed */
    bool calm;                           /* nothing is lost and nobody dies */
    bool trace;                          /* every message and fault to stderr */
    uint32_t kill_server_at_ms; /* not 0: a server dies then, for good: the job must end with 1 */
    bool rot;                   /* parts of checkpoints are damaged now and then */
    bool hangs;                 /* many computations never end, but for the last worker's */
    bool loses;                 /* the scheduler's disk is lost, and checkpoints are all there is */
    bool copies;                /* a disk a server, two copies of each part, disks are lost */
    bool hostile;               /* somebody says DONE of slots that were never computed */
    staleness how;              /* the oracle's */
    core_mutations mutations;
} sim_options;

typedef struct sim_result {
    bool ok;
    char why[512]; /* what went wrong, and when */
    int exit_code; /* of the scheduler; -1: it did not end */
    char exit_why[CORE_TEXT_MAX];
    uint64_t events, time_us, messages, dropped, faults, rollbacks, saves, damages, wipes;
    uint64_t told;   /* servers that got SIGTERM */
    uint64_t digest; /* of the whole history: the same seed gives the same */
} sim_result;

/* The oracle is borrowed. */
sim_result sim_run(const sim_options *o, const sim_oracle *oracle);
