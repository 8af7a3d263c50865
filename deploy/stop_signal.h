/* stop_signal.h - SIGINT and SIGTERM ask a command to end cleanly; a second one ends it at once.
 *
 * Threads: the main one; the number may be read by any. */
#pragma once

#include "common/err.h"

#include <stdatomic.h>

/* Catches them from now on, and ignores SIGPIPE.  Static: the number of the one that came, or 0;
 * whoever is told to end in another way may set it as if one had come. */
atomic_int *stop_signal_catch(void);
/* What a command that ended with `rc` exits with: after ERR_STOPPED 128 and the signal's number, as
 * of SIGTERM where it was told in another way. */
int stop_signal_exit(err_code rc);
