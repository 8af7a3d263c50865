#include "deploy/cluster.h"

#include "common/clock.h"
#include "common/files.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/process.h"
#include "common/proto_alloc.h"
#include "common/role.h"
#include "deploy/cluster_nodes.h"
#include "deploy/cluster_processes.h"
#include "deploy/cluster_remote.h"
#include "deploy/work_lock.h"
#include "proto/weft.pb-c.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { TELL_US = 1000000, END_BYTES_MAX = 65536 };

struct cluster {
    const atomic_int *stop;
    core_peer self;
    char *run_dir, *metrics_path;
    work_lock lock;
    Weft__Progress progress; /* where the driver is: told again and again */
    uint64_t told_us;
    cluster_nodes *nodes;         /* in-process; NULL otherwise */
    cluster_remote *remote;       /* started by others; NULL otherwise */
    cluster_processes *processes; /* started by us; NULL otherwise */
};

err_code cluster_open(const cluster_options *o, cluster **out)
{
    cluster *c = xcalloc(1, sizeof *c);
    c->stop = o->stop;
    c->self = (core_peer){.role = WIRE_DRIVER, .incarnation = process_incarnation()};
    c->run_dir = files_join(o->config->work_dir, "run");
    /* The scheduler may write in the same folder: what is brought from it has another name. */
    c->metrics_path =
        files_join(c->run_dir, o->attach ? "metrics.attached.jsonl" : "metrics.jsonl");
    work_lock_init(&c->lock);
    weft__progress__init(&c->progress);
    c->progress.version = 1;
    c->progress.attached = o->attach;
    c->progress.job = o->config->job;
    err_code rc = role_enter_run_dir(o->config);
    if (rc == ERR_OK) rc = work_lock_take(&c->lock, c->run_dir, o->stop);
    if (rc == ERR_OK && o->in_process) {
        rc = cluster_nodes_open(o->config, c->run_dir, o->fresh, o->from, &c->nodes);
    } else if (rc == ERR_OK && o->attach) {
        rc = cluster_remote_open(o, c->self, &c->remote);
    } else if (rc == ERR_OK) {
        rc = cluster_processes_open(o, c->run_dir, c->self, &c->processes);
    }
    if (rc != ERR_OK) {
        cluster_close(c);
        return rc;
    }
    *out = c;
    return ERR_OK;
}

void cluster_close(cluster *c)
{
    if (!c) return;
    cluster_processes_close(c->processes);
    if (c->remote) unlink(c->metrics_path);
    cluster_remote_close(c->remote);
    int signal = c->stop ? atomic_load(c->stop) : 0;
    if (c->nodes && signal) cluster_nodes_goodbye(c->nodes, signal);
    cluster_nodes_close(c->nodes);
    work_lock_drop(&c->lock);
    free(c->metrics_path);
    free(c->run_dir);
    free(c);
}

static err_code call(cluster *c, core_peer to, const char *address, const wire_header *h,
                     blob *body, wire_header *answer, blob **answer_body)
{
    if (c->nodes)
        return cluster_nodes_call(c->nodes, c->self, to, h, body, c->stop, answer, answer_body);
    if (c->remote) return cluster_remote_call(c->remote, address, h, body, answer, answer_body);
    return cluster_processes_call(c->processes, address, h, body, answer, answer_body);
}

static err_code try_scheduler(cluster *c, const wire_header *h, blob *body, wire_header *answer,
                              blob **answer_body)
{
    return c->remote ? cluster_remote_try(c->remote, h, body, answer, answer_body)
                     : cluster_processes_try(c->processes, h, body, answer, answer_body);
}

static err_code take_known_end(cluster *c, const Weft__JobEnd *end)
{
    char goes_on[64] = "";
    if (end->stage > STAGE_NONE && end->stage < STAGE_COUNT)
        snprintf(goes_on, sizeof goes_on, "; it goes on from %s step %" PRIu32,
                 stage_name(end->stage), end->step);
    return cluster_remote_over(c->remote, end->state, end->why, goes_on);
}

/* A job that others have started is over when its scheduler says so: we see nobody exit. */
static err_code take_end(cluster *c, const blob *body)
{
    proto_alloc arena;
    if (!blob_size(body)) return ERR_OK;
    proto_alloc_init(&arena, END_BYTES_MAX);
    const Weft__JobEnd *end =
        proto_unpack(&arena, &weft__job_end__descriptor, body, WIRE_CONTROL_MAX);
    err_code rc = end ? take_known_end(c, end) : ERR_CORRUPT;
    if (!end) log_error("progress_malformed", "bytes=%zu", blob_size(body));
    proto_alloc_fini(&arena);
    return rc;
}

/* Where others have started the scheduler, another job's may be at its address. */
static err_code refused(cluster *c, const wire_header *answer, const blob *body)
{
    char why[CORE_TEXT_MAX];
    int n = (int)(blob_size(body) < sizeof why ? blob_size(body) : sizeof why - 1);
    snprintf(why, sizeof why, "%.*s", n, n ? (const char *)blob_data(body) : "");
    if (c->remote) return cluster_remote_foreign(c->remote, why);
    log_error("progress_refused", "status=%s why=\"%s\"", wire_status_name(answer->status), why);
    return ERR_MISMATCH;
}

static bool is_due(const cluster *c)
{
    return clock_now_us() - c->told_us >= TELL_US;
}

/* Tells the scheduler where the driver is.  wait: until it has heard it; else one that is away
 * hears it with the next one: what it says is a state, and a scheduler in a new life knows nothing.
 */
static err_code tell(cluster *c, bool wait)
{
    size_t bytes = weft__progress__get_packed_size(&c->progress);
    blob *body = blob_new(bytes), *answer_body = NULL;
    weft__progress__pack(&c->progress, blob_writable(body));
    wire_header h = wire_request(WIRE_PROGRESS), answer = {0};
    core_peer to = {.role = WIRE_SCHEDULER};
    err_code rc = c->nodes || wait ? call(c, to, NULL, &h, body, &answer, &answer_body)
                                   : try_scheduler(c, &h, body, &answer, &answer_body);
    blob_unref(body);
    c->told_us = clock_now_us();
    if (rc == ERR_NOT_FOUND) return ERR_OK;
    if (rc == ERR_OK && answer.status != WIRE_OK)
        rc = refused(c, &answer, answer_body);
    else if (rc == ERR_OK && c->remote)
        rc = take_end(c, answer_body);
    blob_unref(answer_body);
    return rc;
}

err_code cluster_call(cluster *c, core_peer to, const char *address, const wire_header *h,
                      blob *body, wire_header *answer, blob **answer_body)
{
    /* One call after another, for long: who is not heard of is not told of the end. */
    err_code rc = c->remote && is_due(c) ? tell(c, false) : ERR_OK;
    return rc == ERR_OK ? call(c, to, address, h, body, answer, answer_body) : rc;
}

static void set_progress(cluster *c, uint32_t stage, uint64_t done, uint64_t total)
{
    c->progress.stage = stage;
    c->progress.done = done;
    c->progress.total = total;
}

err_code cluster_progress(cluster *c, uint32_t stage, uint64_t done, uint64_t total)
{
    set_progress(c, stage, done, total);
    return tell(c, false);
}

err_code cluster_start(cluster *c, const job *j, const char *store_folder)
{
    set_progress(c, STAGE_PREPARE, 1, 1);
    c->progress.prepared = true;
    c->progress.plan_hash = j->plan_hash;
    if (c->remote) cluster_remote_planned(c->remote, j->plan_hash);
    err_code rc = tell(c, true);
    if (rc != ERR_OK) return rc;
    if (c->nodes) return cluster_nodes_start(c->nodes, j, store_folder);
    if (c->remote) return ERR_OK;
    return cluster_processes_start(c->processes);
}

err_code cluster_run(cluster *c, uint32_t wait_ms)
{
    if (c->stop && atomic_load(c->stop)) return ERR_STOPPED;
    if (c->nodes) return cluster_nodes_run(c->nodes, wait_ms);
    err_code rc = is_due(c) ? tell(c, false) : ERR_OK;
    if (rc != ERR_OK) return rc;
    return c->remote ? cluster_remote_run(c->remote, wait_ms)
                     : cluster_processes_run(c->processes, wait_ms);
}

char *cluster_status(cluster *c)
{
    if (c->nodes) return cluster_nodes_status(c->nodes);
    return c->remote ? cluster_remote_status(c->remote) : cluster_processes_status(c->processes);
}

const char *cluster_url(const cluster *c)
{
    if (c->remote) return cluster_remote_url(c->remote);
    return c->processes ? cluster_processes_url(c->processes) : "";
}

err_code cluster_metrics(cluster *c)
{
    return c->remote ? cluster_remote_metrics(c->remote, c->metrics_path) : ERR_OK;
}

const char *cluster_metrics_path(const cluster *c)
{
    return c->metrics_path;
}

err_code cluster_finish(cluster *c)
{
    set_progress(c, STAGE_EXPORT, 1, 1);
    c->progress.finished = true;
    err_code rc = tell(c, true);
    return rc == ERR_OK && c->processes ? cluster_processes_finish(c->processes) : rc;
}

cluster_facts cluster_get_facts(const cluster *c)
{
    if (c->processes) return cluster_processes_facts(c->processes);
    cluster_facts f = {0};
    f.peak_rss[WIRE_DRIVER] = process_peak_rss_bytes();
    return f;
}
