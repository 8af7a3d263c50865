#include "common/zmq_client.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/zmq_frames.h"

#include <stdlib.h>
#include <string.h>
#include <zmq.h>

enum { RESEND_US = 2000000, POLL_MS = 50 };

typedef struct target {
    char *endpoint;
    void *socket;
} target;

struct zmq_client {
    core_peer self;
    void *context;
    target *targets;
    size_t n, cap;
    uint64_t tag;
};

err_code zmq_client_open(core_peer self, zmq_client **out)
{
    zmq_client *c = xcalloc(1, sizeof *c);
    c->self = self;
    c->context = zmq_ctx_new();
    if (!c->context) {
        free(c);
        return ERR_IO;
    }
    *out = c;
    return ERR_OK;
}

void zmq_client_close(zmq_client *c)
{
    if (!c) return;
    for (size_t i = 0; i < c->n; i++) {
        zmq_close(c->targets[i].socket);
        free(c->targets[i].endpoint);
    }
    zmq_ctx_term(c->context);
    free(c->targets);
    free(c);
}

static void *socket_of(zmq_client *c, const char *endpoint)
{
    for (size_t i = 0; i < c->n; i++) {
        if (strcmp(c->targets[i].endpoint, endpoint) == 0) return c->targets[i].socket;
    }
    void *socket = zmq_frames_socket(c->context, ZMQ_DEALER);
    if (!socket || zmq_connect(socket, endpoint) != 0) {
        log_error("connect_failed", "endpoint=\"%s\" reason=\"%s\"", endpoint,
                  zmq_strerror(zmq_errno()));
        if (socket) zmq_close(socket);
        return NULL;
    }
    grow(&c->targets, &c->cap, c->n + 1, sizeof *c->targets);
    c->targets[c->n++] = (target){xstrdup(endpoint), socket};
    return socket;
}

/* Drains the socket until the answer with this tag.  ERR_NOT_FOUND: not here yet; ERR_MISMATCH
 * (printed): it is of another protocol version. */
static err_code take_answer(void *socket, const char *endpoint, uint64_t tag, wire_header *answer,
                            blob **body)
{
    zmq_frames f;
    int got;
    while ((got = zmq_frames_receive(socket, false, &f)) != ZMQ_FRAMES_NONE) {
        if (got != ZMQ_FRAMES_MESSAGE) continue;
        bool ours = wire_is_answer(&f.header) && f.header.tag == tag;
        if (ours && !f.foreign) {
            *answer = f.header;
            *body = f.body;
            return ERR_OK;
        }
        blob_unref(f.body); /* A repeat of an earlier answer. */
        if (!ours) continue;
        log_user_error("%s speaks protocol %u, this program %d", endpoint, f.header.protocol,
                       WIRE_PROTOCOL);
        return ERR_MISMATCH;
    }
    return ERR_NOT_FOUND;
}

err_code zmq_client_call(zmq_client *c, const char *endpoint, const wire_header *request,
                         blob *body, uint32_t timeout_ms, zmq_client_check *check, void *context,
                         wire_header *answer, blob **answer_body)
{
    void *socket = socket_of(c, endpoint);
    if (!socket) return ERR_IO;
    wire_header h = *request;
    h.role = (uint8_t)c->self.role;
    h.index = c->self.index;
    h.incarnation = c->self.incarnation;
    h.tag = ++c->tag;
    h.body_bytes = blob_size(body);
    uint64_t now = clock_now_us(), end = now + (uint64_t)timeout_ms * 1000u, resend = now;
    for (; now < end; now = clock_now_us()) {
        err_code rc = check ? check(context) : ERR_OK;
        if (rc != ERR_OK) return rc;
        if (now >= resend) {
            (void)zmq_frames_send(socket, 0, &h, body); /* Not sent: again in a moment. */
            resend = now + RESEND_US;
        }
        zmq_pollitem_t item = {.socket = socket, .events = ZMQ_POLLIN};
        zmq_poll(&item, 1, POLL_MS);
        rc = take_answer(socket, endpoint, h.tag, answer, answer_body);
        if (rc != ERR_NOT_FOUND) return rc;
    }
    return ERR_CLOSED;
}
