#include "testing_attack.h"

#include "common/hash.h"
#include "common/mem.h"
#include "common/proto_alloc.h"
#include "common/zmq_frames.h"
#include "proto/weft.pb-c.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

typedef struct script {
    const testing_attack *a;
    void *context, *socket;
    uint64_t state; /* of random numbers */
    bool stuck;     /* nobody takes what is sent: it ends */
} script;

static uint64_t random64(script *s)
{
    s->state += UINT64_C(0x9e3779b97f4a7c15);
    return hash64(&s->state, sizeof s->state, 7);
}

static void connect_script(script *s)
{
    /* Long: libzmq 4.3.4 aborts (session_base.cpp:260) if a connection breaks in the middle of a
     * message while its socket is being given up. */
    int linger = 5000, timeout = 2000;
    s->socket = zmq_socket(s->context, ZMQ_DEALER);
    zmq_setsockopt(s->socket, ZMQ_LINGER, &linger, sizeof linger);
    zmq_setsockopt(s->socket, ZMQ_SNDTIMEO, &timeout, sizeof timeout);
    ck_assert_int_eq(keyring_call(s->a->keys, s->socket, s->a->at), ERR_OK);
    int rc = zmq_connect(s->socket, s->a->endpoint);
    ck_assert_msg(rc == 0, "%s: %s", s->a->endpoint, zmq_strerror(zmq_errno()));
}

static void again(script *s)
{
    zmq_close(s->socket);
    connect_script(s);
}

static void frame(script *s, const void *data, size_t n, bool more)
{
    if (!s->stuck) s->stuck = zmq_send(s->socket, data, n, more ? ZMQ_SNDMORE : 0) < 0;
}

static wire_header header(wire_op op)
{
    wire_header h = wire_request(op);
    h.role = WIRE_WORKER;
    h.incarnation = 666;
    h.index = 66;
    return h;
}

static void message(script *s, wire_header *h, const void *body, size_t n)
{
    uint8_t bytes[WIRE_HEADER_BYTES];
    h->body_bytes = n;
    wire_encode(h, bytes);
    frame(s, bytes, sizeof bytes, true);
    frame(s, body ? body : "", n, false);
}

/* A request that a worker may ask, and its answer: from now on what is sent arrives. */
static bool arrive(script *s)
{
    static const wire_op ops[WIRE_ROLES] = {
        [WIRE_SCHEDULER] = WIRE_CONFIG, [WIRE_SERVER] = WIRE_PULL, [WIRE_SAMPLER] = WIRE_FEATURES};
    int timeout = 20000, size = 0, more = 1;
    size_t n = sizeof more;
    char answer[4096];
    wire_header h = header(ops[s->a->at]);
    zmq_setsockopt(s->socket, ZMQ_RCVTIMEO, &timeout, sizeof timeout);
    message(s, &h, NULL, 0);
    while (more && size >= 0) {
        size = zmq_recv(s->socket, answer, sizeof answer, 0);
        zmq_getsockopt(s->socket, ZMQ_RCVMORE, &more, &n);
    }
    return size >= 0;
}

/* ---- The scripts ---- */

static void garbage(script *s)
{
    uint8_t bytes[512];
    for (uint32_t i = 0; i < s->a->rounds; i++) {
        for (size_t k = 0; k < sizeof bytes; k += 8) {
            uint64_t x = random64(s);
            memcpy(bytes + k, &x, 8);
        }
        bool two = random64(s) & 1;
        if (two) frame(s, bytes, random64(s) % 200, true);
        frame(s, bytes, random64(s) % sizeof bytes, false);
    }
}

static void many_frames(script *s)
{
    static char zeros[1 << 20];
    wire_header h = header(WIRE_PULL);
    uint8_t bytes[WIRE_HEADER_BYTES];
    wire_encode(&h, bytes);
    for (uint32_t i = 0; i < 4; i++) {
        frame(s, bytes, sizeof bytes, true);
        for (int k = 0; k < 100; k++) {
            zmq_msg_t m;
            if (s->stuck) return;
            zmq_msg_init_data(&m, zeros, sizeof zeros, NULL, NULL);
            if (zmq_msg_send(&m, s->socket, ZMQ_SNDMORE) < 0) zmq_msg_close(&m);
        }
        frame(s, "", 0, false);
    }
}

static void sizes_that_lie(script *s)
{
    static const uint64_t sizes[] = {1, 5, WIRE_BODY_MAX, (uint64_t)WIRE_BODY_MAX + 1, UINT64_MAX};
    for (uint32_t i = 0; i < s->a->rounds; i++) {
        wire_header h = header((wire_op)(1 + i % (WIRE_OPS - 1)));
        uint8_t bytes[WIRE_HEADER_BYTES];
        h.body_bytes = sizes[i % 5];
        wire_encode(&h, bytes);
        frame(s, bytes, i % 7 ? sizeof bytes : i % 97, true);
        frame(s, "body", 4, false);
    }
}

/* Orders, and what servers say to each other. */
static void orders(script *s)
{
    for (uint32_t i = 0; i < s->a->rounds; i++) {
        wire_header h = header((wire_op)(1 + i % (WIRE_OPS - 1)));
        h.generation = s->a->generation;
        h.term = 1000000;
        h.part = h.table = 1;
        message(s, &h, NULL, 0);
    }
}

static void other_roles(script *s)
{
    for (uint32_t i = 0; i < s->a->rounds; i++) {
        wire_header h = header((wire_op)(1 + i % (WIRE_OPS - 1)));
        h.role = (uint8_t)(i / WIRE_OPS % (WIRE_ROLES + 1));
        h.term = 1000000;
        message(s, &h, NULL, 0);
    }
}

/* Answers that nobody asked for, to every tag: a view that ends the job. */
static void forged_answers(script *s)
{
    Weft__View v = WEFT__VIEW__INIT;
    uint8_t body[64];
    v.version = 1;
    v.stop = 1;
    size_t n = weft__view__pack(&v, body);
    for (uint32_t i = 0; i < s->a->rounds; i++) {
        wire_header h = header(WIRE_HELLO);
        h.role = i % 2 ? WIRE_SCHEDULER : WIRE_WORKER;
        h.flags = WIRE_ANSWER;
        h.term = 1000000;
        h.tag = i / 2;
        message(s, &h, body, n);
    }
}

static void push_bytes(script *s, uint32_t slot, uint32_t part, const void *body, size_t n)
{
    wire_header h = header(WIRE_PUSH);
    h.generation = s->a->generation;
    h.version = s->a->version;
    h.stage = (uint8_t)s->a->stage;
    h.epoch = h.step = 1;
    h.slot = slot;
    h.part = part;
    h.body_hash = hash64(body, n, 0);
    message(s, &h, body, n);
}

static void slots_that_are_not(script *s)
{
    static char zeros[64 << 10];
    for (uint32_t i = 0; i < s->a->rounds; i++)
        push_bytes(s, i % 3 ? i : UINT32_MAX - i, i % 2 ? 60000 : UINT32_MAX, zeros, sizeof zeros);
}

static void bodies_cut_short(script *s)
{
    push_head head = {.magic = PUSH_MAGIC, .sections = 2, .examples = 5, .dense_floats = 100};
    uint8_t body[1024] = {0};
    memcpy(body, &head, sizeof head);
    for (uint32_t i = 0; i < s->a->rounds; i++) {
        uint64_t x = random64(s);
        memcpy(body + sizeof head + x % 900, &x, 8);
        push_bytes(s, i % 4, 4, body, x >> 32 & 1023);
    }
}

static void not_numbers(script *s)
{
    static const uint64_t floats[] = {UINT64_MAX, UINT64_C(1) << 40, TABLE_FLOATS_MAX, 100};
    size_t n = sizeof(push_head) + 400;
    uint8_t *body = xcalloc(1, n);
    for (uint32_t i = 0; i < s->a->rounds; i++) {
        push_head head = {.magic = PUSH_MAGIC,
                          .examples = i % 2 ? UINT64_MAX : 1,
                          .loss = i % 3 ? 0 : (double)NAN,
                          .sections = i % 5 ? 0 : UINT32_MAX,
                          .dense_floats = floats[i % 4]};
        memcpy(body, &head, sizeof head);
        memset(body + sizeof head, 0xff, 400);
        push_bytes(s, i % 4, 4, body, n);
    }
    free(body);
}

/* Asks and asks and reads nothing. */
static void flood(script *s)
{
    wire_header h = header(s->a->at == WIRE_SAMPLER ? WIRE_FEATURES : WIRE_PULL);
    for (uint32_t i = 0; i < s->a->rounds * 20; i++) {
        h.generation = s->a->generation;
        h.version = s->a->version;
        h.stage = (uint8_t)s->a->stage;
        h.tag = i;
        h.budget_ms = UINT32_MAX;
        message(s, &h, NULL, 0);
    }
}

/* As many keys as fit, of versions that are not there. */
static void keys_without_end(script *s)
{
    size_t n = 16 << 20;
    uint8_t *keys = xcalloc(1, n);
    for (uint32_t i = 0; i < 20; i++) {
        wire_header h = header(s->a->at == WIRE_SAMPLER ? WIRE_BUILD : WIRE_PULL);
        h.generation = s->a->generation + i % 2;
        h.version = s->a->version + 1 + i % 3;
        h.stage = (uint8_t)s->a->stage;
        h.table = (uint16_t)(i % 3);
        h.step = i;
        h.tag = i;
        h.budget_ms = 60000;
        message(s, &h, keys, n);
    }
    free(keys);
}

static void random_headers(script *s)
{
    for (uint32_t i = 0; i < s->a->rounds; i++) {
        wire_header h = header(WIRE_PULL), x;
        uint64_t words[WIRE_HEADER_BYTES / 8], body = random64(s);
        for (size_t k = 0; k < WIRE_HEADER_BYTES / 8; k++) words[k] = random64(s);
        memcpy(&x, words, sizeof x);
        x.magic = h.magic;
        x.protocol = h.protocol;
        x.op = (uint8_t)(random64(s) % WIRE_OPS);
        x.role = random64(s) % 4 ? WIRE_WORKER : x.role;
        x.status %= WIRE_STATUSES;
        x.stage %= STAGE_COUNT;
        x.flags = random64(s) % 8 ? 0 : x.flags;
        message(s, &x, &body, random64(s) % 9);
    }
}

/* Lists of empty messages, which unpack to fifty times their size. */
static void inflating_lists(script *s)
{
    size_t n = 2 << 20;
    uint8_t *body = xmalloc(n);
    for (uint32_t i = 0; i < 10; i++) {
        wire_header h = header(i % 2 ? WIRE_WORK : WIRE_HELLO);
        uint8_t field = i % 2 ? 3 : 8;
        for (size_t k = 0; k + 1 < n; k += 2) {
            body[k] = (uint8_t)(field << 3 | 2);
            body[k + 1] = 0;
        }
        message(s, &h, body, n);
    }
    free(body);
}

static void comes_and_goes(script *s)
{
    for (uint32_t i = 0; i < 60; i++) {
        wire_header h = header(WIRE_PULL);
        if (i % 2) message(s, &h, NULL, 0);
        again(s);
    }
}

static const struct {
    const char *name;
    void (*run)(script *);
} scripts[TESTING_ATTACKS] = {
    {"garbage", garbage},
    {"many frames", many_frames},
    {"sizes that lie", sizes_that_lie},
    {"orders", orders},
    {"other roles", other_roles},
    {"forged answers", forged_answers},
    {"slots that are not", slots_that_are_not},
    {"bodies cut short", bodies_cut_short},
    {"not numbers", not_numbers},
    {"flood", flood},
    {"keys without end", keys_without_end},
    {"random headers", random_headers},
    {"inflating lists", inflating_lists},
    {"comes and goes", comes_and_goes},
};

const char *testing_attack_name(int kind)
{
    return scripts[kind].name;
}

bool testing_attack_run(int kind, const testing_attack *a)
{
    script s = {.a = a, .context = zmq_ctx_new(), .state = (uint64_t)kind << 32};
    connect_script(&s);
    bool there = arrive(&s);
    if (there) scripts[kind].run(&s);
    usleep(100000);
    zmq_close(s.socket);
    zmq_ctx_term(s.context);
    return there;
}

void testing_attack_done(const testing_attack *a, uint32_t epoch, uint32_t step, uint32_t slots)
{
    script s = {.a = a, .context = zmq_ctx_new()};
    connect_script(&s);
    for (uint32_t j = 0; j < slots; j++) {
        Weft__Done done = WEFT__DONE__INIT;
        wire_header h = header(WIRE_DONE);
        wire_set_slot(&h, (slot_name){a->stage, epoch, step, j});
        h.generation = a->generation;
        h.version = a->version;
        done.version = 1;
        blob *body = proto_pack(&done.base);
        message(&s, &h, blob_data(body), blob_size(body));
        blob_unref(body);
    }
    zmq_close(s.socket);
    zmq_ctx_term(s.context);
}
