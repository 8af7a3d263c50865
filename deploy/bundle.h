/* bundle.h - what a person who helps with a job wants to see, in one archive, without secrets.
 * Threads: the main one. */
#pragma once

#include "common/config.h"
#include "common/err.h"

enum { BUNDLE_FILE_MAX = 4 << 20 }; /* of a log its last bytes */

typedef struct bundle_summary {
    uint32_t files, masked; /* masked: secrets that were overwritten */
    uint32_t unread_secrets;
    bool running; /* the job's status is in it */
} bundle_summary;

/* Writes `path`, a .tar.gz.  ERR_IO (printed).  What is missing is left out and named in
 * CONTENTS.txt. */
MUST_USE err_code bundle_write(const config *c, const char *path, bundle_summary *out);
