#include "deploy/command_replay.h"

#include "common/cli.h"
#include "common/job.h"
#include "common/log.h"
#include "common/store_path.h"
#include "deploy/compute_start.h"
#include "deploy/replay.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct options {
    cli_options common;
    const char *slot, *model;
} options;

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
    options *o = state->input;
    switch (key) {
    case ARGP_KEY_INIT: state->child_inputs[0] = &o->common; return 0;
    case 's': o->slot = arg; return 0;
    case 'm': o->model = arg; return 0;
    case ARGP_KEY_END:
        if (!o->slot) argp_error(state, "--slot is missing");
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option option_list[] = {
    {"slot", 's', "STAGE/EPOCH/STEP/SLOT", 0, "Which one: hgnn/1/345/0", 0},
    {"model", 'm', "DIR", 0, "Output of a finished job: its weights instead of the plan's first",
     0},
    {0}};
static const struct argp_child children[] = {{&cli_argp_job, 0, "Common options:", 0}, {0}};
static const struct argp replay_argp = {
    option_list,
    parse_option,
    NULL,
    "Computes one slot of a prepared job alone and says what it holds and whether every number is "
    "finite.",
    children,
    NULL,
    NULL};

/* Takes c. */
static err_code replay_job(config *c, const options *o, slot_name name)
{
    char *store = NULL;
    job *j = NULL;
    replay_result result = {0};
    err_code rc = store_path_get(c, &store);
    if (rc == ERR_OK) rc = job_load(c, store, &j);
    if (rc != ERR_OK) config_free(c);
    if (rc == ERR_OK) rc = replay_run(j, store, o->model, name, &result);
    if (rc == ERR_OK) rc = replay_print(j, &result, o->common.json, stdout);
    replay_fini(&result);
    job_free(j);
    free(store);
    return rc;
}

int command_replay(int argc, char **argv)
{
    options o = {0};
    slot_name name;
    config *c = NULL;
    char usage[] = "weft replay", *given = argv[1];
    argv[1] = usage; /* What usage messages begin with. */
    cli_parse(&replay_argp, argc - 1, argv + 1, &o);
    argv[1] = given;
    err_code rc = slot_parse(o.slot, &name) ? ERR_OK : ERR_INVALID;
    if (rc != ERR_OK) log_user_error("--slot: \"%s\" is not STAGE/EPOCH/STEP/SLOT", o.slot);
    if (rc == ERR_OK) rc = compute_start(&o.common, argv, &c);
    if (rc == ERR_OK) rc = replay_job(c, &o, name);
    cli_options_fini(&o.common);
    return err_exit(rc);
}
