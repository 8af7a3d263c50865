/* sim_seeds.h - what a seed stands for where many are run: how far training runs ahead, how the
 * network is, whether files rot, workers hang for good, or say what is not true.
 *
 * Pure: a seed is the same run for whoever runs it. */
#pragma once

#include "sim/sim_cluster.h"

enum { SIM_FIRST_ON_ARRIVAL = 4, SIM_WAYS = 8 };
extern const staleness sim_ways[SIM_WAYS];

typedef struct sim_seeds sim_seeds;

sim_seeds *sim_seeds_new(void); /* owned: sim_seeds_free */
void sim_seeds_free(sim_seeds *s);
/* How far training runs ahead (bsp, delays, ssp, asp), < SIM_WAYS; 0: bsp without delay, which is a
 * third of the seeds. */
uint32_t sim_seeds_way(uint64_t seed);
/* The same as sim_seeds_run in another way. */
bool sim_seeds_run_in(const sim_seeds *s, uint32_t way, uint64_t seed, uint64_t off, bool trace,
                      sim_result *result);
/* Runs one; `off`: bits of the rules that are switched off.  True: nothing went wrong. */
bool sim_seeds_run(const sim_seeds *s, uint64_t seed, uint64_t off, bool trace, sim_result *result);
