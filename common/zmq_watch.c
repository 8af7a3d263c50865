#include "common/zmq_watch.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <zmq.h>

enum { EVENT_BYTES = 6 };

/* Names of monitors; two sockets must not share one.  Relaxed: only that they differ matters. */
static _Atomic unsigned last_name;

void *zmq_watch_open(void *context, void *socket, int what)
{
    char name[64];
    int none = 0, events = 0;
    if (what & WATCH_FAILURES)
        events |= ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL |
                  ZMQ_EVENT_HANDSHAKE_FAILED_AUTH;
    if (what & WATCH_CONNECTIONS)
        events |= ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_CLOSED | ZMQ_EVENT_DISCONNECTED;
    if (what & WATCH_PROGRESS)
        events |= ZMQ_EVENT_CONNECTED | ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_DISCONNECTED;
    snprintf(name, sizeof name, "inproc://weft.watch.%u",
             atomic_fetch_add_explicit(&last_name, 1, memory_order_relaxed));
    if (zmq_socket_monitor(socket, name, events) != 0) return NULL;
    void *end = zmq_socket(context, ZMQ_PAIR);
    if (!end) return NULL;
    zmq_setsockopt(end, ZMQ_LINGER, &none, sizeof none);
    if (zmq_connect(end, name) == 0) return end;
    zmq_close(end);
    return NULL;
}

void zmq_watch_stop(void *socket)
{
    zmq_socket_monitor(socket, NULL, 0);
}

void zmq_watch_close(void *end)
{
    if (end) zmq_close(end);
}

static watch_event event_of(uint16_t number)
{
    switch (number) {
    case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH: return WATCH_DENIED;
    case ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL: return WATCH_MISMATCH;
    case ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL: return WATCH_BROKEN;
    case ZMQ_EVENT_ACCEPTED: return WATCH_ACCEPTED;
    case ZMQ_EVENT_CONNECTED: return WATCH_CONNECTED;
    case ZMQ_EVENT_HANDSHAKE_SUCCEEDED: return WATCH_READY;
    case ZMQ_EVENT_CLOSED:
    case ZMQ_EVENT_DISCONNECTED: return WATCH_ENDED;
    default: return WATCH_NOTHING;
    }
}

watch_event zmq_watch_read(void *end, int *value)
{
    for (;;) { /* past events of no interest */
        uint8_t head[EVENT_BYTES], address[256];
        uint16_t number;
        int more = 0;
        size_t size = sizeof more;
        int n = zmq_recv(end, head, sizeof head, ZMQ_DONTWAIT);
        if (n < 0) return WATCH_NOTHING;
        zmq_getsockopt(end, ZMQ_RCVMORE, &more, &size);
        if (more) zmq_recv(end, address, sizeof address, ZMQ_DONTWAIT);
        if (n != EVENT_BYTES) continue;
        memcpy(&number, head, sizeof number);
        memcpy(value, head + sizeof number, sizeof *value);
        if (event_of(number) != WATCH_NOTHING) return event_of(number);
    }
}

const char *zmq_watch_why(watch_event e)
{
    switch (e) {
    case WATCH_DENIED: return "our key is not in its allow table, or revoked";
    case WATCH_MISMATCH: return "keys are used on one side only, or its key is not that of `peers`";
    case WATCH_BROKEN: return "the connection ended in the handshake: is its key that of `peers`?";
    default: return "";
    }
}
