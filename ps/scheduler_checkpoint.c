/* Snapshots and their records.  Between two commits every server is asked for a copy of its tables
 * (SNAPSHOT) and writes it while training goes on; when all have written, in this generation, and
 * with two copies have those they keep for others, the record is made durable, and the checkpoint
 * counts. */
#include "common/mem.h"
#include "common/panic.h"
#include "ps/scheduler_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void scheduler_save_want(scheduler *s, uint32_t reason)
{
    s->save.wanted |= reason;
}

void scheduler_want_checkpoint(scheduler *s)
{
    scheduler_save_want(s, SAVE_ASKED);
}

void scheduler_set_pinned(scheduler *s, const part_id *snapshot, uint32_t n)
{
    s->pinned_n = n < SCHEDULER_PINNED_MAX ? n : SCHEDULER_PINNED_MAX;
    if (s->pinned_n) memcpy(s->pinned, snapshot, s->pinned_n * sizeof *snapshot);
}

void scheduler_save_fini(scheduler *s)
{
    free(s->save.part);
    free(s->save.copy);
    s->save.part = s->save.copy = NULL;
}

/* ---- names ---- */

Weft__SnapshotName scheduler_save_name(const scheduler *s, const checkpoint_record *r)
{
    Weft__SnapshotName n = WEFT__SNAPSHOT_NAME__INIT;
    n.stage = s->plan->stage[r->stage_index];
    n.generation = r->generation;
    n.version = r->version;
    n.final = r->end != 0;
    return n;
}

uint32_t scheduler_save_names(const scheduler *s, Weft__SnapshotName *name)
{
    for (uint32_t i = 0; i < s->records; i++) name[i] = scheduler_save_name(s, &s->record[i]);
    return s->records;
}

bool scheduler_save_is_current(const scheduler *s)
{
    if (!s->cur.version && s->phase != PHASE_SAVING) return true; /* a stage's start needs none */
    if (!s->records) return false;
    const checkpoint_record *r = &s->record[s->records - 1];
    return r->stage_index == s->stage_index && r->version == s->cur.version && !r->end;
}

/* ---- starting ---- */

static uint32_t add_pinned(const scheduler *s, Weft__SnapshotName *name, uint32_t n)
{
    for (uint32_t i = 0; i < s->pinned_n; i++) {
        Weft__SnapshotName *x = &name[n++];
        weft__snapshot_name__init(x);
        x->stage = s->pinned[i].stage;
        x->generation = s->pinned[i].generation;
        x->version = s->pinned[i].version;
        x->final = s->pinned[i].final;
    }
    return n;
}

static bool needs_copies(const scheduler *s)
{
    return s->config.copies > 1 && core_rule(s->config.mutations, CORE_RULE_COPIES);
}

static void send_snapshot(scheduler *s, uint64_t now_us, core_actions *out)
{
    const checkpoint_record *r = &s->save.record;
    Weft__Snapshot order = WEFT__SNAPSHOT__INIT;
    enum { KEPT_MAX = RECORDS_MAX + SCHEDULER_PINNED_MAX };
    Weft__SnapshotName name[KEPT_MAX], *keep[KEPT_MAX];
    order.version = 1;
    order.copies = s->config.copies;
    if (needs_copies(s)) order.attempt = s->save.attempt;
    order.keep = keep;
    if (core_rule(s->config.mutations, CORE_RULE_KEEP))
        order.n_keep = add_pinned(s, name, scheduler_save_names(s, name));
    for (size_t i = 0; i < order.n_keep; i++) keep[i] = &name[i];
    wire_header h = wire_request(WIRE_SNAPSHOT);
    h.generation = s->generation;
    h.stage = (uint8_t)s->plan->stage[r->stage_index];
    h.version = r->version;
    h.flags = r->end ? WIRE_FINISH : 0;
    requests_cancel(s->requests, now_us, out, OWNER_SNAPSHOT);
    for (uint32_t i = 0; i < s->config.servers; i++) {
        if (!s->server[i].taken)
            scheduler_order(s, now_us, out, &s->server[i], h, proto_pack(&order.base),
                            OWNER_SNAPSHOT);
    }
    s->order_retry_us = now_us + ORDER_RETRY_US;
}

static void start(scheduler *s, uint64_t now_us, core_actions *out, bool end)
{
    save_state *x = &s->save;
    checkpoint_record r; /* padding is written to disk, too */
    memset(&r, 0, sizeof r);
    r.generation = s->generation;
    r.stage_index = s->stage_index;
    r.version = s->cur.version + end;
    r.step = s->cur.version || end ? s->stage.steps : 0;
    r.reasons = end ? SAVE_STAGE_END : x->wanted ? x->wanted : SAVE_PERIODIC;
    r.end = end;
    r.term = s->term;
    r.metrics = s->metrics;
    r.last_kind = s->last_metric.kind;
    r.last_stage = s->last_metric.stage;
    r.last_step = s->last_metric.step;
    memcpy(&r.stage, &s->stage, sizeof r.stage);
    x->record = r;
    x->phase = SAVE_TAKING;
    x->since_us = now_us;
    x->attempt++;
    x->parts = x->copies = 0;
    x->wanted &= end ? x->wanted : 0u;
    for (uint32_t i = 0; i < s->config.servers; i++)
        s->server[i].taken = s->server[i].saved = false;
    send_snapshot(s, now_us, out);
}

static bool is_due(scheduler *s, uint64_t now_us)
{
    save_state *x = &s->save;
    uint64_t every = s->config.checkpoint_every_us;
    if (!x->next_us) x->next_us = now_us + every;
    if (every && now_us >= x->next_us) x->wanted |= SAVE_PERIODIC;
    if (!x->wanted || now_us < x->retry_us) return false;
    if (!scheduler_save_is_current(s)) return true;
    x->wanted = 0; /* it is there already */
    x->next_us = now_us + every;
    return false;
}

bool scheduler_save_allows_commit(const scheduler *s)
{
    const save_state *x = &s->save;
    if (!core_rule(s->config.mutations, CORE_RULE_TAKEN) || s->cur.ordered) return true;
    return x->phase != SAVE_TAKING && !(x->wanted & (SAVE_BEST | SAVE_STOP | SAVE_SCALE));
}

/* ---- how far the servers are ---- */

void scheduler_save_taken(scheduler *s, member_state *p)
{
    if (s->save.phase == SAVE_TAKING) p->taken = true;
}

static void failed(scheduler *s, core_peer who, const char *why, uint64_t now_us, core_actions *out)
{
    save_state *x = &s->save;
    x->phase = SAVE_NONE;
    x->retry_us = now_us + SAVE_RETRY_US;
    x->wanted &= ~(uint32_t)(SAVE_BEST | SAVE_STOP | SAVE_SCALE); /* nobody waits for it any more */
    x->failed = who;
    s->saved.failed++;
    snprintf(x->why, sizeof x->why, "%s", why);
    requests_cancel(s->requests, now_us, out, OWNER_SNAPSHOT);
    scheduler_note(s, now_us, out, "checkpoint_failed", who, "%s step %u: %.180s",
                   stage_name(s->plan->stage[x->record.stage_index]), x->record.step, why);
}

static size_t add_parts(saved_part *to, size_t at, Weft__SavedPart *const *part, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[at++] = (saved_part){part[i]->shard, part[i]->bytes, part[i]->hash};
    return at;
}

static void take_parts(save_state *x, const Weft__Saved *saved)
{
    grow(&x->part, &x->parts_cap, x->parts + saved->n_part + 1, sizeof *x->part);
    grow(&x->copy, &x->copies_cap, x->copies + saved->n_copy + 1, sizeof *x->copy);
    x->parts = add_parts(x->part, x->parts, saved->part, saved->n_part);
    x->copies = add_parts(x->copy, x->copies, saved->copy, saved->n_copy);
}

void scheduler_save_report(scheduler *s, member_state *p, const Weft__Saved *saved, uint64_t now_us,
                           core_actions *out)
{
    save_state *x = &s->save;
    const Weft__SnapshotName *n = saved->name;
    bool waits = x->phase == SAVE_TAKING || x->phase == SAVE_WRITING;
    if (!waits || !n || p->saved || !(saved->done || saved->failed)) return;
    const checkpoint_record *r = &x->record;
    bool strict = core_rule(s->config.mutations, CORE_RULE_PART_GENERATION);
    bool same = n->stage == s->plan->stage[r->stage_index] && n->version == r->version &&
                n->final == (r->end != 0) && (n->generation == r->generation || !strict);
    if (!same) return;
    if (saved->failed) {
        /* What it tried before this order is no answer to it. */
        if (p->taken) failed(s, p->id, saved->why ? saved->why : "", now_us, out);
        return;
    }
    if (needs_copies(s) && !saved->copied) return;
    p->taken = p->saved = true;
    p->saved_step = r->step;
    take_parts(x, saved);
    scheduler_moved(s, now_us);
}

static bool all_servers(const scheduler *s, bool saved)
{
    bool any = false, all = true;
    for (uint32_t i = 0; i < s->config.servers; i++) {
        bool there = saved ? s->server[i].saved : s->server[i].taken;
        any = any || there;
        all = all && there;
    }
    bool barrier = !saved || core_rule(s->config.mutations, CORE_RULE_ALL_PARTS);
    return barrier ? all : any;
}

static int by_shard(const void *a, const void *b)
{
    const saved_part *x = a, *y = b;
    return x->shard < y->shard ? -1 : x->shard > y->shard;
}

/* All servers have reported: with two copies each part is the same in both places. */
static bool copies_agree(const scheduler *s, save_state *x, char why[CORE_TEXT_MAX])
{
    if (x->parts) qsort(x->part, x->parts, sizeof *x->part, by_shard);
    if (x->copies) qsort(x->copy, x->copies, sizeof *x->copy, by_shard);
    if (!needs_copies(s)) return true;
    snprintf(why, CORE_TEXT_MAX, "%zu parts, and copies of %zu", x->parts, x->copies);
    if (x->parts != x->copies) return false;
    for (size_t i = 0; i < x->parts; i++) {
        const saved_part *a = &x->part[i], *b = &x->copy[i];
        if (a->shard == b->shard && a->bytes == b->bytes && a->hash == b->hash) continue;
        snprintf(why, CORE_TEXT_MAX, "the copy of part %u is not the same", a->shard);
        return false;
    }
    return true;
}

/* ---- records ---- */

static void remove_record(scheduler *s, uint32_t i)
{
    s->records--;
    memmove(&s->record[i], &s->record[i + 1], (s->records - i) * sizeof s->record[0]);
}

/* Kept are the last two, the best of the stage and the end of each stage. */
static bool is_kept(const scheduler *s, uint32_t i)
{
    const checkpoint_record *r = &s->record[i];
    if (r->end || i + 2 >= s->records) return true;
    return r->stage_index == s->stage_index && r->step == s->stage.best_step &&
           (r->reasons & SAVE_BEST);
}

static void add_record(scheduler *s, const checkpoint_record *r)
{
    ASSERT(s->records < RECORDS_MAX); /* the ends of all stages, the last two and a best one fit */
    s->record[s->records++] = *r;
    for (uint32_t i = s->records; i-- > 0;) {
        if (!is_kept(s, i)) remove_record(s, i);
    }
}

static const char *reason_name(uint32_t reasons)
{
    if (reasons & SAVE_STAGE_END) return "stage_end";
    if (reasons & SAVE_STOP) return "stop";
    if (reasons & SAVE_BEST) return "best";
    if (reasons & SAVE_SCALE) return "scale";
    return reasons & SAVE_ASKED ? "asked" : "periodic";
}

static part_id part_of(const scheduler *s, const checkpoint_record *x)
{
    return (part_id){.plan_hash = s->plan_hash,
                     .stage = s->plan->stage[x->stage_index],
                     .generation = x->generation,
                     .version = x->version,
                     .shards = s->map.shards,
                     .final = x->end != 0};
}

static void fill_previous(const scheduler *s, const checkpoint_record *r, scheduler_manifest *m)
{
    m->previous_n = 0;
    for (uint32_t i = 0; i < s->records; i++) {
        const checkpoint_record *x = &s->record[i];
        if (!x->end || x->stage_index >= r->stage_index) continue;
        m->previous[m->previous_n++] = part_of(s, x);
    }
    m->keep_n = 0;
    for (uint32_t i = 0; i < s->records; i++) m->keep[m->keep_n++] = part_of(s, &s->record[i]);
}

static void write_manifest(scheduler *s, core_actions *out)
{
    save_state *x = &s->save;
    const checkpoint_record *r = &x->record;
    scheduler_manifest *m = &x->manifest;
    uint32_t stage = s->plan->stage[r->stage_index];
    *m = (scheduler_manifest){.stage = stage,
                              .stage_index = r->stage_index,
                              .generation = r->generation,
                              .version = r->version,
                              .epoch =
                                  r->step ? s->plan->round(s->plan->ctx, stage, r->step).epoch : 0,
                              .step = r->step,
                              .final = r->end,
                              .reason = reason_name(r->reasons),
                              .shards = s->map.shards,
                              .servers = s->map.servers,
                              .copies = s->config.copies,
                              .metrics = r->metrics,
                              .part = x->part,
                              .parts = x->parts,
                              .record = r,
                              .record_bytes = sizeof *r};
    fill_previous(s, r, m);
    x->phase = SAVE_MANIFEST;
    core_compute(out, TOKEN_MANIFEST, SCHEDULER_WRITE_MANIFEST, m);
}

static void note_saved(scheduler *s, uint64_t bytes, uint64_t now_us)
{
    const checkpoint_record *r = &s->save.record;
    s->saved.made++;
    s->saved.stage = s->plan->stage[r->stage_index];
    s->saved.step = r->step;
    s->saved.reason = reason_name(r->reasons);
    s->saved.bytes = bytes;
    s->saved.at_us = now_us;
    s->saved.took_us = now_us - s->save.since_us;
    histogram_add(&s->checkpoint_time, s->saved.took_us);
}

static void recorded(scheduler *s, uint64_t now_us, core_actions *out)
{
    save_state *x = &s->save;
    x->phase = SAVE_NONE;
    x->next_us = now_us + s->config.checkpoint_every_us;
    x->retry_us = 0;
    x->failed = (core_peer){0};
    core_peer self = {WIRE_SCHEDULER, 0, s->config.incarnation};
    uint64_t bytes = 0;
    for (size_t i = 0; i < x->parts; i++) bytes += x->part[i].bytes;
    note_saved(s, bytes, now_us);
    scheduler_note(s, now_us, out, "checkpoint", self, "%s step %u, %s, %.1f MB",
                   stage_name(s->plan->stage[x->record.stage_index]), x->record.step,
                   reason_name(x->record.reasons), (double)bytes / 1e6);
    scheduler_moved(s, now_us);
    if (x->record.end && s->phase == PHASE_SAVING && x->record.generation == s->generation)
        scheduler_stage_saved(s, now_us, out);
}

void scheduler_save_result(scheduler *s, const core_event *e, core_actions *out)
{
    save_state *x = &s->save;
    bool stale = s->phase >= PHASE_GOING_BACK; /* a rollback has begun meanwhile */
    if (e->result.token == TOKEN_RECORD && x->phase == SAVE_RECORDING && !stale) {
        write_manifest(s, out);
    } else if (e->result.token == TOKEN_MANIFEST && x->phase == SAVE_MANIFEST) {
        core_peer self = {WIRE_SCHEDULER, 0, s->config.incarnation};
        if (e->result.status != ERR_OK)
            scheduler_note(s, e->now_us, out, "manifest_failed", self, "%s",
                           err_name(e->result.status));
        recorded(s, e->now_us, out);
    }
}

void scheduler_save_abandon(scheduler *s)
{
    if (s->save.phase != SAVE_MANIFEST) s->save.phase = SAVE_NONE; /* the shell still reads it */
    s->save.wanted = 0;
}

/* ---- going on ---- */

static void go_on(scheduler *s, uint64_t now_us, core_actions *out)
{
    save_state *x = &s->save;
    if (x->phase == SAVE_TAKING && all_servers(s, false)) {
        requests_cancel(s->requests, now_us, out, OWNER_SNAPSHOT);
        x->phase = SAVE_WRITING;
    }
    bool waits = x->phase == SAVE_WRITING || x->phase == SAVE_TAKING;
    if (waits && all_servers(s, true)) {
        char why[CORE_TEXT_MAX];
        requests_cancel(s->requests, now_us, out, OWNER_SNAPSHOT);
        if (!copies_agree(s, x, why)) {
            failed(s, (core_peer){WIRE_SCHEDULER, 0, s->config.incarnation}, why, now_us, out);
            return;
        }
        x->phase = SAVE_RECORDING;
        add_record(s, &x->record);
        scheduler_persist(s, out, TOKEN_RECORD, s->generation, s->stage_index);
    }
}

void scheduler_save_advance(scheduler *s, uint64_t now_us, core_actions *out)
{
    save_state *x = &s->save;
    bool between = s->phase == PHASE_RUNNING && !s->cur.ordered, end = s->phase == PHASE_SAVING;
    if (x->phase == SAVE_NONE && end && now_us >= x->retry_us)
        start(s, now_us, out, true);
    else if (x->phase == SAVE_NONE && between && is_due(s, now_us))
        start(s, now_us, out, false);
    else if (x->phase == SAVE_TAKING && now_us >= s->order_retry_us &&
             !requests_open_count(s->requests, OWNER_SNAPSHOT))
        send_snapshot(s, now_us, out);
    go_on(s, now_us, out);
}
