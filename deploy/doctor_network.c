/* Addresses, ports, keys and tokens (doctor.h). */
#include "common/files.h"
#include "common/keys.h"
#include "common/mem.h"
#include "common/token_file.h"
#include "common/wire.h"
#include "deploy/doctor.h"

#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HOST_MAX = 256 };

/* "host:port", "[v6]:port", with or without "tcp://". */
static bool split_address(const char *text, char host[HOST_MAX], const char **port)
{
    if (strncmp(text, "tcp://", 6) == 0) text += 6;
    const char *colon = strrchr(text, ':');
    if (!colon || colon == text || !colon[1] || colon - text >= HOST_MAX) return false;
    bool bracket = text[0] == '[' && colon[-1] == ']';
    snprintf(host, HOST_MAX, "%.*s", (int)(colon - text) - 2 * bracket, text + bracket);
    *port = colon + 1;
    return true;
}

static bool is_loopback(const struct sockaddr *a)
{
    if (a->sa_family == AF_INET) {
        const unsigned char *p = (const unsigned char *)a->sa_data + 2;
        return p[0] == 127;
    }
    if (a->sa_family != AF_INET6) return false;
    static const unsigned char one[16] = {[15] = 1};
    return memcmp(a->sa_data + 6, one, sizeof one) == 0;
}

/* errno of a bind to it, 0: free. */
static int try_bind(const struct addrinfo *a)
{
    int one = 1, fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return errno;
    int rc = setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (rc == 0) rc = bind(fd, a->ai_addr, a->ai_addrlen);
    if (rc == 0) rc = listen(fd, 1);
    int error = rc == 0 ? 0 : errno;
    close(fd);
    return error;
}

static struct addrinfo *resolve(doctor *d, const char *name, const char *key, const char *address)
{
    char host[HOST_MAX];
    const char *port;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    if (!split_address(address, host, &port)) {
        doctor_add(d, name, DOCTOR_FAIL, "%s: `%s` is not host:port", key, address);
        return NULL;
    }
    int rc = getaddrinfo(host, port, &hints, &found);
    if (rc != 0) {
        doctor_add(d, name, DOCTOR_FAIL, "%s: %s: %s", key, host, gai_strerror(rc));
        return NULL;
    }
    return found;
}

/* `elsewhere`: a machine that is not this one may serve it. */
static void check_port(doctor *d, const char *name, const char *key, const char *address,
                       bool elsewhere)
{
    struct addrinfo *a = resolve(d, name, key, address);
    if (!a) return;
    int error = try_bind(a);
    if (error == 0) {
        doctor_add(d, name, DOCTOR_OK, "%s is free", address);
    } else if (error == EADDRNOTAVAIL && elsewhere) {
        doctor_add(d, name, DOCTOR_WARN, "%s is another machine's: run this there, too", address);
    } else if (error == EADDRINUSE) {
        doctor_add(d, name, DOCTOR_FAIL, "%s is in use, perhaps by a running job (%s)", address,
                   key);
    } else {
        doctor_add(d, name, DOCTOR_FAIL, "%s: %s (%s)", address, strerror(error), key);
    }
    freeaddrinfo(a);
}

static bool is_private(doctor *d, const char *name, const char *key, const char *address)
{
    struct addrinfo *a = resolve(d, name, key, address);
    bool loopback = a && is_loopback(a->ai_addr);
    if (a) freeaddrinfo(a);
    return loopback;
}

static bool is_tcp(const config *c)
{
    return strncmp(c->cluster.scheduler, "tcp://", 6) == 0;
}

static void check_scheduler(doctor *d)
{
    const config *c = d->config;
    const char *key = "cluster.scheduler";
    if (!is_tcp(c)) {
        doctor_add(d, "scheduler", DOCTOR_OK, "a socket in work_dir/run: one machine");
        return;
    }
    check_port(d, "scheduler", key, c->cluster.scheduler, true);
    if (*c->security.keys || is_private(d, "scheduler", key, c->cluster.scheduler)) return;
    if (c->security.insecure) {
        doctor_add(d, "security", DOCTOR_WARN,
                   "security.insecure: whoever reaches %s can take part", c->cluster.scheduler);
    } else {
        doctor_add(d, "security", DOCTOR_FAIL,
                   "%s is no loopback address: make keys (weft keygen) and name them in "
                   "security.keys",
                   c->cluster.scheduler);
    }
}

/* The keys of every role that has some here. */
static void check_keys(doctor *d)
{
    static const uint32_t roles[] = {WIRE_SCHEDULER, WIRE_SERVER, WIRE_SAMPLER, WIRE_WORKER,
                                     WIRE_DRIVER};
    const char *folder = d->config->security.keys;
    char names[128] = "";
    size_t n = 0;
    bool broken = false;
    if (!*folder) return;
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++) {
        char *file = xprintf("%s.key", wire_role_name(roles[i])), *path = files_join(folder, file);
        keyring *k = NULL;
        if (files_exist(path)) {
            size_t used = strlen(names);
            snprintf(names + used, sizeof names - used, "%s%s", used ? ", " : "",
                     wire_role_name(roles[i]));
            broken = keyring_open(folder, roles[i], &k) != ERR_OK || broken; /* printed */
            n++;
        }
        keyring_close(k);
        free(path);
        free(file);
    }
    if (n == 0) {
        doctor_add(d, "keys", DOCTOR_FAIL, "%s holds no key of any role (weft keygen --out)",
                   folder);
    } else {
        doctor_add(d, "keys", broken ? DOCTOR_FAIL : DOCTOR_OK, "%s: of %s%s", folder, names,
                   broken ? "; what is wrong is printed above" : ", secret, complete");
    }
}

static void check_token(doctor *d)
{
    const config *c = d->config;
    char *token = NULL;
    if (*c->http.token_file) {
        err_code rc = token_file_read(c->http.token_file, &token);
        doctor_add(d, "token", rc == ERR_OK ? DOCTOR_OK : DOCTOR_FAIL, "%s%s", c->http.token_file,
                   rc == ERR_OK ? "" : ": what is wrong is printed above");
        token_free(token);
    }
    if (*c->features.openai.key_file && c->features.encoder == ENCODER_OPENAI) {
        bool there = files_exist(c->features.openai.key_file);
        doctor_add(d, "token", there ? DOCTOR_OK : DOCTOR_FAIL, "%s%s", c->features.openai.key_file,
                   there ? "" : ": no such file (features.openai.key_file)");
    }
}

void doctor_network(doctor *d)
{
    const config *c = d->config;
    check_port(d, "http", "http.bind", c->http.bind, true);
    if (!*c->http.token_file && !is_private(d, "http", "http.bind", c->http.bind)) {
        doctor_add(d, "http", DOCTOR_WARN,
                   "%s is no loopback address: only /healthz, /readyz and /metrics answer without "
                   "http.token_file",
                   c->http.bind);
    }
    check_scheduler(d);
    check_keys(d);
    check_token(d);
}
