#include "deploy/command_bundle.h"

#include "common/cli.h"
#include "common/clock.h"
#include "common/json.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/numerics.h"
#include "deploy/bundle.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { OPTION_OUT = 0x3700 };

typedef struct request {
    cli_options cli;
    const char *out; /* NULL: one is named by job and time */
} request;

static const struct argp_option options[] = {
    {"out", OPTION_OUT, "FILE", 0,
     "The archive to write, .tar.gz (weft-bundle-JOB-TIME.tar.gz in this folder)", 0},
    {0}};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
    request *r = state->input;
    switch (key) {
    case ARGP_KEY_INIT: state->child_inputs[0] = &r->cli; return 0;
    case OPTION_OUT: r->out = arg; return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

/* weft-bundle-<job>-20260101T000000Z.tar.gz, with nothing in it but letters, digits and - _ */
static char *default_name(const config *c)
{
    char time[21], *name;
    clock_iso(clock_wall_s(), time);
    name = xprintf("weft-bundle-%.100s-%.4s%.2s%.2sT%.2s%.2s%.2sZ.tar.gz", c->job, time, time + 5,
                   time + 8, time + 11, time + 14, time + 17);
    for (char *p = name; *p; p++) {
        if (*p == '/' || *p == ' ') *p = '_';
    }
    return name;
}

static err_code print_summary(const request *r, const char *path, const bundle_summary *s)
{
    if (!r->cli.json) {
        printf("%s: %" PRIu32 " files%s; read CONTENTS.txt in it before you send it\n", path,
               s->files, s->running ? ", with the job's status" : "; the job does not run");
        if (s->masked) printf("%" PRIu32 " secrets were masked\n", s->masked);
        if (s->unread_secrets)
            printf("%" PRIu32 " files of secrets could not be read, and so not looked for\n",
                   s->unread_secrets);
        return fflush(stdout) == 0 ? ERR_OK : ERR_IO;
    }
    json_writer w;
    json_init_file(&w, stdout, JSON_STYLE_SPACED);
    json_object_begin(&w);
    json_field_string(&w, "file", path);
    json_field_u64(&w, "files", s->files);
    json_field_u64(&w, "masked", s->masked);
    json_field_u64(&w, "unread_secrets", s->unread_secrets);
    json_field_bool(&w, "running", s->running);
    json_object_end(&w);
    return json_finish_line(&w);
}

static err_code run(const request *r, char **argv)
{
    config *c = NULL;
    bundle_summary s;
    err_code rc = cli_load_config(&r->cli, &c);
    if (rc == ERR_OK) rc = numerics_start(argv, c->train.core_type);
    char *path = rc != ERR_OK ? NULL : r->out ? xstrdup(r->out) : default_name(c);
    if (rc == ERR_OK) rc = bundle_write(c, path, &s);
    if (rc == ERR_OK) rc = print_summary(r, path, &s);
    free(path);
    config_free(c);
    return rc;
}

int command_bundle(int argc, char **argv)
{
    const struct argp_child children[] = {{&cli_argp_job, 0, "Common options:", 0}, {0}};
    const struct argp argp = {.options = options,
                              .parser = parse_option,
                              .doc = "Collects what helps to understand a job - logs, status, "
                                     "configuration, machine - into one archive, without secrets "
                                     "and without data.",
                              .children = children};
    request r = {0};
    char name[] = "weft bundle", *given = argv[1];
    argv[1] = name; /* What usage messages begin with. */
    cli_parse(&argp, argc - 1, argv + 1, &r);
    argv[1] = given;
    err_code rc = run(&r, argv);
    cli_options_fini(&r.cli);
    return err_exit(rc);
}
