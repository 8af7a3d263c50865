/* compute_start.h - how a command begins that computes in its own process. */
#pragma once

#include "common/cli.h"

/* Loads the configuration the options describe, starts the arithmetic its job wants (which may
 * execute the program again: numerics.h) and leaves lines of level info out of the log, for what
 * the command prints is its answer.  Errors as cli_load_config and numerics_start, printed.
 * *out owned: config_free. */
MUST_USE err_code compute_start(const cli_options *options, char **argv, config **out);
