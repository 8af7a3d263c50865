#include "sampler/sampler_open.h"

#include "common/log.h"
#include "common/mem.h"
#include "common/store_path.h"
#include "sampler/store_copy.h"

#include <inttypes.h>
#include <stdlib.h>

static err_code open_node(const role_start *r, const char *folder, sampler_node **out)
{
    return sampler_node_new(r->job, folder, r->self, r->job->config->cluster.samplers, r->address,
                            out);
}

static err_code fetch(const role_start *r, bool again, char **folder)
{
    const manifest *m = r->job->manifest;
    uint32_t *partition = xcalloc(m->partitions + 1, sizeof *partition), n = 0;
    for (uint32_t p = 0; p < m->partitions; p++) {
        if (plan_partition_owner(p, r->job->config->cluster.samplers) == r->self.index)
            partition[n++] = p;
    }
    process_http_waits(r->http, "fetching its partitions from store.source");
    err_code rc = store_copy_fetch(r->config, m->prepare_hash, partition, n, again, role_check_stop,
                                   NULL, folder);
    if (rc == ERR_OK) log_info("store_fetched", "folder=\"%s\" partitions=%" PRIu32, *folder, n);
    free(partition);
    return rc;
}

err_code sampler_open(const role_start *r, sampler_node **out)
{
    char *folder = NULL;
    bool shared = r->config->store.source[0] != 0;
    err_code rc = shared ? fetch(r, false, &folder) : store_path_get(r->config, &folder);
    if (rc == ERR_OK) rc = open_node(r, folder, out);
    if (shared && rc == ERR_CORRUPT) {
        free(folder);
        folder = NULL;
        rc = fetch(r, true, &folder);
        if (rc == ERR_OK) rc = open_node(r, folder, out);
    }
    free(folder);
    return rc;
}
