#include "common/resolver.h"

#include "common/clock.h"
#include "common/mem.h"
#include "common/panic.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HOST_BYTES = 200, PORT_BYTES = 16, POLL_US = 20000 };

struct resolver {
    pthread_mutex_t lock; /* guards: refs, busy, fresh, number, good */
    uint32_t refs;        /* the owner, and a lookup that is going on */
    bool busy, fresh;
    char number[CORE_TEXT_MAX]; /* what the last lookup found; "": nothing */
    char good[CORE_TEXT_MAX];   /* the last address: a lookup that fails does not change it */
    char host[HOST_BYTES], port[PORT_BYTES];
};

static bool split(const char *endpoint, char host[HOST_BYTES], char port[PORT_BYTES])
{
    int end = 0;
    return sscanf(endpoint, "tcp://%199[^][:]:%15[0-9*]%n", host, port, &end) == 2 && end > 0 &&
           !endpoint[end];
}

bool resolver_is_named(const char *endpoint)
{
    char host[HOST_BYTES], port[PORT_BYTES];
    struct in_addr a;
    return split(endpoint, host, port) && strcmp(host, "*") != 0 &&
           inet_pton(AF_INET, host, &a) != 1;
}

resolver *resolver_new(const char *endpoint)
{
    resolver *r = xcalloc(1, sizeof *r);
    bool good = split(endpoint, r->host, r->port);
    ASSERT(good);
    r->refs = 1;
    pthread_mutex_init(&r->lock, NULL);
    return r;
}

/* Called with the lock, which it drops. */
static void unlock_unref(resolver *r)
{
    bool last = --r->refs == 0;
    pthread_mutex_unlock(&r->lock);
    if (!last) return;
    pthread_mutex_destroy(&r->lock);
    free(r);
}

void resolver_free(resolver *r)
{
    if (!r) return;
    pthread_mutex_lock(&r->lock);
    unlock_unref(r);
}

/* The first address of the list, or the last good one if it is there. */
static void choose(resolver *r, const struct addrinfo *list)
{
    char chosen[CORE_TEXT_MAX] = "", text[CORE_TEXT_MAX];
    for (const struct addrinfo *a = list; a; a = a->ai_next) {
        char host[INET_ADDRSTRLEN];
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)a->ai_addr;
        if (a->ai_family != AF_INET || !inet_ntop(AF_INET, &in->sin_addr, host, sizeof host))
            continue;
        snprintf(text, sizeof text, "tcp://%s:%s", host, r->port);
        bool known = strcmp(text, r->good) == 0;
        if (known || !*chosen) memcpy(chosen, text, sizeof chosen);
        if (known) break;
    }
    memcpy(r->number, chosen, sizeof chosen);
    if (*chosen) memcpy(r->good, chosen, sizeof chosen);
}

static void *look_up(void *user)
{
    resolver *r = user;
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *list = NULL;
    bool found = getaddrinfo(r->host, NULL, &hints, &list) == 0;
    pthread_mutex_lock(&r->lock);
    choose(r, found ? list : NULL);
    r->busy = false;
    r->fresh = true;
    unlock_unref(r);
    if (found) freeaddrinfo(list);
    return NULL;
}

void resolver_ask(resolver *r)
{
    pthread_t thread;
    pthread_attr_t attr;
    pthread_mutex_lock(&r->lock);
    bool start = !r->busy;
    if (start) {
        r->busy = true;
        r->refs++;
    }
    pthread_mutex_unlock(&r->lock);
    if (!start) return;
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    if (pthread_create(&thread, &attr, look_up, r) != 0) { /* Asked again later. */
        pthread_mutex_lock(&r->lock);
        r->busy = false;
        unlock_unref(r);
    }
    pthread_attr_destroy(&attr);
}

bool resolver_take(resolver *r, char number[CORE_TEXT_MAX])
{
    pthread_mutex_lock(&r->lock);
    bool fresh = r->fresh;
    r->fresh = false;
    if (fresh) memcpy(number, r->number, sizeof r->number);
    pthread_mutex_unlock(&r->lock);
    return fresh;
}

err_code resolver_wait(const char *endpoint, uint32_t timeout_ms, resolver_check *check,
                       void *context, char number[CORE_TEXT_MAX])
{
    if (!resolver_is_named(endpoint)) {
        snprintf(number, CORE_TEXT_MAX, "%s", endpoint);
        return ERR_OK;
    }
    resolver *r = resolver_new(endpoint);
    uint64_t now = clock_now_us(), end = now + (uint64_t)timeout_ms * 1000u, ask = now;
    err_code rc = ERR_OK;
    number[0] = 0;
    while (rc == ERR_OK && !number[0]) {
        if (now >= ask) {
            resolver_ask(r);
            ask = now + RESOLVER_RETRY_MS * UINT64_C(1000);
        }
        rc = check ? check(context) : ERR_OK;
        if (rc == ERR_OK && now >= end) rc = ERR_CLOSED;
        if (rc == ERR_OK && !resolver_take(r, number)) usleep(POLL_US);
        now = clock_now_us();
    }
    resolver_free(r);
    return number[0] ? ERR_OK : rc;
}
