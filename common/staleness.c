#include "common/staleness.h"

#include "common/config.h"

staleness staleness_of(const struct config *c)
{
    switch (c->train.mode) {
    case TRAIN_SSP: return (staleness){.steps = c->train.staleness, .on_arrival = true};
    case TRAIN_ASP: return (staleness){.steps = STALENESS_MAX, .on_arrival = true};
    case TRAIN_BSP: break;
    }
    return (staleness){.steps = c->train.delay};
}

uint32_t staleness_past(staleness s)
{
    return s.on_arrival ? 0 : s.steps;
}

/* Whoever pushes for step t has pulled, from a server that is no further than this one by more than
 * the commit under way, what step t - 1 - steps left.  One that applies on arrival loses the work
 * if it refuses, and takes a step more. */
uint32_t staleness_window(staleness s)
{
    return s.steps + 1 + s.on_arrival;
}
