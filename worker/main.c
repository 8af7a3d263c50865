#include "common/role.h"
#include "worker/worker_node.h"

/* weft-worker: computes gradients and rows of the slots it leases. */
int main(int argc, char **argv)
{
    role_start r;
    int code;
    if (role_begin(WIRE_WORKER, argc, argv, &r, &code)) {
        uint32_t threads = r.job->config->cluster.threads;
        worker_node *n = worker_node_new(r.job, r.self, "", threads ? threads : 1);
        core_host host = worker_node_host(n);
        code = role_run(&r, &host);
        worker_node_free(n);
    }
    role_finish(&r);
    return code;
}
