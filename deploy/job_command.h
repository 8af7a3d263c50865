/* job_command.h - the part that `weft scale`, `drain` and `checkpoint now` share: a command goes
 * to a running job, whose status says what it can do.
 *
 * Threads: the main one. */
#pragma once

#include "deploy/endpoint_options.h"

#include <jansson.h>

/* Sends `json` to `path` of the job that `o` means and prints `done`, or with --json the body
 * itself. Whatever goes wrong is printed. */
MUST_USE err_code job_command_send(endpoint_options *o, const char *path, const char *json,
                                   const char *done);
/* Its status, owned (json_decref).  Whatever goes wrong is printed. */
MUST_USE err_code job_command_status(const endpoint_options *o, json_t **status);
/* A worker or server of the status that is there: neither lost nor on its way out. */
bool job_command_is_there(const json_t *peer);
