#include "common/zmq_peers.h"

#include "common/mem.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BUCKETS = 1024 };

/* Released on libzmq's I/O thread.  `bytes` is only a count, relaxed; the last reference frees, so
 * dropping one releases what was done before and the last acquires it, as in blob.c. */
struct peer_bytes {
    _Atomic size_t bytes;
    _Atomic uint32_t refs;
    peer_bytes *all; /* of all connections; NULL: this is it */
};

struct zmq_peers {
    zmq_peer *bucket[BUCKETS];
    size_t n, all_max;
    peer_bytes *all;
};

static peer_bytes *bytes_new(peer_bytes *all)
{
    peer_bytes *b = xcalloc(1, sizeof *b);
    atomic_init(&b->refs, 1);
    b->all = peer_bytes_ref(all);
    return b;
}

peer_bytes *peer_bytes_ref(peer_bytes *b)
{
    if (b) atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
    return b;
}

void peer_bytes_unref(peer_bytes *b)
{
    if (!b || atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) != 1) return;
    peer_bytes_unref(b->all);
    free(b);
}

void peer_bytes_add(peer_bytes *b, size_t n)
{
    for (; b; b = b->all) atomic_fetch_add_explicit(&b->bytes, n, memory_order_relaxed);
}

void peer_bytes_release(peer_bytes *b, size_t n)
{
    for (; b; b = b->all) atomic_fetch_sub_explicit(&b->bytes, n, memory_order_relaxed);
}

size_t peer_bytes_get(peer_bytes *b)
{
    return atomic_load_explicit(&b->bytes, memory_order_relaxed);
}

zmq_peers *zmq_peers_new(void)
{
    zmq_peers *p = xcalloc(1, sizeof *p);
    p->all = bytes_new(NULL);
    p->all_max = (size_t)sysconf(_SC_PHYS_PAGES) / 4 * (size_t)sysconf(_SC_PAGESIZE);
    return p;
}

static void peer_free(zmq_peer *p)
{
    peer_bytes_unref(p->queued);
    free(p);
}

void zmq_peers_free(zmq_peers *p)
{
    if (!p) return;
    for (size_t i = 0; i < BUCKETS; i++) {
        for (zmq_peer *x = p->bucket[i], *next; x; x = next) {
            next = x->next;
            peer_free(x);
        }
    }
    peer_bytes_unref(p->all);
    free(p);
}

/* libzmq counts its routes up: neighbours fall into different buckets. */
static size_t bucket_of(uint64_t route)
{
    return (size_t)((route >> 8) * UINT64_C(0x9e3779b97f4a7c15) >> 54) % BUCKETS;
}

/* Forgets the account that was silent longest. */
static void make_room(zmq_peers *p)
{
    zmq_peer **oldest = NULL;
    for (size_t i = 0; i < BUCKETS; i++) {
        for (zmq_peer **at = &p->bucket[i]; *at; at = &(*at)->next) {
            if (!oldest || (*at)->seen_us < (*oldest)->seen_us) oldest = at;
        }
    }
    if (!oldest) return;
    zmq_peer *x = *oldest;
    *oldest = x->next;
    peer_free(x);
    p->n--;
}

zmq_peer *zmq_peers_get(zmq_peers *p, uint64_t route, uint64_t now_us)
{
    zmq_peer **bucket = &p->bucket[bucket_of(route)], *x = *bucket;
    while (x && x->route != route) x = x->next;
    if (!x) {
        if (p->n == PEERS_MAX) make_room(p);
        x = xcalloc(1, sizeof *x);
        x->route = route;
        x->fd = -1;
        x->queued = bytes_new(p->all);
        x->next = *bucket;
        *bucket = x;
        p->n++;
    }
    x->seen_us = now_us;
    return x;
}

size_t zmq_peers_count(const zmq_peers *p)
{
    return p->n;
}

bool zmq_peers_may_queue(const zmq_peers *p, const zmq_peer *peer, size_t n)
{
    return peer_bytes_get(peer->queued) + n <= PEER_QUEUED_MAX &&
           peer_bytes_get(p->all) + n <= p->all_max;
}

void zmq_peer_mute(zmq_peer *p, uint64_t now_us)
{
    p->muted_until_us = now_us + PEER_MUTED_US;
}

bool zmq_peer_bad(zmq_peer *p, uint64_t now_us)
{
    if (now_us - p->window_us >= PEER_WINDOW_US) {
        p->window_us = now_us;
        p->bad = 0;
    }
    if (++p->bad <= PEER_BAD_MAX || zmq_peer_is_muted(p, now_us)) return false;
    zmq_peer_mute(p, now_us);
    return true;
}

bool zmq_peer_is_muted(const zmq_peer *p, uint64_t now_us)
{
    return p->muted_until_us > now_us;
}

/* The number may be somebody else's by now: a connection from elsewhere is left alone. */
static bool is_from(int fd, const char *from)
{
    struct sockaddr_in a;
    socklen_t size = sizeof a;
    char text[INET_ADDRSTRLEN];
    if (fd < 0 || getpeername(fd, (struct sockaddr *)&a, &size) != 0) return false;
    if (a.sin_family == AF_UNIX) return true;
    return a.sin_family == AF_INET && inet_ntop(AF_INET, &a.sin_addr, text, sizeof text) &&
           strcmp(text, from) == 0;
}

void zmq_peers_reset(int fd)
{
    struct linger none = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
    shutdown(fd, SHUT_RDWR);
}

void zmq_peer_cut(const zmq_peer *p)
{
    if (is_from(p->fd, p->from)) zmq_peers_reset(p->fd);
}
