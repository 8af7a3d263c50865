#include "ps/status_json.h"

#include "common/clock.h"
#include "common/json.h"
#include "common/mem.h"
#include "common/plan.h"
#include "common/version.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const status_phases[STATUS_PHASES] = {"sample", "pull", "compute", "push", "wait"};

static void number_element(json_writer *w, double v)
{
    if (isfinite(v)) {
        json_number9(w, v);
    } else {
        json_nil(w);
    }
}

static void number_or_null(json_writer *w, const char *key, double v, bool has)
{
    json_key(w, key);
    number_element(w, has ? v : (double)NAN);
}

static void hex_field(json_writer *w, const char *key, uint64_t v)
{
    json_key(w, key);
    json_hex64(w, v);
}

static void write_stages(json_writer *w, const status_input *in)
{
    json_key(w, "stages");
    json_array_begin(w);
    json_str(w, stage_name(STAGE_PREPARE));
    for (uint32_t i = 0; i < in->stages_n; i++) json_str(w, stage_name(in->stages[i]));
    json_str(w, stage_name(STAGE_EVALUATE));
    json_str(w, stage_name(STAGE_EXPORT));
    json_array_end(w);
}

/* Wall time of a moment of the core's clock. */
static void time_field(json_writer *w, const status_input *in, const char *key, uint64_t at_us)
{
    char time[21];
    int64_t age_s = ((int64_t)at_us - (int64_t)in->start_us) / 1000000;
    clock_iso((uint64_t)((int64_t)in->start_wall_s + age_s), time);
    json_field_string(w, key, time);
}

static void write_head(json_writer *w, const status_input *in)
{
    const scheduler_status *s = in->status;
    json_field_u64(w, "format", 1);
    json_field_string(w, "weft", WEFT_VERSION);
    json_field_string(w, "commit", weft_commit);
    json_field_string(w, "job", in->config->job);
    json_field_string(w, "state", job_state_name(s->state));
    time_field(w, in, "started", in->start_us);
    if (in->end_us) {
        time_field(w, in, "ended", in->end_us);
    } else {
        json_key(w, "ended");
        json_nil(w);
    }
    json_key(w, "waiting");
    if (s->is_waiting) {
        json_object_begin(w);
        json_field_string(w, "for", s->waiting_for);
        json_field_string(w, "whom", s->waiting_whom);
        json_field_number9(w, "since_s", s->waiting_since_s);
        json_object_end(w);
    } else {
        json_nil(w);
    }
    json_key(w, "failure");
    json_str(w, s->failure[0] ? s->failure : NULL);
    json_key(w, "stopped_by");
    json_str(w, s->stopped_by[0] ? s->stopped_by : NULL);
    json_field_string(w, "stage", stage_name(s->stage));
    write_stages(w, in);
}

static void write_progress(json_writer *w, const scheduler_status *s)
{
    json_field_u64(w, "epoch", s->epoch);
    json_field_u64(w, "step", s->step);
    json_field_u64(w, "steps", s->steps);
    json_field_metric(w, "progress", s->progress);
    json_field_number9(w, "elapsed_s", s->elapsed_s);
    number_or_null(w, "eta_s", s->eta_s, s->eta_s >= 0);
    json_field_u64(w, "examples", s->examples);
    json_field_number9(w, "examples_per_s", s->examples_per_s);
    number_or_null(w, "loss", s->loss, true);
    json_key(w, "validation");
    json_object_begin(w);
    json_field_string(w, "metric", s->metric);
    number_or_null(w, "last", s->valid_last, s->has_validation);
    number_or_null(w, "best", s->valid_best, s->has_validation);
    json_field_u64(w, "best_step", s->best_step);
    json_object_end(w);
}

static void write_results(json_writer *w, const scheduler_status *s)
{
    json_key(w, "results");
    json_array_begin(w);
    for (uint32_t i = 0; i < s->results_n; i++) {
        const status_result *r = &s->result[i];
        json_object_begin(w);
        json_field_string(w, "stage", stage_name(r->stage));
        json_field_u64(w, "steps", r->steps);
        json_field_string(w, "metric", r->metric);
        number_or_null(w, "best", r->best, true);
        json_field_u64(w, "best_step", r->best_step);
        json_object_end(w);
    }
    json_array_end(w);
}

static void write_phases(json_writer *w, const double phase[5])
{
    json_object_begin(w);
    for (int i = 0; i < STATUS_PHASES; i++) json_field_number9(w, status_phases[i], phase[i]);
    json_object_end(w);
}

static void write_identity(json_writer *w, const status_input *in)
{
    const scheduler_status *s = in->status;
    json_field_u64(w, "generation", s->generation);
    json_field_u64(w, "term", s->term);
    json_field_u64(w, "map", s->map);
    json_field_string(w, "numerics", s->numerics);
    json_field_string(w, "bits", s->bits_guaranteed ? "guaranteed" : "not guaranteed");
    hex_field(w, "plan_hash", s->plan_hash);
    json_field_u64(w, "seed", in->config->seed);
    json_key(w, "time_share");
    write_phases(w, s->time_share);
}

static void peer_name(core_peer p, char out[64])
{
    snprintf(out, 64, "%s-%" PRIu32, wire_role_name(p.role), p.index);
}

static void peer_head(json_writer *w, const status_peer *p)
{
    char id[64];
    peer_name(p->peer, id);
    json_object_begin(w);
    json_field_string(w, "id", id);
    hex_field(w, "incarnation", p->peer.incarnation);
    json_field_u64(w, "pid", p->pid);
    json_field_string(w, "address", p->address);
    json_field_string(w, "state", p->draining ? "draining" : peer_state_name(p->state));
}

static void peer_tail(json_writer *w, const status_peer *p)
{
    json_field_u64(w, "last_seen_ms", p->last_seen_ms);
    json_field_u64(w, "rss_bytes", p->rss_bytes);
    json_object_end(w);
}

static void write_worker(json_writer *w, const status_peer *p)
{
    char slot[64] = "";
    if (p->slot.stage) slot_format(p->slot, slot);
    peer_head(w, p);
    json_field_string(w, "slot", slot);
    json_field_u64(w, "leases", p->leases);
    json_field_number9(w, "lease_age_s", p->lease_age_s);
    json_field_u64(w, "slots_done", p->slots_done);
    json_field_number9(w, "examples_per_s", p->examples_per_s);
    json_field_number9(w, "step_ms_p50", p->step_ms_p50);
    json_field_number9(w, "step_ms_p99", p->step_ms_p99);
    json_key(w, "time_share");
    write_phases(w, p->time_share);
    json_key(w, "phase_s");
    write_phases(w, p->phase_s);
    peer_tail(w, p);
}

static void write_server(json_writer *w, const status_peer *p)
{
    peer_head(w, p);
    json_field_u64(w, "version", p->version);
    json_field_u64(w, "rows", p->rows);
    json_field_u64(w, "bytes", p->bytes);
    json_field_u64(w, "pulls", p->pulls);
    json_field_u64(w, "pushes", p->pushes);
    json_field_u64(w, "repeats", p->repeats);
    json_field_number9(w, "pulls_per_s", p->pulls_per_s);
    json_field_number9(w, "pushes_per_s", p->pushes_per_s);
    json_field_number9(w, "apply_ms_p50", p->apply_ms_p50);
    json_field_number9(w, "apply_ms_p99", p->apply_ms_p99);
    if (p->saved_step) {
        json_field_u64(w, "last_checkpoint_step", p->saved_step);
    } else {
        json_key(w, "last_checkpoint_step");
        json_nil(w);
    }
    peer_tail(w, p);
}

static void write_sampler(json_writer *w, const status_input *in, const status_peer *p)
{
    peer_head(w, p);
    json_key(w, "partitions");
    json_array_begin(w);
    for (uint32_t i = 0; i < in->partitions; i++) {
        if (plan_partition_owner(i, in->config->cluster.samplers) == p->peer.index) json_u64(w, i);
    }
    json_array_end(w);
    json_field_u64(w, "batches", p->batches);
    json_field_number9(w, "batches_per_s", p->batches_per_s);
    json_field_u64(w, "queue", p->queue);
    json_field_number9(w, "remote_share", p->remote_share);
    peer_tail(w, p);
}

static void write_peers(json_writer *w, const status_input *in)
{
    const scheduler_status *s = in->status;
    json_key(w, "wanted");
    json_object_begin(w);
    json_field_u64(w, "workers", s->workers_wanted);
    json_field_u64(w, "servers", s->servers_wanted);
    json_field_bool(w, "supervised", s->supervised);
    json_object_end(w);
    json_key(w, "workers");
    json_array_begin(w);
    for (uint32_t i = 0; i < s->workers; i++) write_worker(w, &s->worker[i]);
    json_array_end(w);
    json_key(w, "servers");
    json_array_begin(w);
    for (uint32_t i = 0; i < s->servers; i++) write_server(w, &s->server[i]);
    json_array_end(w);
    json_key(w, "samplers");
    json_array_begin(w);
    for (uint32_t i = 0; i < s->samplers; i++) write_sampler(w, in, &s->sampler[i]);
    json_array_end(w);
}

static void write_counters(json_writer *w, const scheduler_status *s)
{
    json_key(w, "counters");
    json_object_begin(w);
    json_field_u64(w, "leases", s->counters.leases);
    json_field_u64(w, "reassigned", s->counters.reassigned);
    json_field_u64(w, "void_slots", s->counters.void_slots);
    json_field_u64(w, "gone", s->counters.gone);
    json_field_u64(w, "hash_mismatches", s->counters.hash_mismatches);
    json_field_u64(w, "refused_peers", s->counters.refused_peers);
    json_field_u64(w, "repeats", s->counters.repeats);
    json_field_u64(w, "rollbacks", s->counters.rollbacks);
    json_object_end(w);
}

static void write_checkpoint(json_writer *w, const scheduler_status *s)
{
    const status_checkpoint *c = &s->checkpoint;
    json_key(w, "checkpoint");
    json_object_begin(w);
    json_field_u64(w, "made", c->made);
    json_field_u64(w, "failed", c->failed);
    json_key(w, "under_way");
    json_str(w, c->under_way);
    json_key(w, "last");
    if (c->made) {
        json_object_begin(w);
        json_field_string(w, "stage", stage_name(c->stage));
        json_field_u64(w, "step", c->step);
        json_field_string(w, "reason", c->reason);
        json_field_u64(w, "bytes", c->bytes);
        json_field_number9(w, "age_s", c->age_s);
        json_field_number9(w, "took_s", c->took_s);
        json_object_end(w);
    } else {
        json_nil(w);
    }
    json_object_end(w);
}

static void write_resume(json_writer *w, const scheduler_status *s)
{
    json_key(w, "resume");
    if (s->resume_stage == STAGE_NONE) {
        json_nil(w);
        return;
    }
    json_object_begin(w);
    json_field_string(w, "stage", stage_name(s->resume_stage));
    json_field_u64(w, "step", s->resume_step);
    json_object_end(w);
}

static void write_curve(json_writer *w, const char *key, const status_curve *c, curve_value v)
{
    json_key(w, key);
    json_array_begin(w);
    for (uint32_t i = 0; i < c->n; i++) number_element(w, c->point[i].v[v]);
    json_array_end(w);
}

static void write_curves(json_writer *w, const scheduler_status *s)
{
    json_key(w, "curves");
    json_object_begin(w);
    json_field_string(w, "stage", stage_name(s->curve_stage));
    json_key(w, "step");
    json_array_begin(w);
    for (uint32_t i = 0; i < s->curve->n; i++) json_u64(w, s->curve->point[i].step);
    json_array_end(w);
    write_curve(w, "loss", s->curve, CURVE_LOSS);
    write_curve(w, "examples_per_s", s->curve, CURVE_RATE);
    write_curve(w, "staleness", s->curve, CURVE_STALENESS);
    write_curve(w, "step_s", s->curve, CURVE_STEP_S);
    write_curve(w, "workers", s->curve, CURVE_WORKERS);
    json_key(w, "validation");
    json_array_begin(w);
    for (uint32_t i = 0; i < s->valid->n; i++) {
        json_array_begin(w);
        json_u64(w, s->valid->point[i].step);
        number_element(w, s->valid->point[i].v[0]);
        json_array_end(w);
    }
    json_array_end(w);
    json_object_end(w);
}

static void write_events(json_writer *w, const status_input *in)
{
    const scheduler_status *s = in->status;
    json_key(w, "events");
    json_array_begin(w);
    for (uint32_t i = 0; i < s->events_n; i++) {
        const status_event *e = &s->event[i];
        char who[64];
        peer_name(e->who, who);
        json_object_begin(w);
        time_field(w, in, "time", e->at_us);
        json_field_string(w, "event", e->event);
        json_field_string(w, "who", who);
        json_field_string(w, "why", e->why);
        json_object_end(w);
    }
    json_array_end(w);
}

char *status_json(const status_input *in)
{
    bytes_writer b;
    json_writer w;
    bytes_writer_init(&b);
    json_init_bytes(&w, &b, JSON_STYLE_SPACED);
    json_object_begin(&w);
    write_head(&w, in);
    write_progress(&w, in->status);
    write_results(&w, in->status);
    write_identity(&w, in);
    write_peers(&w, in);
    write_counters(&w, in->status);
    write_checkpoint(&w, in->status);
    write_resume(&w, in->status);
    write_curves(&w, in->status);
    write_events(&w, in);
    char *keys = config_flat_json(in->config);
    json_key(&w, "config");
    json_raw(&w, keys);
    free(keys);
    json_object_end(&w);
    err_code rc = json_finish(&w);
    (void)rc; /* Into memory: cannot fail. */
    bytes_put(&b, "\n", 2);
    return (char *)b.data;
}
