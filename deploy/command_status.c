#include "deploy/command_status.h"

#include "common/log.h"
#include "common/mem.h"
#include "deploy/endpoint_options.h"
#include "deploy/status_client.h"
#include "deploy/status_view.h"

#include <stdlib.h>
#include <string.h>

static err_code print_status(const char *url, const char *text, bool json)
{
    json_t *status = json_loads(text, 0, NULL);
    if (!json_is_object(status)) {
        log_user_error("%s: the answer is no status of weft", url);
        json_decref(status);
        return ERR_CORRUPT;
    }
    if (json) {
        fputs(text, stdout);
    } else {
        status_view_print(status, stdout);
    }
    json_decref(status);
    return fflush(stdout) == 0 ? ERR_OK : ERR_IO;
}

static err_code show(endpoint_options *o)
{
    char *text = NULL;
    err_code rc = endpoint_options_find(o, false);
    if (rc != ERR_OK) return rc;
    char *url = xprintf("%s/api/v1/status", o->url);
    rc = status_client_explain(url, status_client_get(url, o->token, &text));
    if (rc == ERR_OK) rc = print_status(url, text, o->cli.json);
    free(text);
    free(url);
    return rc;
}

int command_status(int argc, char **argv)
{
    endpoint_options o = {0};
    endpoint_options_parse("What a running job does: stage, progress, processes, events.", argc,
                           argv, &o);
    err_code rc = show(&o);
    endpoint_options_fini(&o);
    return err_exit(rc);
}
