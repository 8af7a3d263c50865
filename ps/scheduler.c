#include "ps/scheduler.h"

#include "common/hash.h"
#include "common/mem.h"
#include "common/panic.h"
#include "ps/scheduler_state.h"

#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PROTO_BYTES = 8 << 20 };

/* ---- the plan, walked ---- */

uint32_t scheduler_stage(const scheduler *s)
{
    if (!s->plan || !s->generation || s->stage_index >= s->plan->stages) return STAGE_NONE;
    return s->plan->stage[s->stage_index];
}

static uint32_t valid_rounds(const scheduler *s, position p)
{
    return s->plan->valid_rounds(s->plan->ctx, scheduler_stage(s), p.step);
}

static plan_round round_at(const scheduler *s, position p)
{
    uint32_t stage = scheduler_stage(s);
    if (!p.in_valid) return s->plan->round(s->plan->ctx, stage, p.step);
    return s->plan->valid_round(s->plan->ctx, stage, p.step, p.valid);
}

/* The round after p in the plan; false: p is the stage's last. */
static bool position_next(const scheduler *s, position p, position *next)
{
    *next = p;
    if (!p.in_valid && valid_rounds(s, p)) {
        next->in_valid = true;
        next->valid = 0;
        return true;
    }
    if (p.in_valid && p.valid + 1 < valid_rounds(s, p)) {
        next->valid++;
        return true;
    }
    *next = (position){.step = p.step + 1};
    return next->step <= s->plan->steps(s->plan->ctx, scheduler_stage(s));
}

static void round_close(open_round *r)
{
    for (uint32_t j = 0; r->slot && j < r->plan.slots; j++) free(r->slot[j].sums);
    free(r->slot);
    *r = (open_round){0};
}

/* The version that the slots of a round are computed on: a training step t on what step t - 1 - k
 * left, which the servers keep; everything else on the newest. */
static uint32_t base_of(const scheduler *s, const open_round *r)
{
    uint32_t k = s->plan->staleness.steps, base = r->version;
    bool exact = core_rule(s->config.mutations, CORE_RULE_EXACT_DELAY);
    if (r->plan.kind != ROUND_TRAIN || !exact) return r->version;
    for (uint32_t t = r->at.step; k && t > 1; k--) {
        position before = {.step = --t};
        base -= 1 + valid_rounds(s, before);
    }
    return base;
}

static void round_open(scheduler *s, open_round *r, position p, uint32_t version, uint64_t now_us)
{
    round_close(r);
    r->open = true;
    r->at = p;
    r->plan = round_at(s, p);
    ASSERT(r->plan.slots);
    r->version = version;
    r->base = base_of(s, r);
    r->opened_us = now_us;
    r->slot = xcalloc(r->plan.slots, sizeof *r->slot);
}

void scheduler_close_rounds(scheduler *s)
{
    round_close(&s->cur);
    while (s->ahead_n) round_close(&s->ahead[--s->ahead_n]);
}

/* True if patience ran out: the stage ends with this validation. */
static bool out_of_patience(const scheduler *s)
{
    uint32_t patience = s->plan->patience(s->plan->ctx, scheduler_stage(s));
    return patience && s->stage.bad >= patience;
}

/* Opens the rounds ahead of the open one that are certain - a validation's decision may end the
 * stage - and of use: a round that puts frozen tables waits for no version, so that its slots would
 * be computed at once, only to be turned away by servers that are not there yet.  One more than can
 * be computed, to be built and fetched meanwhile. */
static void open_ahead(scheduler *s, uint64_t now_us)
{
    bool barrier = core_rule(s->config.mutations, CORE_RULE_VALID_BARRIER);
    while (s->ahead_n < s->plan->staleness.steps + 1) {
        open_round *last = scheduler_round(s, s->ahead_n);
        position p;
        if (last->plan.kind == ROUND_SCORE && barrier) return;
        if (last->plan.kind == ROUND_PUT && !last->at.in_valid) return;
        if (!position_next(s, last->at, &p)) return;
        round_open(s, &s->ahead[s->ahead_n], p, last->version + 1, now_us);
        s->ahead_n++;
    }
}

/* The open round is committed: the next one is.  False: it is not open yet. */
static bool shift_rounds(scheduler *s, uint64_t now_us)
{
    if (!s->ahead_n) return false;
    round_close(&s->cur);
    s->cur = s->ahead[0];
    memmove(&s->ahead[0], &s->ahead[1], --s->ahead_n * sizeof s->ahead[0]);
    s->ahead[s->ahead_n] = (open_round){0};
    for (uint32_t i = 0; i <= s->ahead_n; i++) {
        open_round *r = scheduler_round(s, i);
        if (r->base == s->cur.version) r->opened_us = now_us;
    }
    return true;
}

bool scheduler_leases_allowed(const scheduler *s)
{
    return (s->phase == PHASE_RUNNING || s->phase == PHASE_COMMITTING) && !s->stop_wanted;
}

/* ---- durable state ---- */

void scheduler_persist(scheduler *s, core_actions *out, uint64_t token, uint32_t generation,
                       uint32_t stage_index)
{
    core_persist(out, token, scheduler_durable_encode(s, generation, stage_index));
}

static err_code restore_metrics(scheduler *s, const scheduler_durable *d)
{
    for (size_t i = 0; d && i < d->metrics; i++) {
        if (s->rolling && i >= s->metrics_durable) break; /* of what is gone back behind */
        if (d->metric[i].index != i) return ERR_CORRUPT;
        s->metrics = i + 1;
        s->last_metric = d->metric[i];
        scheduler_status_metric(s, &d->metric[i], 0);
    }
    return ERR_OK;
}

err_code scheduler_set_plan(scheduler *s, const scheduler_plan *plan, uint64_t plan_hash,
                            const blob *config)
{
    ASSERT(!s->plan && plan->stages && plan->stages <= SCHEDULER_STAGES_MAX);
    if (s->restored && s->durable_plan_hash != plan_hash) return ERR_MISMATCH;
    if (s->stage_index > plan->stages) return ERR_CORRUPT;
    s->plan = plan;
    s->plan_hash = plan_hash;
    s->answer_config = config ? config : s->config.config;
    return ERR_OK;
}

err_code scheduler_new(const scheduler_config *c, const scheduler_plan *plan, uint64_t plan_hash,
                       const scheduler_durable *durable, scheduler **out)
{
    scheduler *s = xcalloc(1, sizeof *s);
    s->config = *c;
    if (!s->config.dead_holders_max) s->config.dead_holders_max = 3;
    proto_alloc_init(&s->arena, PROTO_BYTES);
    core_peer self = {WIRE_SCHEDULER, 0, c->incarnation};
    requests_config r = {.self = self, .mutations = c->mutations};
    s->requests = requests_new(&r);
    shard_map_init(&s->map, 1, c->virtual_shards, c->servers);
    s->servers_configured = c->servers;
    s->workers_configured = s->workers_wanted = c->workers;
    s->sampler = xcalloc(c->samplers, sizeof *s->sampler);
    s->answer_config = c->config;
    s->stage.loss = NAN;
    s->view = 1;
    status_curve_restart(&s->curve);
    status_curve_restart(&s->valid);
    s->staleness = NAN;
    err_code rc = scheduler_durable_restore(s, durable);
    if (!s->servers_wanted) s->servers_wanted = s->config.servers;
    scheduler_servers_known(s, s->config.servers);
    if (rc == ERR_OK && plan) rc = scheduler_set_plan(s, plan, plan_hash, NULL);
    if (rc == ERR_OK) rc = restore_metrics(s, durable);
    if (rc == ERR_OK)
        *out = s;
    else
        scheduler_free(s);
    return rc;
}

void scheduler_free(scheduler *s)
{
    if (!s) return;
    scheduler_close_rounds(s);
    scheduler_save_fini(s);
    requests_free(s->requests);
    proto_alloc_fini(&s->arena);
    for (uint32_t i = 0; i < s->servers_known; i++) free(s->server[i].slots);
    free(s->server);
    free(s->sampler);
    free(s->worker);
    free(s);
}

/* ---- answers and orders ---- */

void scheduler_answer(scheduler *s, core_actions *out, uint64_t route, const wire_header *to,
                      wire_status status, blob *body)
{
    wire_header h = wire_answer(to, status);
    core_peer peer = {to->role, to->index, to->incarnation};
    h.role = WIRE_SCHEDULER;
    h.index = 0;
    h.incarnation = s->config.incarnation;
    h.term = s->term;
    h.generation = s->generation;
    h.map = s->map.version;
    core_send(out, peer, route, &h, body);
}

void scheduler_order(scheduler *s, uint64_t now_us, core_actions *out, const member_state *to,
                     wire_header h, blob *body, uint64_t owner)
{
    h.target = to->id.incarnation;
    h.term = s->term;
    h.map = s->map.version;
    requests_open(s->requests, now_us, out, to->id, h, body, owner, to->id.index);
}

static void send_stage(scheduler *s, uint64_t now_us, core_actions *out)
{
    wire_header h = wire_request(WIRE_STAGE);
    h.generation = s->generation;
    h.stage = (uint8_t)scheduler_stage(s);
    requests_cancel(s->requests, now_us, out, OWNER_STAGE);
    for (uint32_t i = 0; i < s->config.servers; i++) {
        if (!s->server[i].staged)
            scheduler_order(s, now_us, out, &s->server[i], h, NULL, OWNER_STAGE);
    }
    s->order_retry_us = now_us + ORDER_RETRY_US;
}

static void send_commit(scheduler *s, uint64_t now_us, core_actions *out)
{
    wire_header h = wire_request(WIRE_COMMIT);
    wire_set_slot(&h, (slot_name){s->cur.plan.stage, s->cur.plan.epoch, s->cur.plan.step, 0});
    h.generation = s->generation;
    h.version = s->cur.version;
    h.part = s->cur.plan.slots;
    h.table = (uint16_t)s->cur.plan.kind;
    h.flags = s->commit_flags;
    requests_cancel(s->requests, now_us, out, OWNER_COMMIT);
    for (uint32_t i = 0; i < s->config.servers; i++) {
        if (s->server[i].version <= s->cur.version)
            scheduler_order(s, now_us, out, &s->server[i], h, NULL, OWNER_COMMIT);
    }
    s->order_retry_us = now_us + ORDER_RETRY_US;
}

/* ---- the end ---- */

static void send_stop(scheduler *s, uint64_t now_us, core_actions *out)
{
    wire_header h = wire_request(WIRE_STOP);
    requests_cancel(s->requests, now_us, out, OWNER_STAGE);
    requests_cancel(s->requests, now_us, out, OWNER_COMMIT);
    requests_cancel(s->requests, now_us, out, OWNER_SNAPSHOT);
    requests_cancel(s->requests, now_us, out, OWNER_ROLLBACK);
    for (uint32_t i = 0; i < s->servers_known; i++) {
        if (s->server[i].heard) scheduler_order(s, now_us, out, &s->server[i], h, NULL, OWNER_STOP);
    }
    for (uint32_t i = 0; i < s->config.samplers; i++) {
        if (s->sampler[i].heard)
            scheduler_order(s, now_us, out, &s->sampler[i], h, NULL, OWNER_STOP);
    }
}

void scheduler_end(scheduler *s, uint64_t now_us, core_actions *out, job_state how, int code)
{
    if (s->phase == PHASE_OVER && s->end != JOB_DONE) return;
    s->end = how;
    s->exit_code = code;
    s->phase = PHASE_OVER;
    scheduler_close_rounds(s);
    core_peer self = {WIRE_SCHEDULER, 0, s->config.incarnation};
    scheduler_note(s, now_us, out,
                   how == JOB_DONE     ? "done"
                   : how == JOB_FAILED ? "fail"
                                       : "stop",
                   self, "%s", how == JOB_STOPPING ? s->stopped_by : s->failure);
    if (how == JOB_DONE && s->config.on_done_wait) {
        s->over_until_us = UINT64_MAX;
        return;
    }
    s->over_until_us = now_us + GOODBYE_US;
    send_stop(s, now_us, out);
    scheduler_leases_serve(s, now_us, out);
}

void scheduler_fail(scheduler *s, uint64_t now_us, core_actions *out, const char *format, ...)
{
    if (s->phase == PHASE_OVER) return;
    va_list args;
    va_start(args, format);
    vsnprintf(s->failure, sizeof s->failure, format, args);
    va_end(args);
    scheduler_end(s, now_us, out, JOB_FAILED, 1);
}

/* Everybody who has to hear of the end has. */
static bool all_told(const scheduler *s)
{
    if (requests_open_count(s->requests, OWNER_STOP)) return false;
    for (size_t i = 0; i < s->workers; i++) {
        if (s->worker[i].id.incarnation && !s->worker[i].lost && !s->worker[i].told) return false;
    }
    return true;
}

/* A driver that others have started hears of it with its next PROGRESS, about every second. */
static bool driver_told(const scheduler *s, uint64_t now_us)
{
    return !s->driver_attached || s->signalled || s->driver.told ||
           now_us - s->driver.seen_us >= PEER_LOST_US;
}

static void over_timer(scheduler *s, uint64_t now_us, core_actions *out)
{
    if (s->over_until_us == UINT64_MAX || !driver_told(s, now_us)) return;
    if (now_us < s->over_until_us && !all_told(s)) return;
    bool stopped = s->stopped_by[0] && s->end != JOB_FAILED;
    core_exit(out, s->exit_code, "%s%s", stopped ? "stopped by " : "",
              stopped ? s->stopped_by : s->failure);
    s->exited = true;
}

/* ---- metrics and decisions ---- */

static bool metric_exists(const scheduler *s, metric_kind kind, uint32_t step)
{
    const core_metric *m = &s->last_metric;
    return s->metrics && m->kind == kind && m->stage == scheduler_stage(s) && m->step == step;
}

static void write_metric(scheduler *s, uint64_t now_us, core_actions *out, core_metric *m)
{
    m->index = s->metrics++;
    m->stage = scheduler_stage(s);
    s->last_metric = *m;
    core_metric_line(out, m);
    scheduler_status_metric(s, m, now_us);
}

static void write_step(scheduler *s, uint64_t now_us, core_actions *out)
{
    bool train = s->cur.plan.kind == ROUND_TRAIN;
    core_metric m = {.kind = train ? METRIC_STEP : METRIC_PUT,
                     .epoch = s->cur.plan.epoch,
                     .step = s->cur.plan.step};
    if (metric_exists(s, m.kind, m.step)) return;
    for (uint32_t j = 0; j < s->cur.plan.slots; j++) {
        m.examples += s->cur.slot[j].examples;
        m.loss += s->cur.slot[j].loss;
        m.voids += s->cur.slot[j].is_void;
    }
    if (m.examples) m.loss /= (double)m.examples;
    write_metric(s, now_us, out, &m);
}

/* Fails the job if too many slots in a row, in plan order, were void. */
static bool too_many_voids(scheduler *s, uint64_t now_us, core_actions *out)
{
    for (uint32_t j = 0; j < s->cur.plan.slots; j++) {
        s->stage.voids_in_row = s->cur.slot[j].is_void ? s->stage.voids_in_row + 1 : 0;
        if (s->stage.voids_in_row <= s->config.max_void_slots) continue;
        char name[64];
        slot_format((slot_name){s->cur.plan.stage, s->cur.plan.epoch, s->cur.plan.step, j}, name);
        scheduler_fail(s, now_us, out, "%u void slots in a row, the last is %s: not finite",
                       s->stage.voids_in_row, name);
        return true;
    }
    return false;
}

/* The slot whose sums are added next: slot order, or (the rule switched off) as they came. */
static const slot_state *score_slot(const scheduler *s, uint32_t k)
{
    if (core_rule(s->config.mutations, CORE_RULE_SCORE_ORDER)) return &s->cur.slot[k];
    for (uint32_t j = 0; j < s->cur.plan.slots; j++) {
        if (s->cur.slot[j].order == k + 1) return &s->cur.slot[j];
    }
    return &s->cur.slot[k];
}

static void write_valid(scheduler *s, uint64_t now_us, core_actions *out)
{
    core_metric m = {.kind = METRIC_VALID, .epoch = s->cur.plan.epoch, .step = s->cur.at.step};
    if (metric_exists(s, METRIC_VALID, m.step)) return; /* decided in an earlier life */
    position p = {.step = s->cur.at.step};
    m.epoch = round_at(s, p).epoch;
    for (uint32_t k = 0; k < s->cur.plan.slots; k++) {
        const slot_state *x = score_slot(s, k);
        for (uint32_t i = 0; i < x->sums_n; i++) m.sums[i] += x->sums[i];
        if (x->sums_n > m.sums_n) m.sums_n = x->sums_n;
    }
    m.value = s->plan->score(s->plan->ctx, scheduler_stage(s), m.sums, m.sums_n);
    m.best = !s->stage.has_valid || m.value > s->stage.valid_best;
    write_metric(s, now_us, out, &m);
}

static uint32_t flags_of_commit(const scheduler *s)
{
    position p;
    bool score = s->cur.plan.kind == ROUND_SCORE;
    bool keep = score && s->stage.last_best && core_rule(s->config.mutations, CORE_RULE_BEST);
    bool last = !position_next(s, s->cur.at, &p) || (score && out_of_patience(s));
    return (keep ? WIRE_KEEP : 0u) | (last ? WIRE_FINISH : 0u);
}

static void start_commit(scheduler *s, uint64_t now_us, core_actions *out)
{
    s->phase = PHASE_COMMITTING;
    for (uint32_t i = 0; i < s->config.servers; i++) s->server[i].lacks = false;
    s->commit_flags = flags_of_commit(s);
    s->cur.commit_us = now_us;
    send_commit(s, now_us, out);
}

/* Fails the job if a slot has no rows to put, because they are not finite: whoever reads the table
 * would miss them. */
static bool lacks_rows(scheduler *s, uint64_t now_us, core_actions *out)
{
    const plan_round *r = &s->cur.plan;
    uint32_t j = 0;
    while (j < r->slots && !s->cur.slot[j].is_void) j++;
    if (j == r->slots) return false;
    char name[64];
    slot_format((slot_name){r->stage, r->epoch, r->step, j}, name);
    scheduler_fail(s, now_us, out, "the rows of slot %s are not finite", name);
    return true;
}

/* Every slot of the open round is DONE. */
static void round_done(scheduler *s, uint64_t now_us, core_actions *out)
{
    scheduler_moved(s, now_us);
    if (s->cur.plan.kind == ROUND_PUT && lacks_rows(s, now_us, out)) return;
    if (s->cur.plan.kind == ROUND_SCORE) {
        write_valid(s, now_us, out);
        s->phase = PHASE_DECIDING;
        scheduler_persist(s, out, TOKEN_DECISION, s->generation, s->stage_index);
        return;
    }
    if (!s->cur.at.in_valid) {
        write_step(s, now_us, out);
        /* Slots that were opened again have been counted. */
        bool counted = s->cur.ordered || s->cur.plan.kind != ROUND_TRAIN;
        if (!counted && too_many_voids(s, now_us, out)) return;
    }
    start_commit(s, now_us, out);
}

/* ---- stages ---- */

static void start_stage(scheduler *s, uint64_t now_us, core_actions *out)
{
    s->phase = PHASE_STAGING;
    s->stage = (stage_state){.stage = scheduler_stage(s), .loss = NAN};
    scheduler_status_stage_from(s, now_us);
    s->examples_per_s = 0;
    send_stage(s, now_us, out);
    scheduler_note(s, now_us, out, "stage", (core_peer){WIRE_SCHEDULER, 0, s->config.incarnation},
                   "%s, generation %u", stage_name(scheduler_stage(s)), s->generation);
}

static void start_rounds(scheduler *s, uint64_t now_us)
{
    round_open(s, &s->cur, (position){.step = 1}, 0, now_us);
    open_ahead(s, now_us);
    s->phase = PHASE_RUNNING;
    s->rate_from_us = now_us;
    s->rate_examples = s->stage.examples;
}

/* The generation that was made durable begins. */
static void enter_generation(scheduler *s, uint64_t now_us, core_actions *out)
{
    scheduler_close_rounds(s);
    s->stage_index = s->generation ? s->stage_index + 1 : 0;
    s->generation = s->coming_generation;
    s->rollbacks_in_row = 0;
    for (uint32_t i = 0; i < s->config.servers; i++) {
        s->server[i].staged = s->server[i].finished = false;
        s->server[i].version = 0;
    }
    start_stage(s, now_us, out);
}

static void start_generation(scheduler *s, uint64_t now_us, core_actions *out)
{
    uint32_t index = s->generation ? s->stage_index + 1 : 0;
    s->phase = PHASE_ENDING;
    s->stage_start = true;
    s->coming_generation = scheduler_next_generation(s);
    scheduler_persist(s, out, TOKEN_GENERATION, s->coming_generation, index);
    if (!core_rule(s->config.mutations, CORE_RULE_DURABLE)) enter_generation(s, now_us, out);
}

static void write_stage(scheduler *s, uint64_t now_us, core_actions *out)
{
    if (s->metrics && s->last_metric.kind == METRIC_STAGE &&
        s->last_metric.stage == scheduler_stage(s))
        return;
    uint32_t stage = scheduler_stage(s);
    bool train = s->plan->round(s->plan->ctx, stage, 1).kind == ROUND_TRAIN;
    bool impatient = s->cur.plan.kind == ROUND_SCORE && out_of_patience(s);
    core_metric m = {.kind = METRIC_STAGE,
                     .step = s->cur.at.step,
                     .epoch = s->stage.best_step,
                     .examples = train ? s->stage.examples : s->stage.rows,
                     .loss = train ? s->stage.loss : 0,
                     .voids = s->stage.voids,
                     .value = s->stage.valid_best,
                     .stopped =
                         impatient ? STOPPED_PATIENCE : s->plan->stops_by(s->plan->ctx, stage)};
    write_metric(s, now_us, out, &m);
}

/* The last round is committed everywhere: the stage ends when its checkpoint is recorded. */
static void end_stage(scheduler *s, uint64_t now_us, core_actions *out)
{
    write_stage(s, now_us, out);
    s->phase = PHASE_SAVING;
    s->save.retry_us = 0;
    scheduler_moved(s, now_us);
    if (!core_rule(s->config.mutations, CORE_RULE_STAGE_END)) scheduler_stage_saved(s, now_us, out);
}

void scheduler_stage_saved(scheduler *s, uint64_t now_us, core_actions *out)
{
    if (s->stage_index + 1 < s->plan->stages) {
        start_generation(s, now_us, out);
        return;
    }
    s->phase = PHASE_ENDING;
    scheduler_persist(s, out, TOKEN_TRAINED, s->generation, s->plan->stages);
}

void scheduler_trained(scheduler *s, uint64_t now_us, core_actions *out)
{
    scheduler_close_rounds(s);
    s->stage_index = s->plan->stages;
    s->phase = PHASE_TRAINED;
    scheduler_moved(s, now_us);
    if (!s->config.driver || s->driver_finished) scheduler_end(s, now_us, out, JOB_DONE, 0);
}

/* Restarted after the end: who was there may be gone already. */
static bool nothing_left(const scheduler *s)
{
    return s->stage_index >= s->plan->stages && (!s->config.driver || s->driver_finished);
}

/* Every server has committed the open round. */
static void round_committed(scheduler *s, uint64_t now_us, core_actions *out)
{
    requests_cancel(s->requests, now_us, out, OWNER_COMMIT);
    scheduler_moved(s, now_us);
    if (s->cur.commit_us) histogram_add(&s->commit_time, now_us - s->cur.commit_us);
    s->rollbacks_in_row = 0;
    if (s->commit_flags & WIRE_KEEP) scheduler_save_want(s, SAVE_BEST);
    if (s->commit_flags & WIRE_FINISH) {
        end_stage(s, now_us, out);
        return;
    }
    position p;
    bool more = position_next(s, s->cur.at, &p);
    ASSERT(more);
    uint32_t version = s->cur.version + 1;
    if (!shift_rounds(s, now_us)) round_open(s, &s->cur, p, version, now_us);
    open_ahead(s, now_us);
    s->phase = PHASE_RUNNING;
}

/* ---- learning where the servers are, after a start ---- */

static bool servers_heard(const scheduler *s)
{
    for (uint32_t i = 0; i < s->config.servers; i++) {
        if (!s->server[i].heard) return false;
    }
    for (uint32_t i = 0; i < s->config.samplers; i++) {
        if (!s->sampler[i].heard) return false;
    }
    return true;
}

static uint32_t reached_version(const scheduler *s, bool highest)
{
    uint32_t v = s->server[0].version;
    for (uint32_t i = 1; i < s->config.servers; i++) {
        uint32_t x = s->server[i].version;
        if (highest ? x > v : x < v) v = x;
    }
    return v;
}

static bool any_finished(const scheduler *s)
{
    for (uint32_t i = 0; i < s->config.servers; i++) {
        if (s->server[i].finished) return true;
    }
    return false;
}

static position position_of_version(const scheduler *s, uint32_t version)
{
    position p = {.step = 1}, next;
    for (uint32_t v = 0; v < version; v++) {
        if (!position_next(s, p, &next)) break;
        p = next;
    }
    return p;
}

static const held_slot *held_by(const member_state *p, uint32_t version, uint32_t slot)
{
    for (uint32_t k = 0; k < p->slots_n; k++) {
        if (p->slots[k].slot == slot && p->slots[k].version == version) return &p->slots[k];
    }
    return NULL;
}

/* A slot is done if every server holds its push. */
static void learn_slot(const scheduler *s, open_round *r, uint32_t j)
{
    const held_slot *h = NULL;
    for (uint32_t i = 0; i < s->config.servers; i++) {
        const held_slot *has = held_by(&s->server[i], r->version, j);
        if (!has && core_rule(s->config.mutations, CORE_RULE_LEARN_ALL)) return;
        if (has) h = has;
    }
    if (!h) return;
    slot_state *x = &r->slot[j];
    if (x->done) return;
    x->done = true;
    x->examples = h->examples;
    x->loss = h->loss;
    x->is_void = h->is_void;
    r->done++;
}

static void learn_slots(scheduler *s)
{
    for (uint32_t i = 0; i <= s->ahead_n; i++) {
        open_round *r = scheduler_round(s, i);
        for (uint32_t j = 0; j < r->plan.slots; j++) learn_slot(s, r, j);
    }
}

/* A round that some server has committed already: finish committing it. */
static void resume_commit(scheduler *s, uint32_t version, uint64_t now_us, core_actions *out)
{
    round_open(s, &s->cur, position_of_version(s, version), version, now_us);
    for (uint32_t j = 0; j < s->cur.plan.slots; j++) s->cur.slot[j].done = true;
    s->cur.done = s->cur.plan.slots;
    open_ahead(s, now_us);
    learn_slots(s);
    start_commit(s, now_us, out);
}

/* All servers are in our generation; the rounds go on from where they are. */
void scheduler_resume(scheduler *s, uint64_t now_us, core_actions *out)
{
    uint32_t version = reached_version(s, core_rule(s->config.mutations, CORE_RULE_HIGHEST));
    if (!core_rule(s->config.mutations, CORE_RULE_LEARN)) version = 0;
    bool level = reached_version(s, false) == version && !any_finished(s);
    s->rate_from_us = now_us;
    s->rate_examples = s->stage.examples;
    if (version && !level) {
        resume_commit(s, version - 1, now_us, out);
        return;
    }
    round_open(s, &s->cur, position_of_version(s, version), version, now_us);
    open_ahead(s, now_us);
    s->phase = PHASE_RUNNING;
    learn_slots(s);
}

/* False if server i has tables of a job that this scheduler does not know: the job has failed. */
static bool is_ours(scheduler *s, uint32_t i, uint64_t now_us, core_actions *out)
{
    uint32_t has = s->server[i].generation;
    if (has <= s->generation) return true;
    scheduler_fail(
        s, now_us, out,
        "ps-%u is at generation %u, the scheduler's durable state at %u: they are not of "
        "the same job",
        i, has, s->generation);
    return false;
}

/* True if server i has the tables of the generation, or those of the one before, with which STAGE
 * begins it.  One that has none may be the heir of a life whose acknowledgements still count. */
static bool is_whole(const scheduler *s, uint32_t i)
{
    uint32_t has = s->server[i].generation;
    if (has == s->generation) return true;
    bool rounds = s->stage.steps || reached_version(s, true) > 0; /* maybe committed by somebody */
    return s->stage_start && has && has + 1 == s->generation && !rounds;
}

static void learn_generations(scheduler *s, uint64_t now_us, core_actions *out)
{
    bool all = true;
    for (uint32_t i = 0; i < s->config.servers; i++) {
        member_state *p = &s->server[i];
        if (!is_ours(s, i, now_us, out)) return;
        p->staged = p->generation == s->generation;
        if (!p->staged) p->version = 0; /* of an earlier generation */
        all = all && p->staged;
    }
    for (uint32_t i = 0; i < s->config.servers; i++) {
        if (is_whole(s, i) && !s->must_roll) continue;
        scheduler_rollback(s, now_us, out, "ps-%u is at generation %u of %u", i,
                           s->server[i].generation, s->generation);
        return;
    }
    if (all) {
        scheduler_resume(s, now_us, out);
    } else {
        s->phase = PHASE_STAGING;
        send_stage(s, now_us, out);
    }
}

/* After the last stage: the servers need its tables for whoever evaluates. */
static void learn_trained(scheduler *s, uint64_t now_us, core_actions *out)
{
    for (uint32_t i = 0; i < s->config.servers; i++) {
        if (!is_ours(s, i, now_us, out)) return;
        if (s->server[i].generation == s->generation && !s->must_roll) continue;
        scheduler_rollback(s, now_us, out, "ps-%u is at generation %u of %u", i,
                           s->server[i].generation, s->generation);
        return;
    }
    scheduler_trained(s, now_us, out);
}

/* What manifests told may be older than what the servers have been through since. */
static void take_generation(scheduler *s)
{
    if (!s->recovered || !core_rule(s->config.mutations, CORE_RULE_RECOVERED)) return;
    for (uint32_t i = 0; i < s->config.servers; i++) {
        if (s->server[i].generation > s->generation) s->generation = s->server[i].generation;
    }
}

static void gathered(scheduler *s, uint64_t now_us, core_actions *out)
{
    take_generation(s);
    scheduler_moved(s, now_us);
    scheduler_status_stage_from(s, now_us);
    if (s->stage.stage != scheduler_stage(s)) /* what was restored is of the stage before */
        s->stage = (stage_state){.stage = scheduler_stage(s), .loss = NAN};
    if (s->rolling && s->must_roll) {
        scheduler_rollback(s, now_us, out, "another number of servers: %u", s->config.servers);
    } else if (s->rolling) {
        scheduler_rollback_resume(s, now_us, out);
    } else if (s->stage_index >= s->plan->stages) {
        learn_trained(s, now_us, out);
    } else if (!s->generation) {
        for (uint32_t i = 0; i < s->config.servers; i++) {
            if (!s->server[i].generation) continue;
            scheduler_fail(s, now_us, out,
                           "ps-%u is at generation %u of a job this scheduler does not know", i,
                           s->server[i].generation);
            return;
        }
        start_generation(s, now_us, out);
    } else {
        learn_generations(s, now_us, out);
    }
}

/* ---- going on ---- */

static bool all_staged(const scheduler *s)
{
    for (uint32_t i = 0; i < s->config.servers; i++) {
        if (!s->server[i].staged) return false;
    }
    return true;
}

static bool all_committed(const scheduler *s)
{
    bool barrier = core_rule(s->config.mutations, CORE_RULE_ALL_SERVERS), any = false, all = true;
    for (uint32_t i = 0; i < s->config.servers; i++) {
        bool there = s->server[i].version > s->cur.version;
        all = all && there;
        any = any || there;
    }
    return barrier ? all : any;
}

static bool any_leaving(const scheduler *s)
{
    for (uint32_t i = 0; i < s->config.servers; i++) {
        if (s->server[i].leaving) return true;
    }
    return false;
}

/* What is committed while a server leaves, or until it is back, is not in its checkpoint. */
static bool all_done(const scheduler *s)
{
    if (!scheduler_save_allows_commit(s) || (any_leaving(s) && !s->cur.ordered)) return false;
    if (!core_rule(s->config.mutations, CORE_RULE_ALL_SLOTS)) return s->cur.done > 0;
    return s->cur.done == s->cur.plan.slots;
}

/* The servers for another map are all there: it comes into force through a checkpoint. */
static void advance_scale(scheduler *s, uint64_t now_us, core_actions *out)
{
    if (s->phase != PHASE_RUNNING) return;
    if (s->wants_durable) {
        s->wants_durable = false;
        scheduler_persist(s, out, TOKEN_WANTED, s->generation, s->stage_index);
    }
    if (s->servers_wanted == s->config.servers || !scheduler_servers_are_here(s)) return;
    if (scheduler_save_is_current(s)) {
        scheduler_rollback(s, now_us, out, "from %u to %u servers", s->config.servers,
                           s->servers_wanted);
    } else if (now_us >= s->save.retry_us) {
        scheduler_save_want(s, SAVE_SCALE);
    }
}

/* A server that is gone takes no part in a checkpoint any more. */
static bool lacks_server(const scheduler *s)
{
    for (uint32_t i = 0; i < s->config.servers; i++) {
        if (s->server[i].lost) return true;
    }
    return false;
}

/* There is nothing to save before a server goes, or nobody to save it. */
static bool leaves_nothing(const scheduler *s)
{
    /* In a new life we do not know yet. */
    if (s->generation && s->phase < PHASE_STAGING) return false;
    if (s->phase == PHASE_STAGING) return !all_staged(s);
    return s->phase < PHASE_STAGING || s->phase >= PHASE_GOING_BACK || lacks_server(s);
}

/* A server that was told to stop goes as soon as a checkpoint is there, or cannot be had. */
static void advance_leaving(scheduler *s, uint64_t now_us, core_actions *out)
{
    bool between = s->phase == PHASE_RUNNING, idle = s->save.phase == SAVE_NONE;
    bool saved = between && idle && scheduler_save_is_current(s);
    bool tried = between && idle && s->save.retry_us > now_us;
    bool nothing = leaves_nothing(s);
    for (uint32_t i = 0; i < s->config.servers; i++) {
        member_state *p = &s->server[i];
        if (!p->leaving || p->lost || p->may_go) continue;
        p->may_go = saved || tried || nothing;
        if (p->may_go)
            scheduler_note(s, now_us, out, "leave", p->id, "told to stop, %s a checkpoint",
                           saved ? "after" : "without");
        else if (between)
            scheduler_save_want(s, SAVE_ASKED);
    }
}

/* Stops as soon as the checkpoint is there, or cannot be had. */
static void advance_stop(scheduler *s, uint64_t now_us, core_actions *out)
{
    if (!s->stop_wanted) return;
    core_peer self = {WIRE_SCHEDULER, 0, s->config.incarnation};
    bool between = s->phase == PHASE_RUNNING;
    bool saved = between && scheduler_save_is_current(s);
    bool tried = between && s->save.phase == SAVE_NONE && s->save.retry_us > now_us;
    bool nothing = s->phase < PHASE_RUNNING || s->phase >= PHASE_GOING_BACK || lacks_server(s);
    if (between && !saved && !tried) scheduler_save_want(s, SAVE_STOP);
    if (!saved && !tried && !nothing && now_us < s->stop_by_us) return;
    if (s->save.phase == SAVE_RECORDING || s->save.phase == SAVE_MANIFEST) return; /* at once */
    if (between && !saved)
        scheduler_note(s, now_us, out, "unsaved", self, "stopped without a checkpoint");
    scheduler_end(s, now_us, out, JOB_STOPPING, 0);
}

void scheduler_advance(scheduler *s, uint64_t now_us, core_actions *out)
{
    phase before;
    do {
        before = s->phase;
        advance_scale(s, now_us, out);
        advance_leaving(s, now_us, out);
        scheduler_save_advance(s, now_us, out);
        advance_stop(s, now_us, out);
        scheduler_reopen_advance(s, now_us, out);
        switch (s->phase) {
        case PHASE_PREPARING:
            if (s->plan) s->phase = PHASE_GATHER;
            break;
        case PHASE_GATHER:
            if (nothing_left(s))
                scheduler_trained(s, now_us, out);
            else if (servers_heard(s))
                gathered(s, now_us, out);
            break;
        case PHASE_STAGING:
            if (all_staged(s)) start_rounds(s, now_us);
            break;
        case PHASE_RUNNING:
            if (all_done(s)) round_done(s, now_us, out);
            break;
        case PHASE_COMMITTING:
            if (all_committed(s)) round_committed(s, now_us, out);
            break;
        case PHASE_ROLLING: scheduler_rollback_advance(s, now_us, out); break;
        default: break;
        }
    } while (s->phase != before);
}

/* ---- events ---- */

static void on_order_answer(scheduler *s, const core_event *e, core_actions *out)
{
    const wire_header *h = e->message.header;
    request_match m;
    if (!requests_answer(s->requests, e->now_us, out, h, &m)) return;
    if (m.to.role != WIRE_SERVER || h->incarnation != s->server[m.part].id.incarnation) return;
    member_state *p = &s->server[m.part];
    scheduler_peers_seen(s, p, e->now_us, out);
    if (m.owner == OWNER_COMMIT) scheduler_reopen_refused(s, p, h);
    if (h->status != WIRE_OK || m.header.generation != s->generation) return;
    if (m.owner == OWNER_STAGE) {
        p->staged = true;
        p->generation = s->generation;
        scheduler_moved(s, e->now_us);
    }
    if (m.owner == OWNER_SNAPSHOT) scheduler_save_taken(s, p);
    if (m.owner == OWNER_COMMIT && h->version > p->version) {
        p->version = h->version;
        scheduler_moved(s, e->now_us);
    }
}

/* An index that no worker has, another one each time: for workers that were not told theirs. */
static uint32_t free_index(scheduler *s)
{
    const uint32_t n = SCHEDULER_PEERS_MAX - WIRE_FREE_INDEX_FIRST;
    uint32_t index = 0;
    for (uint32_t tries = 0; tries < n; tries++) {
        index = WIRE_FREE_INDEX_FIRST + (uint32_t)((s->config.incarnation + s->suggested++) % n);
        bool taken =
            index < s->workers && s->worker[index].id.incarnation && !s->worker[index].lost;
        if (!taken) break;
    }
    return index;
}

static void answer_config(scheduler *s, const core_event *e, core_actions *out)
{
    wire_header h = *e->message.header;
    if (!s->answer_config) return; /* asked again until there is one */
    h.part = free_index(s);
    scheduler_answer(s, out, e->message.route, &h, WIRE_OK,
                     blob_copy(blob_data(s->answer_config), blob_size(s->answer_config)));
}

static void on_request(scheduler *s, const core_event *e, core_actions *out)
{
    const wire_header *h = e->message.header;
    static const char why[] = "a scheduler does not serve this";
    switch (h->op) {
    case WIRE_HELLO: scheduler_peers_hello(s, e, out); return;
    case WIRE_WORK: scheduler_leases_work(s, e, out); return;
    case WIRE_DONE: scheduler_leases_done(s, e, out); return;
    case WIRE_PROGRESS: scheduler_peers_progress(s, e, out); return;
    case WIRE_CONFIG: answer_config(s, e, out); return;
    default:
        scheduler_answer(s, out, e->message.route, h, WIRE_REFUSED, blob_copy(why, sizeof why - 1));
    }
}

static void on_result(scheduler *s, const core_event *e, core_actions *out)
{
    if (s->phase == PHASE_OVER || scheduler_commands_take(s, e, out)) return;
    if (e->result.token == TOKEN_MANIFEST) {
        scheduler_save_result(s, e, out);
        return;
    }
    if (e->result.status == ERR_MISMATCH) { /* a usage error: everybody is told */
        snprintf(s->failure, sizeof s->failure, "the state of an earlier job is of another plan");
        scheduler_end(s, e->now_us, out, JOB_FAILED, 2);
        return;
    }
    if (e->result.status != ERR_OK) {
        scheduler_fail(s, e->now_us, out, "%s: %s",
                       e->result.token == TOKEN_PLAN ? "the plan" : "the scheduler's state",
                       err_name(e->result.status));
        return;
    }
    switch (e->result.token) {
    case TOKEN_BOOT: s->phase = PHASE_PREPARING; return;
    case TOKEN_DECISION:
        if (s->phase == PHASE_DECIDING) start_commit(s, e->now_us, out);
        return;
    case TOKEN_GENERATION:
        if (s->phase == PHASE_ENDING) enter_generation(s, e->now_us, out);
        return;
    case TOKEN_TRAINED:
        if (s->phase == PHASE_ENDING) scheduler_trained(s, e->now_us, out);
        return;
    case TOKEN_RECORD: scheduler_save_result(s, e, out); return;
    case TOKEN_ROLLING:
    case TOKEN_RUNNING: scheduler_rollback_result(s, e, out); return;
    default: return;
    }
}

static void on_start(scheduler *s, const core_event *e, core_actions *out)
{
    s->started_us = s->moved_us = e->now_us;
    s->term++;
    scheduler_persist(s, out, TOKEN_BOOT, s->generation, s->stage_index);
}

void scheduler_stop(scheduler *s, uint64_t now_us, core_actions *out, const char *by)
{
    bool done = s->phase == PHASE_OVER && s->end == JOB_DONE;
    if (s->stop_wanted || (s->phase == PHASE_OVER && !done)) return;
    s->stop_wanted = true;
    s->stop_by_us = now_us + STOP_US;
    snprintf(s->stopped_by, sizeof s->stopped_by, "%s", by);
    if (!done) return;
    s->over_until_us = now_us + GOODBYE_US;
    send_stop(s, now_us, out);
}

/* A second signal does not wait for the checkpoint. */
static void on_stop(scheduler *s, const core_event *e, core_actions *out)
{
    bool again = s->stop_wanted && s->phase != PHASE_OVER;
    s->signalled = s->signalled || !s->stop_wanted;
    scheduler_stop(s, e->now_us, out, e->signal == SIGINT ? "SIGINT (Ctrl-C)" : "SIGTERM");
    if (again) scheduler_end(s, e->now_us, out, JOB_STOPPING, 0);
}

static void on_timer(scheduler *s, uint64_t now_us, core_actions *out)
{
    scheduler_peers_timer(s, now_us, out);
    scheduler_status_stall(s, now_us, out);
    if (now_us < s->order_retry_us) return;
    /* Answered, but not obeyed: a server in a new life, or behind. */
    if (s->phase == PHASE_STAGING && !requests_open_count(s->requests, OWNER_STAGE))
        send_stage(s, now_us, out);
    if (s->phase == PHASE_COMMITTING && !requests_open_count(s->requests, OWNER_COMMIT))
        send_commit(s, now_us, out);
}

/* While we did not run (a stopped process; in one process, a long computation) we heard nobody:
 * what passed meanwhile is nobody's silence. */
static void forgive_pause(scheduler *s, uint64_t now_us)
{
    uint64_t pause = s->stepped_us && now_us > s->stepped_us ? now_us - s->stepped_us : 0;
    s->stepped_us = now_us;
    if (pause < PAUSE_US) return;
    scheduler_peers_forgive(s, pause);
    scheduler_leases_forgive(s, pause);
    s->moved_us += pause;
    if (s->phase == PHASE_OVER && s->over_until_us != UINT64_MAX) s->over_until_us += pause;
}

uint64_t scheduler_step(scheduler *s, const core_event *e, core_actions *out)
{
    if (s->exited) return UINT64_MAX;
    forgive_pause(s, e->now_us);
    switch (e->type) {
    case CORE_START: on_start(s, e, out); break;
    case CORE_STOP: on_stop(s, e, out); break;
    case CORE_RESULT: on_result(s, e, out); break;
    case CORE_MESSAGE:
        if (s->phase == PHASE_BOOT) break; /* asked again */
        if (wire_is_answer(e->message.header))
            on_order_answer(s, e, out);
        else
            on_request(s, e, out);
        break;
    case CORE_TIMER: break;
    }
    if (s->phase == PHASE_BOOT) return UINT64_MAX;
    on_timer(s, e->now_us, out);
    if (s->phase != PHASE_OVER) scheduler_advance(s, e->now_us, out);
    scheduler_leases_serve(s, e->now_us, out);
    if (s->phase == PHASE_OVER) over_timer(s, e->now_us, out);
    uint64_t at = requests_timer(s->requests, e->now_us, out);
    return at < e->now_us + TICK_US ? at : e->now_us + TICK_US;
}

uint64_t scheduler_digest(const scheduler *s)
{
    uint64_t x[10] = {s->term,     s->generation, s->stage_index, s->phase,   s->cur.version,
                      s->cur.done, s->metrics,    s->view,        s->records, s->save.phase};
    uint64_t h = hash64(x, sizeof x, requests_digest(s->requests));
    for (uint32_t j = 0; s->cur.open && j < s->cur.plan.slots; j++) {
        uint64_t y[2] = {s->cur.slot[j].done, s->cur.slot[j].leases};
        h = hash64(y, sizeof y, h);
    }
    return h;
}

void scheduler_view_get(const scheduler *s, scheduler_view *out)
{
    *out = (scheduler_view){.term = s->term,
                            .generation = s->generation,
                            .stage_index = s->stage_index,
                            .version = s->cur.version,
                            .round = s->cur.plan,
                            .running = scheduler_leases_allowed(s),
                            .rolling = s->rolling,
                            .records = s->records,
                            .rollbacks = s->rollbacks,
                            .finished = s->plan && s->stage_index >= s->plan->stages,
                            .done = s->cur.done,
                            .leases = scheduler_leases_live(s)};
}
