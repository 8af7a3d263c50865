#include "sampler/store_verify.h"

#include "common/hash.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/panic.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { READ_BYTES = 1 << 20 };

err_code store_verify_file(const char *path, uint64_t *bytes, uint64_t *hash)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        log_user_error("%s: %s", path, strerror(errno));
        return errno == ENOENT ? ERR_NOT_FOUND : ERR_IO;
    }
    hash_stream *h = hash_stream_new(0);
    uint8_t *buffer = xmalloc(READ_BYTES);
    err_code rc = ERR_OK;
    ssize_t n;

    *bytes = 0;
    while ((n = read(fd, buffer, READ_BYTES)) != 0) {
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) {
            log_user_error("%s: %s", path, strerror(errno));
            rc = ERR_IO;
            break;
        }
        hash_stream_add(h, buffer, (size_t)n);
        *bytes += (uint64_t)n;
    }
    *hash = hash_stream_digest(h);
    hash_stream_free(h);
    free(buffer);
    close(fd);
    return rc;
}

float store_power_of_two(int exponent)
{
    float out;
    ASSERT(exponent >= -126 && exponent <= 127);
    uint32_t bits = (uint32_t)(exponent + 127) << 23;
    memcpy(&out, &bits, sizeof out);
    return out;
}
