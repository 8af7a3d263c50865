#include "common/files.h"

#include "common/log.h"
#include "common/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static err_code fail(const char *what, const char *path)
{
    int cause = errno;
    log_user_error("%s: %s: %s", path, what, strerror(cause));
    return cause == ENOENT ? ERR_NOT_FOUND : ERR_IO;
}

err_code files_read(const char *path, size_t bytes_max, char **data, size_t *bytes)
{
    *data = NULL;
    err_code rc = ERR_OK;
    char *text = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return fail("cannot open", path);
    struct stat st;
    if (fstat(fd, &st) != 0) {
        rc = fail("cannot read", path);
        goto done;
    }
    /* A pipe has no size: read it up to the limit and one byte more. */
    size_t cap = S_ISREG(st.st_mode) ? (size_t)st.st_size : bytes_max;
    cap = (cap < bytes_max ? cap : bytes_max) + 1;
    text = try_malloc(cap + 1, 1);
    if (!text) {
        log_user_error("%s: no memory for %zu bytes", path, cap);
        rc = ERR_NO_MEMORY;
    } else if (!files_read_up_to(fd, text, cap, bytes)) {
        rc = fail("cannot read", path);
    } else if (*bytes > bytes_max) {
        log_user_error("%s: larger than %zu bytes", path, bytes_max);
        rc = ERR_LIMIT;
    } else {
        text[*bytes] = 0;
        *data = text;
        text = NULL;
    }
done:
    free(text);
    close(fd);
    return rc;
}

bool files_read_up_to(int fd, void *data, size_t cap, size_t *bytes)
{
    *bytes = 0;
    while (*bytes < cap) {
        ssize_t n = read(fd, (char *)data + *bytes, cap - *bytes);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return false;
        if (n == 0) return true;
        *bytes += (size_t)n;
    }
    return true;
}

bool files_write_all(int fd, const void *data, size_t bytes)
{
    const char *rest = data;
    while (bytes > 0) {
        ssize_t n = write(fd, rest, bytes);
        if (n < 0 && errno == EINTR) continue;
        if (n == 0) errno = EIO;
        if (n <= 0) return false;
        rest += n;
        bytes -= (size_t)n;
    }
    return true;
}

static err_code write_and_sync(int fd, const char *path, const void *data, size_t bytes,
                               uint32_t mode)
{
    err_code rc = ERR_OK;
    if (fchmod(fd, (mode_t)mode) != 0 || !files_write_all(fd, data, bytes) || fsync(fd) != 0) {
        rc = fail("cannot write", path);
    }
    if (close(fd) != 0 && rc == ERR_OK) rc = fail("cannot write", path);
    return rc;
}

err_code files_write_atomic(const char *path, const void *data, size_t bytes, uint32_t mode)
{
    char *dir = files_parent(path);
    char *temporary = xprintf("%s.tmp-XXXXXX", path);
    int fd = mkostemp(temporary, O_CLOEXEC);
    err_code rc = fd < 0 ? fail("cannot write", path) : write_and_sync(fd, path, data, bytes, mode);
    if (rc == ERR_OK && rename(temporary, path) != 0) rc = fail("cannot replace", path);
    if (rc == ERR_OK) {
        rc = files_sync(dir);
    } else if (fd >= 0) {
        unlink(temporary);
    }
    free(temporary);
    free(dir);
    return rc;
}

err_code files_make_dirs(const char *path)
{
    char *part = xstrdup(path);
    err_code rc = ERR_OK;
    for (char *s = part + 1; *part && rc == ERR_OK; s++) {
        if (*s != '/' && *s) continue;
        char was = *s;
        *s = 0;
        if (mkdir(part, 0777) != 0 && (errno != EEXIST || !files_is_dir(part))) {
            rc = fail("cannot make the folder", part);
        }
        *s = was;
        if (!was) break;
    }
    free(part);
    return rc == ERR_NOT_FOUND ? ERR_IO : rc;
}

/* Removes the entries of the open folder `fd` (closed here). */
static bool remove_entries(int fd)
{
    DIR *dir = fdopendir(fd);
    if (!dir) {
        close(fd);
        return false;
    }
    bool ok = true;
    for (struct dirent *e; ok && (e = readdir(dir)) != NULL;) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
        if (unlinkat(fd, e->d_name, 0) == 0) continue;
        int sub = openat(fd, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        ok = sub >= 0 && remove_entries(sub) && unlinkat(fd, e->d_name, AT_REMOVEDIR) == 0;
    }
    closedir(dir);
    return ok;
}

err_code files_remove_tree(const char *path)
{
    if (unlink(path) == 0 || errno == ENOENT) return ERR_OK;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || !remove_entries(fd) || rmdir(path) != 0) return fail("cannot remove", path);
    return ERR_OK;
}

err_code files_remove_stale(const char *dir, const char *prefix)
{
    DIR *d = opendir(dir);
    if (!d) return fail("cannot open", dir);
    err_code rc = ERR_OK;
    for (struct dirent *e; rc == ERR_OK && (e = readdir(d)) != NULL;) {
        size_t n = strlen(prefix);
        if (strncmp(e->d_name, prefix, n) != 0) continue;
        char *end;
        long pid = strtol(e->d_name + n, &end, 10);
        if (pid <= 0 || *end || (kill((pid_t)pid, 0) == 0 || errno != ESRCH)) continue;
        char *path = files_join(dir, e->d_name);
        rc = files_remove_tree(path);
        free(path);
    }
    closedir(d);
    return rc;
}

err_code files_rename(const char *from, const char *to)
{
    return rename(from, to) == 0 ? ERR_OK : fail("cannot rename", from);
}

err_code files_sync(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return fail("cannot open", path);
    err_code rc = fsync(fd) == 0 ? ERR_OK : fail("cannot fsync", path);
    close(fd);
    return rc;
}

bool files_exist(const char *path)
{
    return access(path, F_OK) == 0;
}

bool files_is_dir(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

char *files_join(const char *dir, const char *name)
{
    if (*name == '/' || !*dir) return xstrdup(name);
    bool slash = dir[strlen(dir) - 1] == '/';
    return xprintf("%s%s%s", dir, slash ? "" : "/", name);
}

char *files_parent(const char *path)
{
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/') n--;
    while (n > 0 && path[n - 1] != '/') n--;
    if (n == 0) return xstrdup(".");
    while (n > 1 && path[n - 1] == '/') n--;
    return xstrndup(path, n);
}

char *files_absolute(const char *path)
{
    char here[PATH_MAX];
    char *all = files_join(getcwd(here, sizeof here) ? here : "/", path);
    char *out = xmalloc(strlen(all) + 2);
    size_t n = 0;
    for (const char *s = all; *s;) {
        size_t len = strcspn(s, "/");
        if (len == 2 && s[0] == '.' && s[1] == '.') {
            while (n > 0 && out[--n] != '/') {
            }
        } else if (len > 0 && !(len == 1 && *s == '.')) {
            out[n++] = '/';
            memcpy(out + n, s, len);
            n += len;
        }
        s += len + (s[len] == '/');
    }
    if (n == 0) out[n++] = '/';
    out[n] = 0;
    free(all);
    return out;
}
