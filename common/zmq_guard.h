/* zmq_guard.h - a thread beside a ROUTER that decides who comes in: answers ZAP, counts failed
 * handshakes.
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
/* Shuts the context down: every other socket of it is closed before, its term comes after.  Accepts
 * NULL. */
void zmq_guard_stop(zmq_guard *g);
