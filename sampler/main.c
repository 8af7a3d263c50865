#include "common/role.h"
#include "sampler/sampler_open.h"

/* weft-sampler: serves its partitions of the prepared store. */
int main(int argc, char **argv)
{
    role_start r;
    int code;
    if (role_begin(WIRE_SAMPLER, argc, argv, &r, &code)) {
        sampler_node *n = NULL;
        err_code rc = sampler_open(&r, &n);
        code = rc == ERR_STOPPED ? 0 : err_exit(rc);
        if (rc == ERR_OK) {
            core_host host = sampler_node_host(n);
            code = role_run(&r, &host);
        }
        sampler_node_free(n);
    }
    role_finish(&r);
    return code;
}
