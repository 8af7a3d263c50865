/* local_disk.h - whether a folder is on a disk of this machine.
 *
 * LMDB maps its files and locks them: on a network file system a map is not coherent, a lock may
 * mean nothing, and a lost server is SIGBUS.  Whoever opens an environment asks here first.
 * Threads: any. */
#pragma once

#include "common/err.h"

#include <stdbool.h>

/* ERR_INVALID (printed): `path` (a file or folder that is there) is on a network file system; `key`
 * names the configuration key that puts it elsewhere.  What cannot be told is taken for local. */
MUST_USE err_code local_disk_check(const char *path, const char *key);

/* The type in mountinfo (proc(5)) of the file system `major:minor`, into type[64]; false: it is not
 * there. */
bool local_disk_type(const char *mountinfo, unsigned major, unsigned minor, char type[64]);
bool local_disk_is_network(const char *type); /* "nfs4", "fuse.sshfs", ... */
