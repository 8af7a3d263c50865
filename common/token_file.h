/* token_file.h - the bearer token of the status endpoint, from a file of mode 0600.  Threads: any.
 */
#pragma once

#include "common/err.h"

enum { TOKEN_LENGTH_MIN = 16, TOKEN_LENGTH_MAX = 255 };

/* The one line of `path`.  ERR_INVALID (printed, naming the file): others may read it, or it is not
 * one word of TOKEN_LENGTH_MIN to _MAX printable characters; ERR_LIMIT, ERR_NOT_FOUND, ERR_IO.
 * *token is owned: token_free; NULL on errors. */
MUST_USE err_code token_file_read(const char *path, char **token);
/* Wipes it; accepts NULL. */
void token_free(char *token);
