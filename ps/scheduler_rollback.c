/* Going back: a server has lost its tables, or their number changes.  Every server reads the last
 * recorded checkpoint under the next generation; who could have mixed two histories is fenced by
 * it. */
#include "common/mem.h"
#include "ps/scheduler_state.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void scheduler_servers_known(scheduler *s, uint32_t n)
{
    if (n <= s->servers_known) return;
    member_state *more = xcalloc(n, sizeof *more);
    if (s->servers_known) memcpy(more, s->server, s->servers_known * sizeof *more);
    free(s->server);
    s->server = more;
    s->servers_known = n;
}

void scheduler_want_servers(scheduler *s, uint32_t servers)
{
    if (!servers || servers < s->config.copies || servers > SERVERS_MAX) return;
    s->servers_wanted = servers;
    s->wants_durable = true;
}

bool scheduler_servers_are_here(const scheduler *s)
{
    for (uint32_t i = 0; i < s->servers_wanted; i++) {
        if (i >= s->servers_known || !s->server[i].heard || s->server[i].lost) return false;
    }
    return true;
}

/* ---- where to ---- */

static uint32_t target_stage_index(const scheduler *s)
{
    if (!s->records) return 0;
    const checkpoint_record *r = &s->record[s->records - 1];
    return r->stage_index + (r->end != 0);
}

static uint32_t target_version(const scheduler *s)
{
    const checkpoint_record *r = s->records ? &s->record[s->records - 1] : NULL;
    return r && !r->end ? r->version : 0;
}

static uint64_t target_metrics(const scheduler *s)
{
    return s->records ? s->record[s->records - 1].metrics : 0;
}

/* Our own state becomes that of the last record. */
static void adopt_target(scheduler *s, uint64_t now_us, core_actions *out)
{
    const checkpoint_record *r = s->records ? &s->record[s->records - 1] : NULL;
    s->stage_index = target_stage_index(s);
    s->stage = (stage_state){.stage = scheduler_stage(s), .loss = NAN};
    if (r && !r->end) s->stage = r->stage;
    while (s->results_n) {
        uint32_t done = s->result[s->results_n - 1].stage, i = 0;
        while (i < s->stage_index && s->plan->stage[i] != done) i++;
        if (i < s->stage_index) break;
        s->results_n--;
    }
    s->metrics = target_metrics(s);
    s->last_metric = (core_metric){0};
    if (r && core_rule(s->config.mutations, CORE_RULE_LAST_METRIC))
        s->last_metric = (core_metric){
            .kind = (metric_kind)r->last_kind, .stage = r->last_stage, .step = r->last_step};
    scheduler_status_cut(s);
    core_metric cut = {.index = s->metrics, .kind = METRIC_CUT};
    if (core_rule(s->config.mutations, CORE_RULE_CUT)) core_metric_line(out, &cut);
    scheduler_status_stage_from(s, now_us);
    s->examples_per_s = 0;
}

/* ---- beginning ---- */

static void forget_rounds(scheduler *s, uint64_t now_us, core_actions *out)
{
    scheduler_close_rounds(s);
    scheduler_save_abandon(s);
    requests_cancel(s->requests, now_us, out, OWNER_STAGE);
    requests_cancel(s->requests, now_us, out, OWNER_COMMIT);
    requests_cancel(s->requests, now_us, out, OWNER_SNAPSHOT);
    requests_cancel(s->requests, now_us, out, OWNER_ROLLBACK);
}

uint32_t scheduler_next_generation(const scheduler *s)
{
    uint32_t last = s->generation > s->found_generation ? s->generation : s->found_generation;
    return last + 1;
}

static uint32_t next_generation(const scheduler *s)
{
    bool anew = core_rule(s->config.mutations, CORE_RULE_NEW_GENERATION);
    return anew ? scheduler_next_generation(s) : s->generation;
}

static void enter(scheduler *s, uint64_t now_us, core_actions *out);

static void begin(scheduler *s, uint64_t now_us, core_actions *out)
{
    uint32_t servers = s->config.servers;
    forget_rounds(s, now_us, out);
    s->next_map = s->map;
    if (s->servers_wanted != servers && scheduler_servers_are_here(s))
        shard_map_init(&s->next_map, s->map.version + 1, s->map.shards, s->servers_wanted);
    if (s->recovered) /* maps are fewer than generations: nobody has heard of this one */
        shard_map_init(&s->next_map, s->generation + 1, s->map.shards, s->next_map.servers);
    s->rolling = true;
    s->must_roll = s->stage_start = s->recovered = false;
    s->metrics_durable = target_metrics(s);
    s->phase = PHASE_GOING_BACK;
    s->coming_generation = next_generation(s);
    scheduler_persist(s, out, TOKEN_ROLLING, s->coming_generation, target_stage_index(s));
    if (!core_rule(s->config.mutations, CORE_RULE_ROLLING)) enter(s, now_us, out);
}

void scheduler_rollback(scheduler *s, uint64_t now_us, core_actions *out, const char *format, ...)
{
    char why[CORE_TEXT_MAX];
    if (s->phase < PHASE_GATHER || s->phase == PHASE_OVER || s->phase == PHASE_GOING_BACK) return;
    va_list args;
    va_start(args, format);
    vsnprintf(why, sizeof why, format, args);
    va_end(args);
    uint32_t most = s->config.rollbacks_max ? s->config.rollbacks_max : 3;
    if (s->rollbacks_in_row >= most) {
        scheduler_fail(s, now_us, out, "%u rollbacks without a committed step between: %.180s",
                       s->rollbacks_in_row, why);
        return;
    }
    core_peer self = {WIRE_SCHEDULER, 0, s->config.incarnation};
    uint32_t stage, step;
    scheduler_resume_point(s, &stage, &step);
    scheduler_note(s, now_us, out, "rollback", self, "to %s step %u: %.180s", stage_name(stage),
                   step, why);
    s->rollbacks++;
    if (!s->rollback_us) s->rollback_us = now_us;
    begin(s, now_us, out);
}

/* ---- rolling ---- */

static size_t fill_finals(const scheduler *s, Weft__SnapshotName *name, Weft__SnapshotName **list)
{
    uint32_t below = target_stage_index(s);
    size_t n = 0;
    for (uint32_t i = 0; i < s->records; i++) {
        if (!s->record[i].end || s->record[i].stage_index >= below) continue;
        name[n] = scheduler_save_name(s, &s->record[i]);
        list[n] = &name[n];
        n++;
    }
    return n;
}

static void send_rollback(scheduler *s, uint64_t now_us, core_actions *out)
{
    Weft__Rollback order = WEFT__ROLLBACK__INIT;
    Weft__SnapshotName name[RECORDS_MAX], *list[RECORDS_MAX], current;
    order.version = 1;
    order.shards = s->map.shards;
    order.servers = s->map.servers;
    order.copies = s->config.copies;
    order.final = list;
    order.n_final = fill_finals(s, name, list);
    if (target_version(s)) {
        current = scheduler_save_name(s, &s->record[s->records - 1]);
        order.current = &current;
    }
    wire_header h = wire_request(WIRE_ROLLBACK);
    h.generation = s->generation;
    h.stage = (uint8_t)scheduler_stage(s);
    h.version = target_version(s);
    bool everybody = core_rule(s->config.mutations, CORE_RULE_ROLLBACK);
    requests_cancel(s->requests, now_us, out, OWNER_ROLLBACK);
    for (uint32_t i = 0; i < s->config.servers; i++) {
        member_state *p = &s->server[i];
        if (p->ready || !p->id.incarnation) continue;
        if (everybody || !p->generation)
            scheduler_order(s, now_us, out, p, h, proto_pack(&order.base), OWNER_ROLLBACK);
    }
    s->order_retry_us = now_us + ORDER_RETRY_US;
}

static void roll(scheduler *s, uint64_t now_us, core_actions *out)
{
    s->phase = PHASE_ROLLING;
    for (uint32_t i = 0; i < s->config.servers; i++) {
        member_state *p = &s->server[i];
        p->ready = p->generation == s->generation;
        p->staged = p->finished = false;
        if (!p->ready) p->version = 0;
    }
    scheduler_moved(s, now_us);
    send_rollback(s, now_us, out);
}

void scheduler_rollback_resume(scheduler *s, uint64_t now_us, core_actions *out)
{
    adopt_target(s, now_us, out);
    roll(s, now_us, out);
}

static bool all_ready(const scheduler *s)
{
    bool any = false, all = true;
    for (uint32_t i = 0; i < s->config.servers; i++) {
        any = any || s->server[i].ready;
        all = all && s->server[i].ready;
    }
    return core_rule(s->config.mutations, CORE_RULE_ALL_READY) ? all : any;
}

void scheduler_rollback_advance(scheduler *s, uint64_t now_us, core_actions *out)
{
    if (all_ready(s)) {
        requests_cancel(s->requests, now_us, out, OWNER_ROLLBACK);
        s->rollbacks_in_row++;
        s->view += scheduler_keeps_leavers(s); /* now they go */
        s->rolling = false;
        s->phase = PHASE_ROLLED;
        scheduler_persist(s, out, TOKEN_RUNNING, s->generation, s->stage_index);
    } else if (now_us >= s->order_retry_us && !requests_open_count(s->requests, OWNER_ROLLBACK)) {
        send_rollback(s, now_us, out);
    }
}

static void rolled(scheduler *s, uint64_t now_us, core_actions *out)
{
    core_peer self = {WIRE_SCHEDULER, 0, s->config.incarnation};
    scheduler_note(s, now_us, out, "running", self, "generation %u, %u servers", s->generation,
                   s->config.servers);
    scheduler_moved(s, now_us);
    if (s->rollback_us) histogram_add(&s->rollback_time, now_us - s->rollback_us);
    s->rollback_us = 0;
    if (s->stage_index >= s->plan->stages) {
        scheduler_trained(s, now_us, out);
        return;
    }
    uint32_t version = target_version(s);
    for (uint32_t i = 0; i < s->config.servers; i++) {
        s->server[i].version = version;
        s->server[i].staged = true;
        s->server[i].slots_n = 0; /* what it held is of another generation */
    }
    scheduler_resume(s, now_us, out);
}

/* The new map, if there is one, is in force. */
static void take_map(scheduler *s)
{
    if (s->next_map.version == s->map.version) return;
    s->map = s->next_map;
    scheduler_servers_known(s, s->map.servers);
    s->config.servers = s->map.servers;
    s->view++;
}

/* The generation of what is gone back to begins. */
static void enter(scheduler *s, uint64_t now_us, core_actions *out)
{
    s->generation = s->coming_generation;
    take_map(s);
    adopt_target(s, now_us, out);
    roll(s, now_us, out);
}

void scheduler_rollback_result(scheduler *s, const core_event *e, core_actions *out)
{
    if (e->result.token == TOKEN_ROLLING && s->phase == PHASE_GOING_BACK) enter(s, e->now_us, out);
    if (e->result.token == TOKEN_RUNNING && s->phase == PHASE_ROLLED) rolled(s, e->now_us, out);
}

void scheduler_rollback_failed(scheduler *s, const member_state *p, const char *why,
                               uint64_t now_us, core_actions *out)
{
    if (s->phase != PHASE_ROLLING) return;
    scheduler_note(s, now_us, out, "checkpoint_damaged", p->id, "%s", why);
    if (!s->records) { /* nothing was to be read */
        scheduler_fail(s, now_us, out, "ps-%u cannot start anew: %.200s", p->id.index, why);
        return;
    }
    s->records -= core_rule(s->config.mutations, CORE_RULE_PASS_OVER);
    s->rollbacks++;
    if (!s->rollback_us) s->rollback_us = now_us;
    begin(s, now_us, out);
}
