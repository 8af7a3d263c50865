/* zmq_peers.h - one account per connection at a ROUTER: what it did wrong, what it has not yet
 * read.
 *
 * A connection with too many refused messages is cut, and so is one that sends more frames than a
 * message has; while it lasts, what it sends is thrown away.  Whoever comes again begins anew,
 * after another handshake.  Threads: the ROUTER's owner; the bytes of an account may be released by
 * any. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PEER_BAD_MAX = 64, /* refused messages within PEER_WINDOW_US */
    PEER_WINDOW_US = 10000000,
    PEER_MUTED_US = 30000000,
    PEERS_MAX = 4096, /* accounts; the one longest silent makes room */
};
/* Bytes of answers that wait for one connection to read them. */
#define PEER_QUEUED_MAX ((size_t)5 << 28)

/* Bytes that are on their way to a connection, counted in those of all connections, too; outlives
 * its account while any are. */
typedef struct peer_bytes peer_bytes;
peer_bytes *peer_bytes_ref(peer_bytes *b); /* accepts NULL */
void peer_bytes_unref(peer_bytes *b);      /* accepts NULL */
void peer_bytes_add(peer_bytes *b, size_t n);
void peer_bytes_release(peer_bytes *b, size_t n);
size_t peer_bytes_get(peer_bytes *b);

typedef struct zmq_peer {
    uint64_t route, seen_us;
    int fd;        /* of its last message; -1: not known */
    char from[64]; /* its address; "": not known */
    uint32_t bad;  /* within the window */
    uint64_t window_us, muted_until_us;
    peer_bytes *queued;
    struct zmq_peer *next;
} zmq_peer;

typedef struct zmq_peers zmq_peers;
zmq_peers *zmq_peers_new(void); /* owned: zmq_peers_free */
void zmq_peers_free(zmq_peers *p);

/* The account of `route`, made if there is none.  Borrowed until the next call. */
zmq_peer *zmq_peers_get(zmq_peers *p, uint64_t route, uint64_t now_us);
size_t zmq_peers_count(const zmq_peers *p);
/* True: another `n` bytes may wait for `peer`: PEER_QUEUED_MAX for one, a quarter of the machine's
 * memory for all. */
bool zmq_peers_may_queue(const zmq_peers *p, const zmq_peer *peer, size_t n);

/* Counts a refused message.  True: now it is one too many, and the peer is muted. */
bool zmq_peer_bad(zmq_peer *p, uint64_t now_us);
void zmq_peer_mute(zmq_peer *p, uint64_t now_us);
bool zmq_peer_is_muted(const zmq_peer *p, uint64_t now_us);
/* Closes its connection, if `fd` still is one from `from`.  libzmq notices and forgets the peer. */
void zmq_peer_cut(const zmq_peer *p);
/* Ends the connection of a descriptor that libzmq owns and will close: with a reset, so that the other
 * side does not wait for room. */
void zmq_peers_reset(int fd);
