/* last_status.h - the status that the scheduler of a work_dir left when its job ended.
 *
 * Threads: any. */
#pragma once

#include "common/config.h"

#include <jansson.h>

/* As JSON, owned (free); NULL: there is none, as the job runs, was killed or has its scheduler
 * elsewhere, or (printed) it cannot be read. */
char *last_status_text(const char *work_dir);
/* The same as an object, owned (json_decref). */
json_t *last_status_read(const char *work_dir);
