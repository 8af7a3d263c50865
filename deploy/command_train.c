#include "deploy/command_train.h"

#include "common/cli.h"
#include "common/files.h"
#include "common/log.h"
#include "common/numerics.h"
#include "deploy/stop_signal.h"
#include "deploy/train.h"

#include <stdlib.h>

enum { OPTION_ATTACH = 0x3700, OPTION_PREPARED, OPTION_FROM };

typedef struct options {
    cli_options common;
    bool in_process, attach, prepared, fresh;
    const char *from;
} options;

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
    options *o = state->input;
    switch (key) {
    case ARGP_KEY_INIT: state->child_inputs[0] = &o->common; return 0;
    case 'i': o->in_process = true; return 0;
    case 'f': o->fresh = true; return 0;
    case OPTION_FROM: o->from = arg; return 0;
    case OPTION_ATTACH: o->attach = true; return 0;
    case OPTION_PREPARED: o->prepared = true; return 0;
    case ARGP_KEY_END:
        if (o->attach && (o->in_process || o->fresh || o->from))
            argp_error(state, "--attach: the scheduler is started by somebody else: --in-process, "
                              "--fresh and --from do not go with it");
        if (o->from && o->fresh) argp_error(state, "--fresh and --from do not go together");
        if (o->prepared && !o->attach) argp_error(state, "--prepared goes with --attach");
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option option_list[] = {
    {"in-process", 'i', 0, 0, "Everything in this process, without sockets", 0},
    {"attach", OPTION_ATTACH, 0, 0,
     "Start no processes: prepare for, wait for, and evaluate the cluster at cluster.scheduler, "
     "whose scheduler runs with --driver",
     0},
    {"prepared", OPTION_PREPARED, 0, 0,
     "With --attach: wait until `weft prepare` elsewhere has put the store in store.source", 0},
    {"fresh", 'f', 0, 0,
     "Start anew instead of going on with what an earlier run left (prepared data is kept)", 0},
    {"from", OPTION_FROM, "STEP", 0,
     "Go back to a checkpoint: its step, STAGE/STEP, or its name in `weft checkpoint list`", 0},
    {0}};
static const struct argp_child children[] = {{&cli_argp_all, 0, "Common options:", 0}, {0}};
static const struct argp train_argp = {
    option_list, parse_option,
    NULL,        "Prepares, trains, evaluates and exports, with all processes on this machine.",
    children,    NULL,
    NULL};

int command_train(int argc, char **argv)
{
    enum { STALL_TIMEOUT_MS = 600000 };
    options o = {0};
    config *c = NULL;
    char *words = cli_join(argc, argv), *out = NULL;
    char name[] = "weft train", *given = argv[1];
    argv[1] = name; /* What usage messages begin with. */
    cli_parse(&train_argp, argc - 1, argv + 1, &o);
    argv[1] = given;
    /* The driver changes to work_dir/run. */
    if (o.common.out_dir) out = files_absolute(o.common.out_dir);
    err_code rc = cli_load_config(&o.common, &c);
    if (rc == ERR_OK) rc = config_check_inputs(c);
    if (rc == ERR_OK) rc = numerics_start(argv, c->train.core_type);
    if (rc == ERR_OK) {
        log_level level;
        if (log_level_parse(c->log.level, &level))
            log_set_level(level == LOG_INFO ? LOG_WARN : level);
        if (!c->train.stall_timeout_ms) c->train.stall_timeout_ms = STALL_TIMEOUT_MS;
        if (o.prepared && !c->store.source[0]) {
            log_user_error("--prepared: store.source says where the store will be");
            rc = ERR_INVALID;
        }
        train_options t = {.config = c,
                           .out_dir = out,
                           .command = words,
                           .fresh = o.fresh,
                           .from = o.from,
                           .in_process = o.in_process,
                           .attach = o.attach,
                           .prepared = o.prepared,
                           .json = o.common.json,
                           .stop = stop_signal_catch()};
        if (rc == ERR_OK) rc = train_run(&t);
    }
    config_free(c);
    free(words);
    free(out);
    cli_options_fini(&o.common);
    return stop_signal_exit(rc);
}
