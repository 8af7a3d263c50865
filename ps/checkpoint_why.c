#include "ps/checkpoint_why.h"

#include "ps/checkpoint_files.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

err_code checkpoint_why(char *why, err_code rc, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(why, CHECKPOINT_WHY_MAX, format, args);
    va_end(args);
    return rc;
}

err_code checkpoint_why_errno(char *why, const char *what, const char *path)
{
    int cause = errno;
    err_code rc = cause == ENOENT                      ? ERR_NOT_FOUND
                  : cause == ENOSPC || cause == EDQUOT ? ERR_LIMIT
                                                       : ERR_IO;
    return checkpoint_why(why, rc, "%s: %s: %s", path, what, strerror(cause));
}
