#include "ps/status_json.h"

#include "common/clock.h"
#include "common/json.h"
#include "common/mem.h"
#include "common/plan.h"
#include "common/version.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const phases[5] = {"sample", "pull", "compute", "push", "wait"};

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

static void write_head(json_writer *w, const status_input *in)
{
    const scheduler_status *s = in->status;
    json_field_u64(w, "format", 1);
    json_field_string(w, "weft", WEFT_VERSION);
    json_field_string(w, "job", in->config->job);
    json_field_string(w, "state", job_state_name(s->state));
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
    json_object_begin(w);
    for (int i = 0; i < 5; i++) json_field_number9(w, phases[i], s->time_share[i]);
    json_object_end(w);
}

static void peer_head(json_writer *w, const status_peer *p)
{
    char id[64];
    const char *role = p->peer.role == WIRE_SERVER ? "ps" : wire_role_name(p->peer.role);
    snprintf(id, sizeof id, "%s-%" PRIu32, role, p->peer.index);
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
    json_field_u64(w, "slots_done", p->slots_done);
    json_field_number9(w, "examples_per_s", p->examples_per_s);
    json_field_number9(w, "step_ms_p50", p->step_ms_p50);
    json_field_number9(w, "step_ms_p99", p->step_ms_p99);
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
    json_object_end(w);
}

static void write_curves(json_writer *w, const scheduler_status *s)
{
    json_key(w, "curves");
    json_object_begin(w);
    json_key(w, "step");
    json_array_begin(w);
    for (uint32_t i = 0; i < s->curve_n; i++) json_u64(w, s->curve_step[i]);
    json_array_end(w);
    json_key(w, "loss");
    json_array_begin(w);
    for (uint32_t i = 0; i < s->curve_n; i++) number_element(w, (double)s->curve_loss[i]);
    json_array_end(w);
    json_key(w, "examples_per_s");
    json_array_begin(w);
    for (uint32_t i = 0; i < s->curve_n; i++) number_element(w, (double)s->curve_rate[i]);
    json_array_end(w);
    json_key(w, "validation");
    json_array_begin(w);
    for (uint32_t i = 0; i < s->valid_n; i++) {
        json_array_begin(w);
        json_u64(w, s->valid[i].step);
        number_element(w, s->valid[i].value);
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
        char time[21], who[64];
        int64_t age_s = ((int64_t)e->at_us - (int64_t)in->start_us) / 1000000;
        clock_iso((uint64_t)((int64_t)in->start_wall_s + age_s), time);
        snprintf(who, sizeof who, "%s-%" PRIu32, wire_role_name(e->who.role), e->who.index);
        json_object_begin(w);
        json_field_string(w, "time", time);
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

/* ---- Prometheus text, version 0.0.4 ---- */

static void line(bytes_writer *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void line(bytes_writer *b, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    bytes_put(b, text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1);
}

/* Whole numbers in full: a counter of bytes must not lose its last digits. */
static void sample(bytes_writer *b, double v)
{
    if (!isfinite(v)) v = 0;
    line(b, v == floor(v) && fabs(v) < 0x1p53 ? " %.0f\n" : " %.9g\n", v);
}

static void family(bytes_writer *b, const char *name, const char *type, const char *help)
{
    line(b, "# HELP weft_%s %s\n# TYPE weft_%s %s\n", name, help, name, type);
}

static void single(bytes_writer *b, const char *name, const char *type, const char *help, double v)
{
    family(b, name, type, help);
    line(b, "weft_%s", name);
    sample(b, v);
}

typedef double peer_value(const status_peer *p);

static void per_peer(bytes_writer *b, const char *name, const char *type, const char *help,
                     const status_peer *peer, uint32_t n, peer_value *value)
{
    family(b, name, type, help);
    for (uint32_t i = 0; i < n; i++) {
        line(b, "weft_%s{role=\"%s\",index=\"%" PRIu32 "\"}", name,
             wire_role_name(peer[i].peer.role), peer[i].peer.index);
        sample(b, value(&peer[i]));
    }
}

static double v_rows(const status_peer *p)
{
    return (double)p->rows;
}
static double v_bytes(const status_peer *p)
{
    return (double)p->bytes;
}
static double v_pulls(const status_peer *p)
{
    return (double)p->pulls;
}
static double v_pushes(const status_peer *p)
{
    return (double)p->pushes;
}
static double v_repeats(const status_peer *p)
{
    return (double)p->repeats;
}
static double v_apply(const status_peer *p)
{
    return p->apply_ms_p99 / 1000.0;
}
static double v_slots(const status_peer *p)
{
    return (double)p->slots_done;
}
static double v_rate(const status_peer *p)
{
    return p->examples_per_s;
}
static double v_seen(const status_peer *p)
{
    return (double)p->last_seen_ms / 1000.0;
}
static double v_batches(const status_peer *p)
{
    return (double)p->batches;
}
static double v_queue(const status_peer *p)
{
    return (double)p->queue;
}
static double v_remote(const status_peer *p)
{
    return p->remote_share;
}

static void job_families(bytes_writer *b, const scheduler_status *s)
{
    family(b, "build_info", "gauge", "Version of the scheduler.");
    line(b, "weft_build_info{version=\"%s\"} 1\n", WEFT_VERSION);
    family(b, "stage_progress_ratio", "gauge", "Done share of the current stage.");
    line(b, "weft_stage_progress_ratio{stage=\"%s\"}", stage_name(s->stage));
    sample(b, s->progress);
    single(b, "running", "gauge", "1 while the job is running or validating.",
           s->state == JOB_RUNNING || s->state == JOB_VALIDATING);
    single(b, "stalled", "gauge", "1 while something has been waited for longer than 30 s.",
           s->state == JOB_STALLED);
    single(b, "step", "gauge", "Steps committed in this stage.", s->step);
    single(b, "train_examples_total", "counter", "Examples of this stage.", (double)s->examples);
    single(b, "train_examples_per_second", "gauge", "Examples a second.", s->examples_per_s);
    single(b, "train_loss", "gauge", "Mean loss of the last step.", s->loss);
    single(b, "validation_best", "gauge", "Best validation value of this stage.",
           s->has_validation ? s->valid_best : 0);
    single(b, "generation", "gauge", "Generation of the job.", s->generation);
    single(b, "term", "gauge", "Life of the scheduler.", s->term);
    single(b, "map_version", "gauge", "Version of the shard map.", s->map);
    single(b, "workers", "gauge", "Workers that are here.", s->workers);
    single(b, "leases_total", "counter", "Leases given.", (double)s->counters.leases);
    single(b, "lease_reassignments_total", "counter", "Slots given to a second worker.",
           (double)s->counters.reassigned);
    single(b, "void_slots_total", "counter", "Slots whose gradient was not finite.",
           (double)s->counters.void_slots);
    single(b, "gone_total", "counter", "Pulls of a version that was past.",
           (double)s->counters.gone);
    single(b, "hash_mismatches_total", "counter", "Repeated pushes with other bytes.",
           (double)s->counters.hash_mismatches);
    single(b, "refused_peers_total", "counter", "Peers refused.",
           (double)s->counters.refused_peers);
    family(b, "time_share_ratio", "gauge", "Where the workers' time goes.");
    for (int i = 0; i < 5; i++) {
        line(b, "weft_time_share_ratio{phase=\"%s\"}", phases[i]);
        sample(b, s->time_share[i]);
    }
}

char *status_prometheus(const status_input *in)
{
    const scheduler_status *s = in->status;
    bytes_writer b;
    bytes_writer_init(&b);
    job_families(&b, s);
    per_peer(&b, "worker_slots_total", "counter", "Slots done.", s->worker, s->workers, v_slots);
    per_peer(&b, "worker_examples_per_second", "gauge", "Examples a second.", s->worker, s->workers,
             v_rate);
    per_peer(&b, "worker_last_seen_seconds", "gauge", "Since the last message.", s->worker,
             s->workers, v_seen);
    per_peer(&b, "server_rows", "gauge", "Rows held.", s->server, s->servers, v_rows);
    per_peer(&b, "server_table_bytes", "gauge", "Bytes held.", s->server, s->servers, v_bytes);
    per_peer(&b, "server_pulls_total", "counter", "Pulls.", s->server, s->servers, v_pulls);
    per_peer(&b, "server_pushes_total", "counter", "Pushes.", s->server, s->servers, v_pushes);
    per_peer(&b, "server_repeats_total", "counter", "Repeated pushes.", s->server, s->servers,
             v_repeats);
    per_peer(&b, "server_apply_p99_seconds", "gauge", "Time of a commit.", s->server, s->servers,
             v_apply);
    per_peer(&b, "sampler_batches_total", "counter", "Micro-batches built.", s->sampler,
             s->samplers, v_batches);
    per_peer(&b, "sampler_queue", "gauge", "Builds waiting.", s->sampler, s->samplers, v_queue);
    per_peer(&b, "sampler_remote_ratio", "gauge", "Share of leaves from other samplers.",
             s->sampler, s->samplers, v_remote);
    bytes_put_u8(&b, 0);
    return (char *)b.data;
}
