#include "deploy/list_options.h"

#include "deploy/top_items.h"

#include <errno.h>
#include <stdlib.h>

enum { OPTION_MODEL = 0x3000, OPTION_TYPE, DEFAULT_K = 10 };

static const struct argp_option options[] = {
    {"model", OPTION_MODEL, "DIR", 0, "Folder that weft train wrote (--out)", 0},
    {NULL, 'k', "N", 0, "Length of the list (10)", 0},
    {"type", OPTION_TYPE, "TYPE", 0, "Items of this type only", 0},
    {0},
};

static uint32_t parse_k(const char *text, struct argp_state *state)
{
    char *end;
    errno = 0;
    unsigned long v = strtoul(text, &end, 10);
    bool digits = *text >= '0' && *text <= '9';
    if (!digits || *end || errno || v < 1 || v > TOP_ITEMS_MAX) {
        argp_error(state, "-k: \"%s\" is not a number from 1 to %d", text, TOP_ITEMS_MAX);
    }
    return (uint32_t)v;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
    list_options *o = state->input;
    switch (key) {
    case ARGP_KEY_INIT: state->child_inputs[0] = &o->cli; break;
    case 'k': o->k = parse_k(arg, state); break;
    case OPTION_MODEL: o->model = arg; break;
    case OPTION_TYPE: o->type = arg; break;
    case ARGP_KEY_END:
        if (!o->model) argp_error(state, "--model DIR is missing");
        if (!o->k) o->k = DEFAULT_K;
        break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const struct argp_child children[] = {{&cli_argp_json, 0, "Common options:", 0}, {0}};

const struct argp list_options_argp = {
    .options = options, .parser = parse_option, .children = children};
