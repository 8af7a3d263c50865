#include "deploy/command_config.h"

#include "common/cli.h"

#include <stdio.h>
#include <stdlib.h>

typedef enum form { FORM_PRINT, FORM_SCHEMA, FORM_DOCS } form;

typedef struct request {
    cli_options cli;
    form form;
    int forms; /* of --print, --schema and --docs that were given */
} request;

enum { OPTION_PRINT = 0x2000, OPTION_SCHEMA, OPTION_DOCS };

static const struct argp_option options[] = {
    {"print", OPTION_PRINT, NULL, 0,
     "Print the configuration in force as YAML, and where each value comes from (default)", 0},
    {"schema", OPTION_SCHEMA, NULL, 0, "Print the JSON schema of the configuration", 0},
    {"docs", OPTION_DOCS, NULL, 0, "Print a page that documents every key, in Markdown", 0},
    {0},
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
    (void)arg;
    request *r = state->input;
    switch (key) {
    case ARGP_KEY_INIT: state->child_inputs[0] = &r->cli; break;
    case OPTION_PRINT:
    case OPTION_SCHEMA:
    case OPTION_DOCS:
        r->form = (form)(key - OPTION_PRINT);
        r->forms++;
        break;
    case ARGP_KEY_END:
        if (r->forms > 1) argp_error(state, "--print, --schema and --docs exclude each other");
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
    rc = put_result(cli->json ? config_sources_json(c) : config_print(c, CONFIG_SOURCES));
    config_free(c);
    return rc;
}

int command_config(int argc, char **argv)
{
    const struct argp_child children[] = {{&cli_argp_data, 0, "Common options:", 0}, {0}};
    const struct argp argp = {.options = options,
                              .parser = parse_option,
                              .doc = "Checks a configuration and prints what is in force, or the "
                                     "schema or the documentation of all keys.",
                              .children = children};
    request r = {0};
    err_code rc = ERR_OK;
    cli_parse(&argp, argc, argv, &r);
    switch (r.form) {
    case FORM_PRINT: rc = print_config(&r.cli); break;
    case FORM_SCHEMA: rc = put_result(config_schema()); break;
    case FORM_DOCS: rc = put_result(config_docs()); break;
    }
    cli_options_fini(&r.cli);
    return err_exit(rc);
}
