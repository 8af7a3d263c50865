#include "deploy/command_drain.h"

#include "common/bytes.h"
#include "common/log.h"
#include "common/mem.h"
#include "deploy/job_command.h"
#include "deploy/status_view.h"

#include <stdlib.h>
#include <string.h>

static bool is_there(const json_t *worker)
{
    return strcmp(status_view_text(worker, "state", "lost"), "lost") != 0;
}

/* ERR_NOT_FOUND (printed, naming those that are there): no such worker. */
static err_code check_worker(const json_t *status, const char *id)
{
    bytes_writer list;
    size_t i;
    json_t *worker, *workers = json_object_get(status, "workers");
    bool found = false;
    bytes_writer_init(&list);
    json_array_foreach(workers, i, worker)
    {
        const char *own = status_view_text(worker, "id", "");
        if (!is_there(worker)) continue;
        found = found || strcmp(own, id) == 0;
        bytes_put(&list, " ", 1);
        bytes_put(&list, own, strlen(own));
    }
    bytes_put_u8(&list, 0);
    if (!found)
        log_user_error("no worker \"%s\": the job has%s", id,
                       list.len > 1 ? (const char *)list.data : " none");
    bytes_writer_fini(&list);
    return found ? ERR_OK : ERR_NOT_FOUND;
}

static err_code check(const endpoint_options *o)
{
    json_t *status;
    err_code rc = job_command_status(o, &status);
    if (rc == ERR_OK) rc = check_worker(status, o->argument);
    json_decref(status);
    return rc;
}

static err_code drain(endpoint_options *o)
{
    err_code rc = endpoint_options_find(o, true);
    if (rc == ERR_OK) rc = check(o);
    if (rc != ERR_OK) return rc;
    char *json =
        xprintf("{\"id\": \"%s\"}", o->argument); /* An id of the status: nothing to escape. */
    char *said = xprintf("%s is asked to leave", o->argument);
    rc = job_command_send(o, "/api/v1/drain", json, said);
    free(json);
    free(said);
    return rc;
}

int command_drain(int argc, char **argv)
{
    endpoint_options o = {.takes = "ID"};
    endpoint_options_parse("Lets one worker (worker-2) of a running job finish its slot and leave; "
                           "it is not replaced.",
                           argc, argv, &o);
    err_code rc = drain(&o);
    endpoint_options_fini(&o);
    return err_exit(rc);
}
