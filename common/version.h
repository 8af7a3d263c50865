/* version.h - the version that --version, reports and the handshake show. */
#pragma once

#include <stdbool.h>

#define WEFT_VERSION "0.1.0"

/* The commit that the binaries were built from, "-dirty" behind it where files had changed;
 * "unknown" without git, and in what is not one of them. */
extern const char weft_commit[];

/* True: argv asks for --version (-V as the first word), which was printed, with --json as JSON;
 * *code is the exit code.  The numerics are those of a job: the program may be executed again. */
bool version_asked(char **argv, int *code);
