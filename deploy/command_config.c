#include "deploy/command_config.h"

#include "common/cli.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct request {
    cli_options cli;
    bool schema, print;
} request;

enum { OPTION_SCHEMA = 0x2000, OPTION_PRINT };

static const struct argp_option options[] = {
    {"print", OPTION_PRINT, NULL, 0, "Print the effective configuration as YAML (default)", 0},
    {"schema", OPTION_SCHEMA, NULL, 0, "Print the JSON schema of the configuration", 0},
    {0},
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
    (void)arg;
    request *r = state->input;
    switch (key) {
    case ARGP_KEY_INIT: state->child_inputs[0] = &r->cli; break;
    case OPTION_PRINT: r->print = true; break;
    case OPTION_SCHEMA: r->schema = true; break;
    case ARGP_KEY_END:
        if (r->print && r->schema) argp_error(state, "--print and --schema exclude each other");
        break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

/* Takes text. */
static err_code put_result(char *text)
{
    bool ok = fputs(text, stdout) >= 0 && fflush(stdout) == 0;
    free(text);
    return ok ? ERR_OK : ERR_IO;
}

static err_code print_config(const cli_options *cli)
{
    config *c;
    err_code rc = cli_load_config(cli, &c);
    if (rc != ERR_OK) return rc;
    rc = put_result(cli->json ? config_flat_json(c) : config_print(c, CONFIG_ALL));
    config_free(c);
    return rc;
}

int command_config(int argc, char **argv)
{
    const struct argp_child children[] = {{&cli_argp_data, 0, "Common options:", 0}, {0}};
    const struct argp argp = {.options = options,
                              .parser = parse_option,
                              .doc = "Checks a configuration and prints what is in force, or the "
                                     "schema of all keys.",
                              .children = children};
    request r = {0};
    cli_parse(&argp, argc, argv, &r);
    err_code rc = r.schema ? put_result(config_schema()) : print_config(&r.cli);
    cli_options_fini(&r.cli);
    return err_exit(rc);
}
