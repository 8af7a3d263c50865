#include "deploy/command_describe.h"

#include "common/cli.h"
#include "common/log.h"
#include "deploy/describe.h"
#include "deploy/progress_print.h"

int command_describe(int argc, char **argv)
{
    cli_options cli = {0};
    config *c = NULL;
    describe *d = NULL;
    progress_printer printer;
    cli_parse_simple(
        "Looks at the data before training: types, kinds, times and ties, what the graph "
        "will be like, and whether items of one type say anything about another.",
        &cli_argp_input, argc, argv, &cli);
    log_set_level(LOG_ERROR); /* what would be logged is among the warnings */
    err_code rc = cli_load_config(&cli, &c);
    if (rc == ERR_OK) {
        progress_printer_init(&printer, "", cli.json);
        progress p = {.report = progress_print, .context = &printer};
        rc = describe_make(c, &p, &d);
        progress_printer_end(&printer);
    }
    if (rc == ERR_OK) rc = describe_print(d, cli.json, stdout);
    describe_free(d);
    config_free(c);
    cli_options_fini(&cli);
    return err_exit(rc);
}
