#include "ps/scheduler_node.h"

#include "common/clock.h"
#include "common/file_lock.h"
#include "common/files.h"
#include "common/http_server.h"
#include "common/job.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/numerics.h"
#include "common/panic.h"
#include "common/process.h"
#include "common/process_http.h"
#include "common/prometheus.h"
#include "common/store_path.h"
#include "common/token_file.h"
#include "ps/checkpoint_manifest.h"
#include "ps/checkpoint_metrics.h"
#include "ps/job_model.h"
#include "ps/metrics_log.h"
#include "ps/plan_text.h"
#include "ps/run_state.h"
#include "ps/scheduler_commands.h"
#include "ps/status_json.h"
#include "ps/status_metrics.h"
#include "ps/status_page.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

struct scheduler_node {
    const config *config;
    char *run_dir;
    core_peer self;
    metrics_log *log;
    scheduler *core;
    http_server *http;
    shell_post *post;
    void *shell;
    const op_meter *meter;
    char *checkpoint_dir;
    int checkpoint_lock; /* -1: none */
    char url[64];
    job *job; /* NULL until prepared */
    scheduler_plan plan;
    blob *encoded;
    uint64_t start_wall_s, start_us, last_step_us;
    bool driver;              /* that is what prepares: it is waited for */
    char line[CORE_TEXT_MAX]; /* the status in a line */
};

/* ---- The plan ---- */

static void adopt_job(scheduler_node *n, job *j)
{
    n->job = j;
    n->plan = job_scheduler_plan(j);
    n->encoded = job_encode(j);
}

/* Reads the manifest of the prepared store with a configuration of its own: the job owns it. */
static err_code load_job(const config *c, job **out)
{
    char *folder = NULL, *text = config_print(c, CONFIG_ALL);
    config *own = NULL;
    err_code rc = store_path_get(c, &folder);
    if (rc == ERR_OK) rc = config_parse(c->file ? c->file : "config", text, NULL, 0, &own);
    if (rc == ERR_OK) rc = job_load(own, folder, out);
    if (rc != ERR_OK) config_free(own);
    free(folder);
    free(text);
    return rc;
}

/* Says why the state of an earlier life cannot be gone on with; returns rc. */
static err_code explain(const scheduler_node *n, err_code rc)
{
    if (rc == ERR_MISMATCH) {
        log_user_error(
            "%s/scheduler.mdb: the state of a job with another plan; --fresh forgets it; where "
            "`evaluate` keys differ only, weft evaluate needs no training",
            n->run_dir);
        plan_text_differences(n->run_dir, n->config);
    }
    if (rc == ERR_CORRUPT)
        log_user_error("%s/scheduler.mdb: not the state of a job: --fresh forgets it", n->run_dir);
    return rc;
}

static err_code load_plan(scheduler_node *n)
{
    job *j = NULL;
    err_code rc = n->job ? ERR_OK : load_job(n->config, &j);
    if (!j) return rc;
    adopt_job(n, j);
    rc = explain(n, scheduler_set_plan(n->core, &n->plan, j->plan_hash, n->encoded));
    return rc == ERR_OK ? plan_text_write(n->run_dir, n->config) : rc;
}

/* ---- Checkpoints ---- */

static checkpoint_reason reason_of(const char *name)
{
    checkpoint_reason reason = CHECKPOINT_PERIODIC;
    bool known = checkpoint_reason_parse(name, &reason);
    ASSERT(known);
    return reason;
}

static err_code write_metrics(const scheduler_node *n, const char *dir,
                              const checkpoint_manifest *m, char *why)
{
    core_metric *metric = NULL;
    err_code rc = metrics_log_read(n->log, (size_t)m->metrics, &metric);
    snprintf(why, CHECKPOINT_WHY_MAX, "metrics: %s", err_name(rc));
    if (rc == ERR_OK) rc = checkpoint_metrics_write(dir, &m->id, metric, (size_t)m->metrics, why);
    free(metric);
    return rc;
}

/* Servers with folders of their own remove nothing from ours. */
static void prune_own(const char *dir, const scheduler_manifest *m)
{
    checkpoint_id keep[sizeof m->keep / sizeof *m->keep];
    checkpoint_id newest = {m->stage, m->generation, m->version, m->final};
    char why[CHECKPOINT_WHY_MAX];
    for (uint32_t i = 0; i < m->keep_n; i++) keep[i] = checkpoint_files_id(&m->keep[i]);
    err_code rc = checkpoint_files_prune(dir, &newest, keep, m->keep_n, NULL, why);
    if (rc != ERR_OK) log_warn("prune_failed", "reason=\"%s\"", why);
}

/* With two copies the servers have folders of their own, and who pins does it in ours.  Here a
 * snapshot goes one order before it goes there: told after each prune, they still have whatever can
 * be pinned.  After a going back, or a manifest that could not be written, it may be here for
 * longer: so it is also told whenever the core's thread comes round.  A folder that cannot be read
 * changes nothing. */
static void tell_pinned(scheduler_node *n)
{
    checkpoint_id id[SCHEDULER_PINNED_MAX];
    part_id pinned[SCHEDULER_PINNED_MAX];
    char why[CHECKPOINT_WHY_MAX];
    uint32_t count;
    if (n->config->checkpoint.copies < 2) return;
    if (checkpoint_files_pinned(n->checkpoint_dir, id, SCHEDULER_PINNED_MAX, &count, why) != ERR_OK)
        return;
    for (uint32_t i = 0; i < count; i++)
        pinned[i] = (part_id){.stage = id[i].stage,
                              .generation = id[i].generation,
                              .version = id[i].version,
                              .final = id[i].final};
    scheduler_set_pinned(n->core, pinned, count);
}

/* Writes the manifest beside the parts; the checkpoint counts by the durable state in any case. */
static err_code write_manifest(scheduler_node *n, const scheduler_manifest *m)
{
    checkpoint_id previous[SCHEDULER_STAGES_MAX];
    checkpoint_manifest_part *part = xcalloc(m->parts + 1, sizeof *part);
    char why[CHECKPOINT_WHY_MAX], *dir = checkpoint_files_dir(n->config);
    for (uint32_t i = 0; i < m->previous_n; i++) previous[i] = checkpoint_files_id(&m->previous[i]);
    for (size_t i = 0; i < m->parts; i++)
        part[i] = (checkpoint_manifest_part){m->part[i].shard, m->part[i].bytes, m->part[i].hash};
    checkpoint_manifest x = {.job = n->config->job,
                             .numerics = numerics_id(),
                             .plan_hash = n->job->plan_hash,
                             .id = {m->stage, m->generation, m->version, m->final},
                             .stage_index = m->stage_index,
                             .epoch = m->epoch,
                             .step = m->step,
                             .reason = reason_of(m->reason),
                             .shards = m->shards,
                             .servers = m->servers,
                             .copies = m->copies > 1 ? m->copies : 0,
                             .metrics = m->metrics,
                             .previous = previous,
                             .previous_n = m->previous_n,
                             .part = part,
                             .parts = (uint32_t)m->parts,
                             .state = m->record,
                             .state_bytes = m->record_bytes};
    err_code rc = write_metrics(n, dir, &x, why);
    if (rc == ERR_OK) rc = checkpoint_manifest_write(dir, &x, why);
    if (rc != ERR_OK) log_error("manifest_failed", "reason=\"%s\"", why);
    if (rc == ERR_OK && m->copies > 1) prune_own(dir, m);
    tell_pinned(n);
    free(part);
    free(dir);
    return rc;
}

static void compute(void *user, uint64_t token, uint32_t kind, const void *detail, shell_post *post,
                    void *shell)
{
    scheduler_node *n = user;
    post(shell, token, kind == SCHEDULER_LOAD_PLAN ? load_plan(n) : write_manifest(n, detail),
         NULL);
}

/* ---- Status ---- */

static status_input input_of(const scheduler_node *n, const scheduler_status *s)
{
    return (status_input){.status = s,
                          .config = n->config,
                          .stages = n->job ? n->plan.stage : NULL,
                          .stages_n = n->job ? n->plan.stages : 0,
                          .partitions = n->job ? n->job->manifest->partitions : 0,
                          .start_wall_s = n->start_wall_s,
                          .start_us = n->start_us};
}

char *scheduler_node_status(const scheduler_node *n, uint64_t now_us)
{
    scheduler_status s;
    scheduler_status_get(n->core, now_us, &s);
    status_input in = input_of(n, &s);
    char *text = status_json(&in);
    scheduler_status_fini(&s);
    return text;
}

/* For those who ask when nobody answers any more. */
static void leave_status(const scheduler_node *n)
{
    scheduler_status s;
    uint64_t now = clock_now_us();
    scheduler_status_get(n->core, now, &s);
    status_input in = input_of(n, &s);
    in.end_us = now;
    char *text = status_json(&in), *path = files_join(n->run_dir, SCHEDULER_LAST_STATUS);
    bool is_over = s.state == JOB_STOPPING || s.state == JOB_DONE || s.state == JOB_FAILED;
    if (is_over && files_write_atomic(path, text, strlen(text), 0644) != ERR_OK)
        log_warn("status_not_left", "path=\"%s\"", path);
    free(path);
    free(text);
    scheduler_status_fini(&s);
}

static void say_line(scheduler_node *n, const scheduler_status *s)
{
    char waits[CORE_TEXT_MAX] = "", at[64] = "";
    if (s->is_waiting)
        snprintf(waits, sizeof waits, ", waiting for %.100s of %s", s->waiting_for,
                 s->waiting_whom);
    if (s->steps)
        snprintf(at, sizeof at, " %s step %" PRIu32 " of %" PRIu32, stage_name(s->stage), s->step,
                 s->steps);
    snprintf(n->line, sizeof n->line, "%s%s%.160s", job_state_name(s->state), at, waits);
}

static void health(void *user, notify_health *out)
{
    const scheduler_node *n = user;
    out->ready = n->job != NULL || n->driver;
    memcpy(out->status, n->line, sizeof out->status);
}

static void space_of(const char *path, uint64_t *available, uint64_t *size)
{
    struct statvfs v;
    *available = *size = 0;
    if (statvfs(path, &v) != 0) return; /* not made yet: made when it is needed */
    *available = (uint64_t)v.f_bavail * v.f_frsize;
    *size = (uint64_t)v.f_blocks * v.f_frsize;
}

static status_disks disks_of(const scheduler_node *n)
{
    status_disks d;
    space_of(n->config->work_dir, &d.work_free, &d.work_size);
    space_of(n->checkpoint_dir, &d.checkpoint_free, &d.checkpoint_size);
    return d;
}

static void publish(void *user, uint64_t now_us)
{
    scheduler_node *n = user;
    tell_pinned(n);
    if (!n->http) return;
    scheduler_status s;
    scheduler_status_get(n->core, now_us, &s);
    status_input in = input_of(n, &s);
    status_disks disks = disks_of(n);
    char *json = status_json(&in), *metrics = status_metrics(&in, &disks, n->meter);
    http_publish(n->http, "/api/v1/status", "application/json", json);
    http_publish(n->http, "/metrics", PROMETHEUS_CONTENT_TYPE, metrics);
    http_publish_status(n->http, "/healthz", "text/plain", "ok\n", 200, PROCESS_HTTP_HANGS_MS);
    http_publish_status(n->http, "/readyz", "text/plain", n->job ? "ready\n" : "preparing\n",
                        n->job ? 200 : 503, 0);
    say_line(n, &s);
    free(json);
    free(metrics);
    scheduler_status_fini(&s);
}

/* On the HTTP server's thread. */
static unsigned on_post(void *user, const char *path, const char *body, char **answer)
{
    const scheduler_node *n = user;
    scheduler_post p = scheduler_post_parse(path, body, n->config->checkpoint.copies);
    for (uint32_t i = 0; i < p.tokens; i++) n->post(n->shell, p.token[i], ERR_OK, NULL);
    *answer = xstrdup(p.answer);
    return p.status;
}

static char *fresh_token(void)
{
    return xprintf("%016" PRIx64 "%016" PRIx64, process_incarnation(), process_incarnation());
}

/* The configured token, or a fresh one in run_dir/token. */
static err_code make_token(const scheduler_node *n, char **out)
{
    const char *file = n->config->http.token_file;
    if (file[0]) return token_file_read(file, out);
    *out = fresh_token();
    char *path = files_join(n->run_dir, "token");
    err_code rc = files_write_atomic(path, *out, strlen(*out), 0600);
    free(path);
    return rc;
}

static err_code start_http(scheduler_node *n)
{
    char *token = NULL;
    err_code rc = make_token(n, &token);
    bool loopback = strncmp(n->config->http.bind, "127.", 4) == 0;
    http_options o = {.bind = n->config->http.bind,
                      .token = loopback || n->config->http.token_file[0] ? token : NULL,
                      .on_post = on_post,
                      .user = n};
    if (rc == ERR_OK) rc = http_start(&o, &n->http, n->url);
    token_free(token);
    if (rc != ERR_OK) return rc;
    http_publish(n->http, "/", "text/html; charset=utf-8", status_page_html);
    http_publish_status(n->http, "/readyz", "text/plain", "starting\n", 503, 0);
    http_publish(n->http, "/healthz", "text/plain", "ok\n");
    char *metrics = files_join(n->run_dir, "metrics.jsonl");
    http_publish_file(n->http, "/api/v1/metrics.jsonl", "application/jsonl", metrics);
    free(metrics);
    char *path = files_join(n->run_dir, "url");
    rc = files_write_atomic(path, n->url, strlen(n->url), 0644);
    free(path);
    log_info("status_endpoint", "url=%s", n->url);
    return rc;
}

/* ---- The node ---- */

static void remove_file(const scheduler_node *n, const char *name)
{
    char *path = files_join(n->run_dir, name);
    unlink(path);
    free(path);
}

static void on_metric(void *user, const core_metric *m)
{
    scheduler_node *n = user;
    uint64_t now = clock_now_us();
    if (m->kind == METRIC_CUT) {
        err_code rc = metrics_log_cut(n->log, m->index);
        (void)rc; /* logged; what stays is overwritten, index by index */
        return;
    }
    metrics_log_add(n->log, n->job, m, (double)(now - n->last_step_us) / 1e6);
    n->last_step_us = now;
}

static err_code on_persist(void *user, const void *bytes, size_t size)
{
    scheduler_node *n = user;
    return metrics_log_persist(n->log, bytes, size);
}

static scheduler_config core_config(const scheduler_node *n, const scheduler_node_options *o)
{
    const config *c = o->config;
    return (scheduler_config){
        .incarnation = o->incarnation,
        .job = c->job,
        .servers = c->cluster.servers,
        .samplers = c->cluster.samplers,
        .workers = c->cluster.workers,
        .virtual_shards = c->cluster.virtual_shards,
        .copies = c->checkpoint.copies,
        .checkpoint_every_us = (uint64_t)c->checkpoint.every_ms * 1000u,
        .numerics = numerics_id(),
        .numerics_strict = c->train.numerics_strict,
        .config = n->encoded,
        .max_void_slots = c->train.max_void_slots,
        .stall_timeout_us = (uint64_t)c->train.stall_timeout_ms * 1000u,
        .on_done_wait = c->cluster.on_done_wait,
        .driver = o->driver,
        .pid = (uint32_t)getpid(),
    };
}

/* The names of checkpoints do not say whose they are: two jobs would remove each other's. */
static err_code take_checkpoints(scheduler_node *n)
{
    const char *dir = n->checkpoint_dir;
    err_code rc = files_exist(dir) ? ERR_OK : files_make_dirs(dir);
    if (rc == ERR_OK) rc = file_lock_folder(dir, &n->checkpoint_lock);
    if (rc != ERR_LIMIT) return ERR_OK; /* what is wrong with it shows when one is written */
    log_user_error(
        "checkpoint.dir: another job keeps its checkpoints in %s: one folder is for one job", dir);
    return ERR_INVALID;
}

err_code scheduler_node_new(const scheduler_node_options *o, scheduler_node **out)
{
    scheduler_node *n = xcalloc(1, sizeof *n);
    n->config = o->config;
    n->run_dir = xstrdup(o->run_dir);
    n->driver = o->driver;
    n->self = (core_peer){.role = WIRE_SCHEDULER, .incarnation = o->incarnation};
    n->post = o->post;
    n->shell = o->shell;
    n->meter = o->meter;
    n->checkpoint_dir = checkpoint_files_dir(o->config);
    n->start_wall_s = clock_wall_s();
    n->start_us = n->last_step_us = clock_now_us();
    n->checkpoint_lock = -1;
    job *j = NULL;
    err_code rc = take_checkpoints(n);
    if (rc == ERR_OK) rc = run_state_open(o->config, o->run_dir, o->fresh, o->from, &n->log);
    if (rc == ERR_OK && !o->driver) rc = load_job(o->config, &j);
    if (j) adopt_job(n, j);
    if (rc == ERR_OK) {
        scheduler_config c = core_config(n, o);
        scheduler_durable durable = metrics_log_durable(n->log);
        rc = explain(
            n, scheduler_new(&c, j ? &n->plan : NULL, j ? j->plan_hash : 0, &durable, &n->core));
    }
    if (rc == ERR_OK && o->http) rc = start_http(n);
    if (rc == ERR_OK) remove_file(n, SCHEDULER_LAST_STATUS);
    if (rc != ERR_OK) {
        scheduler_node_free(n);
        return rc;
    }
    publish(n, clock_now_us());
    *out = n;
    return ERR_OK;
}

void scheduler_node_free(scheduler_node *n)
{
    if (!n) return;
    if (n->core) leave_status(n);
    if (n->http) {
        remove_file(n, "url");
        if (!n->config->http.token_file[0]) remove_file(n, "token");
    }
    http_stop(n->http);
    scheduler_free(n->core);
    metrics_log_close(n->log);
    blob_unref(n->encoded);
    job_free(n->job);
    if (n->checkpoint_lock >= 0) close(n->checkpoint_lock);
    free(n->checkpoint_dir);
    free(n->run_dir);
    free(n);
}

static uint64_t step(void *core, const core_event *e, core_actions *out)
{
    return scheduler_step(core, e, out);
}

static void on_refused(void *user, uint64_t total)
{
    scheduler_node *n = user;
    scheduler_note_refused(n->core, total);
}

core_host scheduler_node_host(scheduler_node *n)
{
    return (core_host){.self = n->self,
                       .core = n->core,
                       .step = step,
                       .user = n,
                       .compute = compute,
                       .persist = on_persist,
                       .metric = on_metric,
                       .refused = on_refused,
                       .idle = publish,
                       .health = health};
}

const char *scheduler_node_url(const scheduler_node *n)
{
    return n->url;
}
