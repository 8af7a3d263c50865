#include "common/token_file.h"

#include "common/log.h"
#include "common/mem.h"
#include "common/secret_file.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static bool is_token(const char *text)
{
    size_t n = strlen(text);
    for (size_t i = 0; i < n; i++) {
        if (text[i] <= ' ' || text[i] > '~') return false;
    }
    return n >= TOKEN_LENGTH_MIN && n <= TOKEN_LENGTH_MAX;
}

err_code token_file_read(const char *path, char **token)
{
    char text[TOKEN_LENGTH_MAX + 4]; /* a line's end and a zero */
    *token = NULL;
    err_code rc = secret_file_read(path, "the token", text, sizeof text);
    if (rc != ERR_OK) return rc;
    size_t n = strcspn(text, "\r\n");
    if (text[n + strspn(text + n, "\r\n")] == 0) text[n] = 0;
    if (is_token(text)) {
        *token = xstrdup(text);
    } else {
        log_user_error("%s: a token is one word of %d to %d printable characters", path,
                       TOKEN_LENGTH_MIN, TOKEN_LENGTH_MAX);
        rc = ERR_INVALID;
    }
    explicit_bzero(text, sizeof text);
    return rc;
}

void token_free(char *token)
{
    if (token) explicit_bzero(token, strlen(token));
    free(token);
}
