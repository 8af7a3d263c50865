#include "deploy/job_command.h"

#include "common/log.h"
#include "common/mem.h"
#include "deploy/status_client.h"
#include "deploy/status_view.h"

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

err_code job_command_status(const endpoint_options *o, json_t **status)
{
    char *text = NULL, *url = xprintf("%s/api/v1/status", o->url);
    err_code rc = status_client_explain(url, status_client_get(url, o->token, &text));
    *status = rc == ERR_OK ? json_loads(text, 0, NULL) : NULL;
    if (rc == ERR_OK && !*status) {
        log_user_error("%s: the answer is no status of weft", url);
        rc = ERR_CORRUPT;
    }
    free(text);
    free(url);
    return rc;
}

bool job_command_is_there(const json_t *peer)
{
    const char *state = status_view_text(peer, "state", "lost");
    const char *life = status_view_text(peer, "incarnation", "0");
    bool seen = strspn(life, "0") < strlen(life); /* a server has a row before it comes */
    return seen && strcmp(state, "lost") != 0 && strcmp(state, "draining") != 0;
}
