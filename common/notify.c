#include "common/notify.h"

#include "common/log.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

/* A manager that does not read holds us up for so long; what it missed is said again. */
enum { FEEDS_PER_INTERVAL = 4, SEND_US = 100000, LAST_SENDS = 10 };

/* The service manager of this process; socket -1: none. */
typedef struct manager {
    bool stopping;
    int socket;
    struct sockaddr_un to;
    socklen_t to_size;
    notify_state state;
} manager;

static manager the_manager = {.socket = -1};

/* The watchdog's interval; 0: none, or that of another process. */
static uint64_t watchdog_us(void)
{
    const char *interval = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
    if (!interval || (pid && strtoul(pid, NULL, 10) != (unsigned long)getpid())) return 0;
    return strtoull(interval, NULL, 10);
}

static void open_manager(void)
{
    manager *m = &the_manager;
    const char *path = getenv("NOTIFY_SOCKET");
    if (!path || (path[0] != '/' && path[0] != '@')) return;
    size_t n = strlen(path);
    if (n >= sizeof m->to.sun_path) return;
    m->to.sun_family = AF_UNIX;
    memcpy(m->to.sun_path, path, n);
    if (path[0] == '@') m->to.sun_path[0] = 0; /* an abstract name */
    m->to_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
    m->socket = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct timeval wait = {.tv_usec = SEND_US};
    if (m->socket >= 0) setsockopt(m->socket, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
    m->state.watchdog_us = watchdog_us();
}

static manager *get_manager(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, open_manager);
    return the_manager.socket >= 0 ? &the_manager : NULL;
}

/* 0, or the errno of a failure. */
static int send_text(manager *m, const char *text)
{
    ssize_t n = sendto(m->socket, text, strlen(text), MSG_NOSIGNAL, (const struct sockaddr *)&m->to,
                       m->to_size);
    int cause = n < 0 ? errno : 0;
    if (cause) log_debug("notify_failed", "reason=\"%s\"", strerror(cause));
    return cause;
}

/* One line: a status must not be read as another assignment. */
static void put_status(notify_state *s, const char *status, char out[NOTIFY_TEXT_MAX])
{
    size_t n = strlen(out);
    snprintf(s->status, sizeof s->status, "%s", status);
    snprintf(out + n, NOTIFY_TEXT_MAX - n, "%sSTATUS=%s", n ? "\n" : "", status);
    for (char *c = out + n + 1; *c; c++) {
        if ((unsigned char)*c < ' ') *c = ' ';
    }
}

void notify_next(notify_state *s, uint64_t now_us, const notify_health *h,
                 char out[NOTIFY_TEXT_MAX])
{
    bool gets_on = !h->busy_since_us || h->busy_since_us > s->fed_us;
    bool due = s->watchdog_us && now_us - s->fed_us >= s->watchdog_us / FEEDS_PER_INTERVAL;
    bool first = h->ready && !s->ready;
    out[0] = 0;
    if (first) {
        s->ready = true;
        snprintf(out, NOTIFY_TEXT_MAX, "READY=1");
    }
    if (s->watchdog_us && s->ready && (first || (due && gets_on))) {
        s->fed_us = now_us;
        size_t n = strlen(out);
        snprintf(out + n, NOTIFY_TEXT_MAX - n, "%sWATCHDOG=1", n ? "\n" : "");
    }
    bool changed = strcmp(h->status, s->status) != 0;
    if (!changed || (!first && s->started && now_us - s->status_us < NOTIFY_STATUS_US)) return;
    s->started = true;
    s->status_us = now_us;
    put_status(s, h->status, out);
}

void notify_update(uint64_t now_us, const notify_health *h)
{
    char text[NOTIFY_TEXT_MAX];
    manager *m = get_manager();
    if (!m || m->stopping) return;
    notify_state next = m->state;
    notify_next(&next, now_us, h, text);
    if (!text[0] || send_text(m, text) == 0) m->state = next;
}

void notify_waiting(const char *status, uint64_t extend_us)
{
    char text[NOTIFY_TEXT_MAX];
    manager *m = get_manager();
    if (!m) return;
    snprintf(text, sizeof text, "EXTEND_TIMEOUT_USEC=%" PRIu64, extend_us);
    put_status(&m->state, status, text);
    (void)send_text(m, text); /* it is said again, or the start is over */
}

void notify_stopping(const char *status)
{
    char text[NOTIFY_TEXT_MAX] = "STOPPING=1";
    manager *m = get_manager();
    if (!m || m->stopping) return;
    m->stopping = true;
    put_status(&m->state, status, text);
    for (int i = 0; i < LAST_SENDS && send_text(m, text) == EAGAIN; i++) {
    }
}
