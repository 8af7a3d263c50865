#include "deploy/command_plan.h"

#include "common/cli.h"
#include "deploy/compute_start.h"
#include "deploy/forecast_print.h"

#include <stdio.h>

/* Takes c. */
static err_code forecast_job(config *c, bool json)
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
        rc = forecast_print(j, o, &speed, &f, json, stdout);
    }
    forecast_fini(&f);
    job_free(j);
    outlook_free(o);
    return rc;
}

int command_plan(int argc, char **argv)
{
    cli_options cli = {0};
    config *c = NULL;
    char usage[] = "weft plan", *given = argv[1];
    argv[1] = usage; /* What usage messages begin with. */
    cli_parse_simple("Says what a job will need before anything starts: memory, disk, network and "
                     "time of every role, and what bounds the cluster.  Sizes come from the "
                     "configuration and the data, exactly where they are prepared already; times "
                     "from about a second of measuring on this machine.",
                     &cli_argp_data, argc - 1, argv + 1, &cli);
    argv[1] = given;
    err_code rc = compute_start(&cli, argv, &c);
    if (rc == ERR_OK) rc = forecast_job(c, cli.json);
    cli_options_fini(&cli);
    return err_exit(rc);
}
