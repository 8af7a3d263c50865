/* zmq_guard.h - a thread beside a ROUTER that decides who comes in and how much of it: answers ZAP,
 * counts failed handshakes, cuts connections that send faster than we read.
 *
 * A ROUTER takes a message of any number of frames into memory before it shows the first, and none
 * of libzmq's limits sees that.  So the guard compares what TCP has received of each connection
 * with what the owner has read of it.
 *
 * Threads: start and stop by the owner of the ROUTER. */
#pragma once

#include "common/keys.h"
#include "common/refusals.h"

typedef struct zmq_guard zmq_guard;

/* Before `router` is bound, or every key would be let in.  keys NULL: no CURVE, no ZAP.  ERR_IO
 * (logged).  *out owned: zmq_guard_stop. */
MUST_USE err_code zmq_guard_start(void *context, void *router, keyring *keys, refusals *r,
                                  zmq_guard **out);
/* The most bytes of one connection that wait to be read, a whole message of the largest size; of
 * all together it is a quarter of the machine's memory, or this if it is more. */
#define GUARD_UNREAD_MAX ((uint64_t)WIRE_BODY_MAX + (64u << 20))
/* Another limit for one and for all. */
void zmq_guard_limit(zmq_guard *g, uint64_t bytes);

/* The owner has read a message of so many bytes and frames that came over `fd` (-1: not known). */
void zmq_guard_read(zmq_guard *g, int fd, uint64_t bytes, uint32_t frames);

/* Shuts the context down: every other socket of it is closed before, its term comes after.  Accepts
 * NULL. */
void zmq_guard_stop(zmq_guard *g);
