/* zmq_watch.h - what becomes of a socket's connections: libzmq's monitor, read without blocking.
 *
 * A monitor that nobody reads stops the I/O thread, so the reading end is connected before the
 * socket binds or connects, few events are asked for, and zmq_watch_stop comes before the end is
 * closed: a socket that lingers has events after it was closed.  Threads: zmq_watch_open by the socket's
 * owner; the end it gives belongs to one thread, and may be handed over. */
#pragma once

#include "common/err.h"

#include <stdbool.h>
#include <stddef.h>

typedef enum watch_event {
    WATCH_NOTHING,
    WATCH_DENIED,    /* a client: the server does not let our key in.  libzmq does not try again */
    WATCH_MISMATCH,  /* no common language: keys on one side only, another server key */
    WATCH_BROKEN,    /* the connection ended in the handshake; a client tries again */
    WATCH_ACCEPTED,  /* a server has a new connection */
    WATCH_CONNECTED, /* a client's connection was accepted; the handshake follows */
    WATCH_READY,     /* and the handshake is over */
    WATCH_ENDED      /* a connection is gone */
} watch_event;

/* CONNECTIONS: for a server.  PROGRESS: for a client. */
enum { WATCH_FAILURES = 1, WATCH_CONNECTIONS = 2, WATCH_PROGRESS = 4 };

/* Watches `socket` (not yet bound or connected); `what`: a set of the flags above.  NULL: errno
 * says why.  The end is closed with zmq_watch_close, after zmq_watch_stop. */
void *zmq_watch_open(void *context, void *socket, int what);
/* No more events of `socket`, which is still open; its owner. */
void zmq_watch_stop(void *socket);
void zmq_watch_close(void *end); /* accepts NULL */

/* The next event; *value: its descriptor (ACCEPTED, ENDED) or cause. */
watch_event zmq_watch_read(void *end, int *value);
/* A cause in words, for people: of DENIED, MISMATCH and BROKEN. */
const char *zmq_watch_why(watch_event e);
