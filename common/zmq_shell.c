#include "common/zmq_shell.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/op_meter.h"
#include "common/op_rules.h"
#include "common/panic.h"
#include "common/reach.h"
#include "common/resolver.h"
#include "common/zmq_frames.h"
#include "common/zmq_guard.h"
#include "common/zmq_watch.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

enum { IO_THREADS = 1, RECEIVE_BURST = 64 };
/* After so long a silence a name may stand for another address. */
enum { SILENT_US = 3000000, ASK_US = 3000000 };

typedef struct dealer {
    core_peer peer;
    char *address;
    resolver *resolver;         /* of a named address; NULL: it is a number */
    char number[CORE_TEXT_MAX]; /* what is connected to; "": not known yet */
    uint64_t heard_us, asked_us;
    void *socket, *watch; /* NULL: not watched */
    reach reach;
    uint64_t retry_us; /* it was turned away: connects again then; 0: no */
    uint32_t denials;
} dealer;

typedef struct posted {
    uint64_t token;
    err_code status;
    const void *detail;
} posted;

struct zmq_shell {
    void *context, *router;
    keyring *keys; /* NULL: none */
    refusals *refusals;
    op_meter *meter;
    zmq_guard *guard;
    zmq_peers *peers; /* who comes to the router */
    char *path;       /* of an ipc:// socket; NULL: none */
    ino_t inode;
    dealer *dealers;
    size_t dealers_n, dealers_cap;
    zmq_pollitem_t *items;
    size_t items_cap;
    int signals, wake;
    pthread_mutex_t lock; /* guards: results, results_n, results_cap */
    posted *results;
    size_t results_n, results_cap;
    uint64_t timer_us;
    bool exited;
    int exit_code;
    char why[CORE_TEXT_MAX];
    uint64_t foreign; /* messages of another protocol version */
    bool accepted;    /* the scheduler's last answer to a HELLO */
    zmq_shell_notice *notice;
    void *notice_user;
};

static err_code open_signals(int *fd)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    *fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    return *fd < 0 ? ERR_IO : ERR_OK;
}

/* Remembers the file of a bound ipc:// socket: libzmq leaves it behind. */
static void note_path(zmq_shell *s, const char *bound)
{
    struct stat st;
    if (strncmp(bound, "ipc://", 6) != 0 || stat(bound + 6, &st) != 0) return;
    s->path = xstrdup(bound + 6);
    s->inode = st.st_ino;
}

/* Unless another process has bound the name meanwhile. */
static void remove_path(const zmq_shell *s)
{
    struct stat st;
    if (s->path && stat(s->path, &st) == 0 && st.st_ino == s->inode) unlink(s->path);
}

/* Binds; the guard is there before, or every key would be let in. */
static err_code bind_router(zmq_shell *s, const char *endpoint, char *bound)
{
    keyring *keys = keyring_wanted(endpoint) ? s->keys : NULL;
    size_t size = CORE_TEXT_MAX;
    s->router = zmq_frames_socket(s->context, ZMQ_ROUTER);
    if (!s->router) return ERR_IO;
    err_code rc = keyring_serve(keys, s->router);
    if (rc == ERR_OK && keyring_wanted(endpoint))
        rc = zmq_guard_start(s->context, s->router, keys, s->refusals, &s->guard);
    if (rc != ERR_OK) return rc;
    if (zmq_bind(s->router, endpoint) != 0) return ERR_IO;
    if (zmq_getsockopt(s->router, ZMQ_LAST_ENDPOINT, bound, &size) != 0) return ERR_IO;
    note_path(s, bound);
    return ERR_OK;
}

err_code zmq_shell_open(const char *endpoint, keyring *keys, zmq_shell **out, char *bound)
{
    zmq_shell *s = xcalloc(1, sizeof *s);
    s->timer_us = UINT64_MAX;
    s->signals = s->wake = -1;
    s->keys = keys;
    s->refusals = refusals_new();
    s->meter = op_meter_new();
    s->peers = zmq_peers_new();
    pthread_mutex_init(&s->lock, NULL);
    if (open_signals(&s->signals) != ERR_OK) goto fail;
    s->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    s->context = zmq_ctx_new();
    if (s->wake < 0 || !s->context) goto fail;
    zmq_ctx_set(s->context, ZMQ_IO_THREADS, IO_THREADS);
    if (endpoint && bind_router(s, endpoint, bound) != ERR_OK) {
        log_user_error("cannot listen on %s: %s", endpoint, zmq_strerror(zmq_errno()));
        zmq_shell_close(s);
        return ERR_IO;
    }
    *out = s;
    return ERR_OK;
fail:
    log_error("shell_failed", "reason=\"%s\"", zmq_strerror(zmq_errno()));
    zmq_shell_close(s);
    return ERR_IO;
}

static void close_socket(const dealer *d)
{
    zmq_watch_stop(d->socket);
    zmq_watch_close(d->watch);
    zmq_close(d->socket);
}

static void close_dealer(dealer *d)
{
    close_socket(d);
    resolver_free(d->resolver);
    free(d->address);
}

void zmq_shell_close(zmq_shell *s)
{
    if (!s) return;
    for (size_t i = 0; i < s->dealers_n; i++) close_dealer(&s->dealers[i]);
    remove_path(s);
    if (s->router) zmq_watch_stop(s->router);
    if (s->router) zmq_close(s->router);
    zmq_guard_stop(s->guard);
    if (s->context) zmq_ctx_term(s->context);
    if (s->signals >= 0) close(s->signals);
    if (s->wake >= 0) close(s->wake);
    pthread_mutex_destroy(&s->lock);
    refusals_free(s->refusals);
    op_meter_free(s->meter);
    zmq_peers_free(s->peers);
    free(s->path);
    free(s->dealers);
    free(s->items);
    free(s->results);
    free(s);
}

void zmq_shell_post(void *shell, uint64_t token, err_code status, const void *detail)
{
    zmq_shell *s = shell;
    uint64_t one = 1;
    pthread_mutex_lock(&s->lock);
    grow(&s->results, &s->results_cap, s->results_n + 1, sizeof *s->results);
    s->results[s->results_n++] = (posted){token, status, detail};
    pthread_mutex_unlock(&s->lock);
    if (write(s->wake, &one, sizeof one) < 0) ASSERT(errno == EAGAIN); /* Full: awake anyway. */
}

/* ---- Sending ---- */

static dealer *find_dealer(zmq_shell *s, core_peer peer)
{
    for (size_t i = 0; i < s->dealers_n; i++) {
        dealer *d = &s->dealers[i];
        if (d->peer.role == peer.role && d->peer.index == peer.index) return d;
    }
    return NULL;
}

/* A new socket for `d`, connected. */
static void open_dealer(zmq_shell *s, dealer *d)
{
    keyring *keys = keyring_wanted(d->address) ? s->keys : NULL;
    d->retry_us = 0;
    d->socket = zmq_frames_socket(s->context, ZMQ_DEALER);
    ASSERT(d->socket);
    d->watch = zmq_watch_open(s->context, d->socket, WATCH_FAILURES | WATCH_PROGRESS);
    ASSERT(d->watch);
    bool good = keyring_call(keys, d->socket, d->peer.role) == ERR_OK;
    if (good && !d->number[0]) return; /* renew_number comes back */
    if (!good || zmq_connect(d->socket, d->number) != 0) {
        log_warn("connect_failed", "peer=%s-%" PRIu32 " address=\"%s\" reason=\"%s\"",
                 wire_role_name(d->peer.role), d->peer.index, d->address,
                 zmq_strerror(zmq_errno()));
    }
}

/* Connects to a peer, or again where its address or incarnation is new: what was queued for the old
 * life is dropped with the old socket. */
static void connect_peer(zmq_shell *s, core_peer peer, const char *address)
{
    dealer *d = find_dealer(s, peer);
    if (d && d->peer.incarnation == peer.incarnation && strcmp(d->address, address) == 0) return;
    if (!d) {
        grow(&s->dealers, &s->dealers_cap, s->dealers_n + 1, sizeof *s->dealers);
        d = &s->dealers[s->dealers_n++];
    } else {
        zmq_frames_no_linger(d->socket);
        close_dealer(d);
    }
    *d = (dealer){.peer = peer, .address = xstrdup(address)};
    if (resolver_is_named(address)) {
        d->resolver = resolver_new(address);
        resolver_ask(d->resolver);
    } else {
        snprintf(d->number, sizeof d->number, "%s", address);
    }
    open_dealer(s, d);
}

static bool is_failure(watch_event e)
{
    return e == WATCH_DENIED || e == WATCH_MISMATCH || e == WATCH_BROKEN;
}

/* libzmq does not connect again after it was turned away, or far too often: that is done here,
 * later. */
static void watch_dealer(dealer *d)
{
    int value;
    watch_event e;
    while ((e = zmq_watch_read(d->watch, &value)) != WATCH_NOTHING) {
        uint64_t again_us = reach_take(&d->reach, e, clock_now_us());
        if (is_failure(e) && d->denials++ % 30 == 0) {
            log_warn("turned_away",
                     "peer=%s-%" PRIu32 " address=\"%s\" times=%" PRIu32 " why=\"%s\"",
                     wire_role_name(d->peer.role), d->peer.index, d->address, d->denials,
                     zmq_watch_why(e));
        }
        if (!again_us || d->retry_us) continue;
        d->retry_us = again_us;
        zmq_frames_no_linger(d->socket); /* or it would try on while it lingers */
        zmq_disconnect(d->socket, d->number);
    }
}

/* Looks the name of a silent peer up again.  True: it has another address now. */
static bool renew_number(dealer *d, uint64_t now_us)
{
    char number[CORE_TEXT_MAX];
    if (!d->resolver) return false;
    if (resolver_take(d->resolver, number) && number[0] && strcmp(number, d->number) != 0) {
        log_info("resolved", "peer=%s-%" PRIu32 " address=\"%s\" number=\"%s\"",
                 wire_role_name(d->peer.role), d->peer.index, d->address, number);
        memcpy(d->number, number, sizeof number);
        d->heard_us = now_us; /* time to answer */
        return true;
    }
    if (now_us - d->heard_us < SILENT_US || now_us - d->asked_us < ASK_US) return false;
    d->asked_us = now_us;
    resolver_ask(d->resolver);
    return false;
}

static void retry_dealers(zmq_shell *s, uint64_t now_us)
{
    for (size_t i = 0; i < s->dealers_n; i++) {
        dealer *d = &s->dealers[i];
        bool moved = renew_number(d, now_us);
        if (!moved && (!d->retry_us || now_us < d->retry_us)) continue;
        zmq_frames_no_linger(d->socket);
        close_socket(d);
        open_dealer(s, d);
    }
}

/* Closes the connection of a peer that did too much wrong. */
static void cut_peer(zmq_shell *s, const zmq_peer *p, const char *why)
{
    refusals_add(s->refusals, REFUSED_PEER, "%s: %s: its connection is closed", p->from, why);
    zmq_peer_cut(p);
}

static void note_bad(zmq_shell *s, zmq_peer *p)
{
    if (zmq_peer_bad(p, clock_now_us())) cut_peer(s, p, "too many refused messages");
}

/* An answer at the router.  One that a peer does not come to read is not sent: it asks again. */
static bool send_answer(zmq_shell *s, uint64_t route, const wire_header *h, blob *body)
{
    if (!s->router) return false;
    zmq_peer *p = zmq_peers_get(s->peers, route, clock_now_us());
    if (!zmq_peers_may_queue(s->peers, p, blob_size(body))) {
        refusals_add(s->refusals, REFUSED_QUEUE, "%s: it does not read its answers", p->from);
        return false;
    }
    bool sent = zmq_frames_answer(s->router, route, h, body, p->queued);
    if (h->status == WIRE_REFUSED) note_bad(s, p);
    return sent;
}

static void send_action(zmq_shell *s, const core_host *host, const core_action *a)
{
    wire_header h = a->send.header;
    h.role = (uint8_t)host->self.role;
    h.index = host->self.index;
    h.incarnation = host->self.incarnation;
    dealer *d = a->send.route ? NULL : find_dealer(s, a->send.to);
    void *socket = d ? d->socket : NULL;
    bool sent = a->send.route ? send_answer(s, a->send.route, &h, a->send.body)
                              : socket && zmq_frames_send(socket, 0, &h, a->send.body);
    if (!sent) {
        log_debug("send_dropped", "op=%s to=%s-%" PRIu32, wire_op_name(h.op),
                  wire_role_name(a->send.to.role), a->send.to.index);
    }
}

/* ---- Stepping ---- */

static void step(zmq_shell *s, const core_host *host, const core_event *e, core_actions *actions)
{
    op_meter_event(s->meter, e);
    s->timer_us = host->step(host->core, e, actions);
    op_meter_actions(s->meter, actions, e->type == CORE_MESSAGE ? clock_now_us() : e->now_us);
    for (size_t i = 0; i < actions->n && !s->exited; i++) {
        core_action *a = &actions->items[i];
        if (shell_local_action(host, a, zmq_shell_post, s)) continue;
        if (a->type == CORE_SEND) {
            send_action(s, host, a);
        } else if (a->type == CORE_PEER) {
            connect_peer(s, a->peer.peer, a->peer.address);
        } else if (a->type == CORE_COMPUTE) {
            host->compute(host->user, a->compute.token, a->compute.kind, a->compute.detail,
                          zmq_shell_post, s);
        } else {
            ASSERT(a->type == CORE_EXIT);
            s->exited = true;
            s->exit_code = a->exit.code;
            memcpy(s->why, a->exit.why, sizeof s->why);
        }
    }
    core_actions_reset(actions);
}

static void step_simple(zmq_shell *s, const core_host *host, core_event_type type, int number,
                        core_actions *actions)
{
    core_event e = {.type = type, .now_us = clock_now_us()};
    if (type == CORE_STOP) e.signal = number;
    step(s, host, &e, actions);
}

static void step_results(zmq_shell *s, const core_host *host, core_actions *actions)
{
    for (;;) {
        pthread_mutex_lock(&s->lock);
        posted *results = s->results;
        size_t n = s->results_n;
        s->results = NULL;
        s->results_n = s->results_cap = 0;
        pthread_mutex_unlock(&s->lock);
        if (!n) return;
        for (size_t i = 0; i < n; i++) { /* After an exit the core ignores them. */
            core_event e = {.type = CORE_RESULT, .now_us = clock_now_us()};
            e.result.token = results[i].token;
            e.result.status = results[i].status;
            e.result.detail = results[i].detail;
            step(s, host, &e, actions);
            if (host->done) host->done(host->user, results[i].token, results[i].detail);
        }
        free(results);
        if (s->exited) return;
    }
}

/* ---- Receiving ---- */

/* Answers a request that the core does not see. */
static void refuse(zmq_shell *s, const core_host *host, const zmq_frames *r, const char *why)
{
    core_action a = {.type = CORE_SEND};
    a.send.route = r->route;
    a.send.header = wire_answer(&r->header, WIRE_REFUSED);
    a.send.body = blob_copy(why, strlen(why));
    a.send.header.body_bytes = blob_size(a.send.body);
    send_action(s, host, &a);
    blob_unref(a.send.body);
}

/* A message of another protocol version is none to a core: nothing in it was checked.  A request is
 * refused by name, so that its sender can say why it ends. */
static void refuse_foreign(zmq_shell *s, const core_host *host, const zmq_frames *r)
{
    char why[CORE_TEXT_MAX];
    snprintf(why, sizeof why, "it speaks protocol %u, %s-%" PRIu32 " speaks %d", r->header.protocol,
             wire_role_name(host->self.role), host->self.index, WIRE_PROTOCOL);
    if (s->foreign++ % 1000 == 0) log_warn("other_protocol", "why=\"%s\"", why);
    if (!wire_is_answer(&r->header)) refuse(s, host, r, why);
}

/* True: the key of a request may say what its header says.  Otherwise counted and answered; *role
 * is that of the key, WIRE_NONE without keys. */
static bool admit_key(zmq_shell *s, const core_host *host, const zmq_frames *r, uint32_t *role)
{
    const char *claimed = wire_role_name(r->header.role);
    char why[CORE_TEXT_MAX];
    *role = WIRE_NONE;
    if (!s->keys || !s->guard) return true;
    switch (keyring_check(s->keys, r->key, false, role)) {
    case KEY_UNSURE:
        refusals_add(s->refusals, REFUSED_KEY, "%s: the allow table cannot be used", r->peer);
        return false; /* In silence: the sender asks again. */
    case KEY_REFUSED:
        refusals_add(s->refusals, REFUSED_KEY, "%s-%" PRIu32 " at %s: the key %s was revoked",
                     claimed, r->header.index, r->peer, r->key);
        refuse(s, host, r, "its key was revoked");
        return false;
    case KEY_ALLOWED: break;
    }
    if (*role == r->header.role) return true;
    snprintf(why, sizeof why, "the key is of a %s, not of a %s", wire_role_name(*role), claimed);
    refusals_add(s->refusals, REFUSED_ROLE, "%s-%" PRIu32 " at %s: %s", claimed, r->header.index,
                 r->peer, why);
    refuse(s, host, r, why);
    return false;
}

/* True: a request for the core. */
static bool admit(zmq_shell *s, const core_host *host, const zmq_frames *r, uint32_t *key_role)
{
    char why[CORE_TEXT_MAX];
    const wire_header *h = &r->header;
    if (wire_is_answer(h)) {
        refusals_add(s->refusals, REFUSED_MALFORMED, "%s-%" PRIu32 " at %s: an answer to nothing",
                     wire_role_name(h->role), h->index, r->peer);
        note_bad(s, zmq_peers_get(s->peers, r->route, clock_now_us()));
        return false;
    }
    if (!admit_key(s, host, r, key_role)) return false;
    if (op_allowed(h->op, h->role, host->self.role)) return true;
    snprintf(why, sizeof why, "a %s may not ask a %s for %s", wire_role_name(h->role),
             wire_role_name(host->self.role), wire_op_name(h->op));
    refusals_add(s->refusals, REFUSED_OP, "%s-%" PRIu32 " at %s: %s", wire_role_name(h->role),
                 h->index, r->peer, why);
    refuse(s, host, r, why);
    return false;
}

static const size_t THE_ROUTER = SIZE_MAX;

/* What came from a peer we call: an answer, of the role we called. */
static bool is_expected(zmq_shell *s, size_t of, const zmq_frames *r)
{
    dealer *d = &s->dealers[of];
    if (wire_is_answer(&r->header) && r->header.role == d->peer.role) {
        d->heard_us = clock_now_us();
        if (r->header.op == WIRE_HELLO) s->accepted = r->header.status == WIRE_OK;
        return true;
    }
    refusals_add(s->refusals, REFUSED_MALFORMED, "%s-%" PRIu32 ": not an answer of a %s",
                 wire_role_name(d->peer.role), d->peer.index, wire_role_name(d->peer.role));
    return false;
}

/* Whose message it is; NULL: to be thrown away. */
static zmq_peer *take_peer(zmq_shell *s, const zmq_frames *r, bool malformed)
{
    uint64_t now = clock_now_us();
    if (s->guard) zmq_guard_read(s->guard, r->fd, r->bytes, r->frames);
    zmq_peer *p = zmq_peers_get(s->peers, r->route, now);
    p->fd = r->fd;
    memcpy(p->from, r->peer, sizeof p->from);
    if (zmq_peer_is_muted(p, now)) return NULL;
    if (!malformed) return p;
    refusals_add(s->refusals, REFUSED_MALFORMED, "%s: not two good frames", r->peer);
    if (r->excess) {
        zmq_peer_mute(p, now);
        cut_peer(s, p, "a message of more than two frames");
    } else {
        note_bad(s, p);
    }
    return NULL;
}

/* One message; false: there is none. */
static bool step_message(zmq_shell *s, const core_host *host, size_t of, core_actions *actions)
{
    bool is_router = of == THE_ROUTER;
    zmq_frames r;
    core_event e = {.type = CORE_MESSAGE};
    int got = zmq_frames_receive(is_router ? s->router : s->dealers[of].socket, is_router, &r);
    if (got == ZMQ_FRAMES_NONE) return false;
    bool malformed = got == ZMQ_FRAMES_MALFORMED;
    if (is_router ? !take_peer(s, &r, malformed) : malformed) {
        if (!is_router) refusals_add(s->refusals, REFUSED_MALFORMED, "not two good frames");
    } else if (r.foreign) {
        refuse_foreign(s, host, &r);
    } else if (is_router ? admit(s, host, &r, &e.message.key_role) : is_expected(s, of, &r)) {
        e.now_us = clock_now_us();
        e.message.route = r.route;
        e.message.header = &r.header;
        e.message.body = r.body;
        step(s, host, &e, actions);
    }
    blob_unref(r.body);
    return true;
}

/* The router or dealer number `of` as it is now: a step may connect a peer anew. */
static void step_socket(zmq_shell *s, const core_host *host, size_t of, core_actions *actions)
{
    for (int i = 0; i < RECEIVE_BURST && !s->exited; i++) {
        if (!step_message(s, host, of, actions)) return;
    }
}

/* ---- The loop ---- */

enum { FIXED_ITEMS = 3 }; /* signals, wake, router */

static void fill_items(zmq_shell *s)
{
    grow(&s->items, &s->items_cap, 2 * s->dealers_n + FIXED_ITEMS, sizeof *s->items);
    s->items[0] = (zmq_pollitem_t){.fd = s->signals, .events = ZMQ_POLLIN};
    s->items[1] = (zmq_pollitem_t){.fd = s->wake, .events = ZMQ_POLLIN};
    s->items[2] = (zmq_pollitem_t){.socket = s->router, .events = ZMQ_POLLIN};
    if (!s->router) s->items[2].fd = s->wake;
    for (size_t i = 0; i < s->dealers_n; i++) {
        zmq_pollitem_t *item = &s->items[FIXED_ITEMS + 2 * i];
        item[0] = (zmq_pollitem_t){.socket = s->dealers[i].socket, .events = ZMQ_POLLIN};
        item[1] = (zmq_pollitem_t){.socket = s->dealers[i].watch, .events = ZMQ_POLLIN};
    }
}

static long wait_ms(const zmq_shell *s, uint64_t idle_us)
{
    uint64_t now = clock_now_us(), next = s->timer_us < idle_us ? s->timer_us : idle_us;
    if (next <= now) return 0;
    return (long)((next - now + 999) / 1000);
}

typedef struct signals_seen {
    uint32_t count;
    uint64_t first_us;
    struct signalfd_siginfo first;
} signals_seen;

/* The kernel sends the signal for a parent's death once for each of its threads. */
static bool is_repeat(const signals_seen *seen, const struct signalfd_siginfo *info)
{
    enum { REPEAT_US = 500000 };
    return seen->count > 0 && info->ssi_signo == SIGTERM && seen->first.ssi_signo == SIGTERM &&
           seen->first.ssi_pid == info->ssi_pid && clock_now_us() - seen->first_us < REPEAT_US;
}

/* Reads the signals; true: a second one, end now. */
static bool step_signals(zmq_shell *s, const core_host *host, core_actions *actions,
                         signals_seen *seen)
{
    struct signalfd_siginfo info;
    while (!s->exited && read(s->signals, &info, sizeof info) == sizeof info) {
        notify_stopping("stopping: asked to leave");
        if (is_repeat(seen, &info)) continue;
        if (seen->count == 0) *seen = (signals_seen){.first = info, .first_us = clock_now_us()};
        if (seen->count++ > 0) {
            snprintf(s->why, sizeof s->why, "signal %" PRIu32 " again", info.ssi_signo);
            s->exit_code = 128 + (int)info.ssi_signo;
            return true;
        }
        step_simple(s, host, CORE_STOP, (int)info.ssi_signo, actions);
    }
    return false;
}

static void drain_wake(const zmq_shell *s)
{
    uint64_t count;
    while (read(s->wake, &count, sizeof count) == sizeof count) {
    }
}

/* Read by the handler of SIGALRM: lock-free. */
static _Atomic int late_code;

/* Nobody waits for what still computes: the process ends as its core did. */
static void end_now(int number)
{
    (void)number;
    _exit(late_code);
}

/* Ends the threads of the host and frees what they still posted. */
static void stop_host(zmq_shell *s, const core_host *host)
{
    struct sigaction action = {.sa_handler = end_now};
    sigemptyset(&action.sa_mask);
    late_code = s->exit_code;
    sigaction(SIGALRM, &action, NULL);
    alarm(ZMQ_SHELL_EXIT_S);
    if (host->stop) host->stop(host->user);
    for (size_t i = 0; host->done && i < s->results_n; i++)
        host->done(host->user, s->results[i].token, s->results[i].detail);
    s->results_n = 0;
}

static void tell_manager(const core_host *host, uint64_t now_us)
{
    notify_health h = {0};
    if (!host->health) return;
    host->health(host->user, &h);
    notify_update(now_us, &h);
}

int zmq_shell_run(zmq_shell *s, const core_host *host, char *why)
{
    core_actions actions;
    core_actions_init(&actions);
    signals_seen seen = {0};
    uint64_t idle_us = clock_now_us();
    step_simple(s, host, CORE_START, 0, &actions);
    while (!s->exited) {
        fill_items(s);
        size_t n = s->dealers_n;
        int rc = zmq_poll(s->items, (int)(2 * n + FIXED_ITEMS), wait_ms(s, idle_us));
        if (rc < 0 && zmq_errno() != EINTR) {
            snprintf(s->why, sizeof s->why, "zmq_poll: %s", zmq_strerror(zmq_errno()));
            s->exit_code = 1;
            break;
        }
        if (step_signals(s, host, &actions, &seen)) break;
        drain_wake(s);
        step_results(s, host, &actions);
        if (s->router && !s->exited) step_socket(s, host, THE_ROUTER, &actions);
        for (size_t i = 0; i < n && i < s->dealers_n && !s->exited; i++) {
            step_socket(s, host, i, &actions);
            watch_dealer(&s->dealers[i]);
        }
        uint64_t now = clock_now_us();
        if (!s->exited && now >= s->timer_us) step_simple(s, host, CORE_TIMER, 0, &actions);
        if (!s->exited && now >= idle_us) {
            retry_dealers(s, now);
            if (host->refused) host->refused(host->user, refusals_total(s->refusals));
            if (host->idle) host->idle(host->user, now);
            tell_manager(host, now);
            if (s->notice) s->notice(s->notice_user, s->accepted, refusals_total(s->refusals));
            idle_us = now + SHELL_IDLE_MS * 1000u;
        }
    }
    core_actions_fini(&actions);
    notify_stopping(s->why);
    stop_host(s, host);
    memcpy(why, s->why, CORE_TEXT_MAX);
    return s->exit_code;
}

refusals *zmq_shell_refusals(const zmq_shell *s)
{
    return s->refusals;
}

void zmq_shell_on_idle(zmq_shell *s, zmq_shell_notice *notice, void *user)
{
    s->notice = notice;
    s->notice_user = user;
}

const op_meter *zmq_shell_meter(const zmq_shell *s)
{
    return s->meter;
}

void zmq_shell_limit_unread(zmq_shell *s, uint64_t bytes)
{
    if (s->guard) zmq_guard_limit(s->guard, bytes);
}

void *zmq_shell_context(const zmq_shell *s)
{
    return s->context;
}

void zmq_shell_connect(zmq_shell *s, core_peer peer, const char *address)
{
    connect_peer(s, peer, address);
}
