#include "deploy/command_scale.h"

#include "common/log.h"
#include "common/mem.h"
#include "deploy/job_command.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { POLL_US = 50000, POLLS = 40 };

/* The value of --workers or --servers: they are short for --set cluster...=N.  ERR_INVALID
 * (printed): not a number.  *n 0: not given. */
static err_code take_count(const endpoint_options *o, const char *name, unsigned long *n)
{
    char *set = xprintf("cluster.%s=", name);
    size_t bytes = strlen(set);
    err_code rc = ERR_OK;
    *n = 0;
    for (size_t i = 0; i < o->cli.sets_n; i++) {
        if (strncmp(o->cli.sets[i], set, bytes) != 0) continue;
        const char *text = o->cli.sets[i] + bytes;
        char *end;
        errno = 0;
        *n = strtoul(text, &end, 10);
        if (*text >= '0' && *text <= '9' && !*end && !errno && *n) continue;
        log_user_error("--%s: \"%s\" is not a number above 0", name, text);
        rc = ERR_INVALID;
    }
    free(set);
    return rc;
}

/* How many of a role the status has that are there. */
static unsigned long count_there(const json_t *status, const char *role)
{
    size_t i;
    unsigned long n = 0;
    const json_t *peer;
    json_array_foreach(json_object_get(status, role), i, peer) n += job_command_is_there(peer);
    return n;
}

static void advise_workers(unsigned long wanted, unsigned long here)
{
    if (here > wanted)
        log_user_error("%lu workers wanted, %lu present: nobody here ends workers: weft drain "
                       "lets one leave",
                       wanted, here);
    if (here >= wanted) return;
    log_user_error("%lu workers wanted, %lu present: nobody here starts workers; start them with "
                   "weft-worker -c FILE, or weft-worker --scheduler ADDRESS --keys DIR",
                   wanted, here);
}

static void advise_servers(unsigned long wanted, unsigned long here)
{
    if (here >= wanted) return;
    log_user_error("%lu servers wanted, %lu present: nobody here starts servers; start them with "
                   "weft-ps -c FILE --index N, N from %lu to %lu",
                   wanted, here, here, wanted - 1);
}

static bool knows(const json_t *status, const char *role, unsigned long n)
{
    const json_t *wanted = json_object_get(json_object_get(status, "wanted"), role);
    return !n || json_integer_value(wanted) == (json_int_t)n;
}

/* The status as it is after the command: what is published may be from before. */
static err_code status_after(const endpoint_options *o, unsigned long workers,
                             unsigned long servers, json_t **status)
{
    err_code rc = job_command_status(o, status);
    for (int i = 0; i < POLLS && rc == ERR_OK; i++) {
        if (knows(*status, "workers", workers) && knows(*status, "servers", servers)) break;
        json_decref(*status);
        usleep(POLL_US);
        rc = job_command_status(o, status);
    }
    return rc;
}

/* Where no `weft train` looks after the processes: who asks has to start and end them. */
static void advise(const endpoint_options *o, unsigned long workers, unsigned long servers)
{
    json_t *status;
    if (status_after(o, workers, servers, &status) != ERR_OK)
        return; /* printed; the command has arrived */
    if (!json_is_true(json_object_get(json_object_get(status, "wanted"), "supervised"))) {
        if (workers) advise_workers(workers, count_there(status, "workers"));
        if (servers) advise_servers(servers, count_there(status, "servers"));
    }
    json_decref(status);
}

static const char *plural(unsigned long n)
{
    return n == 1 ? "" : "s";
}

static err_code scale(endpoint_options *o)
{
    unsigned long workers, servers;
    char w[48] = "", s[48] = "", said_w[48] = "", said_s[48] = "";
    err_code rc = take_count(o, "workers", &workers);
    if (rc == ERR_OK) rc = take_count(o, "servers", &servers);
    if (rc == ERR_OK && !workers && !servers) {
        log_user_error("give --workers N or --servers N");
        rc = ERR_INVALID;
    }
    if (rc == ERR_OK) rc = endpoint_options_find(o, true);
    if (rc != ERR_OK) return rc;
    if (workers) snprintf(w, sizeof w, "\"workers\": %lu", workers);
    if (servers) snprintf(s, sizeof s, "\"servers\": %lu", servers);
    if (workers) snprintf(said_w, sizeof said_w, "%lu worker%s", workers, plural(workers));
    if (servers) snprintf(said_s, sizeof said_s, "%lu server%s", servers, plural(servers));
    bool both = workers && servers;
    char *json = xprintf("{%s%s%s}", w, both ? ", " : "", s);
    char *said = xprintf("asked for %s%s%s", said_w, both ? " and " : "", said_s);
    rc = job_command_send(o, "/api/v1/scale", json, said);
    if (rc == ERR_OK) advise(o, workers, servers);
    free(json);
    free(said);
    return rc;
}

int command_scale(int argc, char **argv)
{
    endpoint_options o = {.counts = true};
    endpoint_options_parse("Changes the number of workers (--workers N) or parameter servers "
                           "(--servers N) that a running `weft train` has on its machine. Of a job "
                           "whose processes others start it says how many are missing.",
                           argc, argv, &o);
    err_code rc = scale(&o);
    endpoint_options_fini(&o);
    return err_exit(rc);
}
