#include "common/mem.h"
#include "ps/scheduler_state.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FORGOTTEN_US = 600000000, RATE_KEPT_US = 5000000, SUPERVISOR_LOST_US = 10000000 };

/* ---- events and metrics, as they come ---- */

void scheduler_note(scheduler *s, uint64_t now_us, core_actions *out, const char *name,
                    core_peer who, const char *format, ...)
{
    status_event *x = &s->event[s->events++ % SCHEDULER_EVENTS_MAX];
    x->at_us = now_us;
    x->event = name;
    x->who = who;
    va_list args;
    va_start(args, format);
    vsnprintf(x->why, sizeof x->why, format, args);
    va_end(args);
    core_event_line(out, name, who, "%s", x->why);
}

void scheduler_moved(scheduler *s, uint64_t now_us)
{
    s->moved_us = now_us;
    s->stalled = false;
}

static void curve_restart(scheduler *s, uint32_t stage)
{
    s->curve_stage = stage;
    status_curve_restart(&s->curve);
    status_curve_restart(&s->valid);
}

static uint32_t workers_here(const scheduler *s)
{
    uint32_t n = 0;
    for (size_t i = 0; i < s->workers; i++) n += s->worker[i].id.incarnation && !s->worker[i].lost;
    return n;
}

/* What can be said of the open round, whose last slot is DONE. */
static void measure_round(scheduler *s, uint64_t now_us, curve_point *p)
{
    if (!s->cur.open || !now_us) return; /* restored from what an earlier life wrote */
    uint32_t stale = 0;
    for (uint32_t j = 0; j < s->cur.plan.slots; j++) {
        if (s->cur.slot[j].stale > stale) stale = s->cur.slot[j].stale;
    }
    uint64_t took_us = now_us - s->cur.opened_us;
    histogram_add(&s->step_time, took_us);
    s->staleness = stale;
    p->v[CURVE_RATE] = s->examples_per_s > 0 ? s->examples_per_s : (double)NAN;
    p->v[CURVE_STALENESS] = stale;
    p->v[CURVE_STEP_S] = (double)took_us / 1e6;
    p->v[CURVE_WORKERS] = workers_here(s);
}

static void take_rate(scheduler *s, uint64_t now_us)
{
    uint64_t dt = now_us - s->rate_from_us;
    if (!now_us || !s->rate_from_us || dt < 1000) return;
    double rate = (double)(s->stage.examples - s->rate_examples) * 1e6 / (double)dt;
    s->examples_per_s = s->examples_per_s > 0 ? 0.8 * s->examples_per_s + 0.2 * rate : rate;
    s->rate_from_us = now_us;
    s->rate_examples = s->stage.examples;
}

static void take_step(scheduler *s, const core_metric *m, uint64_t now_us)
{
    if (s->curve_stage != m->stage) curve_restart(s, m->stage);
    s->stage.examples += m->examples;
    s->stage.loss = m->loss;
    s->stage.voids += m->voids;
    s->stage.steps = m->step;
    take_rate(s, now_us);
    if (now_us) stage_pace_step(&s->pace, m->step, now_us);
    curve_point p = {m->step, {m->loss, NAN, NAN, NAN, NAN}};
    measure_round(s, now_us, &p);
    status_curve_add(&s->curve, &p);
}

static void take_valid(scheduler *s, const core_metric *m)
{
    s->stage.has_valid = true;
    s->stage.valid_last = m->value;
    s->stage.valid_step = m->step;
    s->stage.last_best = m->best;
    s->stage.bad = m->best ? 0 : s->stage.bad + 1;
    if (m->best) {
        s->stage.valid_best = m->value;
        s->stage.best_step = m->step;
    }
    curve_point p = {m->step, {m->value}};
    status_curve_add(&s->valid, &p);
}

/* A stage that validates is over. */
static void take_result(scheduler *s, const core_metric *m)
{
    if (!s->stage.has_valid || s->results_n == STAGE_COUNT) return;
    s->result[s->results_n++] = (status_result){.stage = m->stage,
                                                .steps = s->stage.steps,
                                                .best_step = s->stage.best_step,
                                                .best = s->stage.valid_best};
}

void scheduler_status_metric(scheduler *s, const core_metric *m, uint64_t now_us)
{
    if (s->stage.stage != m->stage) s->stage = (stage_state){.stage = m->stage, .loss = NAN};
    switch (m->kind) {
    case METRIC_STEP: take_step(s, m, now_us); return;
    case METRIC_VALID: take_valid(s, m); return;
    case METRIC_PUT:
        s->stage.rows = m->examples;
        s->stage.examples += m->examples;
        s->stage.steps = m->step;
        take_rate(s, now_us);
        if (now_us) stage_pace_step(&s->pace, m->step, now_us);
        return;
    case METRIC_STAGE: take_result(s, m); return;
    case METRIC_CUT: return;
    }
}

void scheduler_status_cut(scheduler *s)
{
    if (s->curve_stage != scheduler_stage(s)) {
        curve_restart(s, scheduler_stage(s));
        return;
    }
    status_curve_cut(&s->curve, s->stage.steps);
    status_curve_cut(&s->valid, s->stage.valid_step);
}

void scheduler_status_stage_from(scheduler *s, uint64_t now_us)
{
    s->stage_from_us = now_us;
    s->pace = (stage_pace){0};
}

/* ---- what is waited for ---- */

typedef struct wait {
    char what[CORE_TEXT_MAX], whom[64];
} wait;

static void say(wait *w, const char *what, const char *role, uint32_t index)
{
    snprintf(w->what, sizeof w->what, "%s", what);
    snprintf(w->whom, sizeof w->whom, "%s-%u", role, index);
}

static bool wait_gather(const scheduler *s, wait *w)
{
    for (uint32_t i = 0; i < s->config.servers; i++) {
        if (s->server[i].heard) continue;
        say(w, "server to join", "ps", i);
        return true;
    }
    for (uint32_t i = 0; i < s->config.samplers; i++) {
        if (s->sampler[i].heard) continue;
        say(w, "sampler to join", "sampler", i);
        return true;
    }
    return false;
}

/* A server that is gone holds up every slot. */
static bool wait_lost_server(const scheduler *s, wait *w)
{
    for (uint32_t i = 0; i < s->config.servers; i++) {
        if (!s->server[i].lost) continue;
        say(w, "server to come back", "ps", i);
        return true;
    }
    return false;
}

/* A sampler that is gone holds up a slot whose micro-batch is awaited. */
static bool wait_lost_sampler(const scheduler *s, const slot_state *x, uint32_t slot, wait *w)
{
    const member_state *holder = &s->worker[x->lease[0].worker.index];
    bool samples = false;
    for (uint32_t k = 0; k < holder->held_n; k++) {
        const held_lease *h = &holder->held[k];
        bool same = h->name.slot == slot && h->version == s->cur.version;
        samples = samples || (same && h->state == PEER_SAMPLING);
    }
    for (uint32_t i = 0; samples && i < s->config.samplers; i++) {
        if (!s->sampler[i].lost) continue;
        say(w, "sampler to come back", "sampler", i);
        return true;
    }
    return false;
}

static bool any_worker(const scheduler *s)
{
    for (size_t i = 0; i < s->workers; i++) {
        const member_state *p = &s->worker[i];
        if (p->id.incarnation && !p->lost && !p->leaving && !p->draining) return true;
    }
    return false;
}

static bool wait_slot(const scheduler *s, wait *w)
{
    char what[96];
    if (wait_lost_server(s, w)) return true;
    for (uint32_t j = 0; j < s->cur.plan.slots; j++) {
        const slot_state *x = &s->cur.slot[j];
        if (x->done) continue;
        char name[64];
        slot_format((slot_name){s->cur.plan.stage, s->cur.plan.epoch, s->cur.plan.step, j}, name);
        snprintf(what, sizeof what, "slot %s", name);
        if (x->leases) {
            if (!wait_lost_sampler(s, x, j, w)) say(w, what, "worker", x->lease[0].worker.index);
        } else {
            snprintf(w->what, sizeof w->what, "%s", any_worker(s) ? what : "worker to join");
            snprintf(w->whom, sizeof w->whom, "any worker");
        }
        return true;
    }
    return false;
}

static bool wait_servers(const scheduler *s, wait *w)
{
    for (uint32_t i = 0; i < s->config.servers; i++) {
        const member_state *p = &s->server[i];
        bool staging = s->phase == PHASE_STAGING;
        if (staging ? p->staged : p->version > s->cur.version) continue;
        say(w, staging ? "tables of the stage" : "commit of the step", "ps", i);
        return true;
    }
    return false;
}

static bool wait_rolling(const scheduler *s, wait *w)
{
    for (uint32_t i = 0; i < s->config.servers; i++) {
        const member_state *p = &s->server[i];
        if (p->ready) continue;
        say(w, p->id.incarnation && !p->lost ? "checkpoint to be read" : "server to join", "ps", i);
        return true;
    }
    return false;
}

static bool wait_saving(const scheduler *s, wait *w)
{
    if (s->save.phase == SAVE_NONE && s->save.failed.role) {
        snprintf(w->what, sizeof w->what, "checkpoint: %.200s", s->save.why);
        snprintf(w->whom, sizeof w->whom, "%s-%u", wire_role_name(s->save.failed.role),
                 s->save.failed.index);
        return true;
    }
    for (uint32_t i = 0; i < s->config.servers; i++) {
        const member_state *p = &s->server[i];
        if (s->save.phase == SAVE_TAKING ? p->taken : p->saved) continue;
        say(w, "checkpoint", "ps", i);
        return true;
    }
    return false;
}

/* What and whom we wait for; false: nothing in particular. */
static bool waits_for(const scheduler *s, wait *w)
{
    switch (s->phase) {
    case PHASE_GATHER: return wait_gather(s, w);
    case PHASE_RUNNING:
        return s->cur.done == s->cur.plan.slots ? wait_saving(s, w) : wait_slot(s, w);
    case PHASE_SAVING: return wait_saving(s, w);
    case PHASE_ROLLING: return wait_rolling(s, w);
    case PHASE_STAGING:
    case PHASE_COMMITTING: return wait_servers(s, w);
    case PHASE_TRAINED:
        if (s->driver_finished) return false;
        say(w, "evaluation and export", "driver", 0);
        return true;
    default: return false;
    }
}

void scheduler_status_stall(scheduler *s, uint64_t now_us, core_actions *out)
{
    wait w;
    if (!waits_for(s, &w)) return;
    uint64_t since = now_us - s->moved_us;
    core_peer self = {WIRE_SCHEDULER, 0, s->config.incarnation};
    if (since >= STALLED_US && !s->stalled) {
        s->stalled = true;
        scheduler_note(s, now_us, out, "stalled", self, "waiting for %.120s from %s", w.what,
                       w.whom);
    }
    /* The driver's own work takes as long as it takes. */
    if (s->phase == PHASE_TRAINED) return;
    if (s->config.stall_timeout_us && since >= s->config.stall_timeout_us)
        scheduler_fail(s, now_us, out, "stalled for %u s, waiting for %.120s from %s",
                       (uint32_t)(since / 1000000), w.what, w.whom);
}

/* ---- the snapshot ---- */

static job_state state_of(const scheduler *s)
{
    if (s->phase == PHASE_OVER) return s->end;
    if (s->stalled) return JOB_STALLED;
    switch (s->phase) {
    case PHASE_BOOT:
    case PHASE_GATHER: return JOB_STARTING;
    case PHASE_PREPARING: return JOB_PREPARING;
    case PHASE_GOING_BACK:
    case PHASE_ROLLING:
    case PHASE_ROLLED: return JOB_ROLLING;
    default: return s->cur.open && s->cur.at.in_valid ? JOB_VALIDATING : JOB_RUNNING;
    }
}

static void peer_common(const member_state *p, uint64_t now_us, status_peer *x)
{
    x->peer = p->id;
    x->pid = p->pid;
    memcpy(x->address, p->address, sizeof x->address);
    x->last_seen_ms = p->seen_us && now_us > p->seen_us ? (now_us - p->seen_us) / 1000 : 0;
    x->rss_bytes = p->rss_bytes;
    x->state = p->lost ? PEER_LOST : p->heard ? PEER_READY : PEER_STARTING;
}

/* Since the oldest lease of the open round that it has not finished was given. */
static double lease_age_s(const scheduler *s, const member_state *p, uint64_t now_us)
{
    uint64_t from = UINT64_MAX;
    for (uint32_t j = 0; s->cur.open && j < s->cur.plan.slots; j++) {
        const slot_state *x = &s->cur.slot[j];
        for (uint32_t k = 0; !x->done && k < x->leases; k++) {
            const slot_lease *l = &x->lease[k];
            if (l->worker.index == p->id.index && l->since_us < from) from = l->since_us;
        }
    }
    if (from < s->cur.opened_us) from = s->cur.opened_us; /* it was leased ahead */
    return from < now_us ? (double)(now_us - from) / 1e6 : 0;
}

static void peer_worker(const member_state *p, status_peer *x)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < 5; i++) {
        sum += p->phase_us[i];
        x->phase_s[i] = (double)p->phase_us[i] / 1e6;
    }
    for (uint32_t i = 0; sum && i < 5; i++) x->time_share[i] = (double)p->phase_us[i] / (double)sum;
    x->leases = p->lost ? 0 : p->held_n;
    if (p->held_n) x->slot = p->held[0].name;
    for (uint32_t i = 0; i < p->held_n; i++) {
        if (p->held[i].state == PEER_COMPUTING) x->slot = p->held[i].name;
    }
    if (!p->lost) x->state = p->sequence ? (peer_state)p->state : PEER_STARTING;
    x->draining = (p->draining || p->leaving) && !p->lost;
    x->slots_done = p->slots_done;
    x->examples_per_s = p->lost ? 0 : p->examples_per_s;
    x->step_ms_p50 = (double)p->slot_us_p50 / 1e3;
    x->step_ms_p99 = (double)p->slot_us_p99 / 1e3;
}

static void peer_server(const member_state *p, status_peer *x)
{
    x->version = p->version;
    x->saved_step = p->saved_step;
    x->rows = p->rows;
    x->bytes = p->bytes;
    x->pulls = p->pulls;
    x->pushes = p->pushes;
    x->repeats = p->repeats;
    x->apply_ms_p50 = p->apply_us_p50 / 1e3;
    x->apply_ms_p99 = p->apply_us_p99 / 1e3;
    x->pulls_per_s = p->lost ? 0 : p->pulls_per_s;
    x->pushes_per_s = p->lost ? 0 : p->pushes_per_s;
}

static void peer_sampler(const member_state *p, status_peer *x)
{
    uint64_t leaves = p->leaves_asked + p->leaves_local;
    x->batches = p->batches;
    x->queue = p->queue;
    x->batches_per_s = p->batches_per_s;
    x->remote_share = leaves ? (double)p->leaves_asked / (double)leaves : 0;
}

static int slowest_first(const void *a, const void *b)
{
    const status_peer *x = a, *y = b;
    if (x->examples_per_s < y->examples_per_s) return -1;
    if (x->examples_per_s > y->examples_per_s) return 1;
    return x->peer.index < y->peer.index ? -1 : x->peer.index > y->peer.index;
}

/* Workers come and go: those that have left, or been away for long, are no news. */
static bool is_forgotten(const member_state *p, uint64_t now_us)
{
    return p->left || (p->lost && now_us - p->seen_us > FORGOTTEN_US);
}

static void fill_workers(const scheduler *s, uint64_t now_us, scheduler_status *out)
{
    double total = 0;
    out->worker = xcalloc(s->workers + 1, sizeof *out->worker);
    for (size_t i = 0; i < s->workers; i++) {
        const member_state *p = &s->worker[i];
        if (!p->id.incarnation || is_forgotten(p, now_us)) continue;
        status_peer *x = &out->worker[out->workers++];
        peer_common(p, now_us, x);
        peer_worker(p, x);
        x->lease_age_s = lease_age_s(s, p, now_us);
        for (uint32_t k = 0; k < 5; k++) out->time_share[k] += p->lost ? 0 : x->time_share[k];
    }
    for (uint32_t k = 0; k < 5; k++) total += out->time_share[k];
    for (uint32_t k = 0; k < 5 && total > 0; k++) out->time_share[k] /= total;
    qsort(out->worker, out->workers, sizeof *out->worker, slowest_first);
}

static void fill_peers(const scheduler *s, uint64_t now_us, scheduler_status *out)
{
    fill_workers(s, now_us, out);
    out->workers_wanted = s->workers_wanted;
    out->servers_wanted = s->servers_wanted;
    out->supervised =
        s->driver.seen_us && !s->driver_attached && now_us - s->driver.seen_us < SUPERVISOR_LOST_US;
    out->servers = s->config.servers;
    out->samplers = s->config.samplers;
    out->server = xcalloc(out->servers + 1, sizeof *out->server);
    out->sampler = xcalloc(out->samplers + 1, sizeof *out->sampler);
    for (uint32_t i = 0; i < out->servers; i++) {
        const member_state *p = &s->server[i];
        peer_common(p, now_us, &out->server[i]);
        out->server[i].peer.role = WIRE_SERVER;
        out->server[i].peer.index = i;
        peer_server(p, &out->server[i]);
        out->counters.gone += p->gone;
        out->counters.hash_mismatches += p->hash_mismatches;
        out->counters.repeats += p->repeats;
    }
    for (uint32_t i = 0; i < out->samplers; i++) {
        peer_common(&s->sampler[i], now_us, &out->sampler[i]);
        out->sampler[i].peer.role = WIRE_SAMPLER;
        out->sampler[i].peer.index = i;
        peer_sampler(&s->sampler[i], &out->sampler[i]);
    }
}

static status_curve *copy_curve(const status_curve *c)
{
    status_curve *x = xmalloc(sizeof *x);
    *x = *c;
    return x;
}

static void fill_curves(const scheduler *s, scheduler_status *out)
{
    out->curve_stage = s->curve_stage;
    out->curve = copy_curve(&s->curve);
    out->valid = copy_curve(&s->valid);
    out->step_time = s->step_time;
    out->slot_time = s->slot_time;
    out->commit_time = s->commit_time;
    out->checkpoint_time = s->checkpoint_time;
    out->rollback_time = s->rollback_time;
    uint32_t all = s->events;
    out->events_ever = all;
    out->events_n = all < SCHEDULER_EVENTS_MAX ? all : SCHEDULER_EVENTS_MAX;
    out->event = xcalloc(out->events_n + 1, sizeof *out->event);
    for (uint32_t i = 0; i < out->events_n; i++)
        out->event[i] = s->event[(all - out->events_n + i) % SCHEDULER_EVENTS_MAX];
}

static void fill_results(const scheduler *s, scheduler_status *out)
{
    out->results_n = s->plan ? s->results_n : 0; /* restored before the plan is known */
    for (uint32_t i = 0; i < out->results_n; i++) {
        out->result[i] = s->result[i];
        out->result[i].metric = s->plan->metric(s->plan->ctx, s->result[i].stage);
    }
}

static void fill_driver_stage(const scheduler *s, scheduler_status *out)
{
    out->stage = s->driver_stage ? s->driver_stage : STAGE_PREPARE;
    if (s->driver_total) out->progress = (double)s->driver_done / (double)s->driver_total;
}

/* Of the last steps; while nothing moves for longer than slots take, it goes down. */
static double rate_now(const scheduler *s, uint64_t now_us)
{
    uint64_t slots_us = 2 * latency_quantile(&s->slot_us, 0.95), since_us = now_us - s->moved_us;
    uint64_t usual_us = slots_us > RATE_KEPT_US ? slots_us : RATE_KEPT_US;
    if (since_us <= usual_us) return s->examples_per_s;
    return s->examples_per_s * (double)usual_us / (double)since_us;
}

static void fill_stage(const scheduler *s, uint64_t now_us, scheduler_status *out)
{
    out->stage = scheduler_stage(s);
    out->metric = "";
    out->eta_s = -1;
    out->staleness = NAN;
    out->loss = s->stage.loss;
    out->examples = s->stage.examples;
    out->examples_per_s = rate_now(s, now_us);
    if (out->stage == STAGE_NONE) {
        fill_driver_stage(s, out);
        return;
    }
    out->metric = s->plan->metric(s->plan->ctx, out->stage);
    out->steps = s->plan->steps(s->plan->ctx, out->stage);
    out->step = s->stage.steps;
    uint32_t step = out->step ? out->step : 1;
    out->epoch = s->plan->round(s->plan->ctx, out->stage, step).epoch;
    out->progress = (double)out->step / (double)out->steps;
    out->has_validation = s->stage.has_valid;
    out->valid_last = s->stage.valid_last;
    out->valid_best = s->stage.valid_best;
    out->best_step = s->stage.best_step;
    out->stage_elapsed_s = (double)(now_us - s->stage_from_us) / 1e6;
    out->staleness = s->staleness;
    out->eta_s = stage_pace_left_s(&s->pace, out->steps, now_us);
    out->slots = s->cur.open ? s->cur.plan.slots : 0;
    for (uint32_t j = 0; j < out->slots; j++) out->slots_open += !s->cur.slot[j].done;
}

void scheduler_note_refused(scheduler *s, uint64_t total)
{
    s->counters.shell_refusals = total;
}

/* HELLOs refused here, and what the shells of those who are called have refused. */
static uint64_t refusals_of_all(const scheduler *s)
{
    uint64_t n = s->counters.refused_peers + s->counters.shell_refusals;
    for (uint32_t i = 0; i < s->config.servers; i++) n += s->server[i].refusals;
    for (uint32_t i = 0; i < s->config.samplers; i++) n += s->sampler[i].refusals;
    return n;
}

static const char *save_phase_name(save_phase p)
{
    switch (p) {
    case SAVE_TAKING: return "taking";
    case SAVE_WRITING: return "writing";
    case SAVE_RECORDING:
    case SAVE_MANIFEST: return "recording";
    default: return NULL;
    }
}

static void fill_checkpoint(const scheduler *s, uint64_t now_us, status_checkpoint *out)
{
    out->made = s->saved.made;
    out->failed = s->saved.failed;
    out->stage = s->saved.stage;
    out->step = s->saved.step;
    out->reason = s->saved.reason ? s->saved.reason : "";
    out->bytes = s->saved.bytes;
    out->age_s = s->saved.made ? (double)(now_us - s->saved.at_us) / 1e6 : 0;
    out->took_s = (double)s->saved.took_us / 1e6;
    out->under_way = save_phase_name(s->save.phase);
}

/* From its last checkpoint: the last step that is in it, or the stage after one that it ends. */
void scheduler_resume_point(const scheduler *s, uint32_t *stage, uint32_t *step)
{
    bool done = s->phase == PHASE_OVER && s->end == JOB_DONE;
    *stage = STAGE_NONE;
    *step = 0;
    if (!s->plan || done) return;
    const checkpoint_record *r = s->records ? &s->record[s->records - 1] : NULL;
    uint32_t i = r ? r->stage_index + (r->end != 0) : 0;
    *stage = i < s->plan->stages ? s->plan->stage[i] : STAGE_EVALUATE;
    *step = r && !r->end ? r->step : 0;
}

void scheduler_status_get(const scheduler *s, uint64_t now_us, scheduler_status *out)
{
    wait w;
    memset(out, 0, sizeof *out);
    out->state = state_of(s);
    out->is_waiting = waits_for(s, &w) && now_us - s->moved_us >= WAITING_US;
    if (out->is_waiting) {
        memcpy(out->waiting_for, w.what, sizeof w.what);
        memcpy(out->waiting_whom, w.whom, sizeof w.whom);
        out->waiting_since_s = (double)(now_us - s->moved_us) / 1e6;
    }
    memcpy(out->failure, s->failure, sizeof out->failure);
    memcpy(out->stopped_by, s->stopped_by, sizeof out->stopped_by);
    fill_stage(s, now_us, out);
    fill_results(s, out);
    out->elapsed_s = (double)(now_us - s->started_us) / 1e6;
    out->generation = s->generation;
    out->term = s->term;
    out->map = s->map.version;
    out->bits_guaranteed = !s->foreign_numerics && !(s->plan && s->plan->staleness.on_arrival);
    out->plan_hash = s->plan_hash;
    snprintf(out->numerics, sizeof out->numerics, "%s", s->config.numerics);
    out->counters.leases = s->counters.leases;
    out->counters.reassigned = s->counters.reassigned;
    out->counters.void_slots = s->counters.void_slots;
    out->counters.refused_peers = refusals_of_all(s);
    out->counters.rollbacks = s->rollbacks;
    out->workers_here = workers_here(s);
    fill_checkpoint(s, now_us, &out->checkpoint);
    scheduler_resume_point(s, &out->resume_stage, &out->resume_step);
    fill_peers(s, now_us, out);
    fill_curves(s, out);
}

void scheduler_status_fini(scheduler_status *st)
{
    free(st->worker);
    free(st->server);
    free(st->sampler);
    free(st->curve);
    free(st->valid);
    free(st->event);
    memset(st, 0, sizeof *st);
}
