#include "common/zmq_guard.h"

#include "common/log.h"
#include "common/mem.h"
#include "common/zap.h"
#include "common/zmq_watch.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

struct zmq_guard {
    void *context;
    void *zap, *events; /* the thread's from its start on; zap NULL: no keys */
    keyring *keys;
    refusals *refusals;
    pthread_t thread;
    bool started;
};

static void read_events(zmq_guard *g)
{
    int value;
    watch_event e;
    while ((e = zmq_watch_read(g->events, &value)) != WATCH_NOTHING) {
        if (e == WATCH_MISMATCH) {
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
    int n = g->zap ? 2 : 1;
    while (zmq_poll(items, n, -1) >= 0 || zmq_errno() == EINTR) {
        read_events(g);
        while (g->zap && zap_answer(g->zap, g->keys, g->refusals)) {
        }
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
    g->context = context;
    g->keys = keys;
    g->refusals = r;
    g->events = zmq_watch_open(context, router, WATCH_FAILURES);
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

void zmq_guard_stop(zmq_guard *g)
{
    if (!g) return;
    if (g->started) {
        zmq_ctx_shutdown(g->context);
        pthread_join(g->thread, NULL);
    }
    zmq_watch_close(g->events);
    if (g->zap) zmq_close(g->zap);
    free(g);
}
