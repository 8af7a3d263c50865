#include "sim/sim_network.h"

enum { CUT_MAX_US = 20000000, SLOW_MAX_US = 30000000, LATE_MAX_US = 2000000 };

bool sim_network_is_cut(const sim_network *n, uint32_t from, uint32_t to, uint64_t now_us)
{
    return n->way[from][to].cut_until_us > now_us;
}

uint64_t sim_network_late_us(const sim_network *n, uint32_t from, uint32_t to, uint64_t now_us)
{
    const struct sim_way *w = &n->way[from][to];
    return w->late_until_us > now_us ? w->late_us : 0;
}

static void cut(sim_network *n, uint32_t from, uint32_t to, uint64_t until_us)
{
    if (n->way[from][to].cut_until_us < until_us) n->way[from][to].cut_until_us = until_us;
}

static void delay(sim_network *n, uint32_t from, uint32_t to, uint64_t until_us, uint64_t late_us)
{
    n->way[from][to].late_until_us = until_us;
    n->way[from][to].late_us = late_us;
}

void sim_network_fault(sim_network *n, uint32_t nodes, uint64_t now_us, uint64_t random)
{
    uint32_t what = random % 16, node = (uint32_t)(random >> 4) % nodes;
    uint32_t other = (uint32_t)(random >> 10) % nodes;
    uint64_t until = now_us + (random >> 20) % CUT_MAX_US;
    uint64_t slow_until = now_us + (random >> 20) % SLOW_MAX_US;
    uint64_t late_us = (random >> 40) % LATE_MAX_US;
    if (what < 2) cut(n, node, other, until);
    if (what >= 2 && what < 9) delay(n, node, other, slow_until, late_us);
    for (uint32_t i = 0; what >= 9 && i < nodes; i++) {
        if (what <= 11) { /* it is slow */
            delay(n, node, i, slow_until, late_us);
            delay(n, i, node, slow_until, late_us);
            continue;
        }
        if (what != 12) cut(n, node, i, until); /* 13, 14, 15: it is not heard */
        if (what != 13) cut(n, i, node, until); /* 12, 14, 15: it does not hear */
    }
}

sim_clock sim_clock_new(uint64_t now_us, uint64_t random)
{
    return (sim_clock){.start_us = now_us,
                       .shown_us = 1 + (random >> 20) % 100000000000,
                       .per_1024 = 1024 - 128 + random % 257};
}

uint64_t sim_clock_shows(const sim_clock *c, uint64_t now_us)
{
    if (!c->per_1024) return now_us;
    return c->shown_us + (now_us - c->start_us) * c->per_1024 / 1024;
}

uint64_t sim_clock_when(const sim_clock *c, uint64_t shown_us)
{
    if (!c->per_1024 || shown_us == UINT64_MAX) return shown_us;
    if (shown_us <= c->shown_us) return c->start_us;
    return c->start_us + ((shown_us - c->shown_us) * 1024 + c->per_1024 - 1) / c->per_1024;
}
