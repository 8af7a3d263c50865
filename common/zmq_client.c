#include "common/zmq_client.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/op_rules.h"
#include "common/reach.h"
#include "common/resolver.h"
#include "common/zmq_frames.h"
#include "common/zmq_watch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

enum { RESEND_US = 2000000, POLL_MS = 50 };

typedef struct target {
    char *endpoint;
    void *socket, *watch;
    reach reach;
    uint64_t again_us; /* it connects again then; 0: it does, or tries to */
} target;

struct zmq_client {
    core_peer self;
    keyring *keys;
    void *context;
    bool own_context;
    target *targets;
    size_t n, cap;
    size_t last; /* of the last call */
    uint64_t tag;
};

err_code zmq_client_open(core_peer self, keyring *keys, void *context, zmq_client **out)
{
    zmq_client *c = xcalloc(1, sizeof *c);
    c->self = self;
    c->keys = keys;
    c->own_context = !context;
    c->context = context ? context : zmq_ctx_new();
    if (!c->context) {
        free(c);
        return ERR_IO;
    }
    *out = c;
    return ERR_OK;
}

static void close_target(target *t)
{
    if (t->socket) zmq_watch_stop(t->socket);
    zmq_watch_close(t->watch);
    if (t->socket) zmq_close(t->socket);
    free(t->endpoint);
    *t = (target){0};
}

void zmq_client_close(zmq_client *c)
{
    if (!c) return;
    for (size_t i = 0; i < c->n; i++) close_target(&c->targets[i]);
    if (c->own_context) zmq_ctx_term(c->context);
    free(c->targets);
    free(c);
}

static err_code target_open(zmq_client *c, target *t, const char *endpoint, uint32_t op)
{
    *t = (target){.endpoint = xstrdup(endpoint),
                  .socket = zmq_frames_socket(c->context, ZMQ_DEALER),
                  .reach.free_tries = c->keys ? 0 : REACH_KEYLESS_TRIES};
    if (t->socket)
        t->watch = zmq_watch_open(c->context, t->socket, WATCH_FAILURES | WATCH_PROGRESS);
    err_code rc = t->watch ? ERR_OK : ERR_IO;
    if (rc == ERR_OK && keyring_wanted(endpoint))
        rc = keyring_call(c->keys, t->socket, op_server(op));
    if (rc == ERR_OK && zmq_connect(t->socket, endpoint) != 0) rc = ERR_IO;
    if (rc == ERR_OK) return ERR_OK;
    log_error("connect_failed", "endpoint=\"%s\" reason=\"%s\"", endpoint,
              zmq_strerror(zmq_errno()));
    close_target(t);
    return rc;
}

/* A new socket in the place of one that is not to try any more. */
static err_code target_again(zmq_client *c, target *t, uint32_t op)
{
    target fresh;
    err_code rc = target_open(c, &fresh, t->endpoint, op);
    if (rc != ERR_OK) return rc;
    fresh.reach = t->reach;
    close_target(t);
    *t = fresh;
    return ERR_OK;
}

/* The socket for `endpoint`, whose server has the role that serves `op`.  Borrowed until the next
 * call. */
static err_code target_of(zmq_client *c, const char *endpoint, uint32_t op, target **out)
{
    target t;
    for (c->last = 0; c->last < c->n; c->last++) {
        *out = &c->targets[c->last];
        if (strcmp((*out)->endpoint, endpoint) == 0) return ERR_OK;
    }
    err_code rc = target_open(c, &t, endpoint, op);
    if (rc != ERR_OK) return rc;
    grow(&c->targets, &c->cap, c->n + 1, sizeof *c->targets);
    c->targets[c->n] = t;
    *out = &c->targets[c->n++];
    return ERR_OK;
}

static err_code turned_away(zmq_client *c, target *t, watch_event e)
{
    log_user_error("%s does not let us in (%s%s): %s", t->endpoint,
                   c->keys ? "keys of " : "without keys: security.keys",
                   c->keys ? keyring_folder(c->keys) : "", zmq_watch_why(e));
    close_target(t);
    *t = c->targets[--c->n];
    return ERR_INVALID;
}

/* ERR_INVALID (printed) if the server turned us away for good: libzmq would not try again.  The
 * target is forgotten: the next call begins anew.  *fresh: it has a new socket. */
static err_code check_target(zmq_client *c, target *t, uint32_t op, uint64_t now_us, bool *fresh)
{
    int value;
    watch_event e;
    *fresh = false;
    while ((e = zmq_watch_read(t->watch, &value)) != WATCH_NOTHING) {
        uint64_t again_us = reach_take(&t->reach, e, now_us);
        if (e == WATCH_DENIED || e == WATCH_MISMATCH) return turned_away(c, t, e);
        if (!again_us || t->again_us) continue;
        t->again_us = again_us;
        zmq_frames_no_linger(t->socket); /* or it would try on while it lingers */
        zmq_disconnect(t->socket, t->endpoint);
    }
    if (!t->again_us || now_us < t->again_us) return ERR_OK;
    *fresh = true;
    return target_again(c, t, op);
}

void zmq_client_why(const zmq_client *c, char why[CORE_TEXT_MAX])
{
    snprintf(why, CORE_TEXT_MAX, "its name has no address");
    if (c->last >= c->n) return;
    const target *t = &c->targets[c->last];
    bool keys = c->keys && keyring_wanted(t->endpoint);
    reach_why(&t->reach, clock_now_us(), t->endpoint, keys ? keyring_folder(c->keys) : NULL, why);
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

err_code zmq_client_call(zmq_client *c, const char *name, const wire_header *request, blob *body,
                         uint32_t timeout_ms, zmq_client_check *check, void *context,
                         wire_header *answer, blob **answer_body)
{
    target *t;
    char endpoint[CORE_TEXT_MAX];
    err_code rc = resolver_wait(name, timeout_ms, check, context, endpoint);
    if (rc == ERR_OK) rc = target_of(c, endpoint, request->op, &t);
    if (rc != ERR_OK) return rc;
    wire_header h = *request;
    h.role = (uint8_t)c->self.role;
    h.index = c->self.index;
    h.incarnation = c->self.incarnation;
    h.tag = ++c->tag;
    h.body_bytes = blob_size(body);
    uint64_t now = clock_now_us(), end = now + (uint64_t)timeout_ms * 1000u, resend = now;
    for (; now < end; now = clock_now_us()) {
        bool fresh = false;
        rc = check ? check(context) : ERR_OK;
        if (rc == ERR_OK) rc = check_target(c, t, request->op, now, &fresh);
        if (rc != ERR_OK) return rc;
        if (now >= resend || fresh) {
            (void)zmq_frames_send(t->socket, 0, &h, body); /* Not sent: again in a moment. */
            resend = now + RESEND_US;
        }
        zmq_pollitem_t item = {.socket = t->socket, .events = ZMQ_POLLIN};
        zmq_poll(&item, 1, POLL_MS);
        rc = take_answer(t->socket, endpoint, h.tag, answer, answer_body);
        if (rc != ERR_NOT_FOUND) return rc;
    }
    return ERR_CLOSED;
}
