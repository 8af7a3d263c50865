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

enum { HEADER = 96, ENDPOINT_MAX = 256 };

typedef struct sink {
    void *router;
    double bytes;
    uint64_t messages;
} sink;

/* Reads [who, header, body] until an empty body. */
static void *drain(void *user)
{
    sink *s = user;
    for (bool more = true; more;) {
        int64_t n = 0;
        for (int frame = 0; frame < 3; frame++) {
            zmq_msg_t m;
            zmq_msg_init(&m);
            n = zmq_msg_recv(&m, s->router, 0);
            zmq_msg_close(&m);
            if (n < 0) return NULL;
        }
        more = n > 0;
        s->bytes += (double)n;
        s->messages += more;
    }
    return NULL;
}

static bool send_one(void *dealer, const char *body, size_t bytes)
{
    char header[HEADER] = {0};
    return zmq_send(dealer, header, HEADER, ZMQ_SNDMORE) >= 0 &&
           zmq_send(dealer, body, bytes, 0) >= 0;
}

/* Messages of `bytes` for b->seconds. */
static bool send_for(bench *b, void *context, size_t bytes, sink *s, double *seconds)
{
    char endpoint[ENDPOINT_MAX], *body = xcalloc(bytes, 1);
    size_t n = sizeof endpoint;
    int linger = 0;
    void *dealer = zmq_socket(context, ZMQ_DEALER);
    pthread_t thread;
    s->router = zmq_socket(context, ZMQ_ROUTER);
    bool ok = dealer && s->router && zmq_bind(s->router, "tcp://127.0.0.1:*") == 0 &&
              zmq_getsockopt(s->router, ZMQ_LAST_ENDPOINT, endpoint, &n) == 0 &&
              zmq_connect(dealer, endpoint) == 0;
    bool started = ok && pthread_create(&thread, NULL, drain, s) == 0;
    uint64_t begin = clock_now_us(), end = begin + (uint64_t)(b->seconds * 1e6);
    while (started && clock_now_us() < end) started = send_one(dealer, body, bytes) && started;
    if (started) {
        ok = send_one(dealer, body, 0);
        pthread_join(thread, NULL);
    }
    *seconds = (double)(clock_now_us() - begin) / 1e6;
    if (dealer) zmq_setsockopt(dealer, ZMQ_LINGER, &linger, sizeof linger);
    if (dealer) zmq_close(dealer);
    if (s->router) zmq_close(s->router);
    free(body);
    return ok && started;
}

err_code bench_network(bench *b)
{
    static const size_t sizes[] = {1024, 65536, 4194304};
    void *context = zmq_ctx_new();
    bool ok = context != NULL;
    for (size_t i = 0; ok && i < sizeof sizes / sizeof *sizes; i++) {
        sink s = {0};
        double seconds;
        char text[UNITS_TEXT];
        ok = send_for(b, context, sizes[i], &s, &seconds);
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
    if (!ok) log_user_error("tcp://127.0.0.1: %s", zmq_strerror(zmq_errno()));
    if (context) zmq_ctx_term(context);
    return ok ? ERR_OK : ERR_IO;
}
