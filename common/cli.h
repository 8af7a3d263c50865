/* cli.h - the options that every command has, as one argp child parser.
 *
 *     -c, --config FILE   --set KEY=VALUE (repeatable)   --json   --data DIR   --out DIR
 *     --workers N  --samplers N  --servers N (short for --set cluster....)   --help  --version
 *
 * A command adds `{&cli_argp, 0, "Common options:", 0}` to its own argp's children, gives its
 * cli_options through state->child_inputs[0] on ARGP_KEY_INIT, and parses with cli_parse.  A
 * command without options of its own parses with cli_parse_simple. */
#pragma once

#include "common/config.h"
#include "common/err.h"

#include <argp.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct cli_options {
    const char *config_file; /* -c; NULL: not given.  All strings borrowed from argv */
    const char *data_dir;    /* --data */
    const char *out_dir;     /* --out */
    bool json;
    char **sets; /* owned: cli_options_fini; in the order of the command line */
    size_t sets_n, sets_cap;
} cli_options;

extern const struct argp cli_argp; /* input: cli_options * */

/* Parses argv.  A usage error prints it and exits with code 2; --help and --version exit with 0. */
void cli_parse(const struct argp *argp, int argc, char **argv, void *input);
void cli_parse_simple(const char *doc, int argc, char **argv, cli_options *options);
void cli_options_fini(cli_options *options);

/* Loads the configuration the options describe.  ERR_INVALID (printed): no -c, an error in the file
 * or in a --set; --data that is not a folder.  *out is owned: config_free. */
MUST_USE err_code cli_load_config(const cli_options *options, config **out);
