/* zmq_frames.h - weft's messages on ZeroMQ sockets: two frames, header and body (wire.h).
 *
 * Bodies travel without copies where they are large and aligned.  Nothing blocks.
 * Threads: the socket's. */
#pragma once

#include "common/blob.h"
#include "common/key_table.h"
#include "common/wire.h"
#include "common/zmq_peers.h"

#include <stdbool.h>
#include <stdint.h>

/* A ROUTER or DEALER with weft's options (limits, linger, reconnection); NULL: errno says why. */
void *zmq_frames_socket(void *context, int type);
void zmq_frames_no_linger(void *socket);

/* Sends now.  route: the way back that a ROUTER gave with a request; 0 on a DEALER.  False: cannot
 * now, or the peer is gone; nothing was sent. */
bool zmq_frames_send(void *socket, uint64_t route, const wire_header *h, blob *body);
/* The same; a large body counts in `account` until libzmq has done with it. */
bool zmq_frames_answer(void *socket, uint64_t route, const wire_header *h, blob *body,
                       peer_bytes *account);

typedef struct zmq_frames {
    uint64_t route; /* ROUTER: never 0 */
    wire_header header;
    blob *body;   /* owned; NULL: empty */
    bool foreign; /* another protocol version: only op, tag and flags of the header mean anything */
    bool excess;  /* malformed: more frames than a message has */
    uint32_t frames; /* that came */
    int fd;          /* of its connection; -1: not known */
    uint64_t bytes;  /* of all its frames; malformed ones, too */
    /* At a ROUTER: where it came from ("": not known), and the CURVE key that zap.h let in ("":
     * none). */
    char peer[64], key[KEY_TEXT_BYTES + 1];
} zmq_frames;

enum { ZMQ_FRAMES_NONE, ZMQ_FRAMES_MESSAGE, ZMQ_FRAMES_MALFORMED };

/* One whole message, if there is one.  Frames past the expected ones are read and thrown away, and
 * make the message malformed; so does a header that wire_decode refuses, except for a foreign
 * protocol version, and, at a ROUTER, a peer that chose its own identity.  route, fd, bytes, peer
 * and key are filled in for malformed messages, too, as far as they are known. */
int zmq_frames_receive(void *socket, bool is_router, zmq_frames *out);
