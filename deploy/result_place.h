/* result_place.h - where a result may be written: not over the files that it is made from.
 *
 * Inputs and results share names (items.tsv, users.tsv, config.yaml).  Threads: one owner. */
#pragma once

#include "common/config.h"

/* ERR_INVALID (printed): a result in `dir` would replace the configuration or an input file of it.
 */
MUST_USE err_code result_place_check(const config *c, const char *dir);
