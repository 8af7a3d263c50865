/* log.h - one logfmt line to stderr per event: time, level, event, key=value pairs.
 *
 *     log_warn("pull_timeout", "peer=%u waited_ms=%u", peer, waited);
 *
 * The event name comes first; values that may hold spaces are written with %s inside quotes by the
 * caller ("path=\"%s\"").  Per-row work is counted, not logged.
 * A peer must not fill a disk: of one event at one level LOG_LINES_MAX lines are written within
 * LOG_WINDOW_S seconds, errors excepted; the next line after that says how many were left out.
 * Threads: any. */
#pragma once

enum { LOG_LINES_MAX = 200, LOG_WINDOW_S = 10 };

typedef enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR } log_level;

/* Lines below `level` are dropped.  Start value: LOG_INFO. */
void log_set_level(log_level level);
/* `name` is debug, info, warn or error; false for anything else. */
int log_level_parse(const char *name, log_level *level);

void log_event(log_level level, const char *event, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#define log_debug(event, ...) log_event(LOG_DEBUG, event, __VA_ARGS__)
#define log_info(event, ...)  log_event(LOG_INFO, event, __VA_ARGS__)
#define log_warn(event, ...)  log_event(LOG_WARN, event, __VA_ARGS__)
#define log_error(event, ...) log_event(LOG_ERROR, event, __VA_ARGS__)

/* For messages to a person about their input: prints "weft: <message>" on a line of its own,
 * whatever the level.  Used for config and data errors ("items.tsv:12:3: ...", "warning: ..."). */
void log_user_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
