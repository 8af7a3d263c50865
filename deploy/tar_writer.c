#include "deploy/tar_writer.h"

#include "common/log.h"
#include "common/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

enum { BLOCK = 512, PIECE = 1 << 30 };

struct tar_writer {
    gzFile file;
    char *path;
    bool failed;
};

/* A header block, all of it text. */
typedef struct tar_header {
    char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type, link[100];
    char magic[6], version[2], user[32], group[32], major[8], minor[8], prefix[155], padding[12];
} tar_header;
_Static_assert(sizeof(tar_header) == BLOCK, "a block");

err_code tar_open(const char *path, tar_writer **out)
{
    *out = NULL;
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || fchmod(fd, 0600) != 0) {
        log_user_error("%s: cannot write: %s", path, strerror(errno));
        if (fd >= 0) close(fd);
        return ERR_IO;
    }
    tar_writer *t = xcalloc(1, sizeof *t);
    t->path = xstrdup(path);
    t->file = gzdopen(fd, "wb6");
    t->failed = !t->file;
    if (!t->file) close(fd);
    *out = t;
    return ERR_OK;
}

static void put(tar_writer *t, const void *data, size_t bytes)
{
    const char *p = data;
    while (bytes && !t->failed) {
        unsigned n = bytes > PIECE ? PIECE : (unsigned)bytes;
        t->failed = gzwrite(t->file, p, n) != (int)n;
        p += n;
        bytes -= n;
    }
}

static void pad(tar_writer *t, size_t bytes)
{
    static const char zeros[BLOCK];
    if (bytes % BLOCK) put(t, zeros, BLOCK - bytes % BLOCK);
}

void tar_add(tar_writer *t, const char *name, const void *data, size_t bytes, uint64_t time)
{
    tar_header h = {.type = '0', .mode = "0000644", .uid = "0000000", .gid = "0000000"};
    size_t n = strlen(name);
    memcpy(h.magic, "ustar", 6);
    memcpy(h.version, "00", 2);
    snprintf(h.name, sizeof h.name, "%s", n > TAR_NAME_MAX ? name + n - TAR_NAME_MAX : name);
    snprintf(h.size, sizeof h.size, "%011" PRIo64, (uint64_t)bytes & UINT64_C(077777777777));
    snprintf(h.mtime, sizeof h.mtime, "%011" PRIo64, time & UINT64_C(077777777777));
    memset(h.checksum, ' ', sizeof h.checksum);
    unsigned sum = 0;
    for (size_t i = 0; i < sizeof h; i++) sum += ((const unsigned char *)&h)[i];
    snprintf(h.checksum, sizeof h.checksum, "%06o", sum & 0777777u);
    put(t, &h, sizeof h);
    put(t, data, bytes);
    pad(t, bytes);
}

err_code tar_close(tar_writer *t)
{
    static const char end[2 * BLOCK];
    put(t, end, sizeof end);
    if (t->file && gzclose(t->file) != Z_OK) t->failed = true;
    err_code rc = t->failed ? ERR_IO : ERR_OK;
    if (t->failed) {
        log_user_error("%s: cannot write: %s", t->path, strerror(errno));
        unlink(t->path);
    }
    free(t->path);
    free(t);
    return rc;
}
