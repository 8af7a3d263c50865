/* testing_network.h - a network namespace of the test's own, with a loopback, and what passes on
 * it; ports. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Enters a new one, for this process and those it starts.  False: not allowed here; says so. */
bool testing_network_enter(void);

/* A port of 127.0.0.1 that is free now, below those that outgoing connections get (32768 and up):
 * else one of them may have it before it is listened on. */
uint16_t testing_network_free_port(void);

typedef struct testing_capture testing_capture;

/* From now on the packets on lo are searched for the texts (NULL-terminated list, borrowed), those
 * of TCP port `except` left out. */
testing_capture *testing_network_capture(const char *const *texts, uint16_t except);
/* Ends it.  Returns how often any text was seen; *packets, *bytes: how much passed, *lost: packets
 * that came too fast to be looked at. */
uint64_t testing_network_end(testing_capture *c, uint64_t *packets, uint64_t *bytes,
                             uint64_t *lost);
