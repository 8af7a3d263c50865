#include "common/zap.h"

#include <stdio.h>
#include <string.h>
#include <zmq.h>

/* Frames of a request: version, id, domain, address, routing id, mechanism, credentials. */
enum { ZAP_FRAMES = 7, FRAME_BYTES_MAX = 255, CURVE_KEY_BYTES = 32 };
enum { AT_VERSION, AT_ID, AT_DOMAIN, AT_ADDRESS, AT_ROUTING_ID, AT_MECHANISM, AT_KEY };

typedef struct zap_frame {
    size_t n;
    uint8_t data[FRAME_BYTES_MAX + 1]; /* NUL-terminated */
} zap_frame;

void *zap_bind(void *context)
{
    void *socket = zmq_socket(context, ZMQ_REP);
    int none = 0;
    if (!socket) return NULL;
    zmq_setsockopt(socket, ZMQ_LINGER, &none, sizeof none);
    if (zmq_bind(socket, ZAP_ENDPOINT) == 0) return socket;
    zmq_close(socket);
    return NULL;
}

/* Reads all frames; returns how many there were, or -1: nothing waits. */
static int receive(void *socket, zap_frame frame[ZAP_FRAMES])
{
    int n = 0, more = 1;
    memset(frame, 0, sizeof *frame * ZAP_FRAMES);
    for (; more; n++) {
        zap_frame extra, *f = n < ZAP_FRAMES ? &frame[n] : &extra;
        size_t size = sizeof more;
        int got = zmq_recv(socket, f->data, FRAME_BYTES_MAX, ZMQ_DONTWAIT);
        if (got < 0) return -1;
        f->n = got < FRAME_BYTES_MAX ? (size_t)got : FRAME_BYTES_MAX;
        f->data[f->n] = 0;
        if (zmq_getsockopt(socket, ZMQ_RCVMORE, &more, &size) != 0) return -1;
    }
    return n;
}

static bool is_text(const zap_frame *f, const char *text)
{
    return f->n == strlen(text) && memcmp(f->data, text, f->n) == 0;
}

static void send_text(void *socket, const char *text, bool more)
{
    zmq_send(socket, text, strlen(text), more ? ZMQ_SNDMORE : 0);
}

static void reply(void *socket, const zap_frame *id, const char *status, const char *text,
                  const char *user)
{
    send_text(socket, "1.0", true);
    zmq_send(socket, id->data, id->n, ZMQ_SNDMORE);
    send_text(socket, status, true);
    send_text(socket, text, true);
    send_text(socket, user, true);
    send_text(socket, "", false);
}

bool zap_answer(void *socket, keyring *k, refusals *r)
{
    zap_frame frame[ZAP_FRAMES];
    char key[KEY_TEXT_BYTES + 1];
    uint32_t role;
    int n = receive(socket, frame);
    if (n < 0) return false;
    const zap_frame *id = &frame[AT_ID];
    const char *address = (const char *)frame[AT_ADDRESS].data;
    bool good = n == ZAP_FRAMES && is_text(&frame[AT_VERSION], "1.0") &&
                is_text(&frame[AT_DOMAIN], "weft") && is_text(&frame[AT_MECHANISM], "CURVE") &&
                frame[AT_KEY].n == CURVE_KEY_BYTES &&
                zmq_z85_encode(key, frame[AT_KEY].data, CURVE_KEY_BYTES);
    if (!good) {
        refusals_add(r, REFUSED_HANDSHAKE, "%s: not a CURVE client", address);
        reply(socket, id, "400", "CURVE is needed", "");
        return true;
    }
    switch (keyring_check(k, key, true, &role)) {
    case KEY_ALLOWED: reply(socket, id, "200", "OK", key); break;
    case KEY_REFUSED:
        refusals_add(r, REFUSED_KEY, "%s: the key %s is not in the allow table, or revoked",
                     address, key);
        reply(socket, id, "400", "unknown key", "");
        break;
    case KEY_UNSURE:
        refusals_add(r, REFUSED_KEY, "%s: the allow table cannot be used", address);
        reply(socket, id, "300", "try again", "");
        break;
    }
    return true;
}
