/* member.h - the part of every role but the scheduler that belongs to a job: HELLO and the view.
 *
 * Pure; embedded in each core.  Says HELLO once a second (the heartbeat; more often
 * until it is answered), keeps the newest view,
 * the scheduler's term and the peers' addresses, and refuses answers and orders of a lower term. */
#pragma once

#include "common/core.h"
#include "common/proto_alloc.h"
#include "common/requests.h"
#include "common/table_codec.h"

enum {
    MEMBER_HELLO_US = 1000000,
    MEMBER_ANSWER_US = 2000000,
    MEMBER_JOIN_US = 300000,
    MEMBER_PEERS_MAX = 4096,
    MEMBER_UNANSWERED_MAX = 300, /* HELLOs in a row after it joined: ten minutes */
    MEMBER_PROTO_BYTES = 8 << 20
};
/* The owner number of HELLO requests. */
enum { MEMBER_OWNER = 1 };

typedef struct member_peer {
    core_peer peer;
    char address[CORE_TEXT_MAX];
} member_peer;

typedef struct member_config {
    core_peer self;
    uint64_t plan_hash;   /* 0: a driver that has not prepared yet */
    const char *numerics; /* borrowed until member_fini, as the next */
    const char *address;
    uint32_t pid;
    const core_mutations *mutations;
} member_config;

typedef struct member {
    member_config config;
    proto_alloc *arena;            /* borrowed */
    uint32_t term, generation;     /* the newest seen of the scheduler */
    uint32_t view, view_term;      /* the newest view, and the term it is of */
    uint32_t state;                /* job_state of the last view */
    bool joined;                   /* a complete view is there: map and samplers are valid */
    bool refused, displaced, stop; /* see member_leaves */
    uint32_t unanswered;           /* HELLOs since the last answer; a pause of ours is none */
    char why[CORE_TEXT_MAX];
    shard_map map;
    uint32_t samplers;
    member_peer *peers;
    size_t peers_n, peers_cap;
    uint64_t hello_at_us, hello_from_us; /* when the next is due; when the last was said */
    uint64_t rss_bytes, refusals;        /* for the HELLO; the shell's */
} member;

void member_init(member *m, const member_config *c, proto_alloc *arena);
void member_fini(member *m);

/* The incarnation at (role, index) in the newest view; 0: nobody. */
uint64_t member_incarnation(const member *m, uint32_t role, uint32_t index);
core_peer member_scheduler(const member *m);

/* True if the scheduler has answered a HELLO of this life. */
bool member_is_known(const member *m);

/* True if a HELLO is due: the caller fills in its role's state and calls member_hello. */
bool member_hello_due(const member *m, uint64_t now_us);
/* Makes the next HELLO due now (something the scheduler should know has changed). */
void member_hello_soon(member *m, uint64_t now_us);

typedef struct Weft__Hello member_hello_body;
/* Completes `hello` (init'ed by the caller, with server or sampler state) and opens the request. */
void member_hello(member *m, requests *r, uint64_t now_us, core_actions *out,
                  member_hello_body *hello);
/* Takes in the answer to a HELLO.  New incarnations are announced with CORE_PEER and to `r`. */
void member_view(member *m, requests *r, uint64_t now_us, core_actions *out, const wire_header *h,
                 const blob *body);
/* True if this process must end: refused (code 2), displaced by a newer life of itself or given up
 * by a scheduler that was there and has not answered for ten minutes (1), or the job is over (0).
 */
bool member_leaves(const member *m, int *code);
/* False if `h`, from the scheduler, is of a lower term than we have seen.  Learns a higher one. */
bool member_accepts_term(member *m, const wire_header *h);
