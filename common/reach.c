#include "common/reach.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static uint64_t after_broken(reach *r, uint64_t now_us)
{
    bool in_row = r->broken && now_us - r->broken_us < REACH_ROW_US;
    r->broken = in_row ? r->broken + 1 : 1;
    r->broken_us = now_us;
    r->connected = r->ready = false;
    uint32_t left = r->free_tries ? r->free_tries : 1; /* perhaps it was about to end */
    if (r->broken <= left) return 0;
    uint32_t late = r->broken - left - 1, doubled = late < 8 ? late : 8;
    uint64_t wait_us = (uint64_t)REACH_FIRST_AGAIN_US << doubled;
    return now_us + (wait_us < REACH_AGAIN_US ? wait_us : REACH_AGAIN_US);
}

uint64_t reach_take(reach *r, watch_event e, uint64_t now_us)
{
    switch (e) {
    case WATCH_BROKEN: return after_broken(r, now_us);
    case WATCH_DENIED:
    case WATCH_MISMATCH: return now_us + REACH_AGAIN_US;
    case WATCH_CONNECTED: r->connected = true; return 0;
    case WATCH_READY:
        r->ready = true;
        r->broken = 0;
        return 0;
    case WATCH_ENDED: r->connected = r->ready = false; return 0;
    default: return 0;
    }
}

/* ---- In words ---- */

/* Of a socket that does not block: 0, or errno of its connection. */
static int finish(int fd, int rc)
{
    struct pollfd item = {.fd = fd, .events = POLLOUT};
    int error = 0;
    socklen_t size = sizeof error;
    if (rc == 0) return 0;
    if (errno != EINPROGRESS) return errno;
    if (poll(&item, 1, REACH_PROBE_MS) != 1) return ETIMEDOUT;
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 ? error : errno;
}

static int try_to_connect(const struct sockaddr *to, socklen_t size)
{
    int fd = socket(to->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return errno;
    int error = finish(fd, connect(fd, to, size));
    close(fd);
    return error;
}

/* 0: somebody accepts, or the endpoint is of another form; else errno. */
static int probe(const char *endpoint)
{
    struct sockaddr_un file = {.sun_family = AF_UNIX};
    struct sockaddr_in number = {.sin_family = AF_INET};
    char host[64];
    unsigned port;
    if (strncmp(endpoint, "ipc://", 6) == 0) {
        snprintf(file.sun_path, sizeof file.sun_path, "%s", endpoint + 6);
        return try_to_connect((const struct sockaddr *)&file, sizeof file);
    }
    if (sscanf(endpoint, "tcp://%63[0-9.]:%5u", host, &port) != 2 || port > 65535) return 0;
    if (inet_pton(AF_INET, host, &number.sin_addr) != 1) return 0;
    number.sin_port = htons((uint16_t)port);
    return try_to_connect((const struct sockaddr *)&number, sizeof number);
}

static void say_not_reached(int error, char why[CORE_TEXT_MAX])
{
    const char *text = strerror(error);
    if (error == ECONNREFUSED) text = "the connection is refused: no process listens there";
    if (error == ENOENT) text = "the socket is not there: it is not started";
    if (error == ETIMEDOUT || error == EAGAIN)
        text = "it is not reached: is the host up, does a firewall drop what is sent there?";
    snprintf(why, CORE_TEXT_MAX, "%s", text);
}

static void say_broken(const char *keys, char why[CORE_TEXT_MAX])
{
    if (keys)
        snprintf(why, CORE_TEXT_MAX,
                 "the connection ends in the handshake: is its key that of %.90s/peers? Or it is "
                 "another program",
                 keys);
    else
        snprintf(why, CORE_TEXT_MAX,
                 "the connection ends in the handshake: it wants keys (security.keys), or is "
                 "another program");
}

void reach_why(const reach *r, uint64_t now_us, const char *endpoint, const char *keys,
               char why[CORE_TEXT_MAX])
{
    bool breaks = r->broken && now_us - r->broken_us < REACH_ROW_US;
    int error = r->ready || r->connected || breaks ? 0 : probe(endpoint);
    if (r->ready)
        snprintf(why, CORE_TEXT_MAX, "it is reached: it prepares, or hangs");
    else if (breaks)
        say_broken(keys, why);
    else if (error)
        say_not_reached(error, why);
    else
        snprintf(why, CORE_TEXT_MAX,
                 "somebody accepts the connection and says nothing: does it "
                 "hang, is another program there?");
}
