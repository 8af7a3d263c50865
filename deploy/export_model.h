/* export_model.h - model.safetensors: the weights with everything that is needed to use them.
 * Threads: one owner. */
#pragma once

#include "deploy/export_files.h"

#include "common/err.h"

#define EXPORT_MODEL_FORMAT "weft-model-1"

/* ERR_IO (printed). */
MUST_USE err_code export_model_write(const export_input *in, const char *path);
