#include "testing_http.h"

#include <arpa/inet.h>
#include <check.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void testing_http_talk(unsigned port, const char *request, char *reply, size_t size)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    inet_pton(AF_INET, "127.0.0.1", &a.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    ck_assert_int_eq(send(fd, request, strlen(request), 0), (int)strlen(request));
    size_t n = 0;
    for (ssize_t got; n + 1 < size && (got = recv(fd, reply + n, size - n - 1, 0)) > 0;)
        n += (size_t)got;
    reply[n] = 0;
    close(fd);
}
