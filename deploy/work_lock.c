#include "deploy/work_lock.h"

#include "common/clock.h"
#include "common/file_lock.h"
#include "common/files.h"
#include "common/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

enum { WAIT_US = 50000 };

void work_lock_init(work_lock *l)
{
    *l = (work_lock){-1, -1};
}

static err_code open_file(const char *run_dir, const char *name, int *fd)
{
    char *path = files_join(run_dir, name);
    *fd = open(path, O_RDWR | O_CREAT, 0600);
    if (*fd < 0) log_user_error("%s: %s", path, strerror(errno));
    free(path);
    return *fd < 0 ? ERR_IO : ERR_OK;
}

static err_code take_roles(work_lock *l, const char *run_dir, const atomic_int *stop)
{
    err_code rc = open_file(run_dir, "lock.roles", &l->roles);
    uint64_t start = clock_now_us(), end = start + WORK_LOCK_WAIT_MS * 1000u;
    bool said = false;
    while (rc == ERR_OK && flock(l->roles, LOCK_EX | LOCK_NB) != 0) {
        if (!said) log_warn("waiting", "for=\"the processes of an earlier run to end\"");
        said = true;
        usleep(WAIT_US);
        if (stop && atomic_load(stop)) return ERR_STOPPED;
        if (clock_now_us() < end) continue;
        log_user_error("%s: processes of an earlier run do not end", run_dir);
        rc = ERR_LIMIT;
    }
    return rc;
}

err_code work_lock_take(work_lock *l, const char *run_dir, const atomic_int *stop)
{
    err_code rc = file_lock_take(run_dir, "lock", "weft train", &l->own);
    return rc == ERR_OK ? take_roles(l, run_dir, stop) : rc;
}

void work_lock_drop(work_lock *l)
{
    if (l->own >= 0) close(l->own);
    if (l->roles >= 0) close(l->roles);
    work_lock_init(l);
}
