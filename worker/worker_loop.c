#include "worker/worker_loop.h"

#include "common/hash.h"
#include "common/latency.h"
#include "common/mem.h"
#include "common/member.h"
#include "common/panic.h"
#include "common/peer_state.h"
#include "proto/weft.pb-c.h"
#include "worker/lease_needs.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    WANTED_DEFAULT = 2,
    WORK_BUDGET_MS = 1000,
    PULL_BUDGET_MS = 2000,
    RETRY_US = 100000,      /* before asking for work again after a slot was dropped */
    FAILED_US = 1000000,    /* the same after an error of ours */
    LEAVE_US = 5000000,     /* SIGTERM: a slot that takes longer is given back */
    GIVE_BACK_US = 1000000, /* and the scheduler is told within this */
    FAILURES_MAX = 3,       /* in a row, then we exit */
    DENSE_MAX = 16,
};

/* Owners of requests: MEMBER_OWNER is 1; slots and dense buffers have numbers of their own. */
enum { OWNER_WORK = 2, OWNER_FIRST = 16 };

enum { PHASE_SAMPLE, PHASE_PULL, PHASE_COMPUTE, PHASE_PUSH, PHASE_WAIT };

typedef enum lease_state {
    LEASE_FREE,
    LEASE_BUILDING,
    LEASE_DIGESTING,
    LEASE_FETCHING,
    LEASE_READY,
    LEASE_COMPUTING,
    LEASE_PUSHING,
    LEASE_REPORTING
} lease_state;

typedef struct lease {
    lease_state state;
    bool dropped; /* only its COMPUTE is still waited for */
    uint64_t id;  /* owner of its requests, token of its COMPUTE */
    worker_task task;
    uint32_t slots; /* of its round */
    uint32_t base;  /* version of the tables that it is computed on */
    bool at_least;  /* or any later one */
    bool again;
    lease_needs needs;
    uint32_t acks_missing;
    uint64_t progress, compute_from_us, compute_us;
    /* what was computed */
    bool is_void;
    uint64_t examples;
    double loss;
    double *sums; /* owned */
    uint32_t sums_n;
} lease;

/* Dense parameters of one version, shared by the slots that need it. */
typedef struct dense_copy {
    bool used;
    uint64_t id;
    uint32_t generation, stage, version; /* of the round; WIRE_FINAL: of a finished stage */
    uint32_t base;                       /* the version that is pulled */
    bool at_least;                       /* or any later one */
    size_t floats;
    uint32_t pending;
    const shard_map *map;
    bool *taken; /* owned, [servers] */
    blob *flat;  /* shared once pending is 0 */
} dense_copy;

struct worker_loop {
    worker_loop_config config;
    proto_alloc arena;
    member member;
    requests *requests;
    uint32_t generation, servers_version; /* newest version a server's answer has shown */
    lease lease[WORKER_LEASES_MAX];
    dense_copy dense[DENSE_MAX];
    shard_map **maps; /* owned, every one so far: slots still read the earlier ones */
    size_t maps_n, maps_cap;
    uint64_t serial;
    bool computing; /* a WORKER_SLOT is with the shell */
    uint32_t sequence;
    bool work_open, work_answered;
    bool told_free; /* the last WORK said that we leave and hold nothing */
    uint64_t work_at_us;
    bool stopping, gave_back, exited;
    uint64_t leave_by_us, clock_us;
    uint32_t failures;
    char failure[CORE_TEXT_MAX];
    latency slot_us;
    uint64_t examples;
    worker_loop_stats stats;
};

worker_loop *worker_loop_new(const worker_loop_config *c)
{
    worker_loop *w = xcalloc(1, sizeof *w);
    w->config = *c;
    if (!w->config.leases) w->config.leases = WANTED_DEFAULT;
    proto_alloc_init(&w->arena, MEMBER_PROTO_BYTES);
    core_peer self = {WIRE_WORKER, c->index, c->incarnation};
    member_config m = {self, c->plan_hash, c->numerics, c->address, c->pid, c->mutations};
    member_init(&w->member, &m, &w->arena);
    requests_config r = {.self = self, .mutations = c->mutations};
    w->requests = requests_new(&r);
    w->serial = OWNER_FIRST;
    return w;
}

static void lease_fini(lease *l)
{
    lease_needs_fini(&l->needs);
    blob_unref(l->task.build);
    free(l->sums);
    *l = (lease){0};
}

static void dense_fini(dense_copy *d)
{
    blob_unref(d->flat);
    free(d->taken);
    *d = (dense_copy){0};
}

void worker_loop_free(worker_loop *w)
{
    if (!w) return;
    for (uint32_t i = 0; i < WORKER_LEASES_MAX; i++) lease_fini(&w->lease[i]);
    for (uint32_t i = 0; i < DENSE_MAX; i++) dense_fini(&w->dense[i]);
    for (size_t i = 0; i < w->maps_n; i++) free(w->maps[i]);
    free(w->maps);
    requests_free(w->requests);
    member_fini(&w->member);
    proto_alloc_fini(&w->arena);
    free(w);
}

/* ---- leases ---- */

static bool is_held(const lease *l)
{
    return l->state != LEASE_FREE && !l->dropped;
}

static lease *lease_by_id(worker_loop *w, uint64_t id)
{
    for (uint32_t i = 0; i < WORKER_LEASES_MAX; i++) {
        if (w->lease[i].state != LEASE_FREE && w->lease[i].id == id) return &w->lease[i];
    }
    return NULL;
}

static bool is_with_shell(const lease *l)
{
    return l->state == LEASE_DIGESTING || l->state == LEASE_COMPUTING;
}

static void move_to(lease *l, lease_state state)
{
    l->state = state;
    l->progress++;
}

static void ask_for_work(worker_loop *w, uint64_t at_us)
{
    w->work_at_us = at_us;
}

/* Forgets a slot; what the shell computes for it stays until its RESULT. */
static void drop(worker_loop *w, lease *l, uint64_t now_us, core_actions *out)
{
    requests_cancel(w->requests, now_us, out, l->id);
    w->stats.dropped++;
    if (is_with_shell(l))
        l->dropped = true;
    else
        lease_fini(l);
}

/* Drops a slot and tells the scheduler soon. */
static void give_back(worker_loop *w, lease *l, uint64_t now_us, core_actions *out, uint64_t wait)
{
    drop(w, l, now_us, out);
    if (!w->work_at_us || w->work_at_us > now_us + wait) ask_for_work(w, now_us + wait);
}

static void drop_all_but(worker_loop *w, uint32_t generation, uint64_t now_us, core_actions *out)
{
    for (uint32_t i = 0; i < WORKER_LEASES_MAX; i++) {
        lease *l = &w->lease[i];
        if (is_held(l) && l->task.generation != generation) drop(w, l, now_us, out);
    }
    for (uint32_t i = 0; i < DENSE_MAX; i++) {
        if (!w->dense[i].used || w->dense[i].generation == generation) continue;
        requests_cancel(w->requests, now_us, out, w->dense[i].id);
        dense_fini(&w->dense[i]);
    }
}

static void see_generation(worker_loop *w, uint32_t generation, uint64_t now_us, core_actions *out)
{
    if (generation <= w->generation) return;
    w->generation = generation;
    w->servers_version = 0;
    if (core_rule(w->config.mutations, CORE_RULE_RESTAMP)) drop_all_but(w, generation, now_us, out);
}

static uint32_t stamp(const worker_loop *w, uint32_t generation)
{
    return core_rule(w->config.mutations, CORE_RULE_RESTAMP) ? generation : w->generation;
}

/* An error that is ours or the sampler's: the slot goes back; three in a row end this process. */
static void fail(worker_loop *w, lease *l, uint64_t now_us, core_actions *out, const char *what,
                 const char *why)
{
    char name[64];
    slot_format(l->task.name, name);
    snprintf(w->failure, sizeof w->failure, "slot %s: %s: %.120s", name, what, why);
    core_event_line(out, "slot_failed", w->member.config.self, "%s", w->failure);
    w->failures++;
    give_back(w, l, now_us, out, FAILED_US);
}

static void fail_text(worker_loop *w, lease *l, uint64_t now_us, core_actions *out,
                      const char *what, const blob *text)
{
    char why[CORE_TEXT_MAX];
    size_t n = blob_size(text) < sizeof why - 1 ? blob_size(text) : sizeof why - 1;
    if (n) memcpy(why, blob_data(text), n);
    why[n] = 0;
    fail(w, l, now_us, out, what, why);
}

/* ---- requests ---- */

static void ask_server(worker_loop *w, uint64_t now_us, core_actions *out, uint32_t server,
                       wire_header h, blob *body, uint64_t owner, uint64_t part)
{
    core_peer to = {WIRE_SERVER, server, member_incarnation(&w->member, WIRE_SERVER, server)};
    h.map = w->member.map.version;
    h.term = w->member.term;
    requests_open(w->requests, now_us, out, to, h, body, owner, part);
}

static void ask_sampler(worker_loop *w, uint64_t now_us, core_actions *out, const lease *l,
                        wire_op op, uint32_t partition, blob *body, uint64_t part)
{
    uint32_t owner = partition_owner(partition, w->member.samplers);
    core_peer to = {WIRE_SAMPLER, owner, member_incarnation(&w->member, WIRE_SAMPLER, owner)};
    wire_header h = wire_request(op);
    wire_set_slot(&h, l->task.name);
    h.part = partition;
    h.generation = l->task.generation;
    requests_open(w->requests, now_us, out, to, h, body, l->id, part);
}

static wire_header pull_header(const worker_loop *w, uint32_t stage, uint32_t table,
                               uint32_t generation, uint32_t version)
{
    wire_header h = wire_request(WIRE_PULL);
    h.stage = (uint8_t)stage;
    h.table = (uint16_t)table;
    h.generation = stamp(w, generation);
    h.version = version;
    h.budget_ms = PULL_BUDGET_MS;
    return h;
}

/* Number of need and of its part in the caller's number of a request. */
static uint64_t need_part_number(uint32_t need, uint32_t part)
{
    return (uint64_t)need << 32 | part;
}

/* ---- dense parameters ---- */

static dense_copy *dense_find(worker_loop *w, const lease *l, const worker_need *need)
{
    uint32_t version = need->final ? (uint32_t)WIRE_FINAL : l->task.version;
    for (uint32_t i = 0; i < DENSE_MAX; i++) {
        dense_copy *d = &w->dense[i];
        if (d->used && d->generation == l->task.generation && d->stage == need->stage &&
            d->version == version)
            return d;
    }
    return NULL;
}

/* Versions that no slot needs any more make room. */
static void dense_evict(worker_loop *w, uint64_t now_us, core_actions *out)
{
    uint32_t lowest = UINT32_MAX;
    for (uint32_t i = 0; i < WORKER_LEASES_MAX; i++) {
        if (is_held(&w->lease[i]) && w->lease[i].task.version < lowest)
            lowest = w->lease[i].task.version;
    }
    for (uint32_t i = 0; i < DENSE_MAX; i++) {
        dense_copy *d = &w->dense[i];
        if (!d->used || d->version == (uint32_t)WIRE_FINAL || d->version >= lowest) continue;
        requests_cancel(w->requests, now_us, out, d->id);
        dense_fini(d);
    }
}

static void dense_ask(worker_loop *w, uint64_t now_us, core_actions *out, dense_copy *d,
                      uint32_t server)
{
    wire_header h = pull_header(w, d->stage, TABLE_DENSE, d->generation, d->base);
    h.flags = d->at_least ? WIRE_AT_LEAST : 0;
    ask_server(w, now_us, out, server, h, NULL, d->id, server);
}

static void dense_start(worker_loop *w, uint64_t now_us, core_actions *out, const lease *l,
                        const worker_need *need)
{
    dense_copy *d = NULL;
    dense_evict(w, now_us, out);
    for (uint32_t i = 0; i < DENSE_MAX && !d; i++) {
        if (!w->dense[i].used) d = &w->dense[i];
    }
    if (!d) return; /* tried again at the next step */
    const shard_map *map = l->task.map;
    *d = (dense_copy){.used = true,
                      .id = ++w->serial,
                      .generation = l->task.generation,
                      .stage = need->stage,
                      .version = need->final ? (uint32_t)WIRE_FINAL : l->task.version,
                      .base = need->final ? (uint32_t)WIRE_FINAL : l->base,
                      .at_least = l->at_least && !need->final,
                      .floats = need->floats,
                      .map = map};
    d->flat = blob_new(d->floats * sizeof(float));
    ASSERT(d->flat);
    d->taken = xcalloc(map->servers, sizeof *d->taken);
    for (uint32_t s = 0; s < map->servers; s++) {
        if (!table_server_floats(map, d->stage, d->floats, s)) continue;
        d->pending++;
        dense_ask(w, now_us, out, d, s);
    }
}

static dense_copy *dense_by_id(worker_loop *w, uint64_t id)
{
    for (uint32_t i = 0; i < DENSE_MAX; i++) {
        if (w->dense[i].used && w->dense[i].id == id) return &w->dense[i];
    }
    return NULL;
}

/* There is no such version (any more): the slots that wait for it go back; `why` is NULL where that
 * is the way of things, else it is a failure. */
static void dense_lost(worker_loop *w, dense_copy *d, uint64_t now_us, core_actions *out,
                       const char *why)
{
    requests_cancel(w->requests, now_us, out, d->id);
    for (uint32_t i = 0; i < WORKER_LEASES_MAX; i++) {
        lease *l = &w->lease[i];
        if (!is_held(l) || l->state != LEASE_FETCHING) continue;
        for (uint32_t k = 0; k < l->needs.n; k++) {
            if (l->needs.need[k].kind != NEED_DENSE || !l->needs.state[k].pending) continue;
            if (dense_find(w, l, &l->needs.need[k]) != d) continue;
            if (why)
                fail(w, l, now_us, out, "parameters", why);
            else
                give_back(w, l, now_us, out, RETRY_US);
            break;
        }
    }
    dense_fini(d);
}

static void on_dense(worker_loop *w, dense_copy *d, const core_event *e, uint32_t server,
                     core_actions *out)
{
    const wire_header *h = e->message.header;
    const shard_map *map = d->map;
    size_t floats = table_server_floats(map, d->stage, d->floats, server);
    if (h->status == WIRE_BEHIND) {
        dense_ask(w, e->now_us, out, d, server);
        return;
    }
    if (h->status != WIRE_OK || blob_size(e->message.body) != floats * sizeof(float)) {
        w->stats.gone += h->status == WIRE_GONE;
        core_event_line(out, "pull_failed", w->member.config.self, "dense of %s: %s, %zu bytes",
                        stage_name(d->stage), wire_status_name(h->status),
                        blob_size(e->message.body));
        bool moved_on = h->status == WIRE_GONE || h->status == WIRE_GENERATION;
        dense_lost(w, d, e->now_us, out, moved_on ? NULL : wire_status_name(h->status));
        return;
    }
    if (d->taken[server]) return;
    d->taken[server] = true;
    table_scatter((float *)(void *)blob_writable(d->flat), map, d->stage, d->floats, server,
                  (const float *)(const void *)blob_data(e->message.body));
    d->pending--;
}

/* ---- building and fetching ---- */

static void digest(lease *l, core_actions *out)
{
    move_to(l, LEASE_DIGESTING);
    l->task.need = l->needs.need;
    l->task.needs = l->needs.n;
    l->task.reply = l->needs.reply;
    core_compute(out, l->id, WORKER_DIGEST, &l->task);
}

static void start_lease(worker_loop *w, lease *l, uint64_t now_us, core_actions *out)
{
    uint32_t partition = w->config.plan->partition(w->config.plan->ctx, l->task.name);
    if (partition == UINT32_MAX) {
        digest(l, out);
        return;
    }
    move_to(l, LEASE_BUILDING);
    ask_sampler(w, now_us, out, l, WIRE_BUILD, partition, NULL, 0);
}

static void on_build(worker_loop *w, lease *l, const core_event *e, core_actions *out)
{
    if (e->message.header->status != WIRE_OK) {
        fail_text(w, l, e->now_us, out, "the sampler", e->message.body);
        return;
    }
    l->task.build = e->message.body ? blob_ref(e->message.body) : blob_new(0);
    digest(l, out);
}

static void fetch_rows_part(worker_loop *w, lease *l, uint64_t now_us, core_actions *out,
                            uint32_t i, uint32_t part, blob *keys)
{
    const worker_need *need = &l->needs.need[i];
    uint32_t version = need->final ? (uint32_t)WIRE_FINAL : l->base;
    wire_header h = pull_header(w, need->stage, need->table, l->task.generation, version);
    h.part = need->dim;
    h.flags = l->at_least && !need->final ? WIRE_AT_LEAST : 0;
    ask_server(w, now_us, out, l->needs.state[i].part[part].server, h, keys, l->id,
               need_part_number(i, part));
}

static void fetch(worker_loop *w, lease *l, uint64_t now_us, core_actions *out, uint32_t i)
{
    const worker_need *need = &l->needs.need[i];
    blob *keys[SERVERS_MAX];
    switch (need->kind) {
    case NEED_FEATURES:
        ask_sampler(w, now_us, out, l, WIRE_FEATURES, need->partition, blob_ref(need->body),
                    need_part_number(i, 0));
        return;
    case NEED_ROWS: {
        uint32_t parts = lease_needs_split(&l->needs, i, l->task.map, keys);
        for (uint32_t k = 0; k < parts; k++) fetch_rows_part(w, l, now_us, out, i, k, keys[k]);
        return;
    }
    case NEED_DENSE: return; /* take_dense asks once for all slots */
    }
}

static void on_digest(worker_loop *w, lease *l, const core_event *e, core_actions *out)
{
    if (e->result.status != ERR_OK) {
        fail(w, l, e->now_us, out, "digest", err_name(e->result.status));
        return;
    }
    const worker_digest *d = e->result.detail;
    uint32_t first = l->needs.n;
    move_to(l, LEASE_FETCHING);
    l->again = d->again;
    for (uint32_t i = 0; i < d->needs; i++) {
        if (lease_needs_add(&l->needs, &d->need[i]) != UINT32_MAX) continue;
        fail(w, l, e->now_us, out, "digest", "a malformed need, or too many");
        return;
    }
    for (uint32_t i = first; i < l->needs.n; i++) fetch(w, l, e->now_us, out, i);
}

/* Takes over dense copies that are there; asks for those that nobody has asked for. */
static void take_dense(worker_loop *w, lease *l, uint64_t now_us, core_actions *out)
{
    for (uint32_t i = 0; i < l->needs.n; i++) {
        const worker_need *need = &l->needs.need[i];
        if (need->kind != NEED_DENSE || !l->needs.state[i].pending) continue;
        dense_copy *d = dense_find(w, l, need);
        if (!d)
            dense_start(w, now_us, out, l, need);
        else if (!d->pending)
            lease_needs_reply(&l->needs, i, d->flat);
    }
}

/* The answer to a FEATURES or a PULL of rows. */
static void on_fetched(worker_loop *w, lease *l, const core_event *e, const request_match *m,
                       core_actions *out)
{
    const wire_header *h = e->message.header;
    uint32_t i = (uint32_t)(m->part >> 32), part = (uint32_t)m->part;
    bool rows = m->header.op == WIRE_PULL;
    if (h->status == WIRE_BEHIND && rows) {
        blob *keys = blob_new((size_t)l->needs.state[i].part[part].n * 8);
        ASSERT(keys);
        uint64_t *to = (uint64_t *)(void *)blob_writable(keys);
        const uint64_t *all = (const void *)blob_data(l->needs.need[i].body);
        for (uint32_t k = 0; k < l->needs.state[i].part[part].n; k++)
            to[k] = all[l->needs.state[i].part[part].position[k]];
        fetch_rows_part(w, l, e->now_us, out, i, part, keys);
        return;
    }
    if (h->status == WIRE_GONE || h->status == WIRE_GENERATION) {
        w->stats.gone += h->status == WIRE_GONE;
        give_back(w, l, e->now_us, out, RETRY_US);
        return;
    }
    bool good = h->status == WIRE_OK;
    if (good && rows)
        good = lease_needs_rows(&l->needs, i, part, e->message.body);
    else if (good)
        lease_needs_reply(&l->needs, i, e->message.body);
    if (!good) fail_text(w, l, e->now_us, out, wire_op_name(h->op), e->message.body);
}

/* ---- computing ---- */

static bool comes_before(const lease *a, const lease *b)
{
    if (a->task.version != b->task.version) return a->task.version < b->task.version;
    return a->id < b->id;
}

static void start_compute(worker_loop *w, uint64_t now_us, core_actions *out)
{
    lease *best = NULL;
    for (uint32_t i = 0; i < WORKER_LEASES_MAX; i++) {
        lease *l = &w->lease[i];
        if (!is_held(l) || l->state != LEASE_READY) continue;
        if (!best || comes_before(l, best)) best = l;
    }
    if (!best || w->computing) return;
    w->computing = true;
    best->compute_from_us = now_us;
    best->task.need = best->needs.need;
    best->task.needs = best->needs.n;
    best->task.reply = best->needs.reply;
    move_to(best, LEASE_COMPUTING);
    core_compute(out, best->id, WORKER_SLOT, &best->task);
}

static void report(worker_loop *w, lease *l, uint64_t now_us, core_actions *out)
{
    Weft__Done done = WEFT__DONE__INIT;
    move_to(l, LEASE_REPORTING);
    done.version = 1;
    done.examples = l->examples;
    done.loss = l->loss;
    done.is_void = l->is_void;
    done.sums = l->sums;
    done.n_sums = l->sums_n;
    done.compute_us = l->compute_us;
    wire_header h = wire_request(WIRE_DONE);
    wire_set_slot(&h, l->task.name);
    h.generation = stamp(w, l->task.generation);
    h.version = l->task.version;
    h.term = w->member.term;
    requests_open(w->requests, now_us, out, member_scheduler(&w->member), h, proto_pack(&done.base),
                  l->id, 0);
}

static bool has_content(const blob *body)
{
    push_view v;
    if (push_decode(body, &v) != ERR_OK) return true;
    size_t rows = 0;
    for (uint32_t k = 0; k < v.head.sections; k++) rows += v.section[k].n;
    return v.head.dense_floats || rows;
}

static void push(worker_loop *w, lease *l, const worker_output *o, uint64_t now_us,
                 core_actions *out)
{
    wire_op op = l->is_void ? WIRE_VOID : l->task.kind == ROUND_PUT ? WIRE_PUT : WIRE_PUSH;
    move_to(l, LEASE_PUSHING);
    l->acks_missing = 0;
    for (uint32_t s = 0; s < o->bodies; s++) {
        if (!core_rule(w->config.mutations, CORE_RULE_EVERY_SERVER) && !has_content(o->body[s]))
            continue;
        wire_header h = wire_request(op);
        wire_set_slot(&h, l->task.name);
        h.generation = stamp(w, l->task.generation);
        h.version = l->task.version;
        h.part = l->slots;
        h.body_hash = hash64(blob_data(o->body[s]), blob_size(o->body[s]), 0);
        l->acks_missing++;
        ask_server(w, now_us, out, s, h, blob_ref(o->body[s]), l->id, s);
    }
    if (!l->acks_missing) report(w, l, now_us, out);
}

static void take_output(lease *l, const worker_output *o)
{
    l->is_void = o->is_void;
    l->examples = o->is_void ? 0 : o->examples;
    l->loss = o->is_void ? 0 : o->loss;
    l->sums_n = o->sums_n;
    l->sums = xcalloc(o->sums_n + 1, sizeof *l->sums);
    if (o->sums_n) memcpy(l->sums, o->sums, o->sums_n * sizeof *l->sums);
}

static void on_computed(worker_loop *w, lease *l, const core_event *e, core_actions *out)
{
    const worker_output *o = e->result.detail;
    l->compute_us = e->now_us - l->compute_from_us;
    if (l->task.kind == ROUND_TRAIN) latency_add(&w->slot_us, l->compute_us);
    if (e->result.status != ERR_OK) {
        fail(w, l, e->now_us, out, "compute", err_name(e->result.status));
        return;
    }
    w->failures = 0;
    take_output(l, o);
    if (l->is_void && !core_rule(w->config.mutations, CORE_RULE_VOID)) {
        give_back(w, l, e->now_us, out, FAILED_US);
        return;
    }
    if (l->task.kind == ROUND_SCORE) {
        report(w, l, e->now_us, out);
        return;
    }
    ASSERT(o->bodies == l->task.map->servers);
    push(w, l, o, e->now_us, out);
    if (!core_rule(w->config.mutations, CORE_RULE_ALL_ACKS) && l->state == LEASE_PUSHING)
        report(w, l, e->now_us, out);
}

static void on_result(worker_loop *w, const core_event *e, core_actions *out)
{
    lease *l = lease_by_id(w, e->result.token);
    if (!l || !is_with_shell(l)) return;
    bool slot = l->state == LEASE_COMPUTING;
    if (slot) w->computing = false;
    if (l->dropped) {
        lease_fini(l);
        return;
    }
    l->state =
        slot ? LEASE_READY : LEASE_FETCHING; /* the shell is done with it, also if it failed */
    if (slot)
        on_computed(w, l, e, out);
    else
        on_digest(w, l, e, out);
}

static void on_pushed(worker_loop *w, lease *l, const core_event *e, core_actions *out)
{
    const wire_header *h = e->message.header;
    if (l->state != LEASE_PUSHING) return;
    if (h->status == WIRE_REFUSED) {
        w->failures = FAILURES_MAX; /* another try would be refused too */
        fail_text(w, l, e->now_us, out, "the server refuses it", e->message.body);
    } else if (h->status != WIRE_OK) {
        give_back(w, l, e->now_us, out, RETRY_US);
    } else if (--l->acks_missing == 0) {
        report(w, l, e->now_us, out);
    }
}

static void on_reported(worker_loop *w, lease *l, const core_event *e, core_actions *out)
{
    if (e->message.header->status == WIRE_OK) {
        w->stats.slots_done++;
        w->examples += l->examples;
        lease_fini(l);
        return;
    }
    if (e->message.header->status == WIRE_REFUSED) {
        w->failures = FAILURES_MAX; /* another try would be refused too */
        fail_text(w, l, e->now_us, out, "the scheduler refuses it", e->message.body);
        return;
    }
    give_back(w, l, e->now_us, out, RETRY_US);
}

/* ---- work ---- */

static uint32_t activity_of(const worker_loop *w, const lease *l)
{
    switch (l->state) {
    case LEASE_BUILDING:
    case LEASE_DIGESTING: return PEER_SAMPLING;
    case LEASE_FETCHING: return l->base > w->servers_version ? PEER_WAITING : PEER_PULLING;
    case LEASE_COMPUTING: return PEER_COMPUTING;
    case LEASE_PUSHING:
    case LEASE_REPORTING: return PEER_PUSHING;
    default: return PEER_WAITING;
    }
}

/* What this worker as a whole is doing: computing, or what its first slot is held up by. */
static uint32_t activity(const worker_loop *w)
{
    const lease *first = NULL;
    if (w->computing) return PEER_COMPUTING;
    for (uint32_t i = 0; i < WORKER_LEASES_MAX; i++) {
        const lease *l = &w->lease[i];
        if (is_held(l) && (!first || comes_before(l, first))) first = l;
    }
    return first ? activity_of(w, first) : PEER_IDLE;
}

static void account(worker_loop *w, uint64_t now_us)
{
    static const uint8_t phase_of[] = {
        [PEER_IDLE] = PHASE_WAIT,    [PEER_WAITING] = PHASE_WAIT, [PEER_SAMPLING] = PHASE_SAMPLE,
        [PEER_PULLING] = PHASE_PULL, [PEER_PUSHING] = PHASE_PUSH, [PEER_COMPUTING] = PHASE_COMPUTE};
    if (w->clock_us && now_us > w->clock_us)
        w->stats.phase_us[phase_of[activity(w)]] += now_us - w->clock_us;
    w->clock_us = now_us;
}

/* Whoever waits for others (for a named version, an answer) gets on; whoever computes, or waits for
 * its turn to, gets on only when that does. */
static bool waits_for_us(const lease *l)
{
    return l->state == LEASE_READY || l->state == LEASE_COMPUTING;
}

static size_t list_leases(worker_loop *w, Weft__Lease *x, Weft__Lease **list)
{
    size_t n = 0;
    for (uint32_t i = 0; i < WORKER_LEASES_MAX; i++) {
        lease *l = &w->lease[i];
        if (!is_held(l)) continue;
        if (!waits_for_us(l)) l->progress++;
        weft__lease__init(&x[n]);
        x[n].stage = l->task.name.stage;
        x[n].epoch = l->task.name.epoch;
        x[n].step = l->task.name.step;
        x[n].slot = l->task.name.slot;
        x[n].kind = l->task.kind;
        x[n].generation = l->task.generation;
        x[n].round = l->task.version;
        x[n].slots = l->slots;
        x[n].tables = l->base;
        x[n].at_least = l->at_least;
        x[n].state = activity_of(w, l);
        x[n].progress = l->progress;
        list[n] = &x[n];
        n++;
    }
    return n;
}

/* Busy with a slot that somebody else has finished: it may hang, and nothing else is computed now.
 */
static bool computes_in_vain(const worker_loop *w)
{
    for (uint32_t i = 0; i < WORKER_LEASES_MAX; i++) {
        if (w->lease[i].state == LEASE_COMPUTING && w->lease[i].dropped) return true;
    }
    return false;
}

static void send_work(worker_loop *w, uint64_t now_us, core_actions *out)
{
    Weft__Work work = WEFT__WORK__INIT;
    Weft__Lease held[WORKER_LEASES_MAX], *list[WORKER_LEASES_MAX];
    requests_cancel(w->requests, now_us, out, OWNER_WORK);
    work.version = 1;
    work.sequence = ++w->sequence;
    work.held = list;
    work.n_held = list_leases(w, held, list);
    work.wanted = w->stopping || computes_in_vain(w) ? 0 : w->config.leases;
    work.leaving = w->stopping;
    w->told_free = w->stopping && !work.n_held;
    work.state = activity(w);
    work.slots_done = w->stats.slots_done;
    work.examples = w->examples;
    work.phase_us = w->stats.phase_us;
    work.n_phase_us = 5;
    work.slot_us_p50 = (uint32_t)latency_quantile(&w->slot_us, 0.5);
    work.slot_us_p99 = (uint32_t)latency_quantile(&w->slot_us, 0.99);
    work.rss_bytes = w->member.rss_bytes;
    work.gone = w->stats.gone;
    wire_header h = wire_request(WIRE_WORK);
    h.generation = w->generation;
    h.term = w->member.term;
    h.budget_ms = w->stopping ? 0 : WORK_BUDGET_MS;
    requests_open(w->requests, now_us, out, member_scheduler(&w->member), h, proto_pack(&work.base),
                  OWNER_WORK, 0);
    w->work_open = true;
    w->work_answered = false;
    w->work_at_us = 0;
}

static lease *lease_like(worker_loop *w, const Weft__Lease *x)
{
    slot_name name = {x->stage, x->epoch, x->step, x->slot};
    for (uint32_t i = 0; i < WORKER_LEASES_MAX; i++) {
        lease *l = &w->lease[i];
        if (is_held(l) && l->task.generation == x->generation && l->task.version == x->round &&
            slot_equal(l->task.name, name))
            return l;
    }
    return NULL;
}

/* The map in force, as slots keep it: it never changes under their computations. */
static const shard_map *current_map(worker_loop *w)
{
    if (w->maps_n && w->maps[w->maps_n - 1]->version == w->member.map.version)
        return w->maps[w->maps_n - 1];
    shard_map *map = xmalloc(sizeof *map);
    *map = w->member.map;
    grow(&w->maps, &w->maps_cap, w->maps_n + 1, sizeof *w->maps);
    w->maps[w->maps_n++] = map;
    return map;
}

static void take_grant(worker_loop *w, const Weft__Lease *x, uint64_t now_us, core_actions *out)
{
    if (x->generation != w->generation || lease_like(w, x) || x->stage >= STAGE_COUNT) return;
    if (x->tables > x->round) return;
    for (uint32_t i = 0; i < WORKER_LEASES_MAX; i++) {
        lease *l = &w->lease[i];
        if (l->state != LEASE_FREE) continue;
        l->id = ++w->serial;
        l->task.name = (slot_name){x->stage, x->epoch, x->step, x->slot};
        l->task.kind = (round_kind)x->kind;
        l->task.generation = x->generation;
        l->task.version = x->round;
        l->task.map = current_map(w);
        l->slots = x->slots;
        l->base = x->tables;
        l->at_least = x->at_least;
        start_lease(w, l, now_us, out);
        return;
    }
}

/* Asked to leave (SIGTERM, or by the scheduler): keeps what is being computed or pushed, gives the
 * rest back, and waits until the scheduler has heard. */
static void begin_leaving(worker_loop *w, uint64_t now_us, core_actions *out)
{
    if (w->stopping) return;
    w->stopping = true;
    w->leave_by_us = now_us + LEAVE_US;
    for (uint32_t i = 0; i < WORKER_LEASES_MAX; i++) {
        lease *l = &w->lease[i];
        if (is_held(l) && l->state < LEASE_COMPUTING) drop(w, l, now_us, out);
    }
    w->work_answered = false;
    ask_for_work(w, now_us);
}

static void take_grants(worker_loop *w, const core_event *e, core_actions *out)
{
    Weft__Grants *g =
        proto_unpack(&w->arena, &weft__grants__descriptor, e->message.body, WIRE_CONTROL_MAX);
    if (!g || e->message.header->generation < w->generation) return;
    see_generation(w, e->message.header->generation, e->now_us, out);
    bool fenced = core_rule(w->config.mutations, CORE_RULE_RESTAMP);
    for (size_t i = 0; fenced && i < g->n_drop; i++) {
        lease *l = lease_like(w, g->drop[i]);
        if (!l) continue;
        if (l->state == LEASE_REPORTING) w->stats.slots_done++;
        drop(w, l, e->now_us, out);
    }
    bool routed = e->message.header->map == w->member.map.version; /* else HELLO first */
    /* Not while the answer to one may be on its way: the next one would cancel it. */
    bool waits = e->now_us < w->member.hello_from_us + MEMBER_JOIN_US;
    bool old_view = !routed || g->view != w->member.view;
    if (old_view && !waits) member_hello_soon(&w->member, e->now_us);
    for (size_t i = 0; i < g->n_grant && !w->stopping && routed; i++)
        take_grant(w, g->grant[i], e->now_us, out);
    w->member.stop = w->member.stop || g->stop;
    if (g->leave) begin_leaving(w, e->now_us, out);
}

static void on_work(worker_loop *w, const core_event *e, core_actions *out)
{
    const wire_header *h = e->message.header;
    w->work_open = false;
    w->work_answered = true;
    if (h->status == WIRE_OK) {
        take_grants(w, e, out);
        if (!w->work_at_us) ask_for_work(w, e->now_us + (w->stopping ? RETRY_US : 0));
    } else { /* a scheduler that does not know us (yet): HELLO first */
        member_hello_soon(&w->member, e->now_us);
        ask_for_work(w, e->now_us + RETRY_US);
    }
}

/* ---- events ---- */

static void on_slot_answer(worker_loop *w, const request_match *m, const core_event *e,
                           core_actions *out)
{
    const wire_header *h = e->message.header;
    if (h->role == WIRE_SERVER && h->generation == w->generation && h->version > w->servers_version)
        w->servers_version = h->version;
    dense_copy *d = dense_by_id(w, m->owner);
    if (d) {
        on_dense(w, d, e, (uint32_t)m->part, out);
        return;
    }
    lease *l = lease_by_id(w, m->owner);
    if (!l || l->dropped) return;
    switch (m->header.op) {
    case WIRE_BUILD: on_build(w, l, e, out); return;
    case WIRE_FEATURES:
    case WIRE_PULL: on_fetched(w, l, e, m, out); return;
    case WIRE_DONE: on_reported(w, l, e, out); return;
    default: on_pushed(w, l, e, out); return;
    }
}

static void on_message(worker_loop *w, const core_event *e, core_actions *out)
{
    const wire_header *h = e->message.header;
    request_match m;
    if (!wire_is_answer(h)) {
        wire_header answer = wire_answer(h, h->op == WIRE_STOP ? WIRE_OK : WIRE_REFUSED);
        answer.role = WIRE_WORKER;
        answer.index = w->config.index;
        answer.incarnation = w->config.incarnation;
        core_send(out, (core_peer){h->role, h->index, h->incarnation}, e->message.route, &answer,
                  NULL);
        return;
    }
    if (h->role == WIRE_SCHEDULER && h->op != WIRE_HELLO) {
        uint32_t before = w->member.term;
        if (!member_accepts_term(&w->member, h)) return;
        if (w->member.term > before) member_hello_soon(&w->member, e->now_us);
    }
    if (!requests_answer(w->requests, e->now_us, out, h, &m)) return;
    if (m.owner == MEMBER_OWNER)
        member_view(&w->member, w->requests, e->now_us, out, h, e->message.body);
    else if (m.owner == OWNER_WORK)
        on_work(w, e, out);
    else
        on_slot_answer(w, &m, e, out);
}

static bool holds_any(const worker_loop *w)
{
    for (uint32_t i = 0; i < WORKER_LEASES_MAX; i++) {
        if (is_held(&w->lease[i])) return true;
    }
    return false;
}

static bool may_leave(const worker_loop *w, uint64_t now_us)
{
    if (!w->stopping) return false;
    if (now_us >= w->leave_by_us) return true;
    return !holds_any(w) && ((w->told_free && w->work_answered) || !w->member.joined);
}

static void leave(worker_loop *w, uint64_t now_us, core_actions *out)
{
    int code;
    if (member_leaves(&w->member, &code))
        core_exit(out, code, "%s", w->member.why);
    else if (w->failures >= FAILURES_MAX)
        core_exit(out, 1, "%s", w->failure);
    else if (may_leave(w, now_us))
        core_exit(out, 0, "asked to leave");
    else
        return;
    w->exited = true;
}

/* A slot that takes longer than a leaving worker may stay goes back. */
static void give_back_late(worker_loop *w, uint64_t now_us, core_actions *out)
{
    if (!w->stopping || w->gave_back || now_us < w->leave_by_us || !holds_any(w)) return;
    w->gave_back = true;
    w->leave_by_us = now_us + GIVE_BACK_US;
    for (uint32_t i = 0; i < WORKER_LEASES_MAX; i++) {
        if (is_held(&w->lease[i])) drop(w, &w->lease[i], now_us, out);
    }
    w->work_answered = false;
    ask_for_work(w, now_us);
}

static void advance(worker_loop *w, uint64_t now_us, core_actions *out)
{
    for (uint32_t i = 0; i < WORKER_LEASES_MAX; i++) {
        lease *l = &w->lease[i];
        if (!is_held(l) || l->state != LEASE_FETCHING) continue;
        take_dense(w, l, now_us, out);
        if (!is_held(l) || !lease_needs_answered(&l->needs)) continue;
        if (l->again)
            digest(l, out);
        else
            move_to(l, LEASE_READY);
    }
    start_compute(w, now_us, out);
    give_back_late(w, now_us, out);
    if (!w->member.joined) return;
    bool due = w->work_at_us && now_us >= w->work_at_us;
    /* Who only falls silent is waited for until it counts as lost. */
    bool must_tell = w->stopping && !w->told_free && !holds_any(w);
    if (due || must_tell || (!w->work_open && !w->work_at_us)) send_work(w, now_us, out);
}

static uint64_t next_timer(const worker_loop *w, uint64_t at)
{
    if (w->member.hello_at_us < at) at = w->member.hello_at_us;
    if (w->member.joined && w->work_at_us && w->work_at_us < at) at = w->work_at_us;
    if (w->stopping && w->leave_by_us < at) at = w->leave_by_us;
    return at;
}

uint64_t worker_loop_step(worker_loop *w, const core_event *e, core_actions *out)
{
    if (w->exited) return UINT64_MAX;
    account(w, e->now_us);
    switch (e->type) {
    case CORE_MESSAGE: on_message(w, e, out); break;
    case CORE_RESULT: on_result(w, e, out); break;
    case CORE_STOP: begin_leaving(w, e->now_us, out); break;
    case CORE_START:
    case CORE_TIMER: break;
    }
    advance(w, e->now_us, out);
    if (member_hello_due(&w->member, e->now_us)) {
        Weft__Hello hello = WEFT__HELLO__INIT;
        member_hello(&w->member, w->requests, e->now_us, out, &hello);
    }
    leave(w, e->now_us, out);
    return w->exited ? UINT64_MAX : next_timer(w, requests_timer(w->requests, e->now_us, out));
}

void worker_loop_note_rss(worker_loop *w, uint64_t bytes)
{
    w->member.rss_bytes = bytes;
}

void worker_loop_stats_get(const worker_loop *w, worker_loop_stats *out)
{
    *out = w->stats;
    out->generation = w->generation;
    out->resends = requests_resends(w->requests);
    out->stopping = w->stopping;
    out->known = member_is_known(&w->member);
    for (uint32_t i = 0; i < WORKER_LEASES_MAX; i++) out->leases += is_held(&w->lease[i]);
}

uint64_t worker_loop_digest(const worker_loop *w)
{
    uint64_t h = requests_digest(w->requests);
    for (uint32_t i = 0; i < WORKER_LEASES_MAX; i++) {
        const lease *l = &w->lease[i];
        uint64_t x[4] = {l->state, l->id, l->task.version, l->needs.n};
        h = hash64(x, sizeof x, h);
    }
    return h;
}
