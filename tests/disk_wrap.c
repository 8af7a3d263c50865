#include "testing_disk.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/types.h>

ssize_t __real_write(int fd, const void *data, size_t n);
int __real_fsync(int fd);
int __real_rename(const char *from, const char *to);
int __real_close(int fd);
ssize_t __wrap_write(int fd, const void *data, size_t n);
int __wrap_fsync(int fd);
int __wrap_rename(const char *from, const char *to);
int __wrap_close(int fd);

static struct {
    testing_disk_call call;
    int left, error, failed;
    int calls[TESTING_DISK_CALLS];
} disk;

void testing_disk_fail(testing_disk_call call, int n, int error)
{
    memset(&disk, 0, sizeof disk);
    disk.call = call;
    disk.left = n;
    disk.error = error;
}

int testing_disk_heal(void)
{
    int failed = disk.failed;
    memset(&disk, 0, sizeof disk);
    return failed;
}

int testing_disk_calls(testing_disk_call call)
{
    return disk.calls[call];
}

static int fails(testing_disk_call call)
{
    disk.calls[call]++;
    if (disk.call != call || disk.failed || disk.left-- > 0) return 0;
    disk.failed++;
    errno = disk.error;
    return 1;
}

ssize_t __wrap_write(int fd, const void *data, size_t n)
{
    if (disk.call == TESTING_DISK_WRITE && !disk.failed && disk.left == 0 && n > 1) {
        ssize_t wrote = __real_write(fd, data, n / 2);
        disk.calls[TESTING_DISK_WRITE]++;
        return wrote; /* The rest is asked for next, and fails. */
    }
    return fails(TESTING_DISK_WRITE) ? -1 : __real_write(fd, data, n);
}

int __wrap_fsync(int fd)
{
    return fails(TESTING_DISK_FSYNC) ? -1 : __real_fsync(fd);
}

int __wrap_rename(const char *from, const char *to)
{
    return fails(TESTING_DISK_RENAME) ? -1 : __real_rename(from, to);
}

int __wrap_close(int fd)
{
    int failed = fails(TESTING_DISK_CLOSE), error = errno;
    if (!failed) return __real_close(fd);
    __real_close(fd);
    errno = error;
    return -1;
}
