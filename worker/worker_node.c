#include "worker/worker_node.h"

#include "common/mem.h"
#include "common/numerics.h"
#include "common/process.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct worker_node {
    const job *job;
    core_peer self;
    engine *engine;
    worker_plan plan;
    worker_loop *loop;
    bool threaded;
};

static uint32_t partition_of(void *ctx, slot_name name)
{
    const job *j = ctx;
    plan_work work;
    return plan_slot(j->plan, name, &work) ? work.partition : 0;
}

worker_node *worker_node_new(const job *j, core_peer self, const char *address, uint32_t threads)
{
    worker_node *n = xcalloc(1, sizeof *n);
    n->job = j;
    n->self = self;
    n->threaded = threads > 0;
    n->engine = engine_new(j, threads);
    if (n->threaded) engine_start(n->engine);
    n->plan = (worker_plan){.ctx = (void *)(uintptr_t)j, .partition = partition_of};
    worker_loop_config c = {.index = self.index,
                            .incarnation = self.incarnation,
                            .plan_hash = j->plan_hash,
                            .numerics = numerics_id(),
                            .address = address,
                            .pid = (uint32_t)getpid(),
                            .plan = &n->plan};
    n->loop = worker_loop_new(&c);
    return n;
}

void worker_node_free(worker_node *n)
{
    if (!n) return;
    engine_stop(n->engine);
    worker_loop_free(n->loop);
    engine_free(n->engine);
    free(n);
}

static uint64_t step(void *core, const core_event *e, core_actions *out)
{
    return worker_loop_step(core, e, out);
}

static void compute(void *user, uint64_t token, uint32_t kind, const void *detail, shell_post *post,
                    void *shell)
{
    worker_node *n = user;
    engine_compute(n->engine, token, kind, detail, post, shell);
}

static void idle(void *user, uint64_t now_us)
{
    (void)now_us;
    worker_node *n = user;
    worker_loop_note_rss(n->loop, process_rss_bytes());
}

static void health(void *user, notify_health *out)
{
    const worker_node *n = user;
    worker_loop_stats s;
    worker_loop_stats_get(n->loop, &s);
    out->ready = s.known;
    out->busy_since_us = engine_busy_since(n->engine);
    if (!s.known) {
        snprintf(out->status, sizeof out->status, "waiting for the scheduler");
    } else {
        snprintf(out->status, sizeof out->status, "%" PRIu64 " slots done, %" PRIu32 " held",
                 s.slots_done, s.leases);
    }
}

static void stop(void *user)
{
    worker_node *n = user;
    engine_stop(n->engine);
}

core_host worker_node_host(worker_node *n)
{
    return (core_host){.self = n->self,
                       .core = n->loop,
                       .step = step,
                       .user = n,
                       .compute = compute,
                       .done = engine_done,
                       .idle = idle,
                       .health = health,
                       .stop = stop};
}
