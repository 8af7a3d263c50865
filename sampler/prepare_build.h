/* prepare_build.h - builds a whole store in one folder.  Part of prepare.h. */
#pragma once

#include "common/config.h"
#include "common/err.h"
#include "common/progress.h"
#include "sampler/prepare.h"

#include <stdint.h>

/* Fills the existing, empty `folder`; manifest.json comes last.  Errors as prepare_run. */
MUST_USE err_code prepare_build(const config *c, uint64_t hash, const char *folder,
                                const progress *p, prepare_stats *stats);
