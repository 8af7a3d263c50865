/* Proves, over loopback: messages that are not two good frames are dropped and counted and the
 * shell goes on; bodies of every size come back the same; a peer's new life is a new connection;
 * results are taken from any thread, each once; timers and signals reach the core; a client waits,
 * asks again, and gives up. */
#include "common/zmq_shell.h"

#include "common/clock.h"
#include "common/zmq_client.h"
#include "common/zmq_frames.h"

#include <check.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

/* ---- A core that answers with what it was sent; STOP ends it ---- */

typedef struct echo {
    core_host host;
    zmq_shell *shell;
    char bound[CORE_TEXT_MAX], why[CORE_TEXT_MAX];
    uint32_t messages, timers, results, released, stops;
    uint32_t wanted_results; /* 0: none */
    uint64_t timer_at_us;
    uint64_t token_sum;
    bool ignore_signals, repeat_signal;
    int signal;
} echo;

static void echo_message(echo *e, const core_event *event, core_actions *out)
{
    const wire_header *h = event->message.header;
    e->messages++;
    wire_header answer = wire_answer(h, WIRE_OK);
    core_peer to = {h->role, h->index, h->incarnation};
    core_send(out, to, event->message.route, &answer, blob_ref(event->message.body));
    if (h->op == WIRE_STOP) core_exit(out, 0, "asked to");
}

static uint64_t echo_step(void *core, const core_event *event, core_actions *out)
{
    echo *e = core;
    switch (event->type) {
    case CORE_START:
        if (e->timer_at_us) e->timer_at_us += event->now_us;
        for (uint32_t i = 0; i < e->wanted_results; i++) core_compute(out, i, 1, NULL);
        break;
    case CORE_MESSAGE: echo_message(e, event, out); break;
    case CORE_TIMER:
        e->timers++;
        if (e->timer_at_us && event->now_us >= e->timer_at_us) core_exit(out, 0, "timer");
        break;
    case CORE_RESULT:
        e->token_sum += event->result.token;
        if (++e->results == e->wanted_results) core_exit(out, 0, "results");
        break;
    case CORE_STOP:
        e->stops++;
        e->signal = event->signal;
        if (!e->ignore_signals) core_exit(out, 0, "signal");
        break;
    }
    return e->timer_at_us ? e->timer_at_us : UINT64_MAX;
}

static void echo_open(echo *e)
{
    *e = (echo){.host = {.self = {WIRE_SERVER, 0, 99}, .core = e, .step = echo_step, .user = e}};
    ck_assert_int_eq(zmq_shell_open("tcp://127.0.0.1:*", NULL, &e->shell, e->bound), ERR_OK);
}

/* Runs it until it exits, while `other` runs beside it. */
static int echo_run(echo *e, void *(*other)(void *), void *user)
{
    pthread_t thread;
    if (other) ck_assert_int_eq(pthread_create(&thread, NULL, other, user), 0);
    int code = zmq_shell_run(e->shell, &e->host, e->why);
    alarm(0);
    if (other) pthread_join(thread, NULL);
    return code;
}

static zmq_client *client_open(void)
{
    zmq_client *c;
    core_peer self = {WIRE_WORKER, 7, 1234};
    ck_assert_int_eq(zmq_client_open(self, NULL, NULL, &c), ERR_OK);
    return c;
}

/* Only a scheduler stops others. */
static void stop_echo(const char *endpoint)
{
    zmq_client *c;
    core_peer self = {WIRE_SCHEDULER, 0, 4321};
    wire_header stop = wire_request(WIRE_STOP), answer;
    blob *body;
    ck_assert_int_eq(zmq_client_open(self, NULL, NULL, &c), ERR_OK);
    ck_assert_int_eq(zmq_client_call(c, endpoint, &stop, NULL, 5000, NULL, NULL, &answer, &body),
                     ERR_OK);
    zmq_client_close(c);
}

/* ---- Malformed messages ---- */

enum { BAD_KINDS = 10, NOT_SEEN = -1 };

static void put_frame(void *socket, const void *data, size_t n, bool more)
{
    ck_assert_int_eq(zmq_send(socket, data, n, more ? ZMQ_SNDMORE : 0), (int)n);
}

/* Sends bad message number `kind`. */
static void send_bad(void *socket, int kind)
{
    wire_header h = wire_request(WIRE_HELLO);
    h.role = WIRE_WORKER;
    h.body_bytes = 4;
    uint8_t frame[WIRE_HEADER_BYTES];
    size_t size = sizeof frame;
    if (kind == 0) h.magic ^= 1;
    if (kind == 1) h.body_bytes = 5;
    if (kind == 2) h.body_bytes = (uint64_t)WIRE_BODY_MAX + 1;
    if (kind == 3) h.body_bytes = UINT64_MAX;
    if (kind == 4) h.op = 0;
    if (kind == 5) h.op = WIRE_OPS;
    if (kind == 6) h.role = 0;
    if (kind == 7) h.stage = 200;
    wire_encode(&h, frame);
    if (kind == 8) size--;
    if (kind == 9) {
        put_frame(socket, frame, size, false);
        return;
    }
    put_frame(socket, frame, size, true);
    put_frame(socket, "body", 4, false);
}

/* Too many frames: the connection is closed for it, so it has its own. */
static void send_excess(void *context, const char *endpoint)
{
    wire_header h = wire_request(WIRE_HELLO);
    uint8_t frame[WIRE_HEADER_BYTES];
    void *socket = zmq_socket(context, ZMQ_DEALER);
    ck_assert_int_eq(zmq_connect(socket, endpoint), 0);
    h.role = WIRE_WORKER;
    h.body_bytes = 4;
    wire_encode(&h, frame);
    put_frame(socket, frame, sizeof frame, true);
    for (int i = 0; i < 5; i++) put_frame(socket, "body", 4, true);
    put_frame(socket, "body", 4, false);
    zmq_close(socket);
}

static void *send_malformed(void *user)
{
    echo *e = user;
    void *context = zmq_ctx_new(), *socket = zmq_socket(context, ZMQ_DEALER);
    ck_assert_int_eq(zmq_connect(socket, e->bound), 0);
    send_excess(context, e->bound);
    for (int kind = 0; kind < BAD_KINDS; kind++) send_bad(socket, kind);
    /* More than a control message may have: the limit of the op, not only of the frame. */
    wire_header h = wire_request(WIRE_HELLO);
    size_t big = WIRE_CONTROL_MAX + 1;
    char *zeros = calloc(1, big);
    uint8_t frame[WIRE_HEADER_BYTES];
    h.role = WIRE_WORKER;
    h.body_bytes = big;
    wire_encode(&h, frame);
    put_frame(socket, frame, sizeof frame, true);
    put_frame(socket, zeros, big, false);
    free(zeros);
    /* Another protocol is refused by name, and no core sees what was not checked. */
    h.protocol = WIRE_PROTOCOL + 1;
    h.op = WIRE_PULL;
    h.stage = 200;
    h.body_bytes = 4;
    h.tag = 5;
    wire_encode(&h, frame);
    put_frame(socket, frame, sizeof frame, true);
    put_frame(socket, "body", 4, false);
    uint8_t answer[256];
    wire_header a;
    int n = zmq_recv(socket, answer, sizeof answer, 0);
    ck_assert_int_eq(n, WIRE_HEADER_BYTES);
    memcpy(&a, answer, sizeof a);
    ck_assert_uint_eq(a.tag, 5);
    ck_assert_uint_eq(a.status, WIRE_REFUSED);
    n = zmq_recv(socket, answer, sizeof answer, 0);
    ck_assert_int_gt(n, 4);
    answer[n] = 0;
    ck_assert_ptr_nonnull(strstr((const char *)answer, "speaks protocol 2"));
    usleep(100000);
    stop_echo(e->bound); /* The shell still serves. */
    zmq_close(socket);
    zmq_ctx_term(context);
    return NULL;
}

START_TEST(malformed_messages_are_dropped_and_counted)
{
    echo e;
    echo_open(&e);
    ck_assert_int_eq(echo_run(&e, send_malformed, &e), 0);
    ck_assert_uint_eq(refusals_count(zmq_shell_refusals(e.shell), REFUSED_MALFORMED),
                      BAD_KINDS + 2);
    ck_assert_uint_eq(e.messages, 1); /* STOP */
    zmq_shell_close(e.shell);
}
END_TEST

static void *send_with_identity(void *user)
{
    echo *e = user;
    static const char *const names[] = {"me", "Xabcd", "a-very-long-name-of-a-peer"};
    void *context = zmq_ctx_new();
    uint8_t frame[WIRE_HEADER_BYTES];
    wire_header h = wire_request(WIRE_HELLO);
    h.role = WIRE_WORKER;
    wire_encode(&h, frame);
    for (int i = 0; i < 3; i++) {
        void *socket = zmq_socket(context, ZMQ_DEALER);
        zmq_setsockopt(socket, ZMQ_ROUTING_ID, names[i], strlen(names[i]));
        ck_assert_int_eq(zmq_connect(socket, e->bound), 0);
        put_frame(socket, frame, sizeof frame, true);
        put_frame(socket, "", 0, false);
        int linger = 1000;
        zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof linger);
        zmq_close(socket);
    }
    zmq_ctx_term(context); /* All were sent. */
    usleep(100000);
    stop_echo(e->bound);
    return NULL;
}

/* The way back to a peer is the identity our side gave it: no peer takes another's. */
START_TEST(peers_that_choose_an_identity_are_dropped)
{
    echo e;
    echo_open(&e);
    ck_assert_int_eq(echo_run(&e, send_with_identity, &e), 0);
    ck_assert_uint_eq(refusals_count(zmq_shell_refusals(e.shell), REFUSED_MALFORMED), 3);
    ck_assert_uint_eq(e.messages, 1);
    zmq_shell_close(e.shell);
}
END_TEST

/* ---- Bodies ---- */

static void *send_bodies(void *user)
{
    static const size_t sizes[] = {0, 1, 7, 4095, 4096, 4097, 65536, 1000003, 40 << 20};
    echo *e = user;
    zmq_client *c = client_open();
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        wire_header request = wire_request(WIRE_PUSH), answer;
        blob *body = sizes[i] ? blob_new(sizes[i]) : NULL, *back = NULL;
        for (size_t k = 0; k < sizes[i]; k++) blob_writable(body)[k] = (uint8_t)(k * 31 + k / 251);
        request.op = WIRE_PULL; /* Large both ways. */
        request.version = (uint32_t)i;
        ck_assert_int_eq(
            zmq_client_call(c, e->bound, &request, body, 20000, NULL, NULL, &answer, &back),
            ERR_OK);
        ck_assert_uint_eq(answer.version, i);
        ck_assert_uint_eq(answer.role, WIRE_SERVER);
        ck_assert_uint_eq(answer.incarnation, 99);
        ck_assert_uint_eq(blob_size(back), sizes[i]);
        if (sizes[i]) ck_assert_int_eq(memcmp(blob_data(back), blob_data(body), sizes[i]), 0);
        ck_assert_uint_eq((uintptr_t)blob_data(back) % 8, 0);
        blob_unref(back);
        blob_unref(body);
    }
    stop_echo(e->bound);
    zmq_client_close(c);
    return NULL;
}

START_TEST(bodies_of_every_size_come_back)
{
    echo e;
    echo_open(&e);
    ck_assert_int_eq(echo_run(&e, send_bodies, &e), 0);
    ck_assert_str_eq(e.why, "asked to");
    ck_assert_uint_eq(refusals_count(zmq_shell_refusals(e.shell), REFUSED_MALFORMED), 0);
    zmq_shell_close(e.shell);
}
END_TEST

/* ---- Peers ---- */

enum { HOME_1, HOME_2, HOMES };

/* A core that calls a peer: in its first life, which is not there; in its second at another
 * address; the same life again; and in a third life at the second address. */
typedef struct caller {
    core_host host;
    char home[HOMES][CORE_TEXT_MAX];
    uint32_t sent, answers;
} caller;

static void call(caller *c, core_actions *out, uint64_t life, int home)
{
    core_peer peer = {WIRE_SERVER, 4, life};
    wire_header h = wire_request(WIRE_HELLO);
    h.tag = ++c->sent;
    core_peer_at(out, peer, c->home[home]);
    core_send(out, peer, 0, &h, NULL);
}

static uint64_t caller_step(void *core, const core_event *event, core_actions *out)
{
    caller *c = core;
    if (event->type == CORE_START) {
        core_peer stranger = {WIRE_SAMPLER, 1, 1};
        wire_header h = wire_request(WIRE_HELLO);
        core_send(out, stranger, 0, &h, NULL); /* Nobody: dropped. */
        call(c, out, 1, HOME_1);
        call(c, out, 2, HOME_2);
    }
    if (event->type == CORE_MESSAGE) {
        ck_assert(wire_is_answer(event->message.header));
        ck_assert_uint_eq(event->message.header->tag, c->sent);
        c->answers++;
        if (c->answers == 1) call(c, out, 2, HOME_2);
        if (c->answers == 2) call(c, out, 3, HOME_2);
        if (c->answers == 3) core_exit(out, 0, "done");
    }
    return UINT64_MAX;
}

typedef struct home {
    void *context, *router;
    uint32_t seen;
    uint64_t route[8], tag[8];
} home;

static void *answer_calls(void *user)
{
    home *at = user;
    while (at->seen < 3) {
        zmq_frames f;
        zmq_pollitem_t item = {.socket = at->router, .events = ZMQ_POLLIN};
        zmq_poll(&item, 1, 5000);
        if (zmq_frames_receive(at->router, true, &f) != ZMQ_FRAMES_MESSAGE) break;
        at->route[at->seen] = f.route;
        at->tag[at->seen++] = f.header.tag;
        wire_header answer = wire_answer(&f.header, WIRE_OK);
        answer.role = WIRE_SERVER;
        ck_assert(zmq_frames_send(at->router, f.route, &answer, NULL));
        blob_unref(f.body);
    }
    return NULL;
}

static void bind_home(home *at, char endpoint[CORE_TEXT_MAX])
{
    size_t size = CORE_TEXT_MAX;
    *at = (home){.context = zmq_ctx_new()};
    at->router = zmq_frames_socket(at->context, ZMQ_ROUTER);
    ck_assert_int_eq(zmq_bind(at->router, "tcp://127.0.0.1:*"), 0);
    ck_assert_int_eq(zmq_getsockopt(at->router, ZMQ_LAST_ENDPOINT, endpoint, &size), 0);
}

START_TEST(a_new_life_is_a_new_connection)
{
    caller c = {.host = {.self = {WIRE_WORKER, 0, 5}, .core = &c, .step = caller_step}};
    home first, second;
    zmq_shell *s;
    char bound[CORE_TEXT_MAX], why[CORE_TEXT_MAX];
    pthread_t thread;
    bind_home(&first, c.home[HOME_1]);
    zmq_close(
        first
            .router); /* Nobody listens there: what is sent waits in its queue, and goes with it. */
    bind_home(&second, c.home[HOME_2]);
    ck_assert_int_eq(zmq_shell_open(NULL, NULL, &s, bound), ERR_OK);
    ck_assert_int_eq(pthread_create(&thread, NULL, answer_calls, &second), 0);
    ck_assert_int_eq(zmq_shell_run(s, &c.host, why), 0);
    alarm(0);
    pthread_join(thread, NULL);
    zmq_shell_close(s); /* Does not wait for the peer that is gone. */
    ck_assert_uint_eq(second.seen, 3);
    ck_assert_uint_eq(second.tag[0], 2);
    ck_assert_uint_eq(second.tag[2], 4);
    ck_assert(second.route[0] == second.route[1]); /* The same life: the same connection. */
    ck_assert(second.route[1] != second.route[2]);
    zmq_close(second.router);
    zmq_ctx_term(first.context);
    zmq_ctx_term(second.context);
}
END_TEST

START_TEST(nothing_is_sent_to_nobody)
{
    home at;
    char endpoint[CORE_TEXT_MAX];
    wire_header h = wire_request(WIRE_HELLO);
    h.role = WIRE_WORKER;
    bind_home(&at, endpoint);
    ck_assert(!zmq_frames_send(at.router, 0x123456701, &h, NULL));
    zmq_close(at.router);
    zmq_ctx_term(at.context);
}
END_TEST

START_TEST(a_taken_address_cannot_be_bound)
{
    echo e;
    zmq_shell *second;
    char bound[CORE_TEXT_MAX];
    echo_open(&e);
    ck_assert_int_eq(zmq_shell_open(e.bound, NULL, &second, bound), ERR_IO);
    ck_assert_int_eq(zmq_shell_open("nonsense://x", NULL, &second, bound), ERR_IO);
    zmq_shell_close(e.shell);
}
END_TEST

/* ---- Results, timers, signals ---- */

enum { POSTERS = 4, POSTS = 500 };

typedef struct poster {
    pthread_t thread;
    shell_post *post;
    void *shell;
    uint32_t first;
} poster;

static poster posters[POSTERS];

static void *post_all(void *user)
{
    poster *p = user;
    for (uint32_t i = 0; i < POSTS; i++)
        p->post(p->shell, p->first + i, ERR_OK, (void *)(uintptr_t)(p->first + i + 1));
    return NULL;
}

/* Every POSTS-th action starts a thread that posts the results of all of them. */
static void start_poster(void *user, uint64_t token, uint32_t kind, const void *detail,
                         shell_post *post, void *shell)
{
    (void)user, (void)kind, (void)detail;
    if (token % POSTS) return;
    poster *p = &posters[token / POSTS];
    *p = (poster){.post = post, .shell = shell, .first = (uint32_t)token};
    ck_assert_int_eq(pthread_create(&p->thread, NULL, post_all, p), 0);
}

static void count_done(void *user, uint64_t token, const void *detail)
{
    echo *e = user;
    ck_assert_uint_eq((uintptr_t)detail, token + 1);
    e->released++;
}

START_TEST(results_of_other_threads_arrive_once)
{
    echo e;
    echo_open(&e);
    e.wanted_results = POSTERS * POSTS;
    e.host.compute = start_poster;
    e.host.done = count_done;
    ck_assert_int_eq(echo_run(&e, NULL, NULL), 0);
    for (int i = 0; i < POSTERS; i++) pthread_join(posters[i].thread, NULL);
    uint64_t n = POSTERS * POSTS;
    ck_assert_uint_eq(e.results, n);
    ck_assert_uint_eq(e.token_sum, n * (n - 1) / 2);
    ck_assert_uint_eq(e.released, n);
    zmq_shell_close(e.shell);
}
END_TEST

static void post_late(void *user)
{
    echo *e = user;
    zmq_shell_post(e->shell, 41, ERR_OK, (void *)(uintptr_t)42);
}

START_TEST(results_after_the_end_are_released)
{
    echo e;
    echo_open(&e);
    e.timer_at_us = 1000;
    e.host.stop = post_late;
    e.host.done = count_done;
    ck_assert_int_eq(echo_run(&e, NULL, NULL), 0);
    ck_assert_uint_eq(e.results, 0);
    ck_assert_uint_eq(e.released, 1);
    zmq_shell_close(e.shell);
}
END_TEST

START_TEST(timers_fire_when_they_are_due)
{
    echo e;
    echo_open(&e);
    e.timer_at_us = 50000;
    uint64_t from = clock_now_us();
    ck_assert_int_eq(echo_run(&e, NULL, NULL), 0);
    uint64_t took = clock_now_us() - from;
    ck_assert_str_eq(e.why, "timer");
    ck_assert_uint_ge(took, 50000);
    ck_assert_uint_lt(took, 5000000);
    ck_assert_uint_le(e.timers, 2);
    zmq_shell_close(e.shell);
}
END_TEST

static void *send_signals(void *user)
{
    const echo *e = user;
    usleep(50000);
    kill(getpid(), SIGTERM);
    usleep(100000);
    if (e->repeat_signal) kill(getpid(), SIGTERM);
    usleep(20000);
    if (e->ignore_signals) kill(getpid(), SIGINT);
    return NULL;
}

START_TEST(a_signal_reaches_the_core)
{
    echo e;
    echo_open(&e);
    ck_assert_int_eq(echo_run(&e, send_signals, &e), 0);
    ck_assert_str_eq(e.why, "signal");
    ck_assert_int_eq(e.signal, SIGTERM);
    ck_assert_uint_eq(e.stops, 1);
    zmq_shell_close(e.shell);
}
END_TEST

static void stop_too_long(void *user)
{
    (void)user;
    sleep(60);
}

/* A computation that goes on does not keep a process, nor change how it ends. */
START_TEST(a_host_that_does_not_stop_ends_with_its_cores_code)
{
    pid_t pid = fork();
    if (pid == 0) {
        echo e;
        echo_open(&e);
        e.host.stop = stop_too_long;
        e.timer_at_us = 1000;
        zmq_shell_run(e.shell, &e.host, e.why);
        _exit(77); /* Not reached: it sleeps for a minute. */
    }
    int status;
    uint64_t start = clock_now_us();
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), 0);
    ck_assert_uint_lt(clock_now_us() - start, 20000000);
}
END_TEST

START_TEST(a_second_signal_ends_it_at_once)
{
    echo e;
    echo_open(&e);
    e.ignore_signals = true;
    ck_assert_int_eq(echo_run(&e, send_signals, &e), 128 + SIGINT);
    ck_assert_uint_eq(e.stops, 1);
    zmq_shell_close(e.shell);
}
END_TEST

/* As the kernel does for the death of a parent with many threads. */
START_TEST(a_repeat_of_the_first_signal_is_no_second_one)
{
    echo e;
    echo_open(&e);
    e.ignore_signals = e.repeat_signal = true;
    ck_assert_int_eq(echo_run(&e, send_signals, &e), 128 + SIGINT);
    ck_assert_uint_eq(e.stops, 1);
    zmq_shell_close(e.shell);
}
END_TEST

/* ---- The client ---- */

static err_code stop_after(void *context)
{
    int *left = context;
    return --*left > 0 ? ERR_OK : ERR_STOPPED;
}

START_TEST(a_client_gives_up)
{
    zmq_client *c = client_open();
    wire_header request = wire_request(WIRE_HELLO), answer;
    blob *body;
    int left = 3;
    ck_assert_int_eq(
        zmq_client_call(c, "tcp://127.0.0.1:1", &request, NULL, 120, NULL, NULL, &answer, &body),
        ERR_CLOSED);
    ck_assert_int_eq(zmq_client_call(c, "tcp://127.0.0.1:1", &request, NULL, 60000, stop_after,
                                     &left, &answer, &body),
                     ERR_STOPPED);
    ck_assert_int_eq(
        zmq_client_call(c, "what://ever", &request, NULL, 100, NULL, NULL, &answer, &body), ERR_IO);
    zmq_client_close(c);
}
END_TEST

/* Ignores the first request, then answers with another tag, malformed frames, and twice. */
static void *answer_badly(void *user)
{
    home *at = user;
    zmq_frames f;
    while (at->seen < 3) {
        zmq_pollitem_t item = {.socket = at->router, .events = ZMQ_POLLIN};
        if (zmq_poll(&item, 1, 8000) <= 0) return NULL;
        if (zmq_frames_receive(at->router, true, &f) != ZMQ_FRAMES_MESSAGE) return NULL;
        at->tag[at->seen++] = f.header.tag;
        blob_unref(f.body);
        if (at->seen == 1) continue;
        wire_header wrong = wire_answer(&f.header, WIRE_GONE),
                    right = wire_answer(&f.header, WIRE_OK);
        wrong.role = right.role = WIRE_SCHEDULER;
        wrong.tag ^= 0x80;
        zmq_frames_send(at->router, f.route, &wrong, NULL);
        wrong.tag = f.header.tag;
        wrong.flags = 0; /* Not an answer. */
        zmq_frames_send(at->router, f.route, &wrong, NULL);
        wrong.magic = 1;
        zmq_frames_send(at->router, f.route, &wrong, NULL);
        zmq_frames_send(at->router, f.route, &right, NULL);
        zmq_frames_send(at->router, f.route, &right, NULL);
    }
    return NULL;
}

static void *answer_in_protocol_2(void *user)
{
    home *at = user;
    zmq_frames f;
    zmq_pollitem_t item = {.socket = at->router, .events = ZMQ_POLLIN};
    if (zmq_poll(&item, 1, 8000) <= 0) return NULL;
    if (zmq_frames_receive(at->router, true, &f) != ZMQ_FRAMES_MESSAGE) return NULL;
    wire_header answer = wire_answer(&f.header, WIRE_OK);
    answer.role = WIRE_SCHEDULER;
    answer.protocol = 2;
    answer.status = 99; /* Who knows what it means there. */
    zmq_frames_send(at->router, f.route, &answer, NULL);
    blob_unref(f.body);
    return NULL;
}

START_TEST(a_client_takes_no_answer_of_another_protocol)
{
    home at;
    char endpoint[CORE_TEXT_MAX];
    pthread_t thread;
    bind_home(&at, endpoint);
    ck_assert_int_eq(pthread_create(&thread, NULL, answer_in_protocol_2, &at), 0);
    zmq_client *c = client_open();
    wire_header request = wire_request(WIRE_CONFIG), answer;
    blob *body;
    ck_assert_int_eq(
        zmq_client_call(c, endpoint, &request, NULL, 10000, NULL, NULL, &answer, &body),
        ERR_MISMATCH);
    pthread_join(thread, NULL);
    zmq_client_close(c);
    zmq_close(at.router);
    zmq_ctx_term(at.context);
}
END_TEST

START_TEST(a_client_asks_again_and_takes_its_own_answer)
{
    home at;
    char endpoint[CORE_TEXT_MAX];
    pthread_t thread;
    bind_home(&at, endpoint);
    ck_assert_int_eq(pthread_create(&thread, NULL, answer_badly, &at), 0);
    zmq_client *c = client_open();
    for (int i = 0; i < 2; i++) {
        wire_header request = wire_request(WIRE_CONFIG), answer;
        blob *body;
        ck_assert_int_eq(
            zmq_client_call(c, endpoint, &request, NULL, 10000, NULL, NULL, &answer, &body),
            ERR_OK);
        ck_assert_uint_eq(answer.status, WIRE_OK);
    }
    pthread_join(thread, NULL);
    ck_assert_uint_eq(at.seen, 3);
    ck_assert(at.tag[0] == at.tag[1] && at.tag[1] != at.tag[2]);
    zmq_client_close(c);
    zmq_close(at.router);
    zmq_ctx_term(at.context);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("zmq_shell");
    TCase *c = tcase_create("all");
    tcase_add_test(c, malformed_messages_are_dropped_and_counted);
    tcase_add_test(c, peers_that_choose_an_identity_are_dropped);
    tcase_add_test(c, bodies_of_every_size_come_back);
    tcase_add_test(c, a_new_life_is_a_new_connection);
    tcase_add_test(c, nothing_is_sent_to_nobody);
    tcase_add_test(c, a_taken_address_cannot_be_bound);
    tcase_add_test(c, results_of_other_threads_arrive_once);
    tcase_add_test(c, results_after_the_end_are_released);
    tcase_add_test(c, timers_fire_when_they_are_due);
    tcase_add_test(c, a_signal_reaches_the_core);
    tcase_add_test(c, a_host_that_does_not_stop_ends_with_its_cores_code);
    tcase_add_test(c, a_second_signal_ends_it_at_once);
    tcase_add_test(c, a_repeat_of_the_first_signal_is_no_second_one);
    tcase_add_test(c, a_client_gives_up);
    tcase_add_test(c, a_client_takes_no_answer_of_another_protocol);
    tcase_add_test(c, a_client_asks_again_and_takes_its_own_answer);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
