#include "deploy/command_doctor.h"

#include "common/cli.h"
#include "common/log.h"
#include "common/numerics.h"
#include "deploy/doctor.h"

enum { EXIT_UNWELL = 1 };

/* The exit code. */
static int examine(const config *c, bool json)
{
    doctor d;
    doctor_init(&d, c);
    doctor_run(&d);
    err_code rc = doctor_print(&d, json, stdout);
    int code = rc != ERR_OK ? err_exit(rc) : doctor_failed(&d) ? EXIT_UNWELL : 0;
    doctor_fini(&d);
    return code;
}

int command_doctor(int argc, char **argv)
{
    cli_options cli = {0};
    config *c = NULL;
    char usage[] = "weft doctor", *given = argv[1];
    argv[1] = usage; /* What usage messages begin with. */
    cli_parse_simple("Looks for what would stop a job on this machine: limits, numerics, clock, "
                     "file systems, fsync, ports, keys, memory and disk.  Exit status 1: something "
                     "would.",
                     &cli_argp_data, argc - 1, argv + 1, &cli);
    argv[1] = given;
    err_code rc = cli_load_config(&cli, &c);
    if (rc == ERR_OK) rc = numerics_start(argv, c->train.core_type);
    log_set_level(LOG_ERROR);
    int code = rc == ERR_OK ? examine(c, cli.json) : err_exit(rc);
    config_free(c);
    cli_options_fini(&cli);
    return code;
}
