#include "common/member.h"

#include "common/mem.h"
#include "proto/weft.pb-c.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void member_init(member *m, const member_config *c, proto_alloc *arena)
{
    *m = (member){.config = *c, .arena = arena, .why = "the job is over"};
}

void member_fini(member *m)
{
    free(m->peers);
    m->peers = NULL;
}

uint64_t member_incarnation(const member *m, uint32_t role, uint32_t index)
{
    for (size_t i = 0; i < m->peers_n; i++) {
        core_peer p = m->peers[i].peer;
        if (p.role == role && p.index == index) return p.incarnation;
    }
    return 0;
}

core_peer member_scheduler(const member *m)
{
    (void)m;
    return (core_peer){.role = WIRE_SCHEDULER};
}

bool member_is_known(const member *m)
{
    return m->term != 0 && !m->refused && !m->displaced;
}

bool member_hello_due(const member *m, uint64_t now_us)
{
    return now_us >= m->hello_at_us;
}

void member_hello_soon(member *m, uint64_t now_us)
{
    m->hello_at_us = now_us;
}

void member_hello(member *m, requests *r, uint64_t now_us, core_actions *out,
                  member_hello_body *hello)
{
    static char nothing[1];
    requests_cancel(r, now_us, out, MEMBER_OWNER); /* a heartbeat does not back off */
    hello->version = 1;
    hello->plan_hash = m->config.plan_hash;
    hello->pid = m->config.pid;
    hello->rss_bytes = m->rss_bytes;
    hello->refused = m->refusals;
    hello->view = m->view;
    hello->term = m->view_term;
    /* The generated struct has char *; packing only reads. */
    char *numerics = m->config.numerics ? xstrdup(m->config.numerics) : NULL;
    char *address = m->config.address ? xstrdup(m->config.address) : NULL;
    hello->numerics = numerics ? numerics : nothing;
    hello->address = address ? address : nothing;
    wire_header h = wire_request(WIRE_HELLO);
    h.term = m->term;
    requests_open(r, now_us, out, member_scheduler(m), h, proto_pack(&hello->base), MEMBER_OWNER,
                  0);
    free(numerics);
    free(address);
    m->hello_from_us = now_us;
    if (m->joined && ++m->unanswered == MEMBER_UNANSWERED_MAX)
        snprintf(m->why, sizeof m->why, "the scheduler has not answered for ten minutes");
    m->hello_at_us = now_us + (m->joined ? MEMBER_ANSWER_US : MEMBER_JOIN_US);
}

static bool was_there(const member_peer *old, size_t n, const member_peer *p)
{
    for (size_t i = 0; i < n; i++) {
        if (old[i].peer.role == p->peer.role && old[i].peer.index == p->peer.index)
            return old[i].peer.incarnation == p->peer.incarnation &&
                   strcmp(old[i].address, p->address) == 0;
    }
    return false;
}

/* Takes in the peers of a complete view; those in a new life are announced. */
static void take_peers(member *m, requests *r, uint64_t now_us, core_actions *out,
                       const Weft__View *v)
{
    member_peer *old = m->peers;
    size_t old_n = m->peers_n;
    m->peers = NULL;
    m->peers_cap = 0;
    m->peers_n = 0;
    for (size_t i = 0; i < v->n_peer && i < MEMBER_PEERS_MAX; i++) {
        grow(&m->peers, &m->peers_cap, m->peers_n + 1, sizeof *m->peers);
        member_peer *p = &m->peers[m->peers_n++];
        p->peer = (core_peer){v->peer[i]->role, v->peer[i]->index, v->peer[i]->incarnation};
        snprintf(p->address, sizeof p->address, "%s", v->peer[i]->address);
        if (was_there(old, old_n, p)) continue;
        core_peer_at(out, p->peer, p->address);
        requests_peer(r, now_us, out, p->peer);
    }
    free(old);
}

static void take_why(member *m, const char *why, size_t bytes)
{
    size_t n = bytes < sizeof m->why - 1 ? bytes : sizeof m->why - 1;
    memcpy(m->why, why, n);
    m->why[n] = 0;
}

void member_view(member *m, requests *r, uint64_t now_us, core_actions *out, const wire_header *h,
                 const blob *body)
{
    m->hello_at_us = m->hello_from_us + MEMBER_HELLO_US;
    m->unanswered = 0;
    if (h->term > m->term) member_hello_soon(m, now_us); /* a new scheduler: tell it our state */
    if (!member_accepts_term(m, h)) return;
    if (h->status == WIRE_REFUSED || h->status == WIRE_INCARNATION) {
        m->refused = h->status == WIRE_REFUSED;
        m->displaced = !m->refused;
        take_why(m, blob_size(body) ? (const char *)blob_data(body) : "", blob_size(body));
        return;
    }
    Weft__View *v = proto_unpack(m->arena, &weft__view__descriptor, body, WIRE_CONTROL_MAX);
    if (!v || h->status != WIRE_OK) return;
    bool newer = h->term > m->view_term || (h->term == m->view_term && v->view >= m->view);
    if (!newer) return; /* an old answer, overtaken */
    m->state = v->state;
    m->stop = m->stop || v->stop;
    if (h->generation > m->generation) m->generation = h->generation;
    uint64_t again_us = m->hello_from_us + MEMBER_JOIN_US; /* not admitted yet */
    if (!m->joined && !v->complete && again_us < m->hello_at_us) m->hello_at_us = again_us;
    if (!v->complete || !v->shards || v->shards > SHARDS_MAX || !v->servers ||
        v->servers > SERVERS_MAX || !v->samplers)
        return;
    m->view = v->view;
    m->view_term = h->term;
    m->samplers = v->samplers;
    if (!m->joined || m->map.version != h->map)
        shard_map_init(&m->map, h->map, v->shards, v->servers);
    m->joined = true;
    take_peers(m, r, now_us, out, v);
}

bool member_leaves(const member *m, int *code)
{
    bool left_alone = m->unanswered >= MEMBER_UNANSWERED_MAX;
    *code = m->refused ? 2 : m->displaced || (left_alone && !m->stop) ? 1 : 0;
    return m->refused || m->displaced || m->stop || left_alone;
}

bool member_accepts_term(member *m, const wire_header *h)
{
    if (h->term < m->term && core_rule(m->config.mutations, CORE_RULE_INCARNATION)) return false;
    if (h->term > m->term) m->term = h->term;
    return true;
}
