#include "common/local_disk.h"

#include "common/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

bool local_disk_is_network(const char *type)
{
    static const char *const names[] = {"nfs",    "nfs4",      "cifs",  "smb3",    "smbfs", "ceph",
                                        "lustre", "glusterfs", "gpfs",  "beegfs",  "afs",   "9p",
                                        "ocfs2",  "gfs2",      "pvfs2", "virtiofs"};
    /* Of FUSE only what is known to keep its bytes on this machine. */
    static const char *const local_fuse[] = {"fuse.fuse-overlayfs", "fuse.ntfs-3g", "fuse.bindfs"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(type, names[i]) == 0) return true;
    }
    if (strcmp(type, "fuse") != 0 && strncmp(type, "fuse.", 5) != 0) return false;
    for (size_t i = 0; i < sizeof local_fuse / sizeof *local_fuse; i++) {
        if (strcmp(type, local_fuse[i]) == 0) return false;
    }
    return true;
}

bool local_disk_type(const char *mountinfo, unsigned major, unsigned minor, char type[64])
{
    for (const char *line = mountinfo; line && *line;) {
        const char *end = strchr(line, '\n'), *rest = strstr(line, " - ");
        unsigned a, b;
        if (sscanf(line, "%*d %*d %u:%u ", &a, &b) == 2 && a == major && b == minor && rest &&
            (!end || rest < end) && sscanf(rest, " - %63s", type) == 1)
            return true;
        line = end ? end + 1 : NULL;
    }
    return false;
}

/* The type of what `st` is on; false: it cannot be told. */
static bool type_of(const struct stat *st, char type[64])
{
    FILE *f = fopen("/proc/self/mountinfo", "re");
    char *line = NULL;
    size_t cap = 0;
    bool found = false;
    while (f && !found && getline(&line, &cap, f) > 0)
        found = local_disk_type(line, major(st->st_dev), minor(st->st_dev), type);
    free(line);
    if (f) fclose(f);
    return found;
}

err_code local_disk_check(const char *path, const char *key)
{
    struct stat st;
    char type[64];
    if (stat(path, &st) != 0 || !type_of(&st, type) || !local_disk_is_network(type)) return ERR_OK;
    log_user_error("%s is on a network file system (%s): an LMDB environment must be on a disk of "
                   "this machine: set %s to another folder",
                   path, type, key);
    return ERR_INVALID;
}
