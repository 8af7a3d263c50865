#include "common/refusals.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const names[REFUSALS] = {"handshake", "unknown_key", "role",     "operation",
                                            "malformed", "body",        "too_many", "queue"};

typedef struct reason {
    uint64_t count, window_us;
    uint32_t logged;
    uint64_t silent; /* since the last line */
} reason;

struct refusals {
    pthread_mutex_t lock; /* guards: of */
    reason of[REFUSALS];
};

refusals *refusals_new(void)
{
    refusals *r = xcalloc(1, sizeof *r);
    pthread_mutex_init(&r->lock, NULL);
    return r;
}

void refusals_free(refusals *r)
{
    if (!r) return;
    pthread_mutex_destroy(&r->lock);
    free(r);
}

/* Counts; true: a line may be written, about *silent earlier ones, too. */
static bool count(refusals *r, refusal why, uint64_t *silent, uint64_t *total)
{
    uint64_t now = clock_now_us();
    pthread_mutex_lock(&r->lock);
    reason *x = &r->of[why];
    *total = ++x->count;
    if (now - x->window_us >= REFUSALS_WINDOW_US) {
        x->window_us = now;
        x->logged = 0;
    }
    bool says = x->logged < REFUSALS_LOGGED;
    if (says) {
        x->logged++;
        *silent = x->silent;
        x->silent = 0;
    } else {
        x->silent++;
    }
    pthread_mutex_unlock(&r->lock);
    return says;
}

/* What comes from a peer must not begin a line of its own, nor end the quotes. */
static void defuse(char *text)
{
    for (; *text; text++) {
        if ((unsigned char)*text < ' ' || *text == '"' || *text == '\x7f') *text = '?';
    }
}

void refusals_add(refusals *r, refusal why, const char *format, ...)
{
    char text[256];
    uint64_t silent = 0, total = 0;
    if (!count(r, why, &silent, &total)) return;
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    defuse(text);
    log_warn("refused", "reason=%s total=%" PRIu64 " unsaid=%" PRIu64 " why=\"%s\"", names[why],
             total, silent, text);
}

uint64_t refusals_count(refusals *r, refusal why)
{
    pthread_mutex_lock(&r->lock);
    uint64_t n = r->of[why].count;
    pthread_mutex_unlock(&r->lock);
    return n;
}

uint64_t refusals_total(refusals *r)
{
    uint64_t n = 0;
    for (refusal i = 0; i < REFUSALS; i++) n += refusals_count(r, i);
    return n;
}

const char *refusal_name(refusal why)
{
    return why < REFUSALS ? names[why] : "unknown";
}
