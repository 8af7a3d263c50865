/* testing_http.h - a request as it is sent, byte by byte, to a server on this machine. */
#pragma once

#include <stddef.h>

/* Sends it to 127.0.0.1 and reads until the other side closes; reply[size] ends with a 0. */
void testing_http_talk(unsigned port, const char *request, char *reply, size_t size);
