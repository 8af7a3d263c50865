/* Folders, file systems and fsync (doctor.h). */
#include "common/clock.h"
#include "common/files.h"
#include "common/mem.h"
#include "deploy/doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

enum { SYNCS = 8, SYNC_BYTES = 65536, SYNC_SLOW_US = 100000 };

typedef struct file_system {
    long type;
    const char *name;
    bool network, gone; /* gone: a restart empties it */
} file_system;

/* statfs(2), linux/magic.h */
static const file_system file_systems[] = {
    {0x6969, "nfs", true, false},         {0xff534d42, "cifs", true, false},
    {0xfe534d42, "smb2", true, false},    {0x517b, "smb", true, false},
    {0x00c36400, "ceph", true, false},    {0x0bd00bd0, "lustre", true, false},
    {0x47504653, "gpfs", true, false},    {0x19830326, "beegfs", true, false},
    {0x01021997, "9p", true, false},      {0x5346414f, "afs", true, false},
    {0x65735546, "fuse", true, false},    {0x01021994, "tmpfs", false, true},
    {0x858458f6, "ramfs", false, true},   {0xef53, "ext4", false, false},
    {0x58465342, "xfs", false, false},    {0x9123683e, "btrfs", false, false},
    {0x794c7630, "overlay", false, false}};

/* The folder, or the nearest above it that is there; owned. */
static char *existing(const char *path)
{
    char *at = xstrdup(path);
    while (!files_is_dir(at) && strcmp(at, "/") != 0) {
        char *above = files_parent(at);
        free(at);
        at = above;
    }
    return at;
}

static const file_system *system_of_type(long type)
{
    for (size_t i = 0; i < sizeof file_systems / sizeof *file_systems; i++) {
        if (((unsigned long)type & 0xffffffff) == (unsigned long)file_systems[i].type)
            return &file_systems[i];
    }
    return NULL;
}

static const file_system *system_of(const char *folder)
{
    struct statfs s;
    return statfs(folder, &s) == 0 ? system_of_type((long)s.f_type) : NULL;
}

const char *doctor_file_system(long type, bool *network)
{
    const file_system *s = system_of_type(type);
    *network = s && s->network;
    return s ? s->name : NULL;
}

static void check_system(doctor *d, const char *name, const char *key, const char *folder,
                         bool shared_ok)
{
    char *at = existing(folder);
    const file_system *s = system_of(at);
    if (s && s->network && !shared_ok) {
        doctor_add(d, name, DOCTOR_FAIL,
                   "%s is on a network file system (%s): mapped files break there; name a local "
                   "folder (%s)",
                   at, s->name, key);
    } else if (s && s->gone) {
        doctor_add(d, name, DOCTOR_WARN, "%s is on %s: gone after a restart, and takes memory", at,
                   s->name);
    } else {
        doctor_add(d, name, DOCTOR_OK, "%s (%s)", at, s ? s->name : "another file system");
    }
    free(at);
}

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Seconds of SYNCS small writes; false (errno): one of them failed. */
static bool time_syncs(const char *path, uint64_t us[SYNCS])
{
    char *block = xcalloc(SYNC_BYTES, 1);
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool ok = fd >= 0;
    for (int i = 0; ok && i < SYNCS; i++) {
        uint64_t begin = clock_now_us();
        ok = pwrite(fd, block, SYNC_BYTES, (off_t)i * SYNC_BYTES) == SYNC_BYTES && fsync(fd) == 0;
        us[i] = clock_now_us() - begin;
    }
    int error = errno;
    if (fd >= 0) close(fd);
    if (fd >= 0) unlink(path);
    free(block);
    errno = error;
    return ok;
}

static void check_sync(doctor *d, const char *name, const char *folder)
{
    char *at = existing(folder), *path = xprintf("%s/.weft-doctor-%ld", at, (long)getpid());
    uint64_t us[SYNCS];
    if (time_syncs(path, us)) {
        qsort(us, SYNCS, sizeof *us, compare_u64);
        bool slow = us[SYNCS / 2] > SYNC_SLOW_US;
        doctor_add(d, name, slow ? DOCTOR_WARN : DOCTOR_OK, "%s: fsync %.1f ms, slowest %.1f ms%s",
                   at, (double)us[SYNCS / 2] / 1e3, (double)us[SYNCS - 1] / 1e3,
                   slow ? ": checkpoints and the end of each stage wait for it" : "");
    } else {
        doctor_add(d, name, DOCTOR_FAIL, "%s: cannot write: %s", at, strerror(errno));
    }
    free(path);
    free(at);
}

void doctor_disk(doctor *d)
{
    const config *c = d->config;
    check_system(d, "work_dir", "work_dir", c->work_dir, false);
    check_sync(d, "fsync", c->work_dir);
    if (!*c->checkpoint.dir) return;
    check_system(d, "checkpoints", "checkpoint.dir", c->checkpoint.dir, true);
    check_sync(d, "fsync", c->checkpoint.dir);
}
