#include "ps/shard.h"

#include "common/hash.h"
#include "common/latency.h"
#include "common/mem.h"
#include "common/member.h"
#include "common/panic.h"
#include "common/plan.h"
#include "proto/weft.pb-c.h"
#include "ps/held_rounds.h"
#include "ps/push_guard.h"
#include "ps/shard_copies.h"
#include "ps/shard_disk.h"
#include "ps/stage_arrival.h"
#include "ps/stage_snapshot.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PULL_BUDGET_MAX_MS = 60000, HELD_LISTED_MAX = 1 << 16 };
/* HELLOs that are not answered, one of which may be on its way: nobody makes a checkpoint. */
enum { LEFT_ALONE = 3 };

/* A pull that waits for its version. */
typedef struct parked_pull {
    uint64_t route, until_us;
    wire_header header;
    blob *body;
} parked_pull;

/* The jobs for the disk.  One is with the shell at a time: saving or loading. */
typedef struct shard_disk {
    uint64_t serial;    /* token of the last job */
    shard_save *saving; /* owned */
    shard_save *saved;  /* owned; the newest one that is over: its name and parts */
    bool saved_failed;
    bool copying, copied; /* the copies we keep of that snapshot: on their way; here */
    shard_load *reading;  /* owned */
    uint32_t reading_for; /* the generation it is read for */
    shard_load *wanted;   /* owned; read as soon as the disk is free */
    shard_load *lacking;  /* owned; read when what it lacks has been got */
    uint32_t attempts;    /* to read it */
    bool loading;         /* our tables are not there yet */
    bool failed;          /* they cannot be read: why */
    char why[CORE_TEXT_MAX];
} shard_disk;

struct shard {
    shard_config config;
    proto_alloc arena;
    member member;
    requests *requests;
    uint32_t generation, stage, version;
    bool finished, exited;
    bool leaving; /* asked to, by leave_signal: the scheduler makes a checkpoint first */
    int leave_signal;
    uint64_t leave_by_us;
    shard_map map;                     /* of this generation */
    stage_tables *tables[STAGE_COUNT]; /* of this and of finished stages */
    shard_disk disk;
    shard_copies *copies;
    held_rounds held;
    parked_pull *parked;
    size_t parked_n, parked_cap, parked_bytes;
    latency apply;
    shard_stats stats;
};

shard *shard_new(const shard_config *c)
{
    shard *s = xcalloc(1, sizeof *s);
    s->config = *c;
    proto_alloc_init(&s->arena, MEMBER_PROTO_BYTES);
    core_peer self = {WIRE_SERVER, c->index, c->incarnation};
    member_config m = {self, c->plan_hash, c->numerics, c->address, c->pid, c->mutations};
    member_init(&s->member, &m, &s->arena);
    requests_config r = {.self = self, .mutations = c->mutations};
    s->requests = requests_new(&r);
    copy_getter_config g = {.server = c->index,
                            .member = &s->member,
                            .requests = s->requests,
                            .piece_bytes = c->piece_bytes ? c->piece_bytes : PART_PIECE_BYTES};
    s->copies = shard_copies_new(&g, c->incarnation);
    held_rounds_init(&s->held, staleness_window(c->model->staleness));
    return s;
}

static void drop_tables(shard *s)
{
    for (uint32_t i = 0; i < STAGE_COUNT; i++) {
        stage_tables_free(s->tables[i]);
        s->tables[i] = NULL;
    }
}

void shard_free(shard *s)
{
    if (!s) return;
    held_rounds_fini(&s->held);
    for (size_t i = 0; i < s->parked_n; i++) blob_unref(s->parked[i].body);
    drop_tables(s);
    shard_save_free(s->disk.saving);
    shard_save_free(s->disk.saved);
    shard_load_free(s->disk.reading);
    shard_load_free(s->disk.wanted);
    shard_load_free(s->disk.lacking);
    shard_copies_free(s->copies);
    requests_free(s->requests);
    member_fini(&s->member);
    proto_alloc_fini(&s->arena);
    free(s->parked);
    free(s);
}

/* ---- answers ---- */

static void answer(shard *s, core_actions *out, uint64_t route, const wire_header *to,
                   wire_status status, blob *body)
{
    wire_header h = wire_answer(to, status);
    core_peer peer = {to->role, to->index, to->incarnation};
    h.role = WIRE_SERVER;
    h.index = s->config.index;
    h.incarnation = s->config.incarnation;
    h.generation = s->generation;
    h.version = s->version;
    h.map = s->map.version;
    core_send(out, peer, route, &h, body);
}

static void refuse(shard *s, core_actions *out, uint64_t route, const wire_header *to,
                   wire_status status, const char *why)
{
    answer(s, out, route, to, status, blob_copy(why, strlen(why)));
}

/* ---- pulls ---- */

typedef enum pull_ready { PULL_NOW, PULL_PARK, PULL_REFUSE } pull_ready;

/* False without the rule for it: whatever version is the newest is the answer. */
static bool is_exact(const shard *s, const wire_header *h)
{
    return core_rule(s->config.mutations,
                     h->table == TABLE_DENSE ? CORE_RULE_GONE : CORE_RULE_VERSION);
}

/* True if the newest version is an answer, when the one that is named is reached. */
static bool takes_newest(const shard *s, const wire_header *h)
{
    return h->flags & WIRE_AT_LEAST && s->config.model->staleness.on_arrival &&
           stage_tables_is_trained(s->tables[h->stage], h->table);
}

/* True if a pull has to wait for its version. */
static bool is_bound(const shard *s, const wire_header *h)
{
    return core_rule(s->config.mutations, CORE_RULE_BOUND) || !takes_newest(s, h);
}

/* The version that answers a pull. */
static uint32_t version_for(const shard *s, const wire_header *h)
{
    bool here = h->version <= s->version || h->version == WIRE_FINAL; /* CORE_RULE_PARK */
    return is_exact(s, h) && here ? h->version : (uint32_t)WIRE_FINAL;
}

/* Whether a pull can be answered; REFUSE: with *status. */
static pull_ready pull_check(shard *s, const wire_header *h, wire_status *status)
{
    bool fenced = core_rule(s->config.mutations, CORE_RULE_GENERATION);
    if (h->generation > s->generation || s->disk.loading) return PULL_PARK;
    *status = WIRE_GENERATION;
    if (h->generation < s->generation && fenced) return PULL_REFUSE;
    if (h->version == WIRE_FINAL) {
        bool current = h->stage == s->stage && !s->finished;
        *status = WIRE_NOT_FOUND;
        if (current) return PULL_PARK;
        return s->tables[h->stage] ? PULL_NOW : PULL_REFUSE;
    }
    *status = WIRE_NOT_FOUND;
    if (h->stage != s->stage || !s->tables[h->stage]) return PULL_REFUSE;
    bool waits = core_rule(s->config.mutations, CORE_RULE_PARK);
    if (h->version > s->version && is_bound(s, h)) return waits ? PULL_PARK : PULL_NOW;
    *status = WIRE_GONE;
    bool there = h->version == s->version || takes_newest(s, h) ||
                 stage_tables_has(s->tables[h->stage], h->table, h->version);
    return there || !is_exact(s, h) ? PULL_NOW : PULL_REFUSE;
}

static void pull_rows(shard *s, core_actions *out, uint64_t route, const wire_header *h,
                      const blob *body)
{
    blob *rows = NULL;
    uint64_t absent = 0;
    char why[CORE_TEXT_MAX];
    if (blob_size(body) % 8) {
        refuse(s, out, route, h, WIRE_REFUSED, "a pull's body is u64 keys");
        return;
    }
    const uint64_t *keys = (const void *)blob_data(body);
    err_code rc = stage_tables_rows(s->tables[h->stage], h->table, version_for(s, h), h->part, keys,
                                    blob_size(body) / 8, &rows, &absent);
    if (rc == ERR_OK) {
        answer(s, out, route, h, WIRE_OK, rows);
        return;
    }
    snprintf(why, sizeof why, "table %u of %s: %s (key %016" PRIx64 ")", h->table,
             stage_name(h->stage), err_name(rc), absent);
    refuse(s, out, route, h, rc == ERR_NOT_FOUND ? WIRE_NOT_FOUND : WIRE_REFUSED, why);
}

static void pull_answer(shard *s, core_actions *out, uint64_t route, const wire_header *h,
                        const blob *body)
{
    s->stats.pulls++;
    if (h->table != TABLE_DENSE) {
        pull_rows(s, out, route, h, body);
        return;
    }
    answer(s, out, route, h, WIRE_OK,
           blob_ref(stage_tables_dense_at(s->tables[h->stage], version_for(s, h))));
}

static void park(shard *s, const core_event *e, core_actions *out)
{
    const wire_header *h = e->message.header;
    uint64_t budget = h->budget_ms < PULL_BUDGET_MAX_MS ? h->budget_ms : PULL_BUDGET_MAX_MS;
    uint64_t until = e->now_us + budget * 1000;
    for (size_t i = 0; i < s->parked_n; i++) {
        parked_pull *p = &s->parked[i];
        if (p->header.tag != h->tag || p->header.incarnation != h->incarnation) continue;
        p->route = e->message.route; /* a repeat */
        p->until_us = until;
        return;
    }
    size_t bytes = blob_size(e->message.body);
    bool full = s->parked_n == SHARD_PARKED_MAX || bytes > SHARD_PARKED_BYTES_MAX - s->parked_bytes;
    if (full || !budget) {
        answer(s, out, e->message.route, h, WIRE_BEHIND, NULL);
        return;
    }
    grow(&s->parked, &s->parked_cap, s->parked_n + 1, sizeof *s->parked);
    s->parked_bytes += bytes;
    s->parked[s->parked_n++] =
        (parked_pull){e->message.route, until, *h, blob_ref(e->message.body)};
}

static void on_pull(shard *s, const core_event *e, core_actions *out)
{
    const wire_header *h = e->message.header;
    wire_status status = WIRE_OK;
    switch (pull_check(s, h, &status)) {
    case PULL_PARK: park(s, e, out); return;
    case PULL_NOW: pull_answer(s, out, e->message.route, h, e->message.body); return;
    case PULL_REFUSE:
        s->stats.gone += status == WIRE_GONE;
        answer(s, out, e->message.route, h, status, NULL);
    }
}

/* Answers the parked pulls that can be answered now, in the order they came. */
static void unpark(shard *s, uint64_t now_us, core_actions *out)
{
    size_t kept = 0;
    for (size_t i = 0; i < s->parked_n; i++) {
        parked_pull *p = &s->parked[i];
        wire_status status = WIRE_OK;
        pull_ready ready = pull_check(s, &p->header, &status);
        if (ready == PULL_PARK && p->until_us > now_us) {
            s->parked[kept++] = *p;
            continue;
        }
        if (ready == PULL_NOW)
            pull_answer(s, out, p->route, &p->header, p->body);
        else
            answer(s, out, p->route, &p->header, ready == PULL_PARK ? WIRE_BEHIND : status, NULL);
        s->stats.gone += ready == PULL_REFUSE && status == WIRE_GONE;
        s->parked_bytes -= blob_size(p->body);
        blob_unref(p->body);
    }
    s->parked_n = kept;
}

/* ---- commit ---- */

static uint32_t slots_of_commit(const shard *s, const held_round *r, uint32_t slots,
                                uint32_t *order)
{
    bool in_order = core_rule(s->config.mutations, CORE_RULE_SLOT_ORDER);
    uint32_t n = in_order ? slots : r->count;
    for (uint32_t j = 0; j < n; j++) order[j] = in_order ? j : r->arrival[j];
    return n;
}

/* Decodes the held pushes in the order of the sum.  Owned: free().  They decoded when they came. */
static push_view *commit_views(const shard *s, const held_round *r, uint32_t slots, uint32_t *n)
{
    uint32_t *order = xcalloc(slots + r->count + 1, sizeof *order);
    uint32_t m = slots_of_commit(s, r, slots, order), total = 0, k = 0;
    for (uint32_t i = 0; i < m; i++) total += r->push[order[i]].times;
    push_view *v = xcalloc(total + 1, sizeof *v);
    for (uint32_t i = 0; i < m; i++) {
        for (uint32_t t = 0; t < r->push[order[i]].times; t++) {
            err_code rc = push_decode(r->push[order[i]].body, &v[k++]);
            ASSERT(rc == ERR_OK);
        }
    }
    free(order);
    *n = total;
    return v;
}

/* Moves to version + 1.  The pushes are there. */
static void commit(shard *s, const wire_header *h, round_kind kind)
{
    bool applied = kind == ROUND_TRAIN && s->config.model->staleness.on_arrival;
    if (kind != ROUND_SCORE && !applied) {
        uint32_t n;
        push_view *v = commit_views(s, held_rounds_at(&s->held, s->version), h->part, &n);
        if (kind == ROUND_TRAIN)
            stage_tables_train(s->tables[s->stage], h->step, s->version + 1, v, n);
        else
            stage_tables_put(s->tables[s->stage], v, n);
        free(v);
    }
    held_rounds_advance(&s->held);
    if (h->flags & WIRE_KEEP) stage_tables_keep(s->tables[s->stage]);
    if (h->flags & WIRE_FINISH) {
        stage_tables_finish(s->tables[s->stage]);
        s->finished = true;
    }
    s->version++;
    s->stats.commits++;
}

/* True if an order is for this life and not of an older scheduler; otherwise answered here. */
static bool accepts_order(shard *s, const core_event *e, core_actions *out)
{
    const wire_header *h = e->message.header;
    bool fenced = core_rule(s->config.mutations, CORE_RULE_INCARNATION);
    if (h->role != WIRE_SCHEDULER) {
        refuse(s, out, e->message.route, h, WIRE_REFUSED, "only a scheduler gives orders");
        return false;
    }
    if (member_accepts_term(&s->member, h) &&
        (!fenced || !h->target || h->target == s->config.incarnation))
        return true;
    answer(s, out, e->message.route, h, WIRE_INCARNATION, NULL);
    return false;
}

static void on_commit(shard *s, const core_event *e, core_actions *out)
{
    const wire_header *h = e->message.header;
    if (!accepts_order(s, e, out)) return;
    bool fenced = core_rule(s->config.mutations, CORE_RULE_GENERATION);
    if (h->generation != s->generation && (fenced || !s->generation)) {
        answer(s, out, e->message.route, h, WIRE_GENERATION, NULL);
        return;
    }
    if (h->version < s->version) { /* a repeat */
        answer(s, out, e->message.route, h, WIRE_OK, NULL);
        return;
    }
    const held_round *r = held_rounds_at(&s->held, s->version);
    bool ready = !s->disk.loading && (h->table == ROUND_SCORE || held_round_has_all(r, h->part));
    if (h->version > s->version || s->finished || !ready) {
        core_event_line(out, "commit_behind", (core_peer){h->role, h->index, h->incarnation},
                        "order %u, here %u, %u of %u slots", h->version, s->version, r->count,
                        h->part);
        answer(s, out, e->message.route, h, WIRE_BEHIND, NULL);
        return;
    }
    commit(s, h, (round_kind)h->table);
    answer(s, out, e->message.route, h, WIRE_OK, NULL);
    unpark(s, e->now_us, out);
}

static stage_tables *fresh_tables(const shard *s, uint32_t stage)
{
    return stage_tables_new(s->config.model, &s->map, s->config.index, stage, s->config.mutations);
}

static void begin_generation(shard *s, uint32_t generation, uint32_t stage, uint32_t version)
{
    held_rounds_reset(&s->held, version);
    s->generation = generation;
    s->stage = stage;
    s->version = version;
    s->finished = s->disk.loading = s->disk.failed = false;
}

static void on_stage(shard *s, const core_event *e, core_actions *out)
{
    const wire_header *h = e->message.header;
    if (!accepts_order(s, e, out) || !s->member.joined) return; /* asked again once we have a map */
    if (h->generation < s->generation) {
        answer(s, out, e->message.route, h, WIRE_GENERATION, NULL);
        return;
    }
    if (h->generation > s->generation) {
        if (!s->map.version) s->map = s->member.map;
        begin_generation(s, h->generation, h->stage, 0);
        stage_tables_free(s->tables[h->stage]);
        s->tables[h->stage] = fresh_tables(s, h->stage);
    }
    answer(s, out, e->message.route, h, WIRE_OK, NULL);
    unpark(s, e->now_us, out);
}

/* ---- the disk ---- */

static bool disk_is_busy(const shard *s)
{
    return s->disk.saving || s->disk.reading;
}

static part_id snapshot_id(const shard *s, const Weft__SnapshotName *x)
{
    return (part_id){.plan_hash = s->config.plan_hash,
                     .stage = x->stage,
                     .generation = x->generation,
                     .version = x->version,
                     .shards = s->map.shards,
                     .final = x->final};
}

static bool bad_stage(uint32_t stage)
{
    return stage == STAGE_NONE || stage >= STAGE_COUNT;
}

/* Takes a copy of the stage's tables; the shell writes it. */
static void take_snapshot(shard *s, const core_event *e, const Weft__Snapshot *order,
                          core_actions *out)
{
    const wire_header *h = e->message.header;
    shard_save *save = xcalloc(1, sizeof *save);
    save->id = (part_id){.plan_hash = s->config.plan_hash,
                         .stage = s->stage,
                         .generation = s->generation,
                         .version = s->version,
                         .shards = s->map.shards,
                         .final = h->flags & WIRE_FINISH};
    save->server = s->config.index;
    save->copies = order->copies;
    save->attempt = order->attempt;
    save->map = s->map;
    save->tables = stage_tables_copy(s->tables[s->stage]);
    if (core_rule(s->config.mutations, CORE_RULE_APPLIED_SAVED))
        held_rounds_applied(&s->held, stage_tables_applied(save->tables));
    save->keep = xcalloc(order->n_keep + 1, sizeof *save->keep);
    for (size_t i = 0; i < order->n_keep; i++) {
        if (!bad_stage(order->keep[i]->stage))
            save->keep[save->keep_n++] = snapshot_id(s, order->keep[i]);
    }
    shard_copies_stop(s->copies, e->now_us, out); /* of the snapshot before */
    s->disk.copying = s->disk.copied = false;
    s->disk.saving = save;
    core_compute(out, ++s->disk.serial, SHARD_SAVE, save);
}

/* True if it is being written, or was at this attempt.  What was at an earlier one may be what that
 * failed for: a part that nobody can copy. */
static bool is_taken(const shard_disk *d, const part_id *id, uint32_t attempt)
{
    if (d->saving && part_same_snapshot(&d->saving->id, id)) return true;
    bool saved = d->saved && !d->saved_failed && part_same_snapshot(&d->saved->id, id);
    return saved && d->saved->attempt >= attempt;
}

static void on_snapshot(shard *s, const core_event *e, core_actions *out)
{
    const wire_header *h = e->message.header;
    if (!accepts_order(s, e, out)) return;
    if (h->generation != s->generation) {
        answer(s, out, e->message.route, h, WIRE_GENERATION, NULL);
        return;
    }
    Weft__Snapshot *order =
        proto_unpack(&s->arena, &weft__snapshot__descriptor, e->message.body, WIRE_CONTROL_MAX);
    if (!order || order->version != 1) {
        refuse(s, out, e->message.route, h, WIRE_REFUSED, "a malformed SNAPSHOT");
        return;
    }
    part_id id = {.stage = h->stage,
                  .generation = h->generation,
                  .version = h->version,
                  .final = h->flags & WIRE_FINISH};
    const shard_disk *d = &s->disk;
    bool taken = is_taken(d, &id, order->attempt);
    bool here = h->stage == s->stage && h->version == s->version && id.final == s->finished &&
                !d->loading && s->tables[s->stage];
    if (!taken && (!here || disk_is_busy(s))) {
        answer(s, out, e->message.route, h, WIRE_BEHIND, NULL);
        return;
    }
    if (!taken) take_snapshot(s, e, order, out);
    answer(s, out, e->message.route, h, WIRE_OK, NULL);
}

/* Ours are written: now those that we keep a copy of, which others are writing. */
static void start_copying(shard *s, uint64_t now_us, core_actions *out)
{
    shard_disk *d = &s->disk;
    part_id *part;
    if (d->saved_failed || d->saved->copies < 2 || d->saved->id.generation != s->generation) return;
    uint32_t n = shard_disk_seconds(&d->saved->map, s->config.index, &d->saved->id, &part);
    d->copying = true;
    shard_copies_start(s->copies, part, n, &d->saved->map, true, now_us, out);
}

static void on_saved(shard *s, const core_event *e, core_actions *out)
{
    shard_disk *d = &s->disk;
    shard_save_free(d->saved);
    d->saved = d->saving;
    d->saving = NULL;
    d->saved_failed = e->result.status != ERR_OK;
    d->saved->written = !d->saved_failed;
    stage_tables_free(d->saved->tables); /* written, or given up */
    d->saved->tables = NULL;
    start_copying(s, e->now_us, out);
    member_hello_soon(&s->member, e->now_us);
}

static void start_reading(shard *s, core_actions *out)
{
    shard_disk *d = &s->disk;
    if (!d->wanted || disk_is_busy(s)) return;
    d->reading = d->wanted;
    d->wanted = NULL;
    d->reading_for = s->generation;
    core_compute(out, ++d->serial, SHARD_LOAD, d->reading);
}

/* Our tables are those of the checkpoint; a stage that starts anew gets fresh ones. */
static void loaded(shard *s, uint64_t now_us, core_actions *out)
{
    if (s->stage != STAGE_NONE && !s->tables[s->stage])
        s->tables[s->stage] = fresh_tables(s, s->stage);
    if (s->stage != STAGE_NONE)
        held_rounds_restore(&s->held, stage_tables_applied(s->tables[s->stage]));
    s->disk.loading = false;
    member_hello_soon(&s->member, now_us);
    unpark(s, now_us, out);
}

static void cannot_load(shard *s, const char *why, uint64_t now_us)
{
    s->disk.failed = true;
    snprintf(s->disk.why, sizeof s->disk.why, "%.*s", CORE_TEXT_MAX - 1, why);
    member_hello_soon(&s->member, now_us);
}

/* What it lacks is asked of the others; then it is read again. */
static void get_missing(shard *s, shard_load *l, uint64_t now_us, core_actions *out)
{
    enum { ATTEMPTS_MAX = 3 };
    shard_disk *d = &s->disk;
    if (++d->attempts > ATTEMPTS_MAX) {
        cannot_load(s, l->why, now_us);
        shard_load_free(l);
        return;
    }
    part_id *part = xcalloc(l->missing_n, sizeof *part);
    memcpy(part, l->missing, l->missing_n * sizeof *part);
    core_event_line(out, "parts_missing",
                    (core_peer){WIRE_SERVER, s->config.index, s->config.incarnation},
                    "%zu are got from other servers: %.180s", l->missing_n, l->why);
    d->lacking = l;
    shard_copies_start(s->copies, part, (uint32_t)l->missing_n, &s->map, false, now_us, out);
}

static void on_read(shard *s, const core_event *e, core_actions *out)
{
    shard_disk *d = &s->disk;
    shard_load *l = d->reading;
    d->reading = NULL;
    if (d->reading_for == s->generation && e->result.status == ERR_OK && l->missing_n) {
        get_missing(s, l, e->now_us, out);
        return;
    }
    if (d->reading_for == s->generation && e->result.status == ERR_OK) {
        for (uint32_t i = 0; i < STAGE_COUNT; i++) {
            s->tables[i] = l->tables[i];
            l->tables[i] = NULL;
        }
        loaded(s, e->now_us, out);
    } else if (d->reading_for == s->generation) {
        cannot_load(s, l->why, e->now_us);
    }
    shard_load_free(l);
}

/* Everything that was missing has been got, or cannot be. */
static void got_missing(shard *s, bool all, uint64_t now_us, core_actions *out)
{
    shard_disk *d = &s->disk;
    shard_load *l = d->lacking;
    d->lacking = NULL;
    if (all) {
        shard_load_reset(l);
        d->wanted = l;
        start_reading(s, out);
        return;
    }
    char why[2 * CORE_TEXT_MAX];
    snprintf(why, sizeof why, "%.100s; %.140s", l->why,
             copy_getter_why(shard_copies_getter(s->copies)));
    cannot_load(s, why, now_us);
    shard_load_free(l);
}

/* The copies of a snapshot are here; a disk that cannot hold them is as one that cannot hold ours.
 */
static void got_copies(shard *s, bool all, uint64_t now_us)
{
    shard_disk *d = &s->disk;
    d->copying = false;
    d->copied = all;
    d->saved_failed = !all;
    if (!all)
        snprintf(d->saved->why, sizeof d->saved->why, "a copy: %.200s",
                 copy_getter_why(shard_copies_getter(s->copies)));
    member_hello_soon(&s->member, now_us);
}

/* Takes in what the copies have come to. */
static void settle_copies(shard *s, uint64_t now_us, core_actions *out)
{
    copy_state state = copy_getter_state(shard_copies_getter(s->copies));
    bool over = state == COPY_DONE || state == COPY_FAILED;
    if (over && s->disk.lacking)
        got_missing(s, state == COPY_DONE, now_us, out);
    else if (over && s->disk.copying)
        got_copies(s, state == COPY_DONE, now_us);
}

static void on_result(shard *s, const core_event *e, core_actions *out)
{
    if (e->result.token & SHARD_COPY_TOKEN) shard_copies_result(s->copies, e, out);
    if (e->result.token != s->disk.serial) return;
    if (s->disk.saving)
        on_saved(s, e, out);
    else if (s->disk.reading)
        on_read(s, e, out);
    start_reading(s, out);
}

/* What a ROLLBACK wants read; NULL: it names a stage that does not exist. */
static shard_load *load_of(const shard *s, const Weft__Rollback *order)
{
    shard_load *l = xcalloc(1, sizeof *l);
    l->model = s->config.model;
    l->mutations = s->config.mutations;
    l->server = s->config.index;
    l->map = s->map;
    l->copies = order->copies;
    l->from = xcalloc(order->n_final + 1, sizeof *l->from);
    bool bad = false;
    for (size_t i = 0; i < order->n_final; i++) {
        bad = bad || bad_stage(order->final[i]->stage);
        l->from[l->n++] = snapshot_id(s, order->final[i]);
    }
    if (order->current) {
        bad = bad || bad_stage(order->current->stage);
        l->from[l->n++] = snapshot_id(s, order->current);
    }
    if (!bad) return l;
    shard_load_free(l);
    return NULL;
}

/* What an order before wanted read, or an old snapshot copied, is not wanted any more. */
static void forget_loads(shard *s, uint64_t now_us, core_actions *out)
{
    shard_disk *d = &s->disk;
    shard_copies_stop(s->copies, now_us, out);
    d->copying = d->copied = false;
    shard_load_free(d->wanted);
    shard_load_free(d->lacking);
    d->wanted = d->lacking = NULL;
    d->attempts = 0;
}

/* Forgets everything and reads the checkpoint. */
static bool go_back(shard *s, const core_event *e, const Weft__Rollback *order, core_actions *out)
{
    const wire_header *h = e->message.header;
    shard_map_init(&s->map, h->map, order->shards, order->servers);
    shard_load *l = load_of(s, order);
    if (!l) return false;
    begin_generation(s, h->generation, h->stage, h->version);
    drop_tables(s);
    forget_loads(s, e->now_us, out);
    s->disk.loading = true;
    if (l->n) {
        s->disk.wanted = l;
        start_reading(s, out);
    } else {
        shard_load_free(l);
        loaded(s, e->now_us, out);
    }
    return true;
}

static void on_rollback(shard *s, const core_event *e, core_actions *out)
{
    const wire_header *h = e->message.header;
    if (!accepts_order(s, e, out)) return;
    if (h->generation < s->generation) {
        answer(s, out, e->message.route, h, WIRE_GENERATION, NULL);
        return;
    }
    bool good = true;
    if (h->generation > s->generation) {
        Weft__Rollback *order =
            proto_unpack(&s->arena, &weft__rollback__descriptor, e->message.body, WIRE_CONTROL_MAX);
        good = order && order->version == 1 && order->shards && order->shards <= SHARDS_MAX &&
               order->servers && order->servers <= SERVERS_MAX && go_back(s, e, order, out);
    }
    if (good)
        answer(s, out, e->message.route, h, WIRE_OK, NULL);
    else
        refuse(s, out, e->message.route, h, WIRE_REFUSED, "a malformed ROLLBACK");
}

/* ---- parts for others ---- */

/* True if we are to write this snapshot, or write it now: what is under its name is of another
 * attempt. */
static bool is_not_written(const shard *s, const part_id *id)
{
    const shard_disk *d = &s->disk;
    if (id->generation != s->generation) return id->generation > s->generation;
    if (d->saving && part_same_snapshot(&d->saving->id, id)) return true;
    if (!d->saved || d->saved->id.generation != id->generation) return true;
    if (part_same_snapshot(&d->saved->id, id)) return !d->saved->written;
    return id->version > d->saved->id.version || (id->version == d->saved->id.version && id->final);
}

static void on_part(shard *s, const core_event *e, core_actions *out)
{
    const wire_header *h = e->message.header;
    part_id id;
    part_piece want;
    const char *wrong = h->role == WIRE_SERVER
                            ? part_piece_asked(h, e->message.body, s->config.plan_hash, &id, &want)
                            : "only servers ask for parts";
    if (wrong)
        refuse(s, out, e->message.route, h, WIRE_REFUSED, wrong);
    else if ((h->flags & WIRE_MAKING) && is_not_written(s, &id))
        answer(s, out, e->message.route, h, WIRE_BEHIND, NULL);
    else /* what a record names is on the disk or not, whatever we have heard of since our start */
        shard_copies_asked(s->copies, e, &id, want, out);
}

/* ---- pushes ---- */

/* A slot that is held already: the first one stays; other bits are worth an event. */
static void on_repeat(shard *s, const wire_header *h, held_push *p, core_actions *out)
{
    s->stats.repeats++;
    if (!core_rule(s->config.mutations, CORE_RULE_DEDUPE)) p->times++;
    if (p->hash == h->body_hash || s->config.model->staleness.on_arrival) return;
    s->stats.hash_mismatches++;
    char name[64];
    slot_format(wire_slot(h), name);
    core_event_line(out, "hash_mismatch", p->from,
                    "slot %s: worker-%u pushed %016" PRIx64 ", worker-%u %016" PRIx64, name,
                    p->from.index, p->hash, h->index, h->body_hash);
}

/* The slots of the round that a push names are those of the plan: nobody fills our memory with
 * others. */
static bool has_slot(const shard *s, const wire_header *h)
{
    const shard_model *m = s->config.model;
    if (h->slot >= SHARD_SLOTS_MAX || h->slot >= h->part) return false;
    if (!m->slots) return true;
    uint32_t valid_of = plan_trained_stage(h->stage);
    if (h->stage != s->stage && valid_of != s->stage) return false;
    return m->slots(m->ctx, h->stage, h->step) == h->part;
}

/* What is wrong with a push that would be held; NULL: nothing.  why [PUSH_WHY_MAX]: scratch. */
static const char *push_check(const shard *s, const wire_header *h, const blob *body, push_view *v,
                              char *why)
{
    if (!has_slot(s, h)) return "no such slot in the round";
    if (hash64(blob_data(body), blob_size(body), 0) != h->body_hash) return "damaged on the way";
    if (push_decode(body, v) != ERR_OK) return "a malformed body";
    if (v->head.is_void != (h->op == WIRE_VOID)) return "void where the op is not, or the reverse";
    const char *wrong = stage_tables_check(s->tables[s->stage], v, h->op == WIRE_PUT);
    if (wrong) return wrong;
    return push_guard_accepts(v, h->op == WIRE_PUT, s->config.max_norm, why) ? NULL : why;
}

static void apply_on_sight(shard *s, const wire_header *h, uint64_t now_us, core_actions *out)
{
    const held_round *r = held_rounds_at(&s->held, s->version);
    if (core_rule(s->config.mutations, CORE_RULE_COMMIT) || !held_round_has_all(r, h->part)) return;
    commit(s, h, h->op == WIRE_PUT ? ROUND_PUT : ROUND_TRAIN);
    unpark(s, now_us, out);
}

static bool is_applied_on_arrival(const shard *s, const wire_header *h)
{
    return s->config.model->staleness.on_arrival && plan_is_training(h->stage) && h->op != WIRE_PUT;
}

/* Holds a push, or applies it to the virtual shards that have not got it yet. */
static void take_push(shard *s, const wire_header *h, held_round *r, const push_view *v, blob *body)
{
    bool arrives = is_applied_on_arrival(s, h);
    if (arrives)
        stage_tables_arrive(s->tables[s->stage], h->step, v, held_round_shards(r, h->slot));
    held_round_add(r, h->slot, (core_peer){h->role, h->index, h->incarnation}, h->body_hash,
                   arrives ? NULL : body, &v->head);
}

static void on_push(shard *s, const core_event *e, core_actions *out)
{
    const wire_header *h = e->message.header;
    uint64_t route = e->message.route;
    bool fenced = core_rule(s->config.mutations, CORE_RULE_GENERATION);
    push_view v;
    if (h->generation != s->generation && (fenced || !s->generation)) {
        bool ahead = h->generation > s->generation;
        answer(s, out, route, h, ahead ? WIRE_BEHIND : WIRE_GENERATION, NULL);
        return;
    }
    if (s->disk.loading) {
        answer(s, out, route, h, WIRE_BEHIND, NULL);
        return;
    }
    held_round *r = s->finished ? NULL : held_rounds_at(&s->held, h->version);
    if (!r) { /* committed: a repeat; or not open yet */
        s->stats.repeats += h->version < s->version;
        answer(s, out, route, h, h->version < s->version ? WIRE_OK : WIRE_BEHIND, NULL);
        return;
    }
    s->stats.pushes++;
    char why[PUSH_WHY_MAX], name[64];
    const char *wrong = push_check(s, h, e->message.body, &v, why);
    if (wrong) {
        slot_format(wire_slot(h), name);
        core_event_line(out, "push_refused", (core_peer){h->role, h->index, h->incarnation},
                        "slot %s: %s", name, wrong);
        s->stats.refused++;
        refuse(s, out, route, h, WIRE_REFUSED, wrong);
        return;
    }
    held_push *held = held_round_find(r, h->slot);
    if (held)
        on_repeat(s, h, held, out);
    else
        take_push(s, h, r, &v, e->message.body);
    if (held && is_applied_on_arrival(s, h) && !core_rule(s->config.mutations, CORE_RULE_DEDUPE))
        stage_tables_arrive(s->tables[s->stage], h->step, &v, NULL);
    answer(s, out, route, h, WIRE_OK, NULL);
    apply_on_sight(s, h, e->now_us, out);
}

/* ---- membership ---- */

static void fill_round(const held_round *r, uint32_t version, Weft__ServerState *state,
                       Weft__HeldSlot *held, Weft__HeldSlot **list)
{
    for (size_t i = 0; i < r->n && state->n_held < HELD_LISTED_MAX; i++) {
        const held_push *p = held_round_find(r, (uint32_t)i);
        if (!p || p->restored) continue;
        Weft__HeldSlot *x = &held[state->n_held];
        weft__held_slot__init(x);
        x->slot = (uint32_t)i;
        x->examples = p->head.examples;
        x->loss = p->head.loss;
        x->is_void = p->head.is_void != 0;
        x->round = version;
        list[state->n_held++] = x;
    }
}

/* The oldest round first: what is not listed is computed again, and is a repeat. */
static void fill_held(const shard *s, Weft__ServerState *state, Weft__HeldSlot *held,
                      Weft__HeldSlot **list)
{
    for (uint32_t i = 0; i < s->held.rounds; i++) {
        uint32_t version = s->held.first + i;
        fill_round(held_rounds_at(&s->held, version), version, state, held, list);
    }
    state->held = list;
}

static Weft__SavedPart **list_parts(const saved_part *from, uint32_t n, Weft__SavedPart **part)
{
    Weft__SavedPart **list = xcalloc(n + 1, sizeof *list);
    *part = xcalloc(n + 1, sizeof **part);
    for (uint32_t i = 0; i < n; i++) {
        Weft__SavedPart *x = list[i] = &(*part)[i];
        weft__saved_part__init(x);
        x->shard = from[i].shard;
        x->bytes = from[i].bytes;
        x->hash = from[i].hash;
    }
    return list;
}

/* What HELLO says of a snapshot; its lists are owned. */
typedef struct saved_report {
    Weft__Saved saved;
    Weft__SnapshotName name;
    Weft__SavedPart *part[2];
} saved_report;

static void report_fini(saved_report *r)
{
    free(r->part[0]);
    free(r->part[1]);
    free(r->saved.part);
    free(r->saved.copy);
}

/* The newest snapshot: under way, or over. */
static void fill_saved(const shard *s, saved_report *r)
{
    Weft__Saved *saved = &r->saved;
    Weft__SnapshotName *name = &r->name;
    const shard_disk *d = &s->disk;
    shard_save *x = d->saving ? d->saving : d->saved;
    weft__saved__init(saved);
    weft__snapshot_name__init(name);
    name->stage = x->id.stage;
    name->generation = x->id.generation;
    name->version = x->id.version;
    name->final = x->id.final;
    saved->name = name;
    /* its result is the shell's until it is back */
    if (d->saving && core_rule(s->config.mutations, CORE_RULE_WRITTEN)) return;
    saved->failed = d->saved_failed;
    saved->done = !d->saved_failed;
    saved->why = x->why;
    if (!saved->done) return;
    saved->part = list_parts(x->part, x->parts, &r->part[0]);
    saved->n_part = x->parts;
    saved->copied = d->copied;
    if (!d->copied) return;
    uint32_t n;
    const saved_part *got = copy_getter_got(shard_copies_getter(s->copies), &n);
    saved->copy = list_parts(got, n, &r->part[1]);
    saved->n_copy = n;
}

static void say_hello(shard *s, uint64_t now_us, core_actions *out)
{
    Weft__Hello hello = WEFT__HELLO__INIT;
    Weft__ServerState state = WEFT__SERVER_STATE__INIT;
    shard_stats st;
    shard_stats_get(s, &st);
    state.generation = s->generation;
    state.stage = s->stage;
    state.version = s->version;
    state.finished = s->finished;
    state.rows = st.rows;
    state.bytes = st.bytes;
    state.pulls = st.pulls;
    state.pushes = st.pushes;
    state.repeats = st.repeats;
    state.gone = st.gone;
    state.hash_mismatches = st.hash_mismatches;
    state.apply_us_p50 = (uint32_t)latency_quantile(&s->apply, 0.5);
    state.apply_us_p99 = (uint32_t)latency_quantile(&s->apply, 0.99);
    uint32_t count = held_rounds_count(&s->held);
    Weft__HeldSlot *held = xcalloc(count + 1, sizeof *held);
    Weft__HeldSlot **list = xcalloc(count + 1, sizeof(Weft__HeldSlot *));
    fill_held(s, &state, held, list);
    hello.server = &state;
    saved_report report = {0};
    if (s->disk.saving || s->disk.saved) {
        fill_saved(s, &report);
        state.saved = &report.saved;
    }
    state.leaving = s->leaving;
    state.found_generation = s->config.found_generation;
    state.loading = s->disk.loading;
    state.load_failed = s->disk.failed;
    state.load_why = s->disk.why;
    member_hello(&s->member, s->requests, now_us, out, &hello);
    free(held);
    free(list);
    report_fini(&report);
}

static void on_answer(shard *s, const core_event *e, core_actions *out)
{
    request_match m;
    if (!requests_answer(s->requests, e->now_us, out, e->message.header, &m)) return;
    if (m.header.op == WIRE_HELLO)
        member_view(&s->member, s->requests, e->now_us, out, e->message.header, e->message.body);
    else if (m.header.op == WIRE_PART)
        shard_copies_answer(s->copies, e, &m, out);
}

static void on_message(shard *s, const core_event *e, core_actions *out)
{
    const wire_header *h = e->message.header;
    if (wire_is_answer(h)) {
        on_answer(s, e, out);
        return;
    }
    switch (h->op) {
    case WIRE_PULL: on_pull(s, e, out); return;
    case WIRE_PUSH:
    case WIRE_PUT:
    case WIRE_VOID: on_push(s, e, out); return;
    case WIRE_COMMIT: on_commit(s, e, out); return;
    case WIRE_STAGE: on_stage(s, e, out); return;
    case WIRE_SNAPSHOT: on_snapshot(s, e, out); return;
    case WIRE_ROLLBACK: on_rollback(s, e, out); return;
    case WIRE_PART: on_part(s, e, out); return;
    case WIRE_STOP:
        if (!accepts_order(s, e, out)) return;
        answer(s, out, e->message.route, h, WIRE_OK, NULL);
        s->member.stop = true;
        return;
    default: refuse(s, out, e->message.route, h, WIRE_REFUSED, "a server does not serve this");
    }
}

/* SIGTERM.  What it holds is in a checkpoint first, if there is a scheduler that makes one. */
static void begin_leaving(shard *s, const core_event *e)
{
    if (s->leaving) return;
    s->leaving = true;
    s->leave_signal = e->signal;
    s->leave_by_us = e->now_us;
    if (!s->member.joined || !s->generation) return; /* it holds nothing */
    s->leave_by_us += SHARD_LEAVE_US;
    member_hello_soon(&s->member, e->now_us);
}

static void leave(shard *s, const core_event *e, core_actions *out)
{
    if (s->exited) return;
    int code;
    bool alone = s->member.unanswered >= LEFT_ALONE || e->now_us >= s->leave_by_us;
    if (member_leaves(&s->member, &code) && (code || !s->leaving))
        core_exit(out, code, "%s", s->member.why);
    else if (s->leaving && (alone || s->member.stop))
        core_exit(out, 0, "signal %d", s->leave_signal);
    else
        return;
    s->exited = true;
}

static uint64_t next_timer(const shard *s, uint64_t requests_us, uint64_t copies_us)
{
    uint64_t at = requests_us < copies_us ? requests_us : copies_us;
    if (s->member.hello_at_us < at) at = s->member.hello_at_us;
    if (s->leaving && s->leave_by_us < at) at = s->leave_by_us;
    for (size_t i = 0; i < s->parked_n; i++) {
        if (s->parked[i].until_us < at) at = s->parked[i].until_us;
    }
    return at;
}

static bool parked_due(const shard *s, uint64_t now_us)
{
    for (size_t i = 0; i < s->parked_n; i++) {
        if (s->parked[i].until_us <= now_us) return true;
    }
    return false;
}

uint64_t shard_step(shard *s, const core_event *e, core_actions *out)
{
    if (s->exited) return UINT64_MAX;
    if (e->type == CORE_MESSAGE) on_message(s, e, out);
    if (e->type == CORE_RESULT) on_result(s, e, out);
    if (e->type == CORE_STOP) begin_leaving(s, e);
    uint64_t copies_us = shard_copies_timer(s->copies, e->now_us, out);
    settle_copies(s, e->now_us, out);
    if (parked_due(s, e->now_us)) unpark(s, e->now_us, out);
    if (member_hello_due(&s->member, e->now_us)) say_hello(s, e->now_us, out);
    leave(s, e, out);
    uint64_t requests_us = requests_timer(s->requests, e->now_us, out);
    return s->exited ? UINT64_MAX : next_timer(s, requests_us, copies_us);
}

/* ---- looking in ---- */

void shard_stats_get(const shard *s, shard_stats *out)
{
    *out = s->stats;
    out->generation = s->generation;
    out->stage = s->stage;
    out->version = s->version;
    out->held = held_rounds_count(&s->held);
    out->parked = (uint32_t)s->parked_n;
    out->finished = s->finished;
    out->known = member_is_known(&s->member);
    out->loading = s->disk.loading;
    out->servers = s->map.servers;
    out->stopping = s->exited || s->leaving;
    for (uint32_t i = 0; i < STAGE_COUNT; i++) {
        if (!s->tables[i]) continue;
        out->rows += stage_tables_row_count(s->tables[i]);
        out->bytes += stage_tables_bytes(s->tables[i]);
    }
}

bool shard_applies_on_arrival(const shard *s)
{
    return s->config.model->staleness.on_arrival;
}

void shard_note_apply(shard *s, uint64_t us)
{
    latency_add(&s->apply, us);
}

bool shard_is_ready(const shard *s)
{
    return !s->disk.loading;
}

void shard_note_rss(shard *s, uint64_t bytes)
{
    s->member.rss_bytes = bytes;
}

void shard_note_refused(shard *s, uint64_t total)
{
    s->member.refusals = total;
}

const blob *shard_dense(const shard *s, uint32_t stage, bool final)
{
    if (stage >= STAGE_COUNT || !s->tables[stage]) return NULL;
    if (final != (stage != s->stage || s->finished)) return NULL;
    return stage_tables_dense(s->tables[stage]);
}

bool shard_row(const shard *s, uint32_t stage, uint32_t table, bool final, uint64_t key,
               const float **row)
{
    if (stage >= STAGE_COUNT || !s->tables[stage]) return false;
    if (final != (stage != s->stage || s->finished)) return false;
    *row = stage_tables_row(s->tables[stage], table, key);
    return *row != NULL;
}

uint64_t shard_digest(const shard *s)
{
    uint64_t x[6] = {s->generation, s->stage,        s->version,
                     s->finished,   s->disk.loading, s->disk.serial};
    uint64_t h = hash64(x, sizeof x, 0);
    for (uint32_t i = 0; i < STAGE_COUNT; i++) {
        uint64_t d = s->tables[i] ? stage_tables_digest(s->tables[i]) : i;
        h = hash64(&d, sizeof d, h);
    }
    h = held_rounds_digest(&s->held, h);
    h = shard_copies_digest(s->copies, h);
    for (size_t i = 0; i < s->parked_n; i++) {
        uint64_t d[2] = {s->parked[i].header.tag, s->parked[i].until_us};
        h = hash64(d, sizeof d, h);
    }
    return h;
}
