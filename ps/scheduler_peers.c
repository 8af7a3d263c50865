#include "common/mem.h"
#include "ps/scheduler_state.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void refuse(scheduler *s, const core_event *e, core_actions *out, const char *why)
{
    const wire_header *h = e->message.header;
    scheduler_answer(s, out, e->message.route, h, WIRE_REFUSED, blob_copy(why, strlen(why)));
}

/* Servers of the map in force, or of the one that is to come. */
static uint32_t servers_expected(const scheduler *s)
{
    if (scheduler_keeps_leavers(s)) return SERVERS_MAX;
    return s->servers_wanted > s->config.servers ? s->servers_wanted : s->config.servers;
}

static member_state *slot_of(scheduler *s, uint32_t role, uint32_t index)
{
    if (role == WIRE_SERVER) {
        if (index >= servers_expected(s)) return NULL;
        scheduler_servers_known(s, index + 1);
        return &s->server[index];
    }
    if (role == WIRE_SAMPLER) return index < s->config.samplers ? &s->sampler[index] : NULL;
    if (role == WIRE_DRIVER) return &s->driver;
    if (role != WIRE_WORKER || index >= SCHEDULER_PEERS_MAX) return NULL;
    while (s->workers <= index) {
        grow(&s->worker, &s->workers_cap, s->workers + 1, sizeof *s->worker);
        memset(&s->worker[s->workers++], 0, sizeof *s->worker);
    }
    return &s->worker[index];
}

static bool is_past(const member_state *p, uint64_t incarnation)
{
    for (uint32_t i = 0; i < PAST_LIVES; i++) {
        if (incarnation && p->past[i] == incarnation) return true;
    }
    return false;
}

member_state *scheduler_peers_worker(scheduler *s, const wire_header *h)
{
    if (h->role != WIRE_WORKER || h->index >= s->workers) return NULL;
    member_state *p = &s->worker[h->index];
    return p->id.incarnation == h->incarnation ? p : NULL;
}

/* Why a HELLO is refused; false: it is not. */
static bool is_refused(scheduler *s, const core_event *e, const Weft__Hello *hello, char *why)
{
    const wire_header *h = e->message.header;
    uint32_t key_role = e->message.key_role;
    const char *role = wire_role_name(h->role);
    bool driver = h->role == WIRE_DRIVER;
    *why = 0;
    if (key_role && key_role != h->role)
        snprintf(why, CORE_TEXT_MAX, "the key is of a %s, not of a %s", wire_role_name(key_role),
                 role);
    else if (!slot_of(s, h->role, h->index))
        snprintf(why, CORE_TEXT_MAX, "the job has no %s-%u", role, h->index);
    else if (s->plan && hello->plan_hash != s->plan_hash && !(driver && !hello->plan_hash))
        snprintf(why, CORE_TEXT_MAX, "another plan: %016" PRIx64 ", the job has %016" PRIx64,
                 hello->plan_hash, s->plan_hash);
    else if (s->config.numerics_strict && !driver &&
             strcmp(hello->numerics, s->config.numerics) != 0)
        snprintf(why, CORE_TEXT_MAX, "numerics strict: %.100s, the job has %.100s", hello->numerics,
                 s->config.numerics);
    return *why != 0;
}

static void forget_past(member_state *p, uint64_t incarnation)
{
    for (uint32_t i = 0; i < PAST_LIVES; i++) {
        if (p->past[i] == incarnation) p->past[i] = 0;
    }
    p->contested_us = 0;
}

/* A HELLO of a past life: a late copy of a dead one's, a process that was hung and has been
 * replaced, or (messages overtake each other) the living one.  Incarnations have no order; but the
 * dead are silent. True: it is taken back. */
static bool takes_back(scheduler *s, member_state *p, const core_event *e, core_actions *out)
{
    static const char why[] = "a newer process has taken over this index";
    const wire_header *h = e->message.header;
    if (!p->contested_us || p->contested_by != h->incarnation) {
        p->contested_us = e->now_us;
        p->contested_by = h->incarnation;
        return false;
    }
    if (p->seen_us > p->contested_us) { /* both speak: the newer one stays */
        scheduler_answer(s, out, e->message.route, h, WIRE_INCARNATION,
                         blob_copy(why, sizeof why - 1));
        return false;
    }
    if (e->now_us - p->contested_us < CONTEST_US) return false;
    forget_past(p, h->incarnation);
    return true;
}

/* True if a HELLO of another life may be old news: one that is alive is displaced only by one that
 * has had our answer (and so our term), which a dead one cannot have. */
static bool must_confirm(const scheduler *s, const member_state *p, const wire_header *h)
{
    bool alive = p->id.incarnation && p->heard && !p->lost;
    return alive && p->id.incarnation != h->incarnation && h->term != s->term;
}

/* Servers of the view: of the map, and those that leave while they are needed. */
static uint32_t servers_shown(const scheduler *s)
{
    bool all = scheduler_keeps_leavers(s) && s->servers_known > s->config.servers;
    return all ? s->servers_known : s->config.servers;
}

static size_t fill_peers(const scheduler *s, Weft__Peer *peer, Weft__Peer **list)
{
    size_t n = 0;
    uint32_t servers = servers_shown(s);
    for (uint32_t i = 0; i < servers + s->config.samplers; i++) {
        const member_state *p = i < servers ? &s->server[i] : &s->sampler[i - servers];
        if (!p->id.incarnation || (i >= s->config.servers && i < servers && p->lost)) continue;
        Weft__Peer *x = &peer[n];
        weft__peer__init(x);
        x->role = p->id.role;
        x->index = p->id.index;
        x->incarnation = p->id.incarnation;
        x->address = (char *)(uintptr_t)p->address; /* packing only reads */
        list[n++] = x;
    }
    return n;
}

/* A server of an earlier, larger map: nobody needs it any more. */
static bool is_surplus(const scheduler *s, const core_event *e)
{
    const wire_header *h = e->message.header;
    return h->role == WIRE_SERVER && h->index >= servers_expected(s) && s->map.version > 1;
}

/* A server that was told to stop, and has been waited for. */
static bool may_go(const scheduler *s, const wire_header *h)
{
    if (h->role != WIRE_SERVER || h->index >= s->servers_known) return false;
    const member_state *p = &s->server[h->index];
    return p->may_go && p->id.incarnation == h->incarnation;
}

/* admitted: else it hears only that we are here, and asks again soon. */
static void answer_view(scheduler *s, const core_event *e, const Weft__Hello *hello, bool admitted,
                        core_actions *out)
{
    Weft__View v = WEFT__VIEW__INIT;
    v.version = 1;
    v.view = s->view;
    v.state = s->phase == PHASE_OVER        ? s->end
              : s->phase <= PHASE_PREPARING ? JOB_PREPARING
                                            : JOB_RUNNING;
    v.stage = scheduler_stage(s);
    v.stop = (s->phase == PHASE_OVER && s->over_until_us != UINT64_MAX) || is_surplus(s, e) ||
             may_go(s, e->message.header);
    uint32_t all = servers_shown(s) + s->config.samplers;
    Weft__Peer *peer = xcalloc(all, sizeof *peer);
    Weft__Peer **list = xcalloc(all, sizeof(Weft__Peer *));
    v.complete = admitted && !(hello->term == s->term && hello->view == s->view);
    if (v.complete) {
        v.shards = s->map.shards;
        v.servers = s->config.servers;
        v.samplers = s->config.samplers;
        v.n_peer = fill_peers(s, peer, list);
        v.peer = list;
    }
    scheduler_answer(s, out, e->message.route, e->message.header, WIRE_OK, proto_pack(&v.base));
    free(peer);
    free(list);
}

/* Two processes have the index of one server, and the one that is here lives: what it says was said
 * after the other came, as it names a view that was made then.  (Of a dead one old messages may
 * still come, but not that.) */
static void refuse_twin(scheduler *s, const member_state *p, const core_event *e,
                        const Weft__Hello *hello, core_actions *out)
{
    const wire_header *h = e->message.header;
    char why[CORE_TEXT_MAX];
    snprintf(why, sizeof why,
             "ps-%u is here already: process %u at %.80s; this is process %u at %.80s: end one, or "
             "give another --index",
             h->index, p->pid, p->address, hello->pid, hello->address);
    s->counters.refused_peers++;
    scheduler_note(s, e->now_us, out, "refused", (core_peer){h->role, h->index, h->incarnation},
                   "%s", why);
    refuse(s, e, out, why);
}

/* The server that is here was heard of not longer ago than between two of its HELLOs. */
static bool seems_alive(const member_state *p, uint64_t now_us)
{
    return p->id.incarnation && p->heard && !p->lost && !p->may_go && now_us - p->seen_us < TWIN_US;
}

/* True if a HELLO of another life of a server has to wait until the one that is here is silent, or
 * shows that it lives.  One that talks and has not heard of us for so long as a peer may be silent
 * is no use to anybody. */
static bool waits_for_twin(scheduler *s, member_state *p, const core_event *e,
                           const Weft__Hello *hello, core_actions *out)
{
    const wire_header *h = e->message.header;
    if (h->role != WIRE_SERVER || p->id.incarnation == h->incarnation) return false;
    if (!seems_alive(p, e->now_us)) return false;
    if (p->twin != h->incarnation) {
        p->twin = h->incarnation;
        p->twin_view = ++s->view;
        p->twin_us = e->now_us;
        p->twin_refused = false;
    }
    if (!p->twin_refused && e->now_us - p->twin_us >= PEER_LOST_US) return false;
    if (p->twin_refused)
        refuse_twin(s, p, e, hello, out);
    else
        answer_view(s, e, hello, false, out);
    return true;
}

/* A server has come back without its tables, and they are needed. */
static bool loses_tables(const scheduler *s, uint32_t index, bool was_ready)
{
    if (!s->generation || index >= s->config.servers || s->phase <= PHASE_GATHER) return false;
    if (s->phase == PHASE_ROLLING) return was_ready;
    bool first = s->stage_start && s->stage_index == 0 && !s->restored;
    return !(first && s->phase == PHASE_STAGING);
}

static void new_life(scheduler *s, member_state *p, const core_event *e, const Weft__Hello *hello,
                     core_actions *out)
{
    const wire_header *h = e->message.header;
    core_peer id = {h->role, h->index, h->incarnation};
    if (p->id.incarnation) {
        if (p->id.role == WIRE_WORKER) scheduler_leases_free(s, p->id, !p->leaving, e->now_us, out);
    }
    bool replaces = p->id.incarnation != 0, was_ready = p->ready;
    uint64_t past[PAST_LIVES];
    uint32_t past_n = p->past_n;
    memcpy(past, p->past, sizeof past);
    if (p->id.incarnation) past[past_n++ % PAST_LIVES] = p->id.incarnation;
    free(p->slots);
    memset(p, 0, sizeof *p);
    memcpy(p->past, past, sizeof past);
    p->past_n = past_n;
    p->id = id;
    p->pid = hello->pid;
    p->draining = h->role == WIRE_WORKER && scheduler_commands_drains(s, h->incarnation);
    snprintf(p->address, sizeof p->address, "%s", hello->address);
    scheduler_note(s, e->now_us, out, "join", id, "%s", p->address);
    if (h->role == WIRE_SERVER || h->role == WIRE_SAMPLER) {
        s->view++;
        core_peer_at(out, id, p->address);
        requests_peer(s->requests, e->now_us, out, id);
    }
    if (strcmp(hello->numerics, s->config.numerics) != 0 && h->role != WIRE_DRIVER)
        s->foreign_numerics = true;
    if (h->role != WIRE_SERVER) return;
    s->order_retry_us = e->now_us; /* orders went to the life before */
    requests_cancel(s->requests, e->now_us, out, OWNER_ROLLBACK);
    if (replaces && loses_tables(s, h->index, was_ready))
        scheduler_rollback(s, e->now_us, out, "ps-%u came back without its tables", h->index);
}

void scheduler_peers_seen(scheduler *s, member_state *p, uint64_t now_us, core_actions *out)
{
    p->seen_us = now_us;
    if (!p->lost || p->left) return; /* who has left may say so again */
    p->lost = false;
    scheduler_note(s, now_us, out, "back", p->id, "heard of again");
}

/* Whether it has gone back, or cannot. */
static void take_rolling(scheduler *s, member_state *p, const Weft__ServerState *x, uint64_t now_us,
                         core_actions *out)
{
    if (s->phase != PHASE_ROLLING || x->generation != s->generation || p->ready) return;
    if (x->load_failed) {
        scheduler_rollback_failed(s, p, x->load_why, now_us, out);
    } else if (!x->loading) {
        p->ready = true;
        p->generation = x->generation;
        p->version = x->version;
        scheduler_moved(s, now_us);
    }
}

static void take_server_rates(member_state *p, const Weft__ServerState *x, uint64_t now_us)
{
    uint64_t dt = now_us - p->rate_us;
    if (p->rate_us && dt <= 500000) return;
    if (p->rate_us && x->pulls >= p->rate_pulls && x->pushes >= p->rate_pushes) {
        p->pulls_per_s = (double)(x->pulls - p->rate_pulls) * 1e6 / (double)dt;
        p->pushes_per_s = (double)(x->pushes - p->rate_pushes) * 1e6 / (double)dt;
    }
    p->rate_us = now_us;
    p->rate_pulls = x->pulls;
    p->rate_pushes = x->pushes;
}

/* A folder of its own that an earlier run has left. */
static void take_found(scheduler *s, uint32_t generation)
{
    enum { FOUND_MAX = 1 << 30 }; /* nothing of ours */
    if (s->config.copies < 2 || generation > FOUND_MAX) return;
    if (generation > s->found_generation) s->found_generation = generation;
}

static void take_server(scheduler *s, member_state *p, const Weft__ServerState *x, bool fresh)
{
    take_found(s, x->found_generation);
    p->rows = x->rows;
    p->bytes = x->bytes;
    p->pulls = x->pulls;
    p->pushes = x->pushes;
    p->repeats = x->repeats;
    p->gone = x->gone;
    p->hash_mismatches = x->hash_mismatches;
    p->apply_us_p50 = x->apply_us_p50;
    p->apply_us_p99 = x->apply_us_p99;
    p->leaving = p->leaving || x->leaving;
    if (!fresh) { /* messages overtake each other: versions only rise */
        if (x->generation == s->generation && x->version > p->version) p->version = x->version;
        return;
    }
    p->generation = x->loading || x->load_failed ? 0 : x->generation;
    p->version = x->version;
    p->finished = x->finished;
    free(p->slots);
    p->slots = xcalloc(x->n_held + 1, sizeof *p->slots);
    p->slots_n = (uint32_t)x->n_held;
    for (size_t i = 0; i < x->n_held; i++)
        p->slots[i] = (held_slot){x->held[i]->slot, x->held[i]->round, x->held[i]->is_void != 0,
                                  x->held[i]->examples, x->held[i]->loss};
}

static void take_sampler(member_state *p, const Weft__SamplerState *x, uint64_t now_us)
{
    uint64_t dt = now_us - p->rate_us;
    if (p->rate_us && dt > 500000 && x->batches >= p->rate_batches)
        p->batches_per_s = (double)(x->batches - p->rate_batches) * 1e6 / (double)dt;
    if (!p->rate_us || dt > 500000) {
        p->rate_us = now_us;
        p->rate_batches = x->batches;
    }
    p->batches = x->batches;
    p->queue = x->queue;
    p->leaves_asked = x->leaves_asked;
    p->leaves_local = x->leaves_local;
}

/* Our state is lost, and a peer has heard of a life of ours that came after what is known. */
static bool takes_term(scheduler *s, uint32_t term, core_actions *out)
{
    bool later = term > s->term && term < UINT32_MAX / 2;
    if (!s->recovered || s->phase > PHASE_GATHER || !later) return false;
    if (!core_rule(s->config.mutations, CORE_RULE_RECOVERED)) return false;
    s->term = term + 1;
    s->phase = PHASE_BOOT; /* until it is durable */
    scheduler_persist(s, out, TOKEN_BOOT, s->generation, s->stage_index);
    return true;
}

void scheduler_peers_hello(scheduler *s, const core_event *e, core_actions *out)
{
    const wire_header *h = e->message.header;
    char why[CORE_TEXT_MAX];
    Weft__Hello *hello =
        proto_unpack(&s->arena, &weft__hello__descriptor, e->message.body, WIRE_CONTROL_MAX);
    if (!hello || hello->version != 1) {
        refuse(s, e, out, "a malformed HELLO");
        return;
    }
    if (is_surplus(s, e)) {
        answer_view(s, e, hello, true, out);
        return;
    }
    if (is_refused(s, e, hello, why)) {
        s->counters.refused_peers++;
        scheduler_note(s, e->now_us, out, "refused", (core_peer){h->role, h->index, h->incarnation},
                       "%s", why);
        refuse(s, e, out, why);
        return;
    }
    if (takes_term(s, h->term, out)) return; /* it asks again */
    member_state *p = slot_of(s, h->role, h->index);
    bool past = is_past(p, h->incarnation);
    if (past && !takes_back(s, p, e, out)) return;
    if (!past && must_confirm(s, p, h)) {
        answer_view(s, e, hello, false, out);
        return;
    }
    if (waits_for_twin(s, p, e, hello, out)) return;
    if (p->id.incarnation != h->incarnation) new_life(s, p, e, hello, out);
    scheduler_peers_seen(s, p, e->now_us, out);
    if (p->twin && hello->term == s->term && hello->view >= p->twin_view) p->twin_refused = true;
    p->rss_bytes = hello->rss_bytes;
    p->refusals = hello->refused;
    bool fresh = h->term == s->term && !p->heard;
    if (hello->server && h->role == WIRE_SERVER) {
        take_server_rates(p, hello->server, e->now_us);
        take_server(s, p, hello->server, fresh);
        take_rolling(s, p, hello->server, e->now_us, out);
        scheduler_reopen_listed(s, p, hello->server, e->now_us, out);
        if (hello->server->saved) scheduler_save_report(s, p, hello->server->saved, e->now_us, out);
    }
    if (hello->sampler && h->role == WIRE_SAMPLER) take_sampler(p, hello->sampler, e->now_us);
    if (h->term == s->term) p->heard = true;
    if (h->role == WIRE_WORKER && s->phase == PHASE_OVER && s->over_until_us != UINT64_MAX)
        p->told = true;
    answer_view(s, e, hello, true, out);
}

/* Why a driver is refused; false: it is this job's.  A driver outlives schedulers, and another
 * job's may have come to the address of its own. */
static bool is_foreign(const scheduler *s, const Weft__Progress *p, char *why)
{
    *why = 0;
    if (strcmp(p->job, s->config.job) != 0)
        snprintf(why, CORE_TEXT_MAX, "the job here is \"%.100s\", not \"%.100s\"", s->config.job,
                 p->job);
    else if (s->plan && p->plan_hash && p->plan_hash != s->plan_hash)
        snprintf(why, CORE_TEXT_MAX,
                 "the job here has the plan %016" PRIx64 ", not %016" PRIx64
                 ": its configuration or its data are others",
                 s->plan_hash, p->plan_hash);
    return *why != 0;
}

/* What the driver is told, owned; NULL: the job is not over.  A scheduler that got a signal may be
 * started again, elsewhere, too, as by a kubelet: the driver waits for it. */
static blob *end_of_job(const scheduler *s)
{
    Weft__JobEnd end = WEFT__JOB_END__INIT;
    const char *why = s->end == JOB_STOPPING ? s->stopped_by : s->failure;
    if (s->phase != PHASE_OVER || (s->end == JOB_STOPPING && s->signalled)) return NULL;
    end.version = 1;
    end.state = s->end;
    end.why = (char *)(uintptr_t)why; /* packing only reads */
    scheduler_resume_point(s, &end.stage, &end.step);
    return proto_pack(&end.base);
}

void scheduler_peers_progress(scheduler *s, const core_event *e, core_actions *out)
{
    char why[CORE_TEXT_MAX];
    Weft__Progress *p =
        proto_unpack(&s->arena, &weft__progress__descriptor, e->message.body, WIRE_CONTROL_MAX);
    if (!p || e->message.header->role != WIRE_DRIVER) {
        refuse(s, e, out, "a malformed PROGRESS");
        return;
    }
    if (is_foreign(s, p, why)) {
        refuse(s, e, out, why);
        return;
    }
    scheduler_answer(s, out, e->message.route, e->message.header, WIRE_OK, end_of_job(s));
    s->driver.seen_us = e->now_us;
    s->driver.told = s->phase == PHASE_OVER || p->finished;
    s->driver_attached = p->attached;
    s->driver_stage = p->stage < STAGE_COUNT ? p->stage : STAGE_NONE;
    if (p->done != s->driver_done) scheduler_moved(s, e->now_us);
    s->driver_done = p->done;
    s->driver_total = p->total;
    if (s->phase == PHASE_OVER) return;
    if (p->prepared && !s->plan && s->phase == PHASE_PREPARING)
        core_compute(out, TOKEN_PLAN, SCHEDULER_LOAD_PLAN, NULL);
    if (p->failed) scheduler_fail(s, e->now_us, out, "%s", p->text);
    if (!p->finished) return;
    s->driver_finished = true;
    if (s->phase == PHASE_TRAINED) scheduler_end(s, e->now_us, out, JOB_DONE, 0);
}

static void lose(scheduler *s, member_state *p, uint64_t now_us, core_actions *out)
{
    p->lost = true;
    p->left = p->id.role == WIRE_WORKER && (p->leaving || p->draining);
    scheduler_note(s, now_us, out, p->leaving ? "leave" : "death", p->id, "silent for %u s",
                   (uint32_t)((now_us - p->seen_us) / 1000000));
    if (p->id.role == WIRE_SERVER && p->id.index >= s->config.servers) s->view++;
    if (p->id.role != WIRE_WORKER) return;
    p->parked = false;
    scheduler_leases_free(s, p->id, !p->leaving, now_us, out);
}

void scheduler_peers_left(scheduler *s, member_state *p, uint64_t now_us, core_actions *out)
{
    if (p->left) return;
    p->lost = p->left = true;
    scheduler_note(s, now_us, out, "leave", p->id, "%s", p->draining ? "drained" : "told to stop");
    scheduler_leases_free(s, p->id, false, now_us, out);
}

static void check(scheduler *s, member_state *p, uint64_t now_us, core_actions *out)
{
    if (!p->id.incarnation || p->lost || now_us - p->seen_us < PEER_LOST_US) return;
    lose(s, p, now_us, out);
}

static void forgive(member_state *p, uint64_t pause_us)
{
    if (p->seen_us) p->seen_us += pause_us;
    if (p->contested_us) p->contested_us += pause_us;
}

void scheduler_peers_forgive(scheduler *s, uint64_t pause_us)
{
    for (size_t i = 0; i < s->workers; i++) forgive(&s->worker[i], pause_us);
    for (uint32_t i = 0; i < s->config.samplers; i++) forgive(&s->sampler[i], pause_us);
    for (uint32_t i = 0; i < s->servers_known; i++) forgive(&s->server[i], pause_us);
    forgive(&s->driver, pause_us);
}

void scheduler_peers_timer(scheduler *s, uint64_t now_us, core_actions *out)
{
    for (size_t i = 0; i < s->workers; i++) check(s, &s->worker[i], now_us, out);
    for (uint32_t i = 0; i < s->config.samplers; i++) check(s, &s->sampler[i], now_us, out);
    for (uint32_t i = 0; i < s->servers_known; i++) check(s, &s->server[i], now_us, out);
}
