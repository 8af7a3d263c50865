#include "sim/sim_seeds.h"

#include "common/mem.h"

#include <stdlib.h>

struct sim_seeds {
    sim_oracle *oracle;
};

sim_seeds *sim_seeds_new(void)
{
    sim_seeds *s = xcalloc(1, sizeof *s);
    s->oracle = sim_oracle_new();
    return s;
}

void sim_seeds_free(sim_seeds *s)
{
    if (!s) return;
    sim_oracle_free(s->oracle);
    free(s);
}

bool sim_seeds_run(const sim_seeds *s, uint64_t seed, uint64_t off, bool trace, sim_result *result)
{
    sim_options o = {.seed = seed,
                     .mode = (sim_mode)(seed % 3),
                     .rot = seed % 4 == 0,
                     .hostile = seed % 4 == 1,
                     .hangs = seed % 8 == 6,
                     .trace = trace,
                     .mutations = {off}};
    *result = sim_run(&o, s->oracle);
    return result->ok;
}
