#include "deploy/command_plan.h"

#include "common/cli.h"
#include "deploy/compute_start.h"
#include "deploy/forecast_print.h"

#include <stdio.h>

enum { OPTION_RULES = 0x3800 };

typedef struct request {
    cli_options cli;
    bool rules;
} request;

static const struct argp_option option_list[] = {
    {"rules", OPTION_RULES, 0, 0,
     "Print Prometheus rules for the alert WeftMemoryOverPlan: the memory of each role", 0},
    {0}};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
    request *r = state->input;
    (void)arg;
    switch (key) {
    case ARGP_KEY_INIT: state->child_inputs[0] = &r->cli; return 0;
    case OPTION_RULES: r->rules = true; return 0;
    case ARGP_KEY_END:
        if (r->rules && r->cli.json) argp_error(state, "--rules and --json do not go together");
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

/* Takes c. */
static err_code forecast_job(config *c, const request *r)
{
    outlook *o = NULL;
    job *j = NULL;
    calibration speed;
    forecast f = {0};
    err_code rc = outlook_make(c, NULL, &o);
    if (rc == ERR_OK) rc = manifest_check_config(o->manifest, c);
    if (rc == ERR_OK) rc = job_new(c, o->manifest, &j);
    if (rc != ERR_OK) {
        config_free(c);
        outlook_free(o);
        return rc;
    }
    o->manifest = NULL; /* the job has it now */
    rc = calibrate(&speed);
    if (rc == ERR_OK) {
        forecast_make(j, o, &speed, &f);
        rc = r->rules ? forecast_print_rules(&f, stdout)
                      : forecast_print(j, o, &speed, &f, r->cli.json, stdout);
    }
    forecast_fini(&f);
    job_free(j);
    outlook_free(o);
    return rc;
}

int command_plan(int argc, char **argv)
{
    static const struct argp_child children[] = {{&cli_argp_data, 0, "Common options:", 0}, {0}};
    static const struct argp argp = {
        .options = option_list,
        .parser = parse_option,
        .doc = "Says what a job will need before anything starts: memory, disk, network and "
               "time of every role, and what bounds the cluster.  Sizes come from the "
               "configuration and the data, exactly where they are prepared already; times "
               "from about a second of measuring on this machine.",
        .children = children};
    request r = {0};
    config *c = NULL;
    char usage[] = "weft plan", *given = argv[1];
    argv[1] = usage; /* What usage messages begin with. */
    cli_parse(&argp, argc - 1, argv + 1, &r);
    argv[1] = given;
    err_code rc = compute_start(&r.cli, argv, &c);
    if (rc == ERR_OK) rc = forecast_job(c, &r);
    cli_options_fini(&r.cli);
    return err_exit(rc);
}
