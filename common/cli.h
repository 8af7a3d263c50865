/* cli.h - the options that commands share, as argp child parsers.
 *
 *     -c, --config FILE   --set KEY=VALUE (repeatable)   --json   --data DIR   --out DIR
 *     --workers N  --samplers N  --servers N (short for --set cluster....)   --help  --version
 *
 * A command adds the parser of those that it takes, `{&cli_argp_..., 0, "Common options:", 0}`, to
 * its own argp's children, gives its cli_options through state->child_inputs[0] on ARGP_KEY_INIT,
 * and parses with cli_parse.  A command without options of its own parses with cli_parse_simple. */
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

/* Input of all: cli_options *. */
extern const struct argp cli_argp_all;
extern const struct argp cli_argp_data;    /* all but --out */
extern const struct argp cli_argp_process; /* -c, --set, --workers, ... */
extern const struct argp cli_argp_role;    /* -c, --set */
extern const struct argp cli_argp_input;   /* -c, --set, --data, --json */
extern const struct argp cli_argp_result;  /* -c, --set, --data, --out, --json */
extern const struct argp cli_argp_scale;   /* -c, --set, --workers, --servers, --json */
extern const struct argp cli_argp_job;     /* -c, --set, --json */
extern const struct argp cli_argp_out;     /* --out, --json */
extern const struct argp cli_argp_json;    /* --json */

/* Parses argv.  A usage error prints it and exits with code 2; --help and --version exit with 0. */
void cli_parse(const struct argp *argp, int argc, char **argv, void *input);
void cli_parse_simple(const char *doc, const struct argp *common, int argc, char **argv,
                      cli_options *options);
/* The command line as one text, owned: free. */
char *cli_join(int argc, char **argv);
void cli_options_fini(cli_options *options);

/* What has been printed counts when it is written: `code`, or 1 (said) if it could not be. */
int cli_finish_stdout(int code);

/* Loads the configuration the options describe.  ERR_INVALID (printed): no -c, an error in the file
 * or in a --set; --data that is not a folder.  *out is owned: config_free. */
MUST_USE err_code cli_load_config(const cli_options *options, config **out);
