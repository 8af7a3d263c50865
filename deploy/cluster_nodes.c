#include "deploy/cluster_nodes.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/process.h"
#include "ps/run_state.h"
#include "ps/scheduler_node.h"
#include "ps/server_node.h"
#include "sampler/sampler_node.h"
#include "worker/worker_node.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

struct cluster_nodes {
    const config *config;
    inprocess *shell;
    scheduler_node *scheduler;
    server_node **server;   /* [servers] */
    sampler_node **sampler; /* [samplers] */
    worker_node **worker;   /* [workers] */
    bool told;              /* why it ended has been printed */
};

err_code cluster_nodes_open(const config *c, const char *run_dir, bool fresh, const char *from,
                            cluster_nodes **out)
{
    cluster_nodes *n = xcalloc(1, sizeof *n);
    n->config = c;
    n->server = xcalloc(c->cluster.servers, sizeof(server_node *));
    n->sampler = xcalloc(c->cluster.samplers, sizeof(sampler_node *));
    n->worker = xcalloc(c->cluster.workers, sizeof(worker_node *));
    scheduler_node_options o = {.config = c,
                                .run_dir = run_dir,
                                .incarnation = process_incarnation(),
                                .fresh = fresh,
                                .from = from,
                                .driver = true};
    err_code rc = run_state_check(run_dir, fresh, from);
    if (rc == ERR_OK) rc = scheduler_node_new(&o, &n->scheduler);
    if (rc != ERR_OK) {
        cluster_nodes_close(n);
        return rc;
    }
    n->shell = inprocess_new();
    core_host host = scheduler_node_host(n->scheduler);
    inprocess_add(n->shell, &host);
    *out = n;
    return ERR_OK;
}

void cluster_nodes_goodbye(cluster_nodes *n, int signal)
{
    enum { WAIT_MS = 20 };
    int code;
    const char *why;
    uint64_t end = clock_now_us() + CLUSTER_NODES_GOODBYE_MS * UINT64_C(1000);
    inprocess_stop(n->shell, WIRE_SCHEDULER, 0, signal);
    while (!inprocess_exited(n->shell, WIRE_SCHEDULER, 0, &code, &why) && clock_now_us() < end)
        inprocess_run(n->shell, WAIT_MS);
}

void cluster_nodes_close(cluster_nodes *n)
{
    if (!n) return;
    inprocess_free(n->shell);
    for (uint32_t i = 0; i < n->config->cluster.workers; i++) worker_node_free(n->worker[i]);
    for (uint32_t i = 0; i < n->config->cluster.samplers; i++) sampler_node_free(n->sampler[i]);
    for (uint32_t i = 0; i < n->config->cluster.servers; i++) server_node_free(n->server[i]);
    scheduler_node_free(n->scheduler);
    free(n->worker);
    free(n->sampler);
    free(n->server);
    free(n);
}

static core_peer member(uint32_t role, uint32_t index)
{
    return (core_peer){.role = role, .index = index, .incarnation = process_incarnation()};
}

err_code cluster_nodes_start(cluster_nodes *n, const job *j, const char *store_folder)
{
    const config *f = n->config;
    char address[64];
    for (uint32_t i = 0; i < f->cluster.servers; i++) {
        snprintf(address, sizeof address, "inprocess://server-%" PRIu32, i);
        n->server[i] = server_node_new(j, f, member(WIRE_SERVER, i), address, true);
        core_host host = server_node_host(n->server[i]);
        inprocess_add(n->shell, &host);
    }
    for (uint32_t i = 0; i < f->cluster.samplers; i++) {
        snprintf(address, sizeof address, "inprocess://sampler-%" PRIu32, i);
        err_code rc = sampler_node_new(j, store_folder, member(WIRE_SAMPLER, i),
                                       f->cluster.samplers, address, &n->sampler[i]);
        if (rc != ERR_OK) return rc;
        core_host host = sampler_node_host(n->sampler[i]);
        inprocess_add(n->shell, &host);
    }
    for (uint32_t i = 0; i < f->cluster.workers; i++) {
        n->worker[i] = worker_node_new(j, member(WIRE_WORKER, i), "", 0);
        core_host host = worker_node_host(n->worker[i]);
        inprocess_add(n->shell, &host);
    }
    return ERR_OK;
}

/* The first core of a role that ended with an error, the scheduler's reason before the others'. */
static err_code failed(cluster_nodes *n, uint32_t role, uint32_t count)
{
    int code;
    const char *why;
    for (uint32_t i = 0; i < count; i++) {
        if (!inprocess_exited(n->shell, role, i, &code, &why) || code == 0) continue;
        if (!n->told)
            log_user_error("the job failed: %s-%" PRIu32 ": %s", wire_role_name(role), i, why);
        n->told = true;
        return code == 2 ? ERR_INVALID : ERR_CLOSED;
    }
    return ERR_OK;
}

err_code cluster_nodes_run(cluster_nodes *n, uint32_t wait_ms)
{
    inprocess_run(n->shell, wait_ms);
    err_code rc = failed(n, WIRE_SCHEDULER, 1);
    if (rc == ERR_OK) rc = failed(n, WIRE_SERVER, n->config->cluster.servers);
    if (rc == ERR_OK) rc = failed(n, WIRE_SAMPLER, n->config->cluster.samplers);
    return rc == ERR_OK ? failed(n, WIRE_WORKER, n->config->cluster.workers) : rc;
}

err_code cluster_nodes_call(cluster_nodes *n, core_peer from, core_peer to, const wire_header *h,
                            blob *body, const atomic_int *stop, wire_header *answer,
                            blob **answer_body)
{
    err_code rc = inprocess_call(n->shell, from, to, h, body, stop, answer, answer_body);
    return rc == ERR_CLOSED && failed(n, WIRE_SCHEDULER, 1) == ERR_INVALID ? ERR_INVALID : rc;
}

char *cluster_nodes_status(const cluster_nodes *n)
{
    return scheduler_node_status(n->scheduler, clock_now_us());
}
