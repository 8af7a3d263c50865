#include "deploy/command_bench.h"

#include "common/cli.h"
#include "deploy/bench.h"
#include "deploy/compute_start.h"
#include "deploy/progress_print.h"
#include "deploy/stop_signal.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct request {
    cli_options cli;
    double seconds;
} request;

static const struct argp_option options[] = {
    {"seconds", 's', "S", 0, "How long each measurement takes (1)", 0}, {0}};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
    request *r = state->input;
    char *end;
    switch (key) {
    case ARGP_KEY_INIT: state->child_inputs[0] = &r->cli; break;
    case 's':
        r->seconds = strtod(arg, &end);
        if (end == arg || *end || !(r->seconds > 0 && r->seconds <= 3600))
            argp_error(state, "--seconds: \"%s\" is not a number above 0, at most 3600", arg);
        break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static err_code prepare(const config *c, bool silent, char **folder, prepare_stats *stats)
{
    progress_printer printer;
    progress_printer_init(&printer, "prepare ", silent);
    progress p = {.report = progress_print, .context = &printer};
    err_code rc = prepare_run(c, &p, folder, stats);
    progress_printer_end(&printer);
    return rc;
}

/* Takes c. */
static err_code measure(config *c, const request *r)
{
    char *folder = NULL;
    job *j = NULL;
    prepare_stats stats = {0};
    bool silent = progress_is_silent(r->cli.json);
    bench b = {.seconds = r->seconds};
    err_code rc = prepare(c, silent, &folder, &stats);
    if (rc == ERR_OK) rc = job_load(c, folder, &j);
    if (!j) config_free(c);
    if (rc == ERR_OK) rc = calibrate(&b.speed);
    if (rc == ERR_OK) {
        bench_prepare(&b, &stats);
        rc = bench_network(&b);
    }
    if (rc == ERR_OK) rc = bench_slots(&b, j, folder);
    /* Until then a signal ends the program as it always does: there is nothing to take away. */
    if (rc == ERR_OK) rc = bench_training(&b, j, folder, silent, stop_signal_catch());
    if (rc == ERR_OK) rc = bench_print(&b, r->cli.json, stdout);
    bench_fini(&b);
    job_free(j);
    free(folder);
    return rc;
}

int command_bench(int argc, char **argv)
{
    static const struct argp_child children[] = {{&cli_argp_input, 0, "Common options:", 0}, {0}};
    static const struct argp argp = {
        .options = options,
        .parser = parse_option,
        .doc =
            "Measures prepare (where there is something to prepare), network, sampler, worker and "
            "server on this machine, then a short training by all of them, each beside its "
            "physical limit.  Nothing passes or fails.",
        .children = children};
    request r = {.seconds = 1};
    config *c = NULL;
    char usage[] = "weft bench", *given = argv[1];
    argv[1] = usage; /* What usage messages begin with. */
    cli_parse(&argp, argc - 1, argv + 1, &r);
    argv[1] = given;
    err_code rc = compute_start(&r.cli, argv, &c);
    if (rc == ERR_OK) rc = measure(c, &r);
    cli_options_fini(&r.cli);
    return stop_signal_exit(rc);
}
