/* sim_network.h - what is wrong with the simulation's network and clocks for a while: ways that are
 * cut, one direction at a time, nodes whose messages are late, clocks that go at their own pace. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { SIM_NODES_MAX = 64 };

/* A life's own clock. */
typedef struct sim_clock {
    uint64_t start_us, shown_us; /* the simulation's time, and what the clock showed then */
    uint64_t per_1024;           /* of a simulated us; 0: the simulation's own clock */
} sim_clock;

typedef struct sim_network {
    struct sim_way {
        uint64_t cut_until_us, late_until_us, late_us;
    } way[SIM_NODES_MAX][SIM_NODES_MAX]; /* from, to */
} sim_network;

bool sim_network_is_cut(const sim_network *n, uint32_t from, uint32_t to, uint64_t now_us);
/* How much later a message is than it would be. */
uint64_t sim_network_late_us(const sim_network *n, uint32_t from, uint32_t to, uint64_t now_us);

/* One fault, by chance: a node is cut off, mute or deaf, or slow; or a single way is. */
void sim_network_fault(sim_network *n, uint32_t nodes, uint64_t now_us, uint64_t random);

/* Up to an eighth fast or slow, and showing anything. */
sim_clock sim_clock_new(uint64_t now_us, uint64_t random);
uint64_t sim_clock_shows(const sim_clock *c, uint64_t now_us);
/* The simulation's time at which the clock shows at least that. */
uint64_t sim_clock_when(const sim_clock *c, uint64_t shown_us);
