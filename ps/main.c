#include "common/role.h"
#include "ps/server_node.h"

/* weft-ps: one parameter server. */
int main(int argc, char **argv)
{
    role_start r;
    int code;
    if (role_begin(WIRE_SERVER, argc, argv, &r, &code)) {
        server_node *n = server_node_new(r.job, r.config, r.self, r.address, false);
        core_host host = server_node_host(n);
        code = role_run(&r, &host);
        server_node_free(n);
    }
    role_finish(&r);
    return code;
}
