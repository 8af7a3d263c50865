/* sim_seeds.h - what a seed stands for where many are run: how the network is, whether files rot,
 * workers hang for good, or say what is not true.
 *
 * Pure: a seed is the same run for whoever runs it. */
#pragma once

#include "sim/sim_cluster.h"

typedef struct sim_seeds sim_seeds;

sim_seeds *sim_seeds_new(void); /* owned: sim_seeds_free */
void sim_seeds_free(sim_seeds *s);
/* Runs one; `off`: bits of the rules that are switched off.  True: nothing went wrong. */
bool sim_seeds_run(const sim_seeds *s, uint64_t seed, uint64_t off, bool trace, sim_result *result);
