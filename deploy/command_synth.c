#include "deploy/command_synth.h"

#include "common/cli.h"
#include "common/json.h"
#include "common/log.h"
#include "deploy/synth.h"
#include "deploy/synth_words.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct request {
    cli_options cli;
    synth_options synth;
} request;

enum { OPTION_USERS = 0x2000, OPTION_ITEMS, OPTION_TYPES, OPTION_INTERACTIONS, OPTION_SEED };

static const struct argp_option options[] = {
    {"users", OPTION_USERS, "N", 0, "Users (4000)", 0},
    {"items", OPTION_ITEMS, "N", 0, "Items (3000)", 0},
    {"types", OPTION_TYPES, "N", 0, "Item types (3), the first the densest", 0},
    {"interactions", OPTION_INTERACTIONS, "N", 0, "Rows of interactions.tsv (150000)", 0},
    {"seed", OPTION_SEED, "N", 0, "Seed (1): the same options give the same bytes", 0},
    {0},
};

static uint64_t parse_number(const char *text, uint64_t max, const char *option,
                             struct argp_state *state)
{
    uint64_t n = 0;
    const char *p = text;
    for (; *p >= '0' && *p <= '9'; p++) {
        uint64_t digit = (uint64_t)(*p - '0');
        if (n > (max - digit) / 10) break;
        n = n * 10 + digit;
    }
    if (p == text || *p) {
        argp_error(state, "--%s: \"%s\" is not a whole number up to %" PRIu64, option, text, max);
    }
    return n;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
    request *r = state->input;
    synth_options *o = &r->synth;
    switch (key) {
    case ARGP_KEY_INIT: state->child_inputs[0] = &r->cli; break;
    case OPTION_USERS: o->users = (uint32_t)parse_number(arg, UINT32_MAX, "users", state); break;
    case OPTION_ITEMS: o->items = (uint32_t)parse_number(arg, UINT32_MAX, "items", state); break;
    case OPTION_TYPES: o->types = (uint32_t)parse_number(arg, UINT32_MAX, "types", state); break;
    case OPTION_INTERACTIONS:
        o->interactions = parse_number(arg, UINT64_C(1) << 40, "interactions", state);
        break;
    case OPTION_SEED: o->seed = parse_number(arg, UINT64_MAX, "seed", state); break;
    case ARGP_KEY_END:
        if (!r->cli.out_dir) argp_error(state, "--out DIR is missing");
        break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static err_code print_json(const request *r, const synth_counts *n)
{
    json_writer w;
    json_init_file(&w, stdout, JSON_STYLE_SPACED);
    json_object_begin(&w);
    json_field_string(&w, "out", r->cli.out_dir);
    json_field_u64(&w, "users", r->synth.users);
    json_key(&w, "items");
    json_object_begin(&w);
    for (uint32_t t = 0; t < r->synth.types; t++) {
        json_field_u64(&w, synth_types[t], n->type_items[t]);
    }
    json_object_end(&w);
    json_key(&w, "events");
    json_object_begin(&w);
    json_field_u64(&w, "stream", n->streams);
    json_field_u64(&w, "follow", n->follows);
    json_object_end(&w);
    json_field_u64(&w, "untouched_items", n->untouched_items);
    json_field_u64(&w, "seed", r->synth.seed);
    json_object_end(&w);
    return json_finish_line(&w);
}

static void print_table(const request *r, const synth_counts *n)
{
    printf("%-14s %10s %12s\n", "type", "items", "interactions");
    for (uint32_t t = 0; t < r->synth.types; t++) {
        printf("%-14s %10" PRIu32 " %12" PRIu64 "\n", synth_types[t], n->type_items[t],
               n->type_events[t]);
    }
    printf("%" PRIu32 " users, %" PRIu64 " streams, %" PRIu64 " follows, %" PRIu32
           " items never touched: %s\n",
           r->synth.users, n->streams, n->follows, n->untouched_items, r->cli.out_dir);
}

int command_synth(int argc, char **argv)
{
    const struct argp_child children[] = {{&cli_argp_out, 0, "Common options:", 0}, {0}};
    const struct argp argp = {.options = options,
                              .parser = parse_option,
                              .doc = "Writes items.tsv, users.tsv and interactions.tsv of a "
                                     "generated catalogue into --out DIR.",
                              .children = children};
    request r = {
        .synth = {.users = 4000, .items = 3000, .types = 3, .interactions = 150000, .seed = 1}};
    cli_parse(&argp, argc, argv, &r);
    synth_counts n;
    err_code rc = synth_write(&r.synth, r.cli.out_dir, &n);
    if (rc == ERR_OK && !r.cli.json) print_table(&r, &n);
    if (rc == ERR_OK && r.cli.json) rc = print_json(&r, &n);
    cli_options_fini(&r.cli);
    return err_exit(rc);
}
