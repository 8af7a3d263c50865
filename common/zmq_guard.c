#include "common/zmq_guard.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/zap.h"
#include "common/zmq_peers.h"
#include "common/zmq_watch.h"

#include <inttypes.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zmq.h>

enum { FD_MAX = 1 << 14, LOOK_MS = 50 };
/* More than what ZMTP and CURVE add to a frame: what is read is counted high, never low. */
enum { FRAME_OVERHEAD_BYTES = 48 };

/* A connection; the thread's but for `read`. */
typedef struct connection {
    /* Written by the ROUTER's owner, read by the thread: a count, relaxed. */
    _Atomic uint64_t read;
    uint64_t from; /* `read` when TCP had received nothing */
    bool open;
} connection;

struct zmq_guard {
    void *context;
    void *zap, *events; /* the thread's from its start on; zap NULL: no keys */
    keyring *keys;
    refusals *refusals;
    connection *connection; /* [FD_MAX] by descriptor */
    int fd_end;             /* past the largest that was open */
    _Atomic uint64_t one_max, all_max;
    pthread_t thread;
    bool started;
};

/* ---- Connections ---- */

static void note_connection(zmq_guard *g, int fd, bool open)
{
    if (fd < 0 || fd >= FD_MAX) return;
    connection *c = &g->connection[fd];
    c->open = open;
    c->from = atomic_load_explicit(&c->read, memory_order_relaxed);
    if (open && fd >= g->fd_end) g->fd_end = fd + 1;
}

/* What waits to be read of a connection. */
static uint64_t unread_of(connection *c, int fd)
{
    struct tcp_info info;
    socklen_t size = sizeof info;
    memset(&info, 0, sizeof info);
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return 0;
    uint64_t read = atomic_load_explicit(&c->read, memory_order_relaxed);
    uint64_t received = info.tcpi_bytes_received;
    if (read - c->from > received) c->from = read - received;
    return received - (read - c->from);
}

static void cut(zmq_guard *g, int fd, uint64_t unread)
{
    refusals_add(g->refusals, REFUSED_QUEUE,
                 "a connection sent %" PRIu64 " bytes that were not read yet: cut", unread);
    zmq_peers_reset(fd);
    g->connection[fd].open = false;
}

static void look_at_connections(zmq_guard *g)
{
    uint64_t one_max = atomic_load_explicit(&g->one_max, memory_order_relaxed);
    uint64_t all_max = atomic_load_explicit(&g->all_max, memory_order_relaxed);
    uint64_t all = 0, most = 0;
    int worst = -1;
    for (int fd = 0; fd < g->fd_end; fd++) {
        connection *c = &g->connection[fd];
        if (!c->open) continue;
        uint64_t unread = unread_of(c, fd);
        if (unread > one_max) {
            cut(g, fd, unread);
            continue;
        }
        all += unread;
        if (unread <= most) continue;
        most = unread;
        worst = fd;
    }
    if (all > all_max && worst >= 0) cut(g, worst, most);
}

/* ---- The thread ---- */

static void read_events(zmq_guard *g)
{
    int value;
    watch_event e;
    while ((e = zmq_watch_read(g->events, &value)) != WATCH_NOTHING) {
        if (e == WATCH_ACCEPTED || e == WATCH_ENDED) {
            note_connection(g, value, e == WATCH_ACCEPTED);
        } else if (e == WATCH_MISMATCH) {
            refusals_add(g->refusals, REFUSED_HANDSHAKE,
                         "a peer without keys, or with another server's public key");
        } else if (e == WATCH_BROKEN) {
            refusals_add(g->refusals, REFUSED_HANDSHAKE, "a connection ended in the handshake: %s",
                         zmq_strerror(value));
        } /* WATCH_DENIED: zap_answer has counted it. */
    }
}

static void *run(void *user)
{
    zmq_guard *g = user;
    zmq_pollitem_t items[] = {{.socket = g->events, .events = ZMQ_POLLIN},
                              {.socket = g->zap, .events = ZMQ_POLLIN}};
    uint64_t look_us = 0;
    int n = g->zap ? 2 : 1;
    while (zmq_poll(items, n, LOOK_MS) >= 0 || zmq_errno() == EINTR) {
        read_events(g);
        while (g->zap && zap_answer(g->zap, g->keys, g->refusals)) {
        }
        uint64_t now = clock_now_us();
        if (now < look_us) continue;
        look_at_connections(g);
        look_us = now + LOOK_MS * 1000u;
    }
    return NULL; /* The context ends. */
}

static err_code start_thread(zmq_guard *g)
{
    sigset_t all, before;
    sigfillset(&all);
    sigdelset(&all, SIGALRM);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    g->started = pthread_create(&g->thread, NULL, run, g) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return g->started ? ERR_OK : ERR_IO;
}

err_code zmq_guard_start(void *context, void *router, keyring *keys, refusals *r, zmq_guard **out)
{
    zmq_guard *g = xcalloc(1, sizeof *g);
    uint64_t memory = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    g->context = context;
    g->keys = keys;
    g->refusals = r;
    g->connection = xcalloc(FD_MAX, sizeof *g->connection);
    atomic_init(&g->one_max, GUARD_UNREAD_MAX);
    atomic_init(&g->all_max, memory / 4 > GUARD_UNREAD_MAX ? memory / 4 : GUARD_UNREAD_MAX);
    g->events = zmq_watch_open(context, router, WATCH_FAILURES | WATCH_CONNECTIONS);
    if (keys) g->zap = zap_bind(context);
    err_code rc = g->events && (g->zap || !keys) ? ERR_OK : ERR_IO;
    if (rc == ERR_OK) rc = start_thread(g);
    if (rc == ERR_OK) {
        *out = g;
        return ERR_OK;
    }
    log_error("guard_failed", "reason=\"%s\"", zmq_strerror(zmq_errno()));
    zmq_guard_stop(g);
    return rc;
}

void zmq_guard_limit(zmq_guard *g, uint64_t bytes)
{
    atomic_store_explicit(&g->one_max, bytes, memory_order_relaxed);
    atomic_store_explicit(&g->all_max, bytes, memory_order_relaxed);
}

void zmq_guard_read(zmq_guard *g, int fd, uint64_t bytes, uint32_t frames)
{
    if (fd < 0 || fd >= FD_MAX) return;
    atomic_fetch_add_explicit(&g->connection[fd].read,
                              bytes + (uint64_t)frames * FRAME_OVERHEAD_BYTES,
                              memory_order_relaxed);
}

void zmq_guard_stop(zmq_guard *g)
{
    if (!g) return;
    if (g->started) {
        zmq_ctx_shutdown(g->context);
        pthread_join(g->thread, NULL);
    }
    zmq_watch_close(g->events);
    if (g->zap) zmq_close(g->zap);
    free(g->connection);
    free(g);
}
