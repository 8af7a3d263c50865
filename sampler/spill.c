#include "sampler/spill.h"

#include "common/files.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/panic.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { SPILL_BUFFER_BYTES = 1 << 16 };

struct spill {
    int fd;
    char *dir;
    uint64_t bytes; /* appended, buffered ones too */
    size_t buffered;
    void *map; /* NULL: not mapped, or empty */
    uint8_t buffer[SPILL_BUFFER_BYTES];
};

static err_code spill_fail(const spill *s, const char *what)
{
    log_user_error("%s: temporary file: %s: %s", s->dir, what, strerror(errno));
    return ERR_IO;
}

err_code spill_open(const char *dir, spill **out)
{
    spill *s = xcalloc(1, sizeof *s);
    char *name = xprintf("%s/spill-XXXXXX", dir);

    s->dir = xstrdup(dir);
    s->fd = mkstemp(name);
    err_code rc = s->fd < 0 ? spill_fail(s, "create") : ERR_OK;
    if (rc == ERR_OK && unlink(name) != 0) rc = spill_fail(s, "unlink");
    free(name);
    if (rc != ERR_OK) {
        spill_close(s);
        s = NULL;
    }
    *out = s;
    return rc;
}

void spill_close(spill *s)
{
    if (s == NULL) return;
    if (s->map != NULL) munmap(s->map, s->bytes);
    if (s->fd >= 0) close(s->fd);
    free(s->dir);
    free(s);
}

static err_code write_all(spill *s, const void *data, size_t bytes)
{
    if (!files_write_all(s->fd, data, bytes)) return spill_fail(s, "write");
    return ERR_OK;
}

err_code spill_flush(spill *s)
{
    err_code rc = write_all(s, s->buffer, s->buffered);
    s->buffered = 0;
    return rc;
}

err_code spill_put(spill *s, const void *data, size_t bytes)
{
    ASSERT(s->map == NULL);
    if (s->buffered + bytes > SPILL_BUFFER_BYTES) {
        err_code rc = spill_flush(s);
        if (rc != ERR_OK) return rc;
    }
    s->bytes += bytes;
    if (bytes > SPILL_BUFFER_BYTES) return write_all(s, data, bytes);
    if (bytes > 0) memcpy(s->buffer + s->buffered, data, bytes);
    s->buffered += bytes;
    return ERR_OK;
}

uint64_t spill_bytes(const spill *s)
{
    return s->bytes;
}

err_code spill_map(spill *s, const void **data)
{
    err_code rc = spill_flush(s);
    if (rc != ERR_OK) return rc;
    *data = s->buffer;
    if (s->bytes == 0) return ERR_OK;
    if (s->map == NULL) {
        void *map = mmap(NULL, s->bytes, PROT_READ, MAP_SHARED, s->fd, 0);
        if (map == MAP_FAILED) return spill_fail(s, "map");
        s->map = map;
    }
    *data = s->map;
    return ERR_OK;
}

err_code spill_read(spill *s, uint64_t offset, void *data, size_t bytes)
{
    uint8_t *at = data;
    while (bytes > 0) {
        ssize_t n = pread(s->fd, at, bytes, (off_t)offset);
        if (n < 0 && errno == EINTR) continue;
        if (n == 0) errno = EIO;
        if (n <= 0) return spill_fail(s, "read");
        at += n;
        offset += (uint64_t)n;
        bytes -= (size_t)n;
    }
    return ERR_OK;
}
