#include "ps/server_node.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/numerics.h"
#include "common/process.h"
#include "common/slot.h"
#include "ps/checkpoint_files.h"
#include "ps/server_disk.h"
#include "ps/shard_copies.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct server_node {
    core_peer self;
    shard_model model;
    shard *shard;
    server_disk *disk, *pieces; /* pieces: of parts, from and for other servers */
    bool in_process;
    char address[CORE_TEXT_MAX];
};

/* What is there already, perhaps of an earlier run: nobody else sees into a folder of our
 * own. */
static uint32_t found_generation(const char *dir)
{
    checkpoint_entry *list;
    size_t n;
    uint32_t highest = 0;
    char why[CHECKPOINT_WHY_MAX];
    if (checkpoint_files_list(dir, &list, &n, why) != ERR_OK) {
        /* An order to read them says so, too. */
        log_warn("checkpoints_unread", "reason=\"%s\"", why);
        return 0;
    }
    for (size_t i = 0; i < n; i++) {
        if (list[i].id.generation > highest) highest = list[i].id.generation;
    }
    free(list);
    return highest;
}

server_node *server_node_new(const job *j, const config *own, core_peer self, const char *address,
                             bool in_process)
{
    server_node *n = xcalloc(1, sizeof *n);
    n->self = self;
    n->in_process = in_process;
    n->model = job_shard_model(j);
    snprintf(n->address, sizeof n->address, "%s", address);
    shard_config c = {.index = self.index,
                      .incarnation = self.incarnation,
                      .plan_hash = j->plan_hash,
                      .numerics = numerics_id(),
                      .address = n->address,
                      .model = &n->model,
                      .pid = (uint32_t)getpid(),
                      .max_norm = j->config->security.max_norm};
    char *dir = checkpoint_files_dir(own);
    if (j->config->checkpoint.copies > 1) c.found_generation = found_generation(dir);
    n->shard = shard_new(&c);
    n->disk = server_disk_new(dir);
    n->pieces = server_disk_new(dir);
    free(dir);
    return n;
}

void server_node_free(server_node *n)
{
    if (!n) return;
    server_disk_free(n->disk);
    server_disk_free(n->pieces);
    shard_free(n->shard);
    free(n);
}

/* Times the steps that change the tables: the core has no clock. */
static uint64_t step(void *core, const core_event *e, core_actions *out)
{
    shard *s = core;
    uint32_t op = e->type == CORE_MESSAGE ? e->message.header->op : 0;
    bool commits = shard_applies_on_arrival(s) ? op == WIRE_PUSH : op == WIRE_COMMIT;
    uint64_t start = commits ? clock_now_us() : 0;
    uint64_t next = shard_step(s, e, out);
    if (commits) shard_note_apply(s, clock_now_us() - start);
    return next;
}

static bool ready(void *user)
{
    const server_node *n = user;
    return shard_is_ready(n->shard);
}

static void idle(void *user, uint64_t now_us)
{
    (void)now_us;
    server_node *n = user;
    shard_note_rss(n->shard, process_rss_bytes());
}

/* The file that is at hand for longest; 0: none is. */
static uint64_t busy_since_us(const server_node *n)
{
    uint64_t a = server_disk_busy_since_us(n->disk), b = server_disk_busy_since_us(n->pieces);
    return !a || (b && b < a) ? b : a;
}

static void health(void *user, notify_health *out)
{
    const server_node *n = user;
    shard_stats s;
    shard_stats_get(n->shard, &s);
    out->ready = s.known;
    out->busy_since_us = busy_since_us(n);
    if (!s.known) {
        snprintf(out->status, sizeof out->status, "waiting for the scheduler");
    } else if (s.loading) {
        snprintf(out->status, sizeof out->status, "reading a checkpoint");
    } else if (!s.generation) {
        snprintf(out->status, sizeof out->status, "waiting for the other processes");
    } else {
        snprintf(out->status, sizeof out->status,
                 "%s version %" PRIu32 ", %" PRIu64 " rows, %.1f MB", stage_name(s.stage),
                 s.version, s.rows, (double)s.bytes / 1e6);
    }
}

static void refused(void *user, uint64_t total)
{
    server_node *n = user;
    shard_note_refused(n->shard, total);
}

static void compute(void *user, uint64_t token, uint32_t kind, const void *detail, shell_post *post,
                    void *shell)
{
    server_node *n = user;
    server_disk *d = kind == SHARD_GIVE || kind == SHARD_GET ? n->pieces : n->disk;
    /* The core lends the job until its result is back. */
    server_disk_start(d, token, kind, (void *)(uintptr_t)detail, post, shell);
    if (n->in_process) server_disk_stop(d); /* that shell takes results of its own thread */
}

static void stop(void *user)
{
    server_node *n = user;
    server_disk_stop(n->disk);
    server_disk_stop(n->pieces);
}

core_host server_node_host(server_node *n)
{
    return (core_host){.self = n->self,
                       .core = n->shard,
                       .step = step,
                       .user = n,
                       .compute = compute,
                       .stop = stop,
                       .refused = refused,
                       .ready = ready,
                       .idle = idle,
                       .health = health};
}
