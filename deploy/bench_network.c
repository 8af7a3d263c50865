/* ZeroMQ as it is used here, against plain TCP (bench.h). */
#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "deploy/bench.h"
#include "deploy/units_print.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

enum { HEADER = 96, ENDPOINT_MAX = 256, STALL_MS = 10000 };

typedef struct sink {
    void *router;
    double bytes;
    uint64_t messages;
    bool ended; /* by the empty body */
    int error;  /* why not */
} sink;

/* Reads [who, header, body] until an empty body, or until none comes for STALL_MS. */
static void *drain(void *user)
{
    sink *s = user;
    for (bool more = true; more;) {
        int64_t n = 0;
        for (int frame = 0; frame < 3; frame++) {
            zmq_msg_t m;
            zmq_msg_init(&m);
            n = zmq_msg_recv(&m, s->router, 0);
            int error = zmq_errno();
            zmq_msg_close(&m);
            if (n >= 0) continue;
            s->error = error;
            return NULL;
        }
        more = n > 0;
        s->bytes += (double)n;
        s->messages += more;
    }
    s->ended = true;
    return NULL;
}

static bool send_one(void *dealer, const char *body, size_t bytes)
{
    char header[HEADER] = {0};
    return zmq_send(dealer, header, HEADER, ZMQ_SNDMORE) >= 0 &&
           zmq_send(dealer, body, bytes, 0) >= 0;
}

static bool connect_both(void *dealer, void *router)
{
    char endpoint[ENDPOINT_MAX];
    size_t n = sizeof endpoint;
    int stall = STALL_MS;
    return dealer && router && zmq_setsockopt(dealer, ZMQ_SNDTIMEO, &stall, sizeof stall) == 0 &&
           zmq_setsockopt(router, ZMQ_RCVTIMEO, &stall, sizeof stall) == 0 &&
           zmq_bind(router, "tcp://127.0.0.1:*") == 0 &&
           zmq_getsockopt(router, ZMQ_LAST_ENDPOINT, endpoint, &n) == 0 &&
           zmq_connect(dealer, endpoint) == 0;
}

/* Messages of `bytes` for b->seconds; s->error says why not. */
static bool send_for(bench *b, void *context, size_t bytes, sink *s, double *seconds)
{
    char *body = xcalloc(bytes, 1);
    int linger = 0, error = 0;
    void *dealer = zmq_socket(context, ZMQ_DEALER);
    pthread_t thread;
    s->router = zmq_socket(context, ZMQ_ROUTER);
    bool sent = connect_both(dealer, s->router);
    if (!sent) error = zmq_errno();
    if (sent) error = pthread_create(&thread, NULL, drain, s);
    bool thread_made = sent && error == 0;
    uint64_t begin = clock_now_us(), end = begin + (uint64_t)(b->seconds * 1e6);
    sent = thread_made;
    while (sent && clock_now_us() < end) sent = send_one(dealer, body, bytes);
    if (sent) sent = send_one(dealer, body, 0);
    if (thread_made && !sent) error = zmq_errno();
    if (thread_made) pthread_join(thread, NULL); /* it ends by itself, s is its */
    if (error) s->error = error;
    *seconds = (double)(clock_now_us() - begin) / 1e6;
    if (dealer) zmq_setsockopt(dealer, ZMQ_LINGER, &linger, sizeof linger);
    if (dealer) zmq_close(dealer);
    if (s->router) zmq_close(s->router);
    free(body);
    return sent && s->ended;
}

err_code bench_network(bench *b)
{
    static const size_t sizes[] = {1024, 65536, 4194304};
    void *context = zmq_ctx_new();
    bool ok = context != NULL;
    int error = ok ? 0 : zmq_errno();
    for (size_t i = 0; ok && i < sizeof sizes / sizeof *sizes; i++) {
        sink s = {0};
        double seconds;
        char text[UNITS_TEXT];
        ok = send_for(b, context, sizes[i], &s, &seconds);
        error = s.error;
        if (!ok) break;
        bench_add(b, (bench_row){.part = "network",
                                 .what = xprintf("ZeroMQ, bodies of %s",
                                                 units_bytes(text, (double)sizes[i])),
                                 .rate = (double)s.messages / seconds,
                                 .unit = "messages",
                                 .used = s.bytes / seconds,
                                 .limit = b->speed.loopback_bytes,
                                 .of = "bytes of tcp on loopback"});
    }
    if (!ok) log_user_error("tcp://127.0.0.1: %s", zmq_strerror(error));
    if (context) zmq_ctx_term(context);
    return ok ? ERR_OK : ERR_IO;
}
