#include "common/file_lock.h"

#include "common/files.h"
#include "common/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

/* The process that wrote its number into the lock, 0: unknown. */
static long holder_of(int fd)
{
    char text[32] = "";
    ssize_t n = pread(fd, text, sizeof text - 1, 0);
    return n > 0 ? strtol(text, NULL, 10) : 0;
}

static bool write_holder(int fd)
{
    char text[32];
    int n = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    return ftruncate(fd, 0) == 0 && pwrite(fd, text, (size_t)n, 0) == n;
}

err_code file_lock_take(const char *dir, const char *name, const char *who, int *fd)
{
    char *path = files_join(dir, name);
    err_code rc = ERR_OK;
    *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (*fd < 0) {
        log_user_error("%s: %s", path, strerror(errno));
        rc = ERR_IO;
    } else if (flock(*fd, LOCK_EX | LOCK_NB) != 0) {
        log_user_error("%s: another %s (process %ld) is at work in this work_dir", dir, who,
                       holder_of(*fd));
        rc = ERR_LIMIT;
    } else if (!write_holder(*fd)) {
        log_user_error("%s: %s", path, strerror(errno));
        rc = ERR_IO;
    }
    free(path);
    if (rc != ERR_OK && *fd >= 0) {
        close(*fd);
        *fd = -1;
    }
    return rc;
}

err_code file_lock_folder(const char *dir, int *fd)
{
    *fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*fd < 0 || flock(*fd, LOCK_EX | LOCK_NB) == 0) return ERR_OK;
    bool taken = errno == EWOULDBLOCK;
    close(*fd);
    *fd = -1;
    return taken ? ERR_LIMIT : ERR_OK;
}
