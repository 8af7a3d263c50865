/* endpoint_options.h - which running job a command means: -c FILE or --at URL, and its token.
 *
 * An argp child parser with the options of cli.h and --at, --token-file.  Threads: the main one. */
#pragma once

#include "common/cli.h"

typedef struct endpoint_options {
    cli_options cli;
    bool counts;                 /* the command takes --workers and such */
    bool watches;                /* the command takes --watch, and shows a job that is over, too */
    bool watch;                  /* it was given */
    const char *takes;           /* "ID": the command takes one argument; NULL: none */
    const char *argument;        /* it */
    const char *at, *token_file; /* NULL: not given */
    char *work_dir;              /* owned; with -c */
    char *url_file;              /* owned; with -c: a job that has ended has removed it */
    char *url, *token;           /* owned: endpoint_options_fini; filled by endpoint_options_find */
} endpoint_options;

/* Parses argv: usage errors exit with 2.  o->takes, o->counts and o->watches are set before, the
 * rest is 0. */
void endpoint_options_parse(const char *doc, int argc, char **argv, endpoint_options *o);
/* Finds the URL (without a slash at its end) and the token.  needs_token: a missing one is an
 * error; else it is sent where it is known.  Of a job that is over, and left its last status,
 * o->url is NULL where o->watches.  ERR_INVALID: neither -c nor --at, or no way to a token
 * (printed); ERR_NOT_FOUND: no job is running (printed). */
MUST_USE err_code endpoint_options_find(endpoint_options *o, bool needs_token);
void endpoint_options_fini(endpoint_options *o);
