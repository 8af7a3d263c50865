/* reach.h - how far a call to a peer has come, and when to try again.
 *
 * libzmq waits longer and longer where nobody listens, but calls again 20 times a second where the
 * connection ends in the handshake (another server's key, another program): that is slowed down
 * here.  Threads: one owner. */
#pragma once

#include "common/core.h"
#include "common/zmq_watch.h"

enum {
    REACH_AGAIN_US = 2000000,      /* the longest wait between two tries */
    REACH_FIRST_AGAIN_US = 250000, /* after the second handshake in a row that failed */
    REACH_ROW_US = 4000000,        /* two that are further apart are no row */
    REACH_PROBE_MS = 500           /* a connection takes no longer, or there is no answer */
};

/* Without keys: a server that wants some says so (WATCH_MISMATCH) in one of many tries only, mostly
 * it is gone before. */
enum { REACH_KEYLESS_TRIES = 100 };

typedef struct reach {
    bool connected, ready; /* somebody has accepted; the handshake is over */
    uint32_t broken;       /* handshakes in a row that failed */
    uint64_t broken_us;    /* the last of them */
    uint32_t free_tries;   /* so many in a row are left to libzmq; 0: one */
} reach;

/* Takes an event of the socket in.  Returns when to connect again with a new socket, until when the
 * old one must not try (zmq_disconnect); 0: libzmq goes on by itself. */
uint64_t reach_take(reach *r, watch_event e, uint64_t now_us);

/* Why there has been no answer from `endpoint` (a number), for people.  Where nothing is known it
 * connects once, for at most REACH_PROBE_MS.  keys: the folder of ours; NULL: none. */
void reach_why(const reach *r, uint64_t now_us, const char *endpoint, const char *keys,
               char why[CORE_TEXT_MAX]);
