#include "common/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static _Atomic int min_level = LOG_INFO; /* set once by main; read by any thread */

static const char *const level_names[] = {"debug", "info", "warn", "error"};

void log_set_level(log_level level)
{
    atomic_store_explicit(&min_level, (int)level, memory_order_relaxed);
}

int log_level_parse(const char *name, log_level *level)
{
    for (unsigned i = 0; i < 4; i++) {
        if (strcmp(name, level_names[i]) == 0) {
            *level = (log_level)i;
            return 1;
        }
    }
    return 0;
}

/* How often an event was written in its window.  Two events of one place share it.  Relaxed: a race
 * costs or saves a line. */
typedef struct event_rate {
    _Atomic long window_s;
    _Atomic unsigned lines, silent;
} event_rate;

enum { RATES = 256 };
static event_rate rates[RATES];

/* False: no more lines of `event` now.  *silent: how many were left out before this one. */
static bool may_write(log_level level, const char *event, long now_s, unsigned *silent)
{
    uint32_t hash = (uint32_t)level;
    for (const char *p = event; *p; p++) hash = hash * 31 + (unsigned char)*p;
    event_rate *r = &rates[hash % RATES];
    *silent = 0;
    if (level >= LOG_ERROR || level == LOG_DEBUG) return true;
    long window = atomic_load_explicit(&r->window_s, memory_order_relaxed);
    if (now_s - window >= LOG_WINDOW_S || now_s < window) {
        atomic_store_explicit(&r->window_s, now_s, memory_order_relaxed);
        atomic_store_explicit(&r->lines, 0, memory_order_relaxed);
    }
    if (atomic_fetch_add_explicit(&r->lines, 1, memory_order_relaxed) >= LOG_LINES_MAX) {
        atomic_fetch_add_explicit(&r->silent, 1, memory_order_relaxed);
        return false;
    }
    *silent = atomic_exchange_explicit(&r->silent, 0, memory_order_relaxed);
    return true;
}

void log_event(log_level level, const char *event, const char *format, ...)
{
    if ((int)level < atomic_load_explicit(&min_level, memory_order_relaxed)) return;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    unsigned silent;
    if (!may_write(level, event, now.tv_sec, &silent)) return;
    char text[1024], left_out[32] = "";
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (silent) snprintf(left_out, sizeof left_out, " left_out=%u", silent);
    struct tm utc;
    char stamp[32];
    gmtime_r(&now.tv_sec, &utc);
    strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &utc);
    fprintf(stderr, "%s.%03ldZ %s %s%s%s%s\n", stamp, now.tv_nsec / 1000000, level_names[level],
            event, *text ? " " : "", text, left_out);
}

void log_user_error(const char *format, ...)
{
    char text[2048];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    fprintf(stderr, "weft: %s\n", text);
}
