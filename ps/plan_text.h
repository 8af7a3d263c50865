/* plan_text.h - run_dir/plan.yaml: the plan keys of the job that scheduler.mdb is the state of, so
 * that another plan can be told by its keys.  Threads: any. */
#pragma once

#include "common/config.h"

MUST_USE err_code plan_text_write(const char *run_dir, const config *c); /* ERR_IO (logged) */
/* What was written there: its plan keys, *out owned (config_free).  ERR_NOT_FOUND: nothing was;
 * ERR_IO, ERR_INVALID (printed). */
MUST_USE err_code plan_text_read(const char *run_dir, config **out);
/* Prints each key that differs between the job's plan and the configuration's; where none does,
 * that the prepared data differ.  True: the latter. */
bool plan_text_differences(const char *run_dir, const config *c);
