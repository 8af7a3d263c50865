#include "deploy/inprocess.h"

#include "common/clock.h"
#include "common/mem.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { DRIVER_ROUTE = 1 << 20 };

typedef struct host {
    core_host host;
    inprocess *owner;
    uint64_t timer_us;
    bool exited;
    int code;
    char why[CORE_TEXT_MAX];
} host;

typedef struct queued {
    uint32_t host; /* index of the receiver */
    bool is_result;
    uint64_t route; /* message: the sender + 1 */
    wire_header header;
    blob *body;     /* owned */
    uint64_t token; /* result */
    err_code status;
    const void *detail;
} queued;

struct inprocess {
    host **hosts; /* each stays where it is: results are posted to it */
    size_t hosts_cap;
    uint32_t n;
    queued *queue;
    size_t first, len, cap; /* queue[first .. len) */
    uint64_t idle_us, tag;
    bool answered;
    wire_header answer;
    blob *answer_body;
};

inprocess *inprocess_new(void)
{
    return xcalloc(1, sizeof(inprocess));
}

void inprocess_free(inprocess *p)
{
    if (!p) return;
    for (size_t i = p->first; i < p->len; i++) {
        queued *q = &p->queue[i];
        blob_unref(q->body);
        core_host *h = &p->hosts[q->host]->host;
        if (q->is_result && h->done) h->done(h->user, q->token, q->detail);
    }
    blob_unref(p->answer_body);
    for (uint32_t i = 0; i < p->n; i++) free(p->hosts[i]);
    free(p->hosts);
    free(p->queue);
    free(p);
}

static void push(inprocess *p, queued q)
{
    if (p->first && p->first == p->len) p->first = p->len = 0;
    grow(&p->queue, &p->cap, p->len + 1, sizeof *p->queue);
    p->queue[p->len++] = q;
}

static void post(void *shell, uint64_t token, err_code status, const void *detail)
{
    host *h = shell;
    inprocess *p = h->owner;
    uint32_t index = 0;
    while (p->hosts[index] != h) index++;
    push(p,
         (queued){
             .host = index, .is_result = true, .token = token, .status = status, .detail = detail});
}

static host *find(const inprocess *p, uint32_t role, uint32_t index, uint32_t *at)
{
    for (uint32_t i = 0; i < p->n; i++) {
        core_peer self = p->hosts[i]->host.self;
        if (self.role != role || self.index != index) continue;
        *at = i;
        return p->hosts[i];
    }
    return NULL;
}

static void send_message(inprocess *p, uint32_t from, const core_action *a)
{
    core_peer self = p->hosts[from]->host.self;
    queued q = {.route = from + 1, .header = a->send.header, .body = blob_ref(a->send.body)};
    q.header.role = (uint8_t)self.role;
    q.header.index = self.index;
    q.header.incarnation = self.incarnation;
    bool known = true;
    if (a->send.route == DRIVER_ROUTE) {
        if (q.header.tag == p->tag && !p->answered) {
            p->answered = true;
            p->answer = q.header;
            p->answer_body = q.body;
            return;
        }
        known = false; /* An answer nobody waits for any more. */
    } else if (a->send.route) {
        q.host = (uint32_t)(a->send.route - 1);
    } else {
        known = find(p, a->send.to.role, a->send.to.index, &q.host) != NULL;
    }
    if (known) {
        push(p, q);
    } else {
        blob_unref(q.body);
    }
}

static void step(inprocess *p, uint32_t at, const core_event *e)
{
    host *h = p->hosts[at];
    if (h->exited) return;
    core_actions actions;
    core_actions_init(&actions);
    h->timer_us = h->host.step(h->host.core, e, &actions);
    for (size_t i = 0; i < actions.n && !h->exited; i++) {
        core_action *a = &actions.items[i];
        if (shell_local_action(&h->host, a, post, h)) continue;
        if (a->type == CORE_SEND) {
            send_message(p, at, a);
        } else if (a->type == CORE_COMPUTE) {
            h->host.compute(h->host.user, a->compute.token, a->compute.kind, a->compute.detail,
                            post, h);
        } else if (a->type == CORE_EXIT) {
            h->exited = true;
            h->code = a->exit.code;
            memcpy(h->why, a->exit.why, sizeof h->why);
        }
    }
    core_actions_fini(&actions);
}

void inprocess_add(inprocess *p, const core_host *new_host)
{
    grow(&p->hosts, &p->hosts_cap, p->n + 1, sizeof *p->hosts);
    host *h = xcalloc(1, sizeof *h);
    h->host = *new_host;
    h->owner = p;
    h->timer_us = UINT64_MAX;
    p->hosts[p->n++] = h;
    core_event e = {.type = CORE_START, .now_us = clock_now_us()};
    step(p, p->n - 1, &e);
}

static void deliver(inprocess *p, queued *q)
{
    core_event e = {.now_us = clock_now_us()};
    core_host *h = &p->hosts[q->host]->host;
    if (q->is_result) {
        e.type = CORE_RESULT;
        e.result.token = q->token;
        e.result.status = q->status;
        e.result.detail = q->detail;
    } else {
        e.type = CORE_MESSAGE;
        e.message.route = q->route;
        e.message.header = &q->header;
        e.message.body = q->body;
    }
    step(p, q->host, &e);
    if (q->is_result && h->done) h->done(h->user, q->token, q->detail);
    blob_unref(q->body);
}

static uint64_t next_timer(const inprocess *p)
{
    uint64_t next = UINT64_MAX;
    for (uint32_t i = 0; i < p->n; i++) {
        const host *h = p->hosts[i];
        if (!h->exited && h->timer_us < next) next = h->timer_us;
    }
    return next;
}

/* Fires the timers that are due; true: there were some. */
static bool fire_timers(inprocess *p, uint64_t now_us)
{
    bool any = false;
    for (uint32_t i = 0; i < p->n; i++) {
        if (p->hosts[i]->exited || p->hosts[i]->timer_us > now_us) continue;
        core_event e = {.type = CORE_TIMER, .now_us = now_us};
        step(p, i, &e);
        any = true;
    }
    return any;
}

static void call_idle(inprocess *p, uint64_t now_us)
{
    if (now_us < p->idle_us) return;
    p->idle_us = now_us + SHELL_IDLE_MS * 1000u;
    for (uint32_t i = 0; i < p->n; i++) {
        core_host *h = &p->hosts[i]->host;
        if (h->idle && !p->hosts[i]->exited) h->idle(h->user, now_us);
    }
}

void inprocess_run(inprocess *p, uint32_t wait_ms)
{
    enum { BURST = 256 };
    uint64_t now = clock_now_us();
    call_idle(p, now);
    bool worked = fire_timers(p, now) || p->first < p->len;
    for (int i = 0; i < BURST && p->first < p->len; i++) {
        queued q = p->queue[p->first++];
        deliver(p, &q);
    }
    if (worked) return;
    now = clock_now_us();
    uint64_t wait_us = (uint64_t)wait_ms * 1000u, next = next_timer(p);
    if (next <= now) return;
    if (next - now < wait_us) wait_us = next - now;
    usleep((useconds_t)wait_us);
}

bool inprocess_exited(const inprocess *p, uint32_t role, uint32_t index, int *code,
                      const char **why)
{
    uint32_t at;
    const host *h = find(p, role, index, &at);
    if (!h || !h->exited) return false;
    *code = h->code;
    *why = h->why;
    return true;
}

void inprocess_stop(inprocess *p, uint32_t role, uint32_t index, int signal)
{
    uint32_t at;
    core_event e = {.type = CORE_STOP, .now_us = clock_now_us(), .signal = signal};
    if (find(p, role, index, &at)) step(p, at, &e);
}

err_code inprocess_call(inprocess *p, core_peer from, core_peer to, const wire_header *request,
                        blob *request_body, const atomic_int *stop, wire_header *answer,
                        blob **body)
{
    enum { WAIT_MS = 2 };
    queued q = {.route = DRIVER_ROUTE, .header = *request, .body = blob_ref(request_body)};
    host *h = find(p, to.role, to.index, &q.host);
    q.header.role = (uint8_t)from.role;
    q.header.index = from.index;
    q.header.incarnation = from.incarnation;
    q.header.tag = ++p->tag;
    q.header.body_bytes = blob_size(request_body);
    if (!h) {
        blob_unref(q.body);
        return ERR_CLOSED;
    }
    p->answered = false;
    push(p, q);
    while (!p->answered) {
        if (stop && atomic_load(stop)) return ERR_STOPPED;
        if (h->exited) return ERR_CLOSED;
        inprocess_run(p, WAIT_MS);
    }
    *answer = p->answer;
    *body = p->answer_body;
    p->answer_body = NULL;
    return ERR_OK;
}
