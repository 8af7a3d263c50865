#include "sampler/sampler_loop.h"

#include "common/hash.h"
#include "common/mem.h"
#include "common/member.h"
#include "proto/weft.pb-c.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BUILDS_DEFAULT = 64, OWNER_FIRST = 16 };

/* Somebody who asked for a build. */
typedef struct waiter {
    uint64_t route;
    wire_header header;
} waiter;

typedef struct running_build {
    bool used, started;
    slot_name name;
    uint64_t id; /* owner of its requests */
    void *build; /* the ops'; NULL until started */
    blob *request;
    uint32_t missing; /* wants without an answer */
    waiter waiter[SAMPLER_WAITERS_MAX];
    uint32_t waiters;
} running_build;

struct sampler_loop {
    sampler_loop_config config;
    proto_alloc arena;
    member member;
    requests *requests;
    running_build build[SAMPLER_BUILDS_MAX];
    uint32_t running; /* started */
    uint64_t serial, leaves_local;
    sampler_wants wants; /* scratch */
    bool exited, signalled;
    sampler_loop_stats stats;
};

void sampler_wants_add(sampler_wants *w, uint32_t id, uint32_t partition, blob *body)
{
    grow(&w->items, &w->cap, w->n + 1, sizeof *w->items);
    w->items[w->n++] = (sampler_want){id, partition, body};
}

sampler_loop *sampler_loop_new(const sampler_loop_config *c)
{
    sampler_loop *s = xcalloc(1, sizeof *s);
    s->config = *c;
    if (!s->config.builds) s->config.builds = BUILDS_DEFAULT;
    proto_alloc_init(&s->arena, MEMBER_PROTO_BYTES);
    core_peer self = {WIRE_SAMPLER, c->index, c->incarnation};
    member_config m = {self, c->plan_hash, c->numerics, c->address, c->pid, c->mutations};
    member_init(&s->member, &m, &s->arena);
    requests_config r = {.self = self, .mutations = c->mutations};
    s->requests = requests_new(&r);
    s->serial = OWNER_FIRST;
    return s;
}

static void build_fini(sampler_loop *s, running_build *b)
{
    if (b->build) s->config.ops->build_free(s->config.ops->ctx, b->build);
    blob_unref(b->request);
    s->running -= b->started;
    *b = (running_build){0};
}

void sampler_loop_free(sampler_loop *s)
{
    if (!s) return;
    for (uint32_t i = 0; i < SAMPLER_BUILDS_MAX; i++) build_fini(s, &s->build[i]);
    for (size_t i = 0; i < s->wants.n; i++) blob_unref(s->wants.items[i].body);
    free(s->wants.items);
    requests_free(s->requests);
    member_fini(&s->member);
    proto_alloc_fini(&s->arena);
    free(s);
}

static void answer(sampler_loop *s, core_actions *out, uint64_t route, const wire_header *to,
                   wire_status status, blob *body)
{
    wire_header h = wire_answer(to, status);
    h.role = WIRE_SAMPLER;
    h.index = s->config.index;
    h.incarnation = s->config.incarnation;
    core_send(out, (core_peer){to->role, to->index, to->incarnation}, route, &h, body);
}

static void answer_text(sampler_loop *s, core_actions *out, uint64_t route, const wire_header *to,
                        wire_status status, const char *why)
{
    answer(s, out, route, to, status, blob_copy(why, strlen(why)));
}

/* ---- builds ---- */

static void answer_waiters(sampler_loop *s, running_build *b, core_actions *out, blob *body,
                           const char *why)
{
    for (uint32_t i = 0; i < b->waiters; i++) {
        waiter *w = &b->waiter[i];
        if (why)
            answer_text(s, out, w->route, &w->header, WIRE_FAILED, why);
        else
            answer(s, out, w->route, &w->header, WIRE_OK, blob_ref(body));
    }
}

static void ask_leaf(sampler_loop *s, const running_build *b, uint64_t now_us, core_actions *out,
                     uint32_t id, uint32_t partition, blob *body)
{
    uint32_t owner = partition_owner(partition, s->member.samplers);
    core_peer to = {WIRE_SAMPLER, owner, member_incarnation(&s->member, WIRE_SAMPLER, owner)};
    wire_header h = wire_request(WIRE_LEAF);
    wire_set_slot(&h, b->name);
    h.part = partition;
    s->stats.leaves_asked++;
    requests_open(s->requests, now_us, out, to, h, body, b->id, (uint64_t)partition << 32 | id);
}

/* Takes in the answers of wants that are ours; asks others for the rest.  False: one of ours
 * failed. */
static bool take_wants(sampler_loop *s, running_build *b, uint64_t now_us, core_actions *out)
{
    const sampler_ops *ops = s->config.ops;
    bool good = true;
    for (size_t i = 0; i < s->wants.n; i++) {
        sampler_want *w = &s->wants.items[i];
        if (partition_owner(w->partition, s->member.samplers) != s->config.index) {
            b->missing++;
            ask_leaf(s, b, now_us, out, w->id, w->partition, w->body);
            continue;
        }
        blob *reply = NULL;
        err_code rc = ops->leaf_answer(ops->ctx, b->name, w->partition, w->body, &reply);
        if (rc == ERR_OK) ops->build_leaf(ops->ctx, b->build, w->id, reply);
        good = good && rc == ERR_OK;
        s->leaves_local++;
        blob_unref(reply);
        blob_unref(w->body);
    }
    s->wants.n = 0;
    return good;
}

static void end_build(sampler_loop *s, running_build *b, uint64_t now_us, core_actions *out,
                      const char *why)
{
    blob *body = why ? NULL : s->config.ops->build_take(s->config.ops->ctx, b->build);
    requests_cancel(s->requests, now_us, out, b->id);
    answer_waiters(s, b, out, body, why);
    s->stats.batches += !why;
    blob_unref(body);
    build_fini(s, b);
}

/* Goes on until the build waits for others, or ends. */
static void run_build(sampler_loop *s, running_build *b, uint64_t now_us, core_actions *out)
{
    const sampler_ops *ops = s->config.ops;
    while (!b->missing) {
        switch (ops->build_step(ops->ctx, b->build, &s->wants)) {
        case BUILD_READY: end_build(s, b, now_us, out, NULL); return;
        case BUILD_FAILED: end_build(s, b, now_us, out, "the build failed: see its log"); return;
        case BUILD_WAITS:
            if (s->wants.n && take_wants(s, b, now_us, out)) {
                if (!b->missing || core_rule(s->config.mutations, CORE_RULE_COMPLETE)) continue;
                end_build(s, b, now_us, out, NULL);
                return;
            }
            end_build(s, b, now_us, out, "a local partition has no answer: see its log");
            return;
        }
    }
}

static void start_build(sampler_loop *s, running_build *b, uint64_t now_us, core_actions *out)
{
    char name[64], why[128];
    b->started = true;
    s->running++;
    b->build = s->config.ops->build_new(s->config.ops->ctx, b->name, b->request);
    if (b->build) {
        run_build(s, b, now_us, out);
        return;
    }
    slot_format(b->name, name);
    snprintf(why, sizeof why, "no slot %s in the plan, or not here", name);
    end_build(s, b, now_us, out, why);
}

static running_build *next_queued(sampler_loop *s)
{
    running_build *first = NULL;
    for (uint32_t i = 0; i < SAMPLER_BUILDS_MAX; i++) {
        running_build *b = &s->build[i];
        if (b->used && !b->started && (!first || b->id < first->id)) first = b;
    }
    return first;
}

static void start_queued(sampler_loop *s, uint64_t now_us, core_actions *out)
{
    running_build *b;
    if (!s->member.joined) return; /* we do not know yet who owns what */
    while (s->running < s->config.builds && (b = next_queued(s)) != NULL)
        start_build(s, b, now_us, out);
}

/* Adds a waiter; the newest takes the place of the oldest, who has gone or asks again. */
static void join(running_build *b, const core_event *e)
{
    const wire_header *h = e->message.header;
    for (uint32_t i = 0; i < b->waiters; i++) {
        waiter *w = &b->waiter[i];
        if (w->header.incarnation != h->incarnation || w->header.tag != h->tag) continue;
        w->route = e->message.route;
        return;
    }
    if (b->waiters == SAMPLER_WAITERS_MAX) {
        memmove(b->waiter, b->waiter + 1, (SAMPLER_WAITERS_MAX - 1) * sizeof *b->waiter);
        b->waiters--;
    }
    b->waiter[b->waiters++] = (waiter){e->message.route, *h};
}

static void on_build(sampler_loop *s, const core_event *e)
{
    slot_name name = wire_slot(e->message.header);
    running_build *place = NULL;
    for (uint32_t i = 0; i < SAMPLER_BUILDS_MAX; i++) {
        running_build *b = &s->build[i];
        if (b->used && slot_equal(b->name, name)) {
            s->stats.joined++;
            join(b, e);
            return;
        }
        if (!b->used && !place) place = b;
    }
    if (!place) return; /* full: asked again */
    place->used = true;
    place->name = name;
    place->id = ++s->serial;
    place->request = blob_ref(e->message.body);
    join(place, e);
}

/* ---- leaves ---- */

static running_build *build_by_id(sampler_loop *s, uint64_t id)
{
    for (uint32_t i = 0; i < SAMPLER_BUILDS_MAX; i++) {
        if (s->build[i].used && s->build[i].id == id) return &s->build[i];
    }
    return NULL;
}

static void on_leaf_answer(sampler_loop *s, const core_event *e, const request_match *m,
                           core_actions *out)
{
    const sampler_ops *ops = s->config.ops;
    const wire_header *h = e->message.header;
    running_build *b = build_by_id(s, m->owner);
    if (!b) return;
    if (h->status != WIRE_OK) { /* a micro-batch is complete or not sent */
        core_event_line(out, "leaf_failed", (core_peer){h->role, h->index, h->incarnation},
                        "partition %u: %s", (uint32_t)(m->part >> 32), wire_status_name(h->status));
        end_build(s, b, e->now_us, out, "a partition's owner has no answer");
        return;
    }
    ops->build_leaf(ops->ctx, b->build, (uint32_t)m->part, e->message.body);
    b->missing--;
    run_build(s, b, e->now_us, out);
}

static void on_local(sampler_loop *s, const core_event *e, core_actions *out)
{
    const sampler_ops *ops = s->config.ops;
    const wire_header *h = e->message.header;
    blob *reply = NULL;
    bool leaf = h->op == WIRE_LEAF;
    err_code rc = leaf ? ops->leaf_answer(ops->ctx, wire_slot(h), h->part, e->message.body, &reply)
                       : ops->features_answer(ops->ctx, h->part, e->message.body, &reply);
    s->stats.leaves_answered += leaf;
    s->stats.features += !leaf;
    if (rc == ERR_OK)
        answer(s, out, e->message.route, h, WIRE_OK, reply);
    else
        answer_text(s, out, e->message.route, h, rc == ERR_NOT_FOUND ? WIRE_NOT_FOUND : WIRE_FAILED,
                    err_name(rc));
}

/* ---- events ---- */

static void on_answer(sampler_loop *s, const core_event *e, core_actions *out)
{
    request_match m;
    if (!requests_answer(s->requests, e->now_us, out, e->message.header, &m)) return;
    if (m.owner == MEMBER_OWNER)
        member_view(&s->member, s->requests, e->now_us, out, e->message.header, e->message.body);
    else
        on_leaf_answer(s, e, &m, out);
}

static void on_stop_order(sampler_loop *s, const core_event *e, core_actions *out)
{
    const wire_header *h = e->message.header;
    if (h->role != WIRE_SCHEDULER) {
        answer_text(s, out, e->message.route, h, WIRE_REFUSED, "only a scheduler gives orders");
        return;
    }
    bool ours =
        member_accepts_term(&s->member, h) && (!h->target || h->target == s->config.incarnation);
    answer(s, out, e->message.route, h, ours ? WIRE_OK : WIRE_INCARNATION, NULL);
    s->member.stop = s->member.stop || ours;
}

static void on_message(sampler_loop *s, const core_event *e, core_actions *out)
{
    const wire_header *h = e->message.header;
    if (wire_is_answer(h)) {
        on_answer(s, e, out);
        return;
    }
    switch (h->op) {
    case WIRE_BUILD: on_build(s, e); return;
    case WIRE_LEAF:
    case WIRE_FEATURES: on_local(s, e, out); return;
    case WIRE_STOP: on_stop_order(s, e, out); return;
    default:
        answer_text(s, out, e->message.route, h, WIRE_REFUSED, "a sampler does not serve this");
    }
}

static void say_hello(sampler_loop *s, uint64_t now_us, core_actions *out)
{
    Weft__Hello hello = WEFT__HELLO__INIT;
    Weft__SamplerState state = WEFT__SAMPLER_STATE__INIT;
    state.batches = s->stats.batches;
    for (uint32_t i = 0; i < SAMPLER_BUILDS_MAX; i++) state.queue += s->build[i].used;
    state.leaves_asked = s->stats.leaves_asked;
    state.leaves_local = s->leaves_local;
    hello.sampler = &state;
    member_hello(&s->member, s->requests, now_us, out, &hello);
}

static void leave(sampler_loop *s, core_actions *out)
{
    int code;
    if (member_leaves(&s->member, &code))
        core_exit(out, code, "%s", s->member.why);
    else if (s->signalled)
        core_exit(out, 0, "asked to leave");
    else
        return;
    s->exited = true;
}

uint64_t sampler_loop_step(sampler_loop *s, const core_event *e, core_actions *out)
{
    if (s->exited) return UINT64_MAX;
    if (e->type == CORE_MESSAGE) on_message(s, e, out);
    if (e->type == CORE_STOP) s->signalled = true;
    start_queued(s, e->now_us, out);
    if (member_hello_due(&s->member, e->now_us)) say_hello(s, e->now_us, out);
    leave(s, out);
    if (s->exited) return UINT64_MAX;
    uint64_t at = requests_timer(s->requests, e->now_us, out);
    return s->member.hello_at_us < at ? s->member.hello_at_us : at;
}

void sampler_loop_note_rss(sampler_loop *s, uint64_t bytes)
{
    s->member.rss_bytes = bytes;
}

void sampler_loop_note_refused(sampler_loop *s, uint64_t total)
{
    s->member.refusals = total;
}

void sampler_loop_stats_get(const sampler_loop *s, sampler_loop_stats *out)
{
    *out = s->stats;
    out->resends = requests_resends(s->requests);
    out->stopping = s->exited;
    out->known = member_is_known(&s->member);
    for (uint32_t i = 0; i < SAMPLER_BUILDS_MAX; i++) out->builds_open += s->build[i].used;
}

uint64_t sampler_loop_digest(const sampler_loop *s)
{
    uint64_t h = requests_digest(s->requests);
    for (uint32_t i = 0; i < SAMPLER_BUILDS_MAX; i++) {
        const running_build *b = &s->build[i];
        uint64_t x[3] = {b->used, b->id, b->missing};
        h = hash64(x, sizeof x, h);
    }
    return h;
}
