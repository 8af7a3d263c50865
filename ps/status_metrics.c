#include "ps/status_metrics.h"

#include "common/process_metrics.h"
#include "common/prometheus.h"
#include "common/version.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

enum { LABELS_MAX = 96 };

static void gauge(bytes_writer *b, const char *name, const char *help, double v)
{
    prometheus_single(b, name, "gauge", help, v);
}

static void counter(bytes_writer *b, const char *name, const char *help, uint64_t v)
{
    prometheus_single(b, name, "counter", help, (double)v);
}

static void times(bytes_writer *b, const char *name, const char *help, const histogram *h)
{
    prometheus_family(b, name, "histogram", help);
    prometheus_histogram(b, name, "", h);
}

/* ---- The job ---- */

static void put_state(bytes_writer *b, const scheduler_status *s)
{
    char label[LABELS_MAX];
    prometheus_family(b, "weft_build_info", "gauge", "Version and commit of the scheduler.");
    snprintf(label, sizeof label, "version=\"%s\",commit=\"%s\"", WEFT_VERSION, weft_commit);
    prometheus_sample(b, "weft_build_info", label, 1);
    prometheus_family(b, "weft_job_state", "gauge", "1 for the state that the job is in.");
    for (uint32_t i = 0; i < JOB_STATES; i++) {
        snprintf(label, sizeof label, "phase=\"%s\"", job_state_name((job_state)i));
        prometheus_sample(b, "weft_job_state", label, s->state == (job_state)i);
    }
    gauge(b, "weft_running", "1 while the job is running or validating.",
          s->state == JOB_RUNNING || s->state == JOB_VALIDATING);
    gauge(b, "weft_stalled", "1 while something has been waited for longer than 30 s.",
          s->state == JOB_STALLED);
    gauge(b, "weft_waiting_seconds", "How long somebody in particular has been waited for.",
          s->is_waiting ? s->waiting_since_s : 0);
    gauge(b, "weft_generation", "Generation of the job.", s->generation);
    gauge(b, "weft_term", "Lives of the scheduler.", s->term);
    gauge(b, "weft_map_version", "Version of the shard map.", s->map);
    gauge(b, "weft_uptime_seconds", "Age of this life of the scheduler.", s->elapsed_s);
}

static void put_training(bytes_writer *b, const scheduler_status *s)
{
    char label[LABELS_MAX];
    snprintf(label, sizeof label, "stage=\"%s\"", stage_name(s->stage));
    prometheus_family(b, "weft_stage_progress_ratio", "gauge", "Done share of the current stage.");
    prometheus_sample(b, "weft_stage_progress_ratio", label, s->progress);
    gauge(b, "weft_stage_remaining_seconds", "Guessed time until the stage ends.",
          s->eta_s >= 0 ? s->eta_s : (double)NAN);
    gauge(b, "weft_step", "Steps committed in this stage.", s->step);
    gauge(b, "weft_steps", "Steps that this stage has at most.", s->steps);
    gauge(b, "weft_epoch", "Epoch of this stage.", s->epoch);
    counter(b, "weft_train_examples_total", "Examples of this stage.", s->examples);
    gauge(b, "weft_train_examples_per_second", "Examples a second.", s->examples_per_s);
    gauge(b, "weft_train_loss", "Mean loss of the last step.", s->loss);
    gauge(b, "weft_validation_last", "Last validation value of this stage.",
          s->has_validation ? s->valid_last : (double)NAN);
    gauge(b, "weft_validation_best", "Best validation value of this stage.",
          s->has_validation ? s->valid_best : (double)NAN);
    gauge(b, "weft_validation_best_step", "Step of the best validation value.", s->best_step);
    gauge(b, "weft_staleness_steps", "Steps that the oldest gradient of the last step was behind.",
          s->staleness);
    prometheus_family(b, "weft_time_share_ratio", "gauge", "Where the workers' time goes.");
    for (int i = 0; i < 5; i++) {
        snprintf(label, sizeof label, "phase=\"%s\"", status_phases[i]);
        prometheus_sample(b, "weft_time_share_ratio", label, s->time_share[i]);
    }
}

static void put_counters(bytes_writer *b, const scheduler_status *s)
{
    counter(b, "weft_leases_total", "Leases given.", s->counters.leases);
    counter(b, "weft_lease_reassignments_total", "Slots given to another worker.",
            s->counters.reassigned);
    counter(b, "weft_void_slots_total", "Slots whose gradient was not finite.",
            s->counters.void_slots);
    counter(b, "weft_gone_total", "Pulls of a version that was past.", s->counters.gone);
    counter(b, "weft_hash_mismatches_total", "Repeated pushes with other bytes.",
            s->counters.hash_mismatches);
    counter(b, "weft_refused_peers_total", "Messages and connections refused.",
            s->counters.refused_peers);
    counter(b, "weft_rollbacks_total", "Times that all servers went back to a checkpoint.",
            s->counters.rollbacks);
    counter(b, "weft_events_total", "Lines of the event log.", s->events_ever);
}

static void put_checkpoints(bytes_writer *b, const status_input *in, const status_disks *d)
{
    const status_checkpoint *c = &in->status->checkpoint;
    double now_s = (double)in->start_wall_s + in->status->elapsed_s;
    counter(b, "weft_checkpoints_total", "Checkpoints made.", c->made);
    counter(b, "weft_checkpoint_failures_total", "Checkpoints that could not be made.", c->failed);
    gauge(b, "weft_checkpoint_under_way", "1 while one is being made.", c->under_way != NULL);
    gauge(b, "weft_checkpoint_last_success_timestamp_seconds", "When the last one was recorded.",
          c->made ? now_s - c->age_s : (double)NAN);
    gauge(b, "weft_checkpoint_last_bytes", "Size of the last one.",
          c->made ? (double)c->bytes : (double)NAN);
    gauge(b, "weft_checkpoint_interval_seconds", "checkpoint.every; 0: not by time.",
          (double)in->config->checkpoint.every_ms / 1e3);
    if (d->work_size) {
        gauge(b, "weft_work_dir_free_bytes", "Free space where work_dir is.", (double)d->work_free);
        gauge(b, "weft_work_dir_size_bytes", "Size of that file system.", (double)d->work_size);
    }
    if (d->checkpoint_size) {
        gauge(b, "weft_checkpoint_dir_free_bytes", "Free space where checkpoint.dir is.",
              (double)d->checkpoint_free);
        gauge(b, "weft_checkpoint_dir_size_bytes", "Size of that file system.",
              (double)d->checkpoint_size);
    }
}

static void put_times(bytes_writer *b, const scheduler_status *s)
{
    times(b, "weft_step_duration_seconds", "A step, until its last slot is done.", &s->step_time);
    times(b, "weft_slot_duration_seconds", "A slot, from its lease until it is done.",
          &s->slot_time);
    times(b, "weft_commit_duration_seconds", "A commit, until every server has obeyed.",
          &s->commit_time);
    times(b, "weft_checkpoint_duration_seconds", "A checkpoint, until it is recorded.",
          &s->checkpoint_time);
    times(b, "weft_rollback_duration_seconds", "Going back, until the job runs again.",
          &s->rollback_time);
}

/* ---- Processes ---- */

typedef double peer_value(const status_peer *p);

static void put_peers(bytes_writer *b, const char *name, const status_peer *peer, uint32_t n,
                      peer_value *value)
{
    char label[LABELS_MAX];
    for (uint32_t i = 0; i < n; i++) {
        snprintf(label, sizeof label, "role=\"%s\",index=\"%" PRIu32 "\"",
                 wire_role_name(peer[i].peer.role), peer[i].peer.index);
        prometheus_sample(b, name, label, value(&peer[i]));
    }
}

static double v_up(const status_peer *p)
{
    return p->state != PEER_LOST && p->state != PEER_STARTING;
}
static double v_seen(const status_peer *p)
{
    return (double)p->last_seen_ms / 1000.0;
}
static double v_rss(const status_peer *p)
{
    return (double)p->rss_bytes;
}
static double v_rows(const status_peer *p)
{
    return (double)p->rows;
}
static double v_bytes(const status_peer *p)
{
    return (double)p->bytes;
}
static double v_version(const status_peer *p)
{
    return p->version;
}
static double v_saved(const status_peer *p)
{
    return p->saved_step;
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
static double v_apply50(const status_peer *p)
{
    return p->apply_ms_p50 / 1000.0;
}
static double v_apply99(const status_peer *p)
{
    return p->apply_ms_p99 / 1000.0;
}
static double v_slots(const status_peer *p)
{
    return (double)p->slots_done;
}
static double v_leases(const status_peer *p)
{
    return p->leases;
}
static double v_lease_age(const status_peer *p)
{
    return p->lease_age_s;
}
static double v_rate(const status_peer *p)
{
    return p->examples_per_s;
}
static double v_slot50(const status_peer *p)
{
    return p->step_ms_p50 / 1000.0;
}
static double v_slot99(const status_peer *p)
{
    return p->step_ms_p99 / 1000.0;
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

/* A family of one number for each process of one role, or (role 0) of all. */
typedef struct peer_family {
    uint32_t role;
    const char *name, *type, *help;
    peer_value *value;
} peer_family;

static const peer_family peer_families[] = {
    {0, "weft_peer_up", "gauge", "1 while it is heard of.", v_up},
    {0, "weft_peer_last_seen_seconds", "gauge", "Since its last message.", v_seen},
    {0, "weft_peer_resident_memory_bytes", "gauge", "Resident memory.", v_rss},
    {WIRE_WORKER, "weft_worker_slots_total", "counter", "Slots done.", v_slots},
    {WIRE_WORKER, "weft_worker_leases", "gauge", "Slots that it holds.", v_leases},
    {WIRE_WORKER, "weft_worker_lease_age_seconds", "gauge", "Age of its oldest lease.",
     v_lease_age},
    {WIRE_WORKER, "weft_worker_examples_per_second", "gauge", "Examples a second.", v_rate},
    {WIRE_WORKER, "weft_worker_slot_p50_seconds", "gauge", "Computing a slot, median.", v_slot50},
    {WIRE_WORKER, "weft_worker_slot_p99_seconds", "gauge", "Computing a slot, 99 %.", v_slot99},
    {WIRE_SERVER, "weft_server_rows", "gauge", "Rows held.", v_rows},
    {WIRE_SERVER, "weft_server_table_bytes", "gauge", "Bytes held.", v_bytes},
    {WIRE_SERVER, "weft_server_version", "gauge", "Rounds of the stage committed.", v_version},
    {WIRE_SERVER, "weft_server_checkpoint_step", "gauge", "Step of its last checkpoint.", v_saved},
    {WIRE_SERVER, "weft_server_pulls_total", "counter", "Pulls.", v_pulls},
    {WIRE_SERVER, "weft_server_pushes_total", "counter", "Pushes.", v_pushes},
    {WIRE_SERVER, "weft_server_repeats_total", "counter", "Repeated pushes.", v_repeats},
    {WIRE_SERVER, "weft_server_apply_p50_seconds", "gauge", "Applying a commit, median.",
     v_apply50},
    {WIRE_SERVER, "weft_server_apply_p99_seconds", "gauge", "Applying a commit, 99 %.", v_apply99},
    {WIRE_SAMPLER, "weft_sampler_batches_total", "counter", "Micro-batches built.", v_batches},
    {WIRE_SAMPLER, "weft_sampler_queue", "gauge", "Builds waiting.", v_queue},
    {WIRE_SAMPLER, "weft_sampler_remote_ratio", "gauge", "Share of leaves from other samplers.",
     v_remote},
};

static void put_peer_families(bytes_writer *b, const scheduler_status *s)
{
    for (size_t i = 0; i < sizeof peer_families / sizeof *peer_families; i++) {
        const peer_family *f = &peer_families[i];
        prometheus_family(b, f->name, f->type, f->help);
        if (!f->role || f->role == WIRE_WORKER)
            put_peers(b, f->name, s->worker, s->workers, f->value);
        if (!f->role || f->role == WIRE_SERVER)
            put_peers(b, f->name, s->server, s->servers, f->value);
        if (!f->role || f->role == WIRE_SAMPLER)
            put_peers(b, f->name, s->sampler, s->samplers, f->value);
    }
}

static void put_sizes(bytes_writer *b, const scheduler_status *s)
{
    gauge(b, "weft_workers", "Workers that are here.", s->workers_here);
    gauge(b, "weft_workers_wanted", "Workers that the job is to have.", s->workers_wanted);
    gauge(b, "weft_servers_wanted", "Servers that the job is to have.", s->servers_wanted);
    gauge(b, "weft_workers_useful", "Workers that the open step can keep busy: its slots.",
          s->slots);
    gauge(b, "weft_slots_open", "Slots of the open step that are not done.", s->slots_open);
}

char *status_metrics(const status_input *in, const status_disks *disks, const op_meter *meter)
{
    const scheduler_status *s = in->status;
    bytes_writer b;
    bytes_writer_init(&b);
    put_state(&b, s);
    put_training(&b, s);
    put_counters(&b, s);
    put_checkpoints(&b, in, disks);
    put_times(&b, s);
    put_sizes(&b, s);
    put_peer_families(&b, s);
    op_meter_write(meter, &b);
    process_metrics_write(&b);
    bytes_put_u8(&b, 0);
    return (char *)b.data;
}
