#include "common/requests.h"

#include "common/hash.h"
#include "common/latency.h"
#include "common/mem.h"
#include "common/panic.h"

#include <stdlib.h>
#include <string.h>

enum {
    RESEND_MIN_US = 2000000,
    RESEND_MAX_US = 30000000,
    WINDOW_DEFAULT = 64,
    NOBODY = UINT32_MAX
};

/* One open request.  Open ones form a list in the order they were opened. */
typedef struct entry {
    bool open, queued;
    uint32_t next, prev;
    uint64_t tag, owner, part;
    core_peer to;
    wire_header header;
    blob *body;
    uint64_t opened_us, sent_us, due_us, wait_us;
    uint32_t sends;
} entry;

struct requests {
    core_peer self;
    uint32_t window;
    const core_mutations *mutations;
    entry *item;
    size_t item_n, item_cap;
    uint32_t free_head, first, last; /* of the free list (by next) and of the open list */
    uint32_t open;
    uint64_t serial, resends;
    uint64_t next_due_us; /* not later than the earliest due_us */
    latency latency[WIRE_OPS];
};

requests *requests_new(const requests_config *c)
{
    requests *r = xcalloc(1, sizeof *r);
    r->self = c->self;
    r->window = c->window ? c->window : WINDOW_DEFAULT;
    r->mutations = c->mutations;
    r->free_head = r->first = r->last = NOBODY;
    r->next_due_us = UINT64_MAX;
    return r;
}

void requests_free(requests *r)
{
    if (!r) return;
    for (uint32_t i = r->first; i != NOBODY; i = r->item[i].next) blob_unref(r->item[i].body);
    free(r->item);
    free(r);
}

static uint64_t first_wait(const requests *r, const wire_header *h)
{
    uint64_t wait = 4 * latency_quantile(&r->latency[h->op], 0.99);
    if (wait < RESEND_MIN_US) wait = RESEND_MIN_US;
    if (wait > RESEND_MAX_US) wait = RESEND_MAX_US;
    return wait + (uint64_t)h->budget_ms * 1000;
}

static bool same_peer(core_peer a, core_peer b)
{
    return a.role == b.role && a.index == b.index;
}

static uint32_t on_the_way(const requests *r, core_peer to)
{
    uint32_t n = 0;
    for (uint32_t i = r->first; i != NOBODY; i = r->item[i].next)
        n += !r->item[i].queued && same_peer(r->item[i].to, to);
    return n;
}

static void transmit(requests *r, uint64_t now_us, core_actions *out, entry *e)
{
    e->queued = false;
    e->sent_us = now_us;
    e->due_us = now_us + e->wait_us;
    e->sends++;
    if (e->due_us < r->next_due_us) r->next_due_us = e->due_us;
    core_send(out, e->to, 0, &e->header, blob_ref(e->body));
}

static uint32_t take_free(requests *r)
{
    if (r->free_head != NOBODY) {
        uint32_t i = r->free_head;
        r->free_head = r->item[i].next;
        return i;
    }
    ASSERT(r->item_n < REQUESTS_OPEN_MAX);
    grow(&r->item, &r->item_cap, r->item_n + 1, sizeof *r->item);
    return (uint32_t)r->item_n++;
}

static void list_append(requests *r, uint32_t i)
{
    r->item[i].next = NOBODY;
    r->item[i].prev = r->last;
    if (r->last != NOBODY)
        r->item[r->last].next = i;
    else
        r->first = i;
    r->last = i;
    r->open++;
}

/* Closes entry i without looking at the window; its body is released. */
static void list_remove(requests *r, uint32_t i)
{
    entry *e = &r->item[i];
    if (e->prev != NOBODY)
        r->item[e->prev].next = e->next;
    else
        r->first = e->next;
    if (e->next != NOBODY)
        r->item[e->next].prev = e->prev;
    else
        r->last = e->prev;
    blob_unref(e->body);
    e->body = NULL;
    e->open = false;
    e->next = r->free_head;
    r->free_head = i;
    r->open--;
}

uint64_t requests_open(requests *r, uint64_t now_us, core_actions *out, core_peer to, wire_header h,
                       blob *body, uint64_t owner, uint64_t part)
{
    bool full = on_the_way(r, to) >= r->window;
    uint32_t i = take_free(r);
    entry *e = &r->item[i];
    *e =
        (entry){.open = true, .queued = full, .owner = owner, .part = part, .to = to, .body = body};
    e->tag = ++r->serial * REQUESTS_OPEN_MAX + i;
    h.role = (uint8_t)r->self.role;
    h.index = r->self.index;
    h.incarnation = r->self.incarnation;
    h.tag = e->tag;
    e->header = h;
    e->opened_us = now_us;
    e->wait_us = first_wait(r, &h);
    list_append(r, i);
    if (!full) transmit(r, now_us, out, e);
    return e->tag;
}

/* Sends the oldest queued request to `to`, if its window has room. */
static void advance(requests *r, uint64_t now_us, core_actions *out, core_peer to)
{
    if (on_the_way(r, to) >= r->window) return;
    for (uint32_t i = r->first; i != NOBODY; i = r->item[i].next) {
        entry *e = &r->item[i];
        if (!e->queued || !same_peer(e->to, to)) continue;
        transmit(r, now_us, out, e);
        return;
    }
}

bool requests_answer(requests *r, uint64_t now_us, core_actions *out, const wire_header *answer,
                     request_match *match)
{
    uint32_t i = (uint32_t)(answer->tag % REQUESTS_OPEN_MAX);
    if (i >= r->item_n || !r->item[i].open || r->item[i].tag != answer->tag) return false;
    entry *e = &r->item[i];
    if (e->header.op != answer->op) return false;
    *match = (request_match){e->tag, e->owner, e->part, e->to, e->header, e->opened_us};
    /* What was held at the peer on purpose says nothing about the way there. */
    if (e->sends == 1 && !e->header.budget_ms) latency_add(&r->latency[e->header.op], now_us - e->sent_us);
    core_peer to = e->to;
    list_remove(r, i);
    advance(r, now_us, out, to);
    return true;
}

void requests_cancel(requests *r, uint64_t now_us, core_actions *out, uint64_t owner)
{
    uint32_t next;
    for (uint32_t i = r->first; i != NOBODY; i = next) {
        next = r->item[i].next;
        if (r->item[i].owner == owner) list_remove(r, i);
    }
    /* Room for others: every peer that still has queued requests. */
    for (uint32_t i = r->first; i != NOBODY; i = r->item[i].next) {
        if (r->item[i].queued) advance(r, now_us, out, r->item[i].to);
    }
}

void requests_peer(requests *r, uint64_t now_us, core_actions *out, core_peer peer)
{
    for (uint32_t i = r->first; i != NOBODY; i = r->item[i].next) {
        entry *e = &r->item[i];
        if (e->queued || !same_peer(e->to, peer) || !core_rule(r->mutations, CORE_RULE_RESEND))
            continue;
        e->wait_us = first_wait(r, &e->header);
        r->resends++;
        transmit(r, now_us, out, e);
    }
}

uint64_t requests_timer(requests *r, uint64_t now_us, core_actions *out)
{
    if (!core_rule(r->mutations, CORE_RULE_RESEND)) return UINT64_MAX;
    if (now_us < r->next_due_us) return r->next_due_us;
    r->next_due_us = UINT64_MAX;
    for (uint32_t i = r->first; i != NOBODY; i = r->item[i].next) {
        entry *e = &r->item[i];
        if (e->queued) continue;
        if (e->due_us <= now_us) {
            e->wait_us = 2 * e->wait_us > RESEND_MAX_US ? RESEND_MAX_US : 2 * e->wait_us;
            r->resends++;
            transmit(r, now_us, out, e);
        }
        if (e->due_us < r->next_due_us) r->next_due_us = e->due_us;
    }
    return r->next_due_us;
}

uint32_t requests_open_count(const requests *r, uint64_t owner)
{
    if (!owner) return r->open;
    uint32_t n = 0;
    for (uint32_t i = r->first; i != NOBODY; i = r->item[i].next) n += r->item[i].owner == owner;
    return n;
}

bool requests_oldest(const requests *r, request_match *out)
{
    if (r->first == NOBODY) return false;
    const entry *e = &r->item[r->first];
    *out = (request_match){e->tag, e->owner, e->part, e->to, e->header, e->opened_us};
    return true;
}

uint64_t requests_resends(const requests *r)
{
    return r->resends;
}

uint64_t requests_digest(const requests *r)
{
    uint64_t h = r->serial;
    for (uint32_t i = r->first; i != NOBODY; i = r->item[i].next) {
        const entry *e = &r->item[i];
        uint64_t x[4] = {e->tag, e->sent_us, e->due_us, e->queued};
        h = hash64(x, sizeof x, h);
    }
    return h;
}
