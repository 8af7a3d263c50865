/* requests.h - the client side of requests: what is open, to whom, and when to send it again.
 *
 * Pure.  A request is sent again after max(2 s, 4 x p99 of its op), doubling up to 30 s, and at
 * once when its peer's incarnation changes; it never fails by itself: the caller cancels what it no
 * longer wants. At most `window` requests per peer are on the way, the others queue here in order.
 * Repeats are harmless, so that an answer is matched by tag only; a second answer finds no request.
 * Threads: one owner. */
#pragma once

#include "common/core.h"

enum { REQUESTS_OPEN_MAX = 1 << 20 }; /* a sampler's builds, each asking every partition */

typedef struct requests requests;

typedef struct requests_config {
    core_peer self;  /* role, index, incarnation of the sender: stamped into every header */
    uint32_t window; /* per peer; 0: 64 */
    const core_mutations *mutations;
} requests_config;

requests *requests_new(const requests_config *c); /* owned: requests_free */
void requests_free(requests *r);

/* Opens a request and sends it (or queues it).  Takes `body`.  `owner` is the caller's: found again
 * with the answer, and cancels all of its requests.  `part` likewise, free use.  Returns the tag,
 * never 0. */
uint64_t requests_open(requests *r, uint64_t now_us, core_actions *out, core_peer to, wire_header h,
                       blob *body, uint64_t owner, uint64_t part);

typedef struct request_match {
    uint64_t tag, owner, part;
    core_peer to;
    wire_header header; /* as it was sent */
    uint64_t sent_us;   /* first time */
} request_match;

/* The open request that `answer` answers, which is then closed; false: none (a repeat, or
 * cancelled). */
bool requests_answer(requests *r, uint64_t now_us, core_actions *out, const wire_header *answer,
                     request_match *match);
/* Closes all requests of `owner` without an answer. */
void requests_cancel(requests *r, uint64_t now_us, core_actions *out, uint64_t owner);
/* A peer was seen in a new life: everything open to it is sent again. */
void requests_peer(requests *r, uint64_t now_us, core_actions *out, core_peer peer);
/* Sends again what is due; returns when the next is (absolute us, UINT64_MAX: none). */
uint64_t requests_timer(requests *r, uint64_t now_us, core_actions *out);

uint32_t requests_open_count(const requests *r, uint64_t owner); /* owner 0: all */
/* The longest-open request: who we wait for.  false: none. */
bool requests_oldest(const requests *r, request_match *out);
uint64_t requests_resends(const requests *r);
uint64_t requests_digest(const requests *r);
