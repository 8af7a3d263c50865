#include "deploy/command_compare.h"

#include "common/cli.h"
#include "deploy/compare.h"

enum { DIRS_MAX = 64 };

typedef struct request {
    cli_options cli;
    const char *model;
    const char *dir[DIRS_MAX];
    uint32_t dirs;
} request;

static const struct argp_option options[] = {
    {"model", 'm', "NAME", 0, "Which model of per_user.tsv (two_tower)", 0}, {0}};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
    request *r = state->input;
    switch (key) {
    case ARGP_KEY_INIT: state->child_inputs[0] = &r->cli; break;
    case 'm': r->model = arg; break;
    case ARGP_KEY_ARG:
        if (r->dirs == DIRS_MAX) argp_error(state, "more than %d results", DIRS_MAX);
        r->dir[r->dirs++] = arg;
        break;
    case ARGP_KEY_END:
        if (r->dirs < 2) argp_error(state, "name two results or more");
        break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

int command_compare(int argc, char **argv)
{
    const struct argp_child children[] = {{&cli_argp_json, 0, "Common options:", 0}, {0}};
    const struct argp argp = {.options = options,
                              .parser = parse_option,
                              .args_doc = "A B [MORE...]",
                              .doc = "Compares results of `weft train` on the same held-out items: "
                                     "two by their difference, user by user; more than two, as of "
                                     "several seeds, by mean and deviation.",
                              .children = children};
    request r = {.model = "two_tower"};
    compare *c = NULL;
    cli_parse(&argp, argc, argv, &r);
    err_code rc = compare_make(r.dir, r.dirs, r.model, &c);
    if (rc == ERR_OK) rc = compare_print(c, r.cli.json, stdout);
    compare_free(c);
    cli_options_fini(&r.cli);
    return err_exit(rc);
}
