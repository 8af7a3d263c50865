#include "common/err.h"

const char *err_name(err_code code)
{
    static const char *const names[] = {"ok",      "invalid", "mismatch",  "not_found", "io",
                                        "corrupt", "limit",   "no_memory", "closed",    "stopped"};
    return (unsigned)code < sizeof names / sizeof *names ? names[code] : "unknown";
}

int err_exit(err_code code)
{
    if (code == ERR_OK) return 0;
    return code == ERR_INVALID || code == ERR_MISMATCH ? 2 : 1;
}
