#include "testing_network.h"

#include <arpa/inet.h>
#include <check.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

bool testing_network_enter(void)
{
    struct ifreq r = {.ifr_name = "lo", .ifr_flags = IFF_UP};
    bool in = unshare(CLONE_NEWNET) == 0 || unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0;
    int fd = in ? socket(AF_INET, SOCK_DGRAM, 0) : -1;
    bool up = fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &r) == 0;
    if (fd >= 0) close(fd);
    if (!up) fprintf(stderr, "SKIPPED: no network namespace can be made here\n");
    return up;
}

struct testing_capture {
    const char *const *texts;
    uint16_t except;
    int fd;
    pthread_t thread;
    atomic_bool over;
    uint64_t seen, packets, bytes;
};

/* Byte `at` of a packet as half of a big-endian number. */
static unsigned two_bytes(const uint8_t *p)
{
    return (unsigned)p[0] << 8 | p[1];
}

/* An Ethernet frame with IPv4 and TCP whose ports are not the one to be left out; its data. */
static const uint8_t *data_of(const testing_capture *c, const uint8_t *p, size_t n, size_t *data_n)
{
    if (n < 54 || two_bytes(p + 12) != ETH_P_IP || p[23] != IPPROTO_TCP) return NULL;
    size_t ip = (size_t)(p[14] & 15) * 4;
    const uint8_t *tcp = p + 14 + ip;
    if (14 + ip + 20 > n) return NULL;
    if (two_bytes(tcp) == c->except || two_bytes(tcp + 2) == c->except) return NULL;
    size_t head = (size_t)(tcp[12] >> 4) * 4;
    if (14 + ip + head > n) return NULL;
    *data_n = n - 14 - ip - head;
    return tcp + head;
}

static void *listen_in(void *user)
{
    enum { PACKET_MAX = 1 << 17 };
    testing_capture *c = user;
    uint8_t *packet = malloc(PACKET_MAX);
    while (!atomic_load(&c->over)) {
        ssize_t n = recv(c->fd, packet, PACKET_MAX, 0); /* With a timeout. */
        size_t data_n = 0;
        const uint8_t *data = n > 0 ? data_of(c, packet, (size_t)n, &data_n) : NULL;
        if (!data || !data_n) continue;
        c->packets++;
        c->bytes += data_n;
        for (const char *const *t = c->texts; *t; t++)
            c->seen += memmem(data, data_n, *t, strlen(*t)) != NULL;
    }
    free(packet);
    return NULL;
}

testing_capture *testing_network_capture(const char *const *texts, uint16_t except)
{
    testing_capture *c = calloc(1, sizeof *c);
    struct sockaddr_ll lo = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
    struct timeval timeout = {.tv_usec = 50000};
    int buffer = 256 << 20;
    c->texts = texts;
    c->except = except;
    c->fd = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL));
    ck_assert_int_ge(c->fd, 0);
    lo.sll_ifindex = (int)if_nametoindex("lo");
    if (setsockopt(c->fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer) != 0)
        setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
    setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    ck_assert_int_eq(bind(c->fd, (struct sockaddr *)&lo, sizeof lo), 0);
    ck_assert_int_eq(pthread_create(&c->thread, NULL, listen_in, c), 0);
    return c;
}

uint64_t testing_network_end(testing_capture *c, uint64_t *packets, uint64_t *bytes, uint64_t *lost)
{
    struct tpacket_stats stats = {0};
    socklen_t size = sizeof stats;
    usleep(100000); /* What is on its way. */
    atomic_store(&c->over, true);
    pthread_join(c->thread, NULL);
    getsockopt(c->fd, SOL_PACKET, PACKET_STATISTICS, &stats, &size);
    close(c->fd);
    uint64_t seen = c->seen;
    *packets = c->packets;
    *bytes = c->bytes;
    *lost = stats.tp_drops;
    free(c);
    return seen;
}

uint16_t testing_network_free_port(void)
{
    enum { FIRST = 10000, PORTS = 20000, A_PROCESS = 16 };
    static unsigned calls;
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    for (bool is_free = false; !is_free;) {
        ck_assert_uint_lt(calls, PORTS);
        a.sin_port = htons((uint16_t)(FIRST + ((unsigned)getpid() * A_PROCESS + calls++) % PORTS));
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        is_free = bind(fd, (struct sockaddr *)&a, sizeof a) == 0;
        close(fd);
    }
    return ntohs(a.sin_port);
}
