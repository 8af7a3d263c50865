#include "common/cli.h"

#include "common/bytes.h"
#include "common/files.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/version.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    OPTION_SET = 0x1000,
    OPTION_JSON,
    OPTION_DATA,
    OPTION_OUT,
    OPTION_WORKERS,
    OPTION_SAMPLERS,
    OPTION_SERVERS,
    OPTION_VERSION
};

/* clang-format off */
#define CONFIG                                                                                     \
    {"config", 'c', "FILE", 0, "Configuration", 0},                                                \
    {"set", OPTION_SET, "KEY=VALUE", 0, "One key of the configuration, value in YAML; repeatable", 0}
#define WORKERS {"workers", OPTION_WORKERS, "N", 0, "Short for --set cluster.workers=N", 0}
#define SERVERS {"servers", OPTION_SERVERS, "N", 0, "Short for --set cluster.servers=N", 0}
#define COUNTS                                                                                     \
    WORKERS,                                                                                       \
    {"samplers", OPTION_SAMPLERS, "N", 0, "Short for --set cluster.samplers=N", 0},                \
    SERVERS
#define DATA                                                                                       \
    {"data", OPTION_DATA, "DIR", 0,                                                                \
     "Folder of items, interactions and perhaps users: .tsv or .csv, or these .gz", 0}
#define OUT  {"out", OPTION_OUT, "DIR", 0, "Folder of the result", 0}
#define JSON {"json", OPTION_JSON, NULL, 0, "Print JSON instead of tables", 0}
#define LAST {"version", OPTION_VERSION, NULL, 0, "Print the version", -1}, {0}
/* clang-format on */

static const struct argp_option options_all[] = {CONFIG, COUNTS, DATA, OUT, JSON, LAST};
static const struct argp_option options_data[] = {CONFIG, COUNTS, DATA, JSON, LAST};
static const struct argp_option options_process[] = {CONFIG, COUNTS, LAST};
static const struct argp_option options_role[] = {CONFIG, LAST};
static const struct argp_option options_input[] = {CONFIG, DATA, JSON, LAST};
static const struct argp_option options_result[] = {CONFIG, DATA, OUT, JSON, LAST};
static const struct argp_option options_scale[] = {CONFIG, WORKERS, SERVERS, JSON, LAST};
static const struct argp_option options_job[] = {CONFIG, JSON, LAST};
static const struct argp_option options_out[] = {OUT, JSON, LAST};
static const struct argp_option options_json[] = {JSON, LAST};

static void add_set(cli_options *o, char *owned)
{
    grow(&o->sets, &o->sets_cap, o->sets_n + 1, sizeof *o->sets);
    o->sets[o->sets_n++] = owned;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
    cli_options *o = state->input;
    switch (key) {
    case 'c': o->config_file = arg; break;
    case OPTION_SET: add_set(o, xstrdup(arg)); break;
    case OPTION_WORKERS: add_set(o, xprintf("cluster.workers=%s", arg)); break;
    case OPTION_SAMPLERS: add_set(o, xprintf("cluster.samplers=%s", arg)); break;
    case OPTION_SERVERS: add_set(o, xprintf("cluster.servers=%s", arg)); break;
    case OPTION_DATA: o->data_dir = arg; break;
    case OPTION_OUT: o->out_dir = arg; break;
    case OPTION_JSON: o->json = true; break;
    case OPTION_VERSION: puts("weft " WEFT_VERSION); exit(EXIT_SUCCESS);
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

const struct argp cli_argp_all = {.options = options_all, .parser = parse_option};
const struct argp cli_argp_data = {.options = options_data, .parser = parse_option};
const struct argp cli_argp_process = {.options = options_process, .parser = parse_option};
const struct argp cli_argp_role = {.options = options_role, .parser = parse_option};
const struct argp cli_argp_input = {.options = options_input, .parser = parse_option};
const struct argp cli_argp_result = {.options = options_result, .parser = parse_option};
const struct argp cli_argp_scale = {.options = options_scale, .parser = parse_option};
const struct argp cli_argp_job = {.options = options_job, .parser = parse_option};
const struct argp cli_argp_out = {.options = options_out, .parser = parse_option};
const struct argp cli_argp_json = {.options = options_json, .parser = parse_option};

void cli_parse(const struct argp *argp, int argc, char **argv, void *input)
{
    argp_err_exit_status = 2;
    if (argp_parse(argp, argc, argv, 0, NULL, input) != 0) exit(2);
}

static error_t parse_nothing(int key, char *arg, struct argp_state *state)
{
    (void)arg;
    if (key == ARGP_KEY_INIT) {
        state->child_inputs[0] = state->input;
        return 0;
    }
    return ARGP_ERR_UNKNOWN; /* arguments too: argp says "Too many arguments" */
}

void cli_parse_simple(const char *doc, const struct argp *common, int argc, char **argv,
                      cli_options *o)
{
    const struct argp_child children[] = {{common, 0, NULL, 0}, {0}};
    const struct argp argp = {.parser = parse_nothing, .doc = doc, .children = children};
    cli_parse(&argp, argc, argv, o);
}

char *cli_join(int argc, char **argv)
{
    bytes_writer w;
    bytes_writer_init(&w);
    for (int i = 0; i < argc; i++) {
        if (i) bytes_put(&w, " ", 1);
        bytes_put(&w, argv[i], strlen(argv[i]));
    }
    bytes_put_u8(&w, 0);
    return (char *)w.data;
}

void cli_options_fini(cli_options *o)
{
    for (size_t i = 0; i < o->sets_n; i++) free(o->sets[i]);
    free(o->sets);
    *o = (cli_options){0};
}

int cli_finish_stdout(int code)
{
    bool failed = ferror(stdout) != 0;
    errno = 0;
    if (fflush(stdout) == 0 && !failed) return code;
    log_user_error("stdout: %s", errno ? strerror(errno) : "not all of it could be written");
    return code ? code : EXIT_FAILURE;
}

err_code cli_load_config(const cli_options *o, config **out)
{
    *out = NULL;
    if (!o->config_file) {
        log_user_error("no configuration: give -c FILE");
        return ERR_INVALID;
    }
    if (o->data_dir && !files_is_dir(o->data_dir)) {
        log_user_error("--data %s: not a folder", o->data_dir);
        return ERR_INVALID;
    }
    err_code rc = config_load(o->config_file, (const char *const *)o->sets, o->sets_n, out);
    if (rc == ERR_OK && o->data_dir) config_use_data_dir(*out, o->data_dir);
    return rc == ERR_NOT_FOUND || rc == ERR_IO ? ERR_INVALID : rc;
}
