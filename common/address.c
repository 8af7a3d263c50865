#include "common/address.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define DIGITS          "0123456789"
#define HOST_CHARACTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz" DIGITS ".-_"

static bool begins(const char *text, const char *with)
{
    return strncasecmp(text, with, strlen(with)) == 0;
}

static bool is_ipv4(const char *s, size_t n)
{
    char text[INET_ADDRSTRLEN];
    struct in_addr a;
    if (n >= sizeof text) return false;
    memcpy(text, s, n);
    text[n] = 0;
    return inet_pton(AF_INET, text, &a) == 1;
}

static const char *host_problem(const char *s, size_t n)
{
    if (n == 0) return "there is no host";
    if (*s == '[') return "IPv6 is not supported";
    if (n > ADDRESS_HOST_MAX) return "the host has more than 127 characters";
    if (strspn(s, HOST_CHARACTERS) < n) return "a host has letters, digits, dots, - and _";
    if (strspn(s, DIGITS ".") >= n && !is_ipv4(s, n)) return "the number is no IPv4 address";
    return NULL;
}

static bool is_port(const char *s, long least)
{
    size_t n = strspn(s, DIGITS);
    return n > 0 && n <= 5 && !s[n] && atol(s) >= least && atol(s) <= 65535;
}

static const char *tcp_problem(const char *s)
{
    const char *colon = strrchr(s, ':');
    if (*s == '[') return "IPv6 is not supported";
    if (!colon) return "there is no port";
    const char *problem = host_problem(s, (size_t)(colon - s));
    if (problem) return problem;
    return is_port(colon + 1, 1) ? NULL : "a port is a number from 1 to 65535";
}

static const char *ipc_problem(const char *path)
{
    size_t n = strlen(path);
    /* @name has no file, and so no permissions. */
    if (n == 0 || *path == '@' || *path == '*') return "ipc:// needs a file";
    if (n > ADDRESS_IPC_MAX) return "the path of a socket has at most 107 bytes";
    return *path == ' ' || path[n - 1] == ' ' ? "a space at an end of the path" : NULL;
}

static const char *endpoint_problem(const char *text)
{
    if (strncmp(text, "ipc://", 6) == 0) return ipc_problem(text + 6);
    if (strncmp(text, "tcp://", 6) == 0) return tcp_problem(text + 6);
    return "it begins with neither tcp:// nor ipc://";
}

static const char *listen_problem(const char *text)
{
    const char *colon = strrchr(text, ':');
    if (!colon) return "there is no port";
    if (!is_ipv4(text, (size_t)(colon - text))) return "the host is no IPv4 address";
    return is_port(colon + 1, 0) ? NULL : "a port is a number from 0 to 65535";
}

static const char *url_problem(const char *text)
{
    if (!begins(text, "http://") && !begins(text, "https://"))
        return "must begin with http:// or https://";
    const char *host = strstr(text, "://") + 3;
    size_t n = strcspn(host, "/?#");
    if (n == 0) return "there is no host";
    if (strpbrk(text, " \t")) return "must not hold a space";
    if (memchr(host, '@', n)) return "must not hold a user or password, which would be printed";
    return NULL;
}

const char *address_problem(address_form form, const char *text)
{
    switch (form) {
    case ADDRESS_ENDPOINT: return endpoint_problem(text);
    case ADDRESS_LISTEN: return listen_problem(text);
    case ADDRESS_HOST: return host_problem(text, strlen(text));
    case ADDRESS_URL: return url_problem(text);
    default: return NULL;
    }
}

const char *address_form_name(address_form form)
{
    switch (form) {
    case ADDRESS_ENDPOINT: return "tcp://host:port or ipc://file";
    case ADDRESS_LISTEN: return "address:port, such as 127.0.0.1:0";
    case ADDRESS_HOST: return "an IPv4 address or a name, without a port";
    case ADDRESS_URL: return "a URL of http or https";
    default: return "a text";
    }
}

#define PORT_PATTERN ":[0-9]{1,5}"
const char *address_form_pattern(address_form form)
{
    switch (form) {
    case ADDRESS_ENDPOINT: return "^(|tcp://[A-Za-z0-9._-]{1,127}" PORT_PATTERN "|ipc://[^@* ].*)$";
    case ADDRESS_LISTEN: return "^(|[0-9]{1,3}([.][0-9]{1,3}){3}" PORT_PATTERN ")$";
    case ADDRESS_HOST: return "^[A-Za-z0-9._-]{0,127}$";
    case ADDRESS_URL: return "^(|[Hh][Tt][Tt][Pp][Ss]?://[^/?#@ \\t][^ \\t]*)$";
    default: return NULL;
    }
}
