#include "sampler/sampler_node.h"

#include "common/mem.h"
#include "common/numerics.h"
#include "common/process.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct sampler_node {
    core_peer self;
    job_sampler *data;
    sampler_loop *loop;
    char address[CORE_TEXT_MAX];
};

err_code sampler_node_new(const job *j, const char *store_folder, core_peer self, uint32_t samplers,
                          const char *address, sampler_node **out)
{
    sampler_node *n = xcalloc(1, sizeof *n);
    n->self = self;
    snprintf(n->address, sizeof n->address, "%s", address);
    err_code rc = job_sampler_open(j, store_folder, self.index, samplers, &n->data);
    if (rc != ERR_OK) {
        free(n);
        return rc;
    }
    sampler_loop_config c = {.index = self.index,
                             .samplers = samplers,
                             .incarnation = self.incarnation,
                             .plan_hash = j->plan_hash,
                             .numerics = numerics_id(),
                             .address = n->address,
                             .pid = (uint32_t)getpid(),
                             .ops = job_sampler_ops(n->data)};
    n->loop = sampler_loop_new(&c);
    *out = n;
    return ERR_OK;
}

void sampler_node_free(sampler_node *n)
{
    if (!n) return;
    sampler_loop_free(n->loop);
    job_sampler_close(n->data);
    free(n);
}

static uint64_t step(void *core, const core_event *e, core_actions *out)
{
    return sampler_loop_step(core, e, out);
}

static void idle(void *user, uint64_t now_us)
{
    (void)now_us;
    sampler_node *n = user;
    sampler_loop_note_rss(n->loop, process_rss_bytes());
}

static void health(void *user, notify_health *out)
{
    const sampler_node *n = user;
    sampler_loop_stats s;
    sampler_loop_stats_get(n->loop, &s);
    out->ready = s.known;
    if (!s.known) {
        snprintf(out->status, sizeof out->status, "waiting for the scheduler");
    } else {
        snprintf(out->status, sizeof out->status, "%" PRIu64 " micro-batches, %" PRIu64 " in the making",
                 s.batches, s.builds_open);
    }
}

static void refused(void *user, uint64_t total)
{
    sampler_node *n = user;
    sampler_loop_note_refused(n->loop, total);
}

core_host sampler_node_host(sampler_node *n)
{
    return (core_host){.self = n->self,
                       .core = n->loop,
                       .step = step,
                       .user = n,
                       .refused = refused,
                       .idle = idle,
                       .health = health};
}
