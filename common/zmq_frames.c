#include "common/zmq_frames.h"

#include "common/mem.h"
#include "common/panic.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

enum { HWM_MESSAGES = 1024, LINGER_MS = 500, COPY_BELOW_BYTES = 4096 };
/* A host that vanished, or a network that came back: without these a connection is found dead after
 * minutes (sent bytes are tried again after ever longer waits), or never (nothing is on its way).
 */
enum {
    CONNECT_TIMEOUT_MS = 3000,
    UNACKNOWLEDGED_MAX_MS = 10000,
    KEEPALIVE_IDLE_S = 10,
    KEEPALIVE_INTERVAL_S = 3,
    KEEPALIVE_COUNT = 3
};

static void set_option(void *socket, int option, int value)
{
    int rc = zmq_setsockopt(socket, option, &value, sizeof value);
    ASSERT(rc == 0);
}

void *zmq_frames_socket(void *context, int type)
{
    void *socket = zmq_socket(context, type);
    if (!socket) return NULL;
    int64_t max_bytes = WIRE_BODY_MAX;
    zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &max_bytes, sizeof max_bytes);
    set_option(socket, ZMQ_LINGER, LINGER_MS);
    set_option(socket, ZMQ_SNDHWM, HWM_MESSAGES);
    set_option(socket, ZMQ_RCVHWM, HWM_MESSAGES);
    set_option(socket, ZMQ_HANDSHAKE_IVL, 5000);
    set_option(socket, ZMQ_RECONNECT_IVL, 50);
    set_option(socket, ZMQ_RECONNECT_IVL_MAX, 2000);
    set_option(socket, ZMQ_BACKLOG, 512);
    set_option(socket, ZMQ_CONNECT_TIMEOUT, CONNECT_TIMEOUT_MS);
    set_option(socket, ZMQ_TCP_MAXRT, UNACKNOWLEDGED_MAX_MS);
    set_option(socket, ZMQ_TCP_KEEPALIVE, 1);
    set_option(socket, ZMQ_TCP_KEEPALIVE_IDLE, KEEPALIVE_IDLE_S);
    set_option(socket, ZMQ_TCP_KEEPALIVE_INTVL, KEEPALIVE_INTERVAL_S);
    set_option(socket, ZMQ_TCP_KEEPALIVE_CNT, KEEPALIVE_COUNT);
    if (type == ZMQ_ROUTER) set_option(socket, ZMQ_ROUTER_MANDATORY, 1);
    return socket;
}

void zmq_frames_no_linger(void *socket)
{
    set_option(socket, ZMQ_LINGER, 0);
}

/* A body goes to the I/O thread and its last reference may be dropped there.  What orders the two
 * is inside libzmq, where ThreadSanitizer does not look. */
#ifdef __SANITIZE_THREAD__
#include <sanitizer/tsan_interface.h>
#define HAND_OVER(body) __tsan_release(body)
#define TAKE_OVER(body) __tsan_acquire(body)
#else
#define HAND_OVER(body) ((void)0)
#define TAKE_OVER(body) ((void)0)
#endif

/* A body that libzmq holds, and on whose account. */
typedef struct lent_body {
    blob *body;
    peer_bytes *account; /* NULL: nobody's */
} lent_body;

static void drop_reference(void *data, void *hint)
{
    (void)data;
    TAKE_OVER(hint);
    lent_body *l = hint;
    if (l->account) peer_bytes_release(l->account, blob_size(l->body));
    peer_bytes_unref(l->account);
    blob_unref(l->body);
    free(l);
}

/* A message of the body's bytes; large ones keep a reference instead of a copy. */
static void body_message(zmq_msg_t *m, blob *body, peer_bytes *account)
{
    size_t bytes = blob_size(body);
    if (bytes < COPY_BELOW_BYTES) {
        int rc = zmq_msg_init_size(m, bytes);
        ASSERT(rc == 0);
        if (bytes) memcpy(zmq_msg_data(m), blob_data(body), bytes);
        return;
    }
    lent_body *l = xmalloc(sizeof *l);
    *l = (lent_body){blob_ref(body), peer_bytes_ref(account)};
    if (account) peer_bytes_add(account, bytes);
    HAND_OVER(l);
    int rc = zmq_msg_init_data(m, (void *)(uintptr_t)blob_data(body), bytes, drop_reference, l);
    ASSERT(rc == 0);
}

bool zmq_frames_send(void *socket, uint64_t route, const wire_header *h, blob *body)
{
    return zmq_frames_answer(socket, route, h, body, NULL);
}

bool zmq_frames_answer(void *socket, uint64_t route, const wire_header *h, blob *body,
                       peer_bytes *account)
{
    if (route) {
        uint8_t id[5];
        memcpy(id, &route, sizeof id);
        id[0] = 0;
        if (zmq_send(socket, id, sizeof id, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0) return false;
    }
    uint8_t frame[WIRE_HEADER_BYTES];
    wire_encode(h, frame);
    if (zmq_send(socket, frame, sizeof frame, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0) return false;
    zmq_msg_t m;
    body_message(&m, body, account);
    if (zmq_msg_send(&m, socket, ZMQ_DONTWAIT) >= 0) return true;
    zmq_msg_close(&m);
    return false;
}

static void close_message(void *owner)
{
    zmq_msg_close(owner);
    free(owner);
}

/* The body as a blob: the message itself where it is large and aligned, else a copy. */
static blob *take_body(zmq_msg_t *m)
{
    size_t bytes = zmq_msg_size(m);
    if (!bytes) return NULL;
    if (bytes < COPY_BELOW_BYTES || (uintptr_t)zmq_msg_data(m) % 8 != 0)
        return blob_copy(zmq_msg_data(m), bytes);
    zmq_msg_t *kept = xmalloc(sizeof *kept);
    zmq_msg_init(kept);
    zmq_msg_move(kept, m);
    return blob_wrap(zmq_msg_data(kept), zmq_msg_size(kept), close_message, kept);
}

/* The way back to a peer, from the identity that our ROUTER gave it: a zero byte and four more.  0:
 * the peer chose its own. */
static uint64_t route_of(zmq_msg_t *identity)
{
    enum { IDENTITY_BYTES = 5 };
    uint64_t route = 0;
    if (zmq_msg_size(identity) != IDENTITY_BYTES) return 0;
    memcpy(&route, zmq_msg_data(identity), IDENTITY_BYTES);
    return route & 0xff ? 0 : route | 1; /* Never 0; the first byte is put back by the sender. */
}

static void copy_property(zmq_msg_t *m, const char *name, char *out, size_t size)
{
    const char *text = zmq_msg_gets(m, name);
    snprintf(out, size, "%s", text ? text : "");
}

/* Who sent it.  In libzmq 4.3.4 the frame of the routing id loses these properties in a poll, so
 * the header's is asked. */
static void note_peer(zmq_msg_t *m, zmq_frames *out)
{
    copy_property(m, "Peer-Address", out->peer, sizeof out->peer);
    copy_property(m, "User-Id", out->key, sizeof out->key);
    out->fd = zmq_msg_get(m, ZMQ_SRCFD);
}

/* True: the message is whole; *out is filled in. */
static bool take_message(zmq_msg_t *frame, bool is_router, zmq_frames *out)
{
    zmq_msg_t *head = &frame[is_router ? 1 : 0], *body = &frame[is_router ? 2 : 1];
    if (is_router && !out->route) return false;
    err_code rc =
        wire_decode(zmq_msg_data(head), zmq_msg_size(head), zmq_msg_size(body), &out->header);
    if (rc != ERR_OK && rc != ERR_MISMATCH) return false;
    out->foreign = rc == ERR_MISMATCH;
    out->body = take_body(body);
    return out->body || !zmq_msg_size(body);
}

int zmq_frames_receive(void *socket, bool is_router, zmq_frames *out)
{
    zmq_msg_t frame[3], extra;
    int n = 0, wanted = is_router ? 3 : 2;
    bool more = true;
    *out = (zmq_frames){.fd = -1};
    for (; more; n++) {
        zmq_msg_t *m = n < wanted ? &frame[n] : &extra;
        zmq_msg_init(m);
        if (zmq_msg_recv(m, socket, ZMQ_DONTWAIT) < 0) {
            zmq_msg_close(m);
            break;
        }
        more = zmq_msg_more(m) != 0;
        out->bytes += zmq_msg_size(m);
        if (n >= wanted) zmq_msg_close(m);
    }
    int result = n == 0 ? ZMQ_FRAMES_NONE : ZMQ_FRAMES_MALFORMED;
    out->frames = (uint32_t)n;
    out->excess = n > wanted;
    if (is_router && n > 0) {
        out->route = route_of(&frame[0]);
        note_peer(&frame[n > 1 ? 1 : 0], out);
    }
    if (n == wanted && take_message(frame, is_router, out)) result = ZMQ_FRAMES_MESSAGE;
    for (int i = 0; i < n && i < wanted; i++) zmq_msg_close(&frame[i]);
    return result;
}
