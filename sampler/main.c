#include "common/role.h"
#include "common/store_path.h"
#include "sampler/sampler_node.h"

#include <stdlib.h>

/* weft-sampler: serves its partitions of the prepared store. */
int main(int argc, char **argv)
{
    role_start r;
    int code;
    if (role_begin(WIRE_SAMPLER, argc, argv, &r, &code)) {
        char *folder = NULL;
        sampler_node *n = NULL;
        err_code rc = store_path_get(r.config, &folder);
        if (rc == ERR_OK)
            rc = sampler_node_new(r.job, folder, r.self, r.job->config->cluster.samplers, r.address, &n);
        code = err_exit(rc);
        if (rc == ERR_OK) {
            core_host host = sampler_node_host(n);
            code = role_run(&r, &host);
        }
        sampler_node_free(n);
        free(folder);
    }
    role_finish(&r);
    return code;
}
