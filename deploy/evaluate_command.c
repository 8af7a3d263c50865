#include "deploy/evaluate_command.h"

#include "common/mem.h"
#include "deploy/compute_start.h"
#include "deploy/evaluate.h"
#include "deploy/stop_signal.h"

#include <stdlib.h>

int evaluate_command_run(const evaluate_command *command, int argc, char **argv)
{
    cli_options cli = {0};
    config *c = NULL;
    char *words = cli_join(argc, argv), *given = argv[1], *name = xstrdup(command->name);
    argv[1] = name; /* What usage messages begin with. */
    cli_parse_simple(command->doc, &cli_argp_result, argc - 1, argv + 1, &cli);
    argv[1] = given;
    err_code rc = compute_start(&cli, argv, &c);
    if (rc == ERR_OK) {
        evaluate_options o = {.config = c,
                              .data_dir = cli.data_dir,
                              .out_dir = cli.out_dir,
                              .command = words,
                              .export_only = command->export_only,
                              .json = cli.json,
                              .stop = stop_signal_catch()};
        rc = evaluate_run(&o);
    }
    config_free(c);
    free(words);
    free(name);
    cli_options_fini(&cli);
    return stop_signal_exit(rc);
}
