#include "common/mem.h"
#include "ps/scheduler_state.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { OLD_LEASE_US = 10000000, SECOND_NOTED_US = 60000000 };

/* The open or ahead round that a version names; NULL: none. */
static open_round *round_of(scheduler *s, uint32_t version)
{
    return version < s->cur.version ? NULL : scheduler_round(s, version - s->cur.version);
}

static slot_state *slot_of(scheduler *s, slot_name name, uint32_t version)
{
    open_round *r = round_of(s, version);
    if (!r || name.slot >= r->plan.slots) return NULL;
    bool same =
        r->plan.stage == name.stage && r->plan.epoch == name.epoch && r->plan.step == name.step;
    return same ? &r->slot[name.slot] : NULL;
}

static slot_lease *lease_of(slot_state *x, core_peer worker)
{
    for (uint32_t k = 0; k < x->leases; k++) {
        if (x->lease[k].worker.index == worker.index &&
            x->lease[k].worker.incarnation == worker.incarnation)
            return &x->lease[k];
    }
    return NULL;
}

static void remove_lease(slot_state *x, slot_lease *l)
{
    *l = x->lease[--x->leases];
}

static slot_lease *add_lease(slot_state *x, core_peer worker, uint64_t now_us, uint32_t sequence)
{
    if (x->leases == HOLDERS_MAX) return NULL;
    slot_lease *l = &x->lease[x->leases++];
    *l = (slot_lease){.worker = worker,
                      .since_us = now_us,
                      .renewed_us = now_us,
                      .moved_us = now_us,
                      .sequence = sequence};
    return l;
}

uint32_t scheduler_leases_live(const scheduler *s)
{
    uint32_t n = 0;
    for (uint32_t i = 0; s->cur.open && i <= s->ahead_n; i++) {
        const open_round *r = i ? &s->ahead[i - 1] : &s->cur;
        for (uint32_t j = 0; j < r->plan.slots; j++) n += r->slot[j].leases;
    }
    return n;
}

/* A lease that was given up, as its holder does not get on; NULL: none of this worker. */
static slot_lease *stuck_of(slot_state *x, core_peer worker)
{
    for (uint32_t k = 0; k < HOLDERS_MAX; k++) {
        if (x->stuck[k].worker.index == worker.index &&
            x->stuck[k].worker.incarnation == worker.incarnation)
            return &x->stuck[k];
    }
    return NULL;
}

/* ---- what a worker lists ---- */

/* Whether a listed lease is of no use any more: done, committed, or of another generation. */
static bool is_stale(scheduler *s, const held_lease *h)
{
    if (h->generation != s->generation) return true;
    if (!s->cur.open) return s->phase == PHASE_TRAINED || s->phase == PHASE_OVER;
    slot_state *x = slot_of(s, h->name, h->version);
    return !x || x->done;
}

static bool is_listed(const member_state *w, const open_round *r, uint32_t slot)
{
    for (uint32_t k = 0; k < w->held_n; k++) {
        if (w->held[k].version == r->version && w->held[k].name.slot == slot &&
            w->held[k].name.stage == r->plan.stage)
            return true;
    }
    return false;
}

/* It still lists what was given up: it would not be told that it has it again. */
static bool stands_still(slot_state *x, const open_round *r, uint32_t slot, const member_state *w)
{
    return stuck_of(x, w->id) && is_listed(w, r, slot);
}

/* What a worker does not list, although it had the answer that granted it, is free again. */
static void free_unlisted(const member_state *w, open_round *r)
{
    for (uint32_t j = 0; j < r->plan.slots; j++) {
        slot_lease *l = lease_of(&r->slot[j], w->id);
        if (l && l->sequence < w->sequence && !is_listed(w, r, j)) remove_lease(&r->slot[j], l);
    }
}

/* The lease is listed: a worker in an earlier life of ours has it, or one that stood still and gets
 * on again. */
static slot_lease *take_up(slot_state *x, const member_state *w, uint64_t progress, uint64_t now_us)
{
    slot_lease *stuck = stuck_of(x, w->id), *l;
    if (stuck && stuck->progress == progress) return NULL;
    if (stuck) *stuck = (slot_lease){0};
    l = add_lease(x, w->id, now_us, 0);
    if (l) l->progress = progress;
    return l;
}

static void renew_listed(scheduler *s, member_state *w, uint64_t now_us)
{
    for (uint32_t k = 0; k < w->held_n; k++) {
        const held_lease *h = &w->held[k];
        if (is_stale(s, h)) continue;
        slot_state *x = slot_of(s, h->name, h->version);
        if (!x) continue; /* not gathered yet */
        slot_lease *l = lease_of(x, w->id);
        if (!l) l = take_up(x, w, h->progress, now_us);
        if (!l) continue;
        l->renewed_us = now_us;
        if (l->progress == h->progress) continue;
        l->progress = h->progress;
        l->moved_us = now_us;
    }
}

static void take_list(member_state *w, const Weft__Work *work)
{
    w->held_n = 0;
    for (size_t i = 0; i < work->n_held && w->held_n < HELD_MAX; i++) {
        const Weft__Lease *x = work->held[i];
        w->held[w->held_n++] = (held_lease){
            {x->stage, x->epoch, x->step, x->slot}, x->generation, x->round, x->state, x->progress};
    }
}

static void take_numbers(member_state *w, const Weft__Work *work, uint64_t now_us)
{
    w->wanted = work->wanted;
    w->leaving = work->leaving != 0;
    w->state = work->state;
    w->slots_done = work->slots_done;
    w->examples = work->examples;
    w->slot_us_p50 = work->slot_us_p50;
    w->slot_us_p99 = work->slot_us_p99;
    w->rss_bytes = work->rss_bytes;
    for (size_t i = 0; i < 5 && i < work->n_phase_us; i++) w->phase_us[i] = work->phase_us[i];
    uint64_t dt = now_us - w->rate_from_us;
    if (w->rate_from_us && dt < 1000000) return;
    if (w->rate_from_us && work->examples >= w->rate_examples)
        w->examples_per_s = (double)(work->examples - w->rate_examples) * 1e6 / (double)dt;
    w->rate_from_us = now_us;
    w->rate_examples = work->examples;
}

/* ---- granting ---- */

static uint32_t active_workers(const scheduler *s)
{
    uint32_t n = 0;
    for (size_t i = 0; i < s->workers; i++) {
        const member_state *w = &s->worker[i];
        n += w->id.incarnation && !w->lost && !w->leaving && !w->draining && w->sequence;
    }
    return n ? n : 1;
}

static uint32_t count_mine(open_round *r, core_peer worker)
{
    uint32_t n = 0;
    for (uint32_t j = 0; j < r->plan.slots; j++)
        n += !r->slot[j].done && lease_of(&r->slot[j], worker) != NULL;
    return n;
}

/* Of the rounds ahead of the open one. */
static uint32_t count_ahead(scheduler *s, core_peer worker)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->ahead_n; i++) n += count_mine(&s->ahead[i], worker);
    return n;
}

/* True if it holds a slot ahead that can be computed now. */
static bool is_busy_ahead(scheduler *s, core_peer worker)
{
    for (uint32_t i = 0; i < s->ahead_n; i++) {
        open_round *r = &s->ahead[i];
        if (scheduler_round_is_ripe(s, r) && count_mine(r, worker)) return true;
    }
    return false;
}

/* Where pushes are applied as they come, nobody waits for the others of a round: whoever asks gets.
 */
static uint32_t fair_share(const scheduler *s, const open_round *r, const member_state *w)
{
    if (s->plan->staleness.on_arrival) return w->wanted;
    uint32_t active = active_workers(s);
    uint32_t share = (r->plan.slots + active - 1) / active;
    return share < w->wanted ? share : w->wanted;
}

static void grant(scheduler *s, slot_state *x, const member_state *w, uint64_t now_us)
{
    if (add_lease(x, w->id, now_us, w->sequence)) s->counters.leases++;
}

/* At most `room` slots that nobody has, to a worker that holds `mine` of this round. */
static void grant_free(scheduler *s, open_round *r, const member_state *w, uint32_t mine,
                       uint32_t room, uint64_t now_us)
{
    uint32_t share = fair_share(s, r, w);
    for (uint32_t j = 0; j < r->plan.slots && mine < share && room; j++) {
        slot_state *x = &r->slot[j];
        if (x->done || x->leases || stands_still(x, r, j, w)) continue;
        grant(s, x, w, now_us);
        mine++;
        room--;
    }
}

/* How old a slot's oldest lease is, counted from when the slot could be worked on. */
static uint64_t age_of(const open_round *r, const slot_state *x, uint64_t now_us)
{
    uint64_t from = UINT64_MAX;
    for (uint32_t k = 0; k < x->leases; k++) {
        if (x->lease[k].since_us < from) from = x->lease[k].since_us;
    }
    if (from < r->opened_us) from = r->opened_us;
    return now_us > from ? now_us - from : 0;
}

/* Said once in a while for each slow worker: small slots go to a second one all the time. */
static void note_second(scheduler *s, const slot_state *x, const member_state *w, uint64_t now_us,
                        core_actions *out)
{
    member_state *slow = &s->worker[x->lease[0].worker.index];
    if (slow->doubled++ && now_us - slow->doubled_us < SECOND_NOTED_US) return;
    slow->doubled_us = now_us;
    scheduler_note(s, now_us, out, "reassigned", slow->id, "slot %u, %.1f s old, to worker-%u, too",
                   (uint32_t)(x - s->cur.slot), (double)age_of(&s->cur, x, now_us) / 1e6,
                   w->id.index);
}

/* The oldest open slot goes to a second worker: when it is old, or sooner if this one idles. */
static void grant_second(scheduler *s, const member_state *w, bool busy, uint64_t now_us,
                         core_actions *out)
{
    uint64_t p95 = latency_quantile(&s->slot_us, 0.95);
    uint64_t old = 5 * p95 > OLD_LEASE_US ? 5 * p95 : OLD_LEASE_US;
    uint64_t usual = 3 * latency_quantile(&s->slot_us, 0.5);
    uint64_t idle = usual > IDLE_BACKUP_US ? usual : IDLE_BACKUP_US;
    uint64_t oldest = busy ? old : idle < old ? idle : old;
    slot_state *best = NULL;
    if (!core_rule(s->config.mutations, CORE_RULE_SECOND_HOLDER) || !w->wanted) return;
    for (uint32_t j = 0; j < s->cur.plan.slots; j++) {
        slot_state *x = &s->cur.slot[j];
        if (x->done || !x->leases || x->leases > 1 || lease_of(x, w->id)) continue;
        if (stands_still(x, &s->cur, j, w)) continue;
        uint64_t age = age_of(&s->cur, x, now_us);
        if (age < oldest) continue;
        oldest = age;
        best = x;
    }
    if (!best) return;
    grant(s, best, w, now_us);
    s->counters.reassigned++;
    note_second(s, best, w, now_us, out);
}

static void grant_some(scheduler *s, const member_state *w, uint64_t now_us, core_actions *out)
{
    if (!scheduler_leases_allowed(s) || w->leaving || w->draining || w->lost) return;
    uint32_t mine = count_mine(&s->cur, w->id), ahead = count_ahead(s, w->id);
    bool credit = core_rule(s->config.mutations, CORE_RULE_CREDIT);
    grant_free(s, &s->cur, w, credit ? mine : mine + ahead, w->wanted, now_us);
    uint32_t now_mine = count_mine(&s->cur, w->id);
    bool busy = mine || is_busy_ahead(s, w->id);
    if (now_mine == mine && s->phase == PHASE_RUNNING) grant_second(s, w, busy, now_us, out);
    for (uint32_t i = 0; i < s->ahead_n; i++) {
        uint32_t held = count_ahead(s, w->id);
        /* On arrival all slots fetch at once: the fewer wait, the fresher they are. */
        if (!credit || s->plan->staleness.on_arrival) held += now_mine;
        uint32_t room = held < w->wanted ? w->wanted - held : 0;
        grant_free(s, &s->ahead[i], w, count_mine(&s->ahead[i], w->id), room, now_us);
    }
}

/* ---- answering ---- */

static void fill_lease(Weft__Lease *x, const scheduler *s, const open_round *r, uint32_t slot)
{
    weft__lease__init(x);
    x->stage = r->plan.stage;
    x->epoch = r->plan.epoch;
    x->step = r->plan.step;
    x->slot = slot;
    x->kind = r->plan.kind;
    x->generation = s->generation;
    x->round = r->version;
    x->slots = r->plan.slots;
    x->tables = r->base;
    x->at_least = s->plan->staleness.on_arrival && r->plan.kind == ROUND_TRAIN;
}

/* The leases granted since this WORK was asked, which the worker does not list. */
static size_t fill_grants(scheduler *s, const member_state *w, Weft__Lease *x, Weft__Lease **list)
{
    size_t n = 0;
    open_round *r;
    for (uint32_t i = 0; (r = scheduler_round(s, i)) != NULL; i++) {
        for (uint32_t j = 0; j < r->plan.slots && n < HELD_MAX; j++) {
            slot_state *slot = &r->slot[j];
            slot_lease *l = slot->done ? NULL : lease_of(slot, w->id);
            if (!l || l->sequence != w->sequence || is_listed(w, r, j)) continue;
            fill_lease(&x[n], s, r, j);
            list[n] = &x[n];
            n++;
        }
    }
    return n;
}

static size_t fill_drops(scheduler *s, const member_state *w, Weft__Lease *x, Weft__Lease **list)
{
    size_t n = 0;
    for (uint32_t k = 0; k < w->held_n; k++) {
        const held_lease *h = &w->held[k];
        if (!is_stale(s, h)) continue;
        weft__lease__init(&x[n]);
        x[n].stage = h->name.stage;
        x[n].epoch = h->name.epoch;
        x[n].step = h->name.step;
        x[n].slot = h->name.slot;
        x[n].generation = h->generation;
        x[n].round = h->version;
        list[n] = &x[n];
        n++;
    }
    return n;
}

/* Answers a parked WORK if there is something to say, or its time is up. */
static void serve(scheduler *s, member_state *w, uint64_t now_us, core_actions *out)
{
    Weft__Grants g = WEFT__GRANTS__INIT;
    Weft__Lease grants[HELD_MAX], drops[HELD_MAX], *grant_list[HELD_MAX], *drop_list[HELD_MAX];
    grant_some(s, w, now_us, out);
    g.version = 1;
    g.sequence = w->sequence;
    g.view = s->view;
    g.stop = s->phase == PHASE_OVER && s->over_until_us != UINT64_MAX;
    g.grant = grant_list;
    g.n_grant = fill_grants(s, w, grants, grant_list);
    g.leave = w->draining && !w->leaving;
    g.drop = drop_list;
    g.n_drop = fill_drops(s, w, drops, drop_list);
    if (!g.n_grant && !g.n_drop && !g.stop && !g.leave && now_us < w->until_us) return;
    scheduler_answer(s, out, w->route, &w->work, WIRE_OK, proto_pack(&g.base));
    w->parked = false;
    w->told = g.stop;
}

/* Listed without getting on, by a process whose computing hangs. */
static bool is_stuck(const scheduler *s, const slot_lease *l, uint64_t now_us)
{
    uint64_t p95 = latency_quantile(&s->slot_us, 0.95);
    uint64_t stuck = 5 * p95 > STUCK_US ? 5 * p95 : STUCK_US;
    return core_rule(s->config.mutations, CORE_RULE_PROGRESS) && now_us - l->moved_us >= stuck;
}

static void expire(scheduler *s, open_round *r, uint64_t now_us, core_actions *out)
{
    for (uint32_t j = 0; j < r->plan.slots; j++) {
        slot_state *x = &r->slot[j];
        for (uint32_t k = x->leases; k-- > 0;) {
            slot_lease *l = &x->lease[k];
            bool stuck = is_stuck(s, l, now_us);
            if (!stuck && now_us - l->renewed_us < LEASE_US) continue;
            scheduler_note(s, now_us, out, "reassigned", l->worker, "slot %u: the lease %s", j,
                           stuck ? "stands still" : "ran out");
            if (stuck) x->stuck[x->stucks++ % HOLDERS_MAX] = *l;
            remove_lease(x, l);
            s->counters.reassigned++;
        }
    }
}

static void forgive(open_round *r, uint64_t pause_us)
{
    for (uint32_t j = 0; j < r->plan.slots; j++) {
        for (uint32_t k = 0; k < r->slot[j].leases; k++) {
            r->slot[j].lease[k].renewed_us += pause_us;
            r->slot[j].lease[k].moved_us += pause_us;
        }
    }
}

void scheduler_leases_forgive(scheduler *s, uint64_t pause_us)
{
    for (uint32_t i = 0; scheduler_round(s, i); i++) forgive(scheduler_round(s, i), pause_us);
}

void scheduler_leases_serve(scheduler *s, uint64_t now_us, core_actions *out)
{
    for (uint32_t i = 0; scheduler_round(s, i); i++) expire(s, scheduler_round(s, i), now_us, out);
    for (size_t i = 0; i < s->workers; i++) {
        if (s->worker[i].parked) serve(s, &s->worker[i], now_us, out);
    }
}

void scheduler_leases_work(scheduler *s, const core_event *e, core_actions *out)
{
    member_state *w = scheduler_peers_worker(s, e->message.header);
    if (!w) { /* a stranger (we are new, or it is) says HELLO first */
        scheduler_answer(s, out, e->message.route, e->message.header, WIRE_INCARNATION, NULL);
        return;
    }
    Weft__Work *work =
        proto_unpack(&s->arena, &weft__work__descriptor, e->message.body, WIRE_CONTROL_MAX);
    if (!work || work->version != 1 || !work->sequence || work->sequence < w->sequence) return;
    scheduler_peers_seen(s, w, e->now_us, out);
    bool repeat = work->sequence == w->sequence;
    w->sequence = work->sequence;
    take_list(w, work);
    take_numbers(w, work, e->now_us);
    for (uint32_t i = 0; !repeat && scheduler_round(s, i); i++)
        free_unlisted(w, scheduler_round(s, i));
    renew_listed(s, w, e->now_us);
    w->parked = true;
    w->route = e->message.route;
    w->work = *e->message.header;
    w->until_us = e->now_us + (uint64_t)e->message.header->budget_ms * 1000;
    if (w->leaving && !w->held_n) scheduler_peers_left(s, w, e->now_us, out);
}

/* ---- DONE ---- */

static void finish_slot(scheduler *s, open_round *r, slot_state *x, const Weft__Done *done,
                        core_peer who, uint64_t now_us)
{
    const slot_lease *l = lease_of(x, who);
    if (l) {
        uint64_t from = l->since_us > r->opened_us ? l->since_us : r->opened_us;
        latency_add(&s->slot_us, now_us - from);
        histogram_add(&s->slot_time, now_us - from);
    }
    x->done = true;
    x->order = ++r->done;
    x->by = who;
    x->is_void = done->is_void != 0;
    x->examples = done->examples;
    x->loss = done->loss;
    x->leases = 0;
    x->sums_n = done->n_sums < SCHEDULER_SUMS_MAX ? (uint32_t)done->n_sums : SCHEDULER_SUMS_MAX;
    free(x->sums);
    x->sums = xcalloc(x->sums_n + 1, sizeof *x->sums);
    if (x->sums_n) memcpy(x->sums, done->sums, x->sums_n * sizeof *x->sums);
    s->counters.void_slots += x->is_void;
}

/* Losses and scores go into metrics: a worker never sends others (it would push VOID). */
static bool all_finite(const Weft__Done *done)
{
    bool finite = __builtin_isfinite(done->loss);
    for (size_t i = 0; i < done->n_sums; i++) finite = finite && __builtin_isfinite(done->sums[i]);
    return finite;
}

/* How many steps older than the tables that its commit changes those are that a slot was computed
 * on.  On arrival nobody knows exactly: how far it ran ahead of the oldest open step. */
static uint32_t stale_steps(const scheduler *s, const open_round *r)
{
    staleness how = s->plan->staleness;
    if (r->plan.kind != ROUND_TRAIN) return 0;
    if (how.on_arrival) return r->at.step - s->cur.at.step;
    return how.steps < r->at.step ? how.steps : r->at.step - 1;
}

void scheduler_leases_done(scheduler *s, const core_event *e, core_actions *out)
{
    const wire_header *h = e->message.header;
    core_peer who = {h->role, h->index, h->incarnation};
    bool fenced = core_rule(s->config.mutations, CORE_RULE_GENERATION);
    if (s->phase < PHASE_STAGING) return; /* we do not know where we are: asked again */
    if (h->generation != s->generation && fenced) {
        scheduler_answer(s, out, e->message.route, h, WIRE_GENERATION, NULL);
        return;
    }
    Weft__Done *done =
        proto_unpack(&s->arena, &weft__done__descriptor, e->message.body, WIRE_CONTROL_MAX);
    if (!done || done->version != 1 || !all_finite(done)) {
        static const char why[] = "a malformed DONE, or one that is not finite";
        scheduler_answer(s, out, e->message.route, h, WIRE_REFUSED, blob_copy(why, sizeof why - 1));
        return;
    }
    slot_state *x = slot_of(s, wire_slot(h), h->version);
    bool again = x && x->done && !core_rule(s->config.mutations, CORE_RULE_FIRST_DONE);
    if (x && (!x->done || again)) {
        open_round *r = round_of(s, h->version);
        x->stale = stale_steps(s, r);
        finish_slot(s, r, x, done, who, e->now_us);
        scheduler_moved(s, e->now_us);
    }
    scheduler_answer(s, out, e->message.route, h, WIRE_OK, NULL);
}

/* ---- deaths ---- */

/* A slot that can be computed whose holder died; three stop the job. */
static void count_death(scheduler *s, open_round *r, uint32_t slot, uint64_t now_us,
                        core_actions *out)
{
    char name[64];
    uint32_t deaths = ++r->slot[slot].deaths;
    slot_format((slot_name){r->plan.stage, r->plan.epoch, r->plan.step, slot}, name);
    if (deaths < s->config.dead_holders_max) return;
    scheduler_fail(s, now_us, out, "%u workers died while they held slot %s", deaths, name);
}

static uint32_t free_round(scheduler *s, open_round *r, core_peer worker)
{
    uint32_t n = 0;
    for (uint32_t j = 0; j < r->plan.slots; j++) {
        slot_lease *l = lease_of(&r->slot[j], worker);
        if (!l) continue;
        remove_lease(&r->slot[j], l);
        s->counters.reassigned++;
        n++;
    }
    return n;
}

void scheduler_leases_free(scheduler *s, core_peer worker, bool died, uint64_t now_us,
                           core_actions *out)
{
    open_round *r;
    for (uint32_t i = 0; died && (r = scheduler_round(s, i)) != NULL; i++) {
        bool ripe = scheduler_round_is_ripe(s, r);
        for (uint32_t j = 0; s->cur.open && ripe && j < r->plan.slots; j++) {
            if (!r->slot[j].done && lease_of(&r->slot[j], worker))
                count_death(s, r, j, now_us, out); /* may end the job, and close the rounds */
        }
    }
    uint32_t n = 0;
    for (uint32_t i = 0; scheduler_round(s, i); i++)
        n += free_round(s, scheduler_round(s, i), worker);
    if (n)
        scheduler_note(s, now_us, out, "reassigned", worker, "%u slot%s that it held", n,
                       n == 1 ? "" : "s");
}
