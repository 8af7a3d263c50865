/* job_command.h - the part that `weft scale`, `drain` and `checkpoint now` share: a command goes
 * to a running job.
 *
 * Threads: the main one. */
#pragma once

#include "deploy/endpoint_options.h"

/* Sends `json` to `path` of the job that `o` means and prints `done`, or with --json the body
 * itself. Whatever goes wrong is printed. */
MUST_USE err_code job_command_send(endpoint_options *o, const char *path, const char *json,
                                   const char *done);
