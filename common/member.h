/* member.h - the part of every role but the scheduler that belongs to a job: HELLO and the view.
 *
 * Pure; embedded in each core.  Says HELLO once a second (the heartbeat), keeps the newest view,
 * the scheduler's term and the peers' addresses, and refuses answers and orders of a lower term. */
#pragma once

#include "common/core.h"
#include "common/requests.h"
#include "common/table_codec.h"

enum { MEMBER_HELLO_US = 1000000, MEMBER_PEERS_MAX = 1024 };

typedef struct member_peer {
    core_peer peer;
    char address[CORE_TEXT_MAX];
} member_peer;

typedef struct member {
    core_peer self;
    uint32_t term, generation, view; /* the newest seen; generation: of the scheduler */
    uint32_t state;                  /* job_state of the last view */
    bool joined;                     /* a view is there: map and samplers are valid */
    bool refused, stop;              /* the shell exits: refused with 2, stop with 0 */
    char why[CORE_TEXT_MAX];
    shard_map map;
    uint32_t samplers;
    member_peer *peers;
    size_t peers_n, peers_cap;
    uint64_t hello_at_us; /* when the next one is due */
    uint64_t hello_tag;   /* the open one, 0: none */
} member;

void member_init(member *m, core_peer self);
void member_fini(member *m);
/* The incarnation at (role, index) in the newest view; 0: nobody. */
uint64_t member_incarnation(const member *m, uint32_t role, uint32_t index);
/* True if a view with peers is there and every server and sampler of the job is in it. */
bool member_is_complete(const member *m);
/* Takes in the answer to a HELLO (protobuf View in `body`, or REFUSED).  New incarnations are
 * announced with CORE_PEER and to `r`. */
void member_view(member *m, requests *r, uint64_t now_us, core_actions *out, const wire_header *h,
                 const blob *body);
/* False, and nothing else happens, if `h` is of a lower term than we have seen.  Learns a higher
 * one. */
bool member_accepts_term(member *m, const core_mutations *mutations, const wire_header *h);
