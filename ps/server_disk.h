/* server_disk.h - a server's disk: carries out the jobs of its core on a thread of their own, with
 * the files of checkpoint_files.h.  A server has two: SHARD_SAVE and SHARD_LOAD take long, and what
 * others ask for meanwhile must not wait.  Threads: one owner; one job at a time. */
#pragma once

#include "common/shell.h"

typedef struct server_disk server_disk;

/* `dir` is copied.  Owned: server_disk_free. */
server_disk *server_disk_new(const char *dir);
void server_disk_free(server_disk *d); /* accepts NULL; waits for the job */

/* Starts a job of shard.h or shard_copies.h (kind, its struct of shard_disk.h); its result is
 * posted. */
void server_disk_start(server_disk *d, uint64_t token, uint32_t kind, void *job, shell_post *post,
                       void *shell);
/* Waits for the job: nothing is posted afterwards. */
void server_disk_stop(server_disk *d);
/* When the file that is being written or read was begun; 0: the disk has nothing to do. */
uint64_t server_disk_busy_since_us(server_disk *d);
