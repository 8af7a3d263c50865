#include "deploy/job_command.h"

#include "common/log.h"
#include "common/mem.h"
#include "deploy/status_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

err_code job_command_send(endpoint_options *o, const char *path, const char *json, const char *done)
{
    char *answer = NULL, *url = xprintf("%s%s", o->url, path);
    err_code rc = status_client_send(url, o->token, json, &answer);
    if (rc == ERR_MISMATCH) {
        log_user_error("%s: refused: %.*s", url, (int)strcspn(answer, "\r\n"), answer);
        rc = ERR_INVALID;
    } else {
        rc = status_client_explain(url, rc);
    }
    if (rc == ERR_OK) puts(o->cli.json ? json : done);
    free(answer);
    free(url);
    return rc == ERR_OK && fflush(stdout) != 0 ? ERR_IO : rc;
}
