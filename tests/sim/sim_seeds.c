#include "sim/sim_seeds.h"

#include "common/mem.h"

#include <stdlib.h>

const staleness sim_ways[SIM_WAYS] = {
    {0, false}, {1, false}, {2, false}, {3, false},            /* bsp, delays */
    {0, true},  {1, true},  {3, true},  {STALENESS_MAX, true}, /* ssp, asp */
};

struct sim_seeds {
    sim_oracle *oracle[SIM_WAYS];
};

sim_seeds *sim_seeds_new(void)
{
    sim_seeds *s = xcalloc(1, sizeof *s);
    for (uint32_t i = 0; i < SIM_WAYS; i++) s->oracle[i] = sim_oracle_new(sim_ways[i]);
    return s;
}

void sim_seeds_free(sim_seeds *s)
{
    if (!s) return;
    for (uint32_t i = 0; i < SIM_WAYS; i++) sim_oracle_free(s->oracle[i]);
    free(s);
}

uint32_t sim_seeds_way(uint64_t seed)
{
    uint64_t x = seed * 0x9e3779b97f4a7c15ULL >> 32;
    return x % 3 ? 1 + (uint32_t)(x / 3 % (SIM_WAYS - 1)) : 0;
}

bool sim_seeds_run_in(const sim_seeds *s, uint32_t way, uint64_t seed, uint64_t off, bool trace,
                      sim_result *result)
{
    sim_options o = {.seed = seed,
                     .mode = (sim_mode)(seed % 3),
                     .rot = seed % 4 == 0,
                     .hostile = seed % 4 == 1,
                     .hangs = seed % 8 == 6,
                     .loses = seed % 4 == 3,
                     .copies = seed % 5 == 2,
                     .how = sim_ways[way],
                     .trace = trace,
                     .mutations = {off}};
    *result = sim_run(&o, s->oracle[way]);
    return result->ok;
}

bool sim_seeds_run(const sim_seeds *s, uint64_t seed, uint64_t off, bool trace, sim_result *result)
{
    return sim_seeds_run_in(s, sim_seeds_way(seed), seed, off, trace, result);
}
