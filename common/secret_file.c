#include "common/secret_file.h"

#include "common/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { GROUPS_MAX = 256 };

static err_code fail(const char *path)
{
    err_code rc = errno == ENOENT ? ERR_NOT_FOUND : ERR_IO;
    log_user_error("%s: cannot read: %s", path, strerror(errno));
    return rc;
}

/* Root's, for a group of ours to read: how an orchestrator gives a secret to a process without
 * privileges (a volume with fsGroup). */
static bool is_lent(const struct stat *st)
{
    gid_t groups[GROUPS_MAX];
    if (st->st_uid != 0 || geteuid() == 0) return false;
    if (st->st_gid == getegid()) return true;
    int n = getgroups(GROUPS_MAX, groups);
    for (int i = 0; i < n; i++) {
        if (groups[i] == st->st_gid) return true;
    }
    return false;
}

/* Regular, ours or root's, and none of the permissions in `mask`. */
static err_code check(const char *path, const char *what, int fd, mode_t mask)
{
    struct stat st;
    if (fstat(fd, &st) != 0) return fail(path);
    if (!S_ISREG(st.st_mode)) {
        log_user_error("%s: %s must be a regular file", path, what);
        return ERR_INVALID;
    }
    if (st.st_uid != geteuid() && st.st_uid != 0 && geteuid() != 0) {
        log_user_error("%s: %s belongs to another user", path, what);
        return ERR_INVALID;
    }
    if (!(st.st_mode & mask)) return ERR_OK;
    if (is_lent(&st) && !(st.st_mode & mask & ~(mode_t)040)) return ERR_OK;
    log_user_error("%s: %s has mode %04o: others may %s it; chmod %s", path, what,
                   (unsigned)(st.st_mode & 07777), mask & 044 ? "read" : "change",
                   mask & 044 ? "600" : "644");
    return ERR_INVALID;
}

static err_code read_all(const char *path, int fd, char *text, size_t size)
{
    size_t n = 0;
    for (;;) {
        ssize_t got = read(fd, text + n, size - n);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return fail(path);
        n += (size_t)got;
        if (!got) break;
        if (n == size) {
            log_user_error("%s: longer than %zu bytes", path, size - 1);
            return ERR_LIMIT;
        }
    }
    text[n] = 0;
    if (strlen(text) == n) return ERR_OK;
    log_user_error("%s: a zero byte in a text", path);
    return ERR_INVALID;
}

err_code secret_file_read(const char *path, const char *what, char *text, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0) return fail(path);
    err_code rc = check(path, what, fd, 077);
    if (rc == ERR_OK) rc = read_all(path, fd, text, size);
    if (rc != ERR_OK) explicit_bzero(text, size);
    close(fd);
    return rc;
}

err_code secret_file_trusted(const char *path, int fd)
{
    return check(path, "a table of keys", fd, 022);
}
