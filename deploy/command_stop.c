#include "deploy/command_stop.h"

#include "common/log.h"
#include "common/mem.h"
#include "deploy/endpoint_options.h"
#include "deploy/status_client.h"

#include <stdio.h>
#include <stdlib.h>

static err_code stop(endpoint_options *o)
{
    char *text = NULL;
    err_code rc = endpoint_options_find(o, true);
    if (rc != ERR_OK) return rc;
    char *url = xprintf("%s/api/v1/stop", o->url);
    rc = status_client_explain(url, status_client_post(url, o->token, &text));
    if (rc == ERR_OK) puts(o->cli.json ? "{\"stopping\": true}" : "stopping");
    free(text);
    free(url);
    return rc == ERR_OK && fflush(stdout) != 0 ? ERR_IO : rc;
}

int command_stop(int argc, char **argv)
{
    endpoint_options o = {0};
    endpoint_options_parse(
        "Asks a running job to stop after a checkpoint; its `weft train` ends with 143.", argc,
        argv, &o);
    err_code rc = stop(&o);
    endpoint_options_fini(&o);
    return err_exit(rc);
}
