/* silence.c - log lines and messages to a person, which go nowhere in a fuzz target: malformed
 * input is all it sees. */
#include "common/log.h"

/* The linker sends the calls of fuzz targets here. */
void __wrap_log_event(log_level level, const char *event, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void __wrap_log_user_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

void __wrap_log_event(log_level level, const char *event, const char *format, ...)
{
    (void)level, (void)event, (void)format;
}

void __wrap_log_user_error(const char *format, ...)
{
    (void)format;
}
