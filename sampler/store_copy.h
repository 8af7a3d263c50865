/* store_copy.h - how a prepared store travels: to a folder that all machines can read, and from
 * there to the disks of those who use it.
 *
 * With store.source `prepare` puts a copy of its store in <store.source>/<prepare_hash> and names
 * it in <store.source>/current; samplers bring the partitions they own to
 * <store.local>/<prepare_hash>. A partition is compared with the manifest's checksum while it is
 * copied, gets its name when it is whole, and the manifest comes last.  LMDB opens nothing in
 * store.source.  Threads: any.
 *
 * Why copies: a partition with a checksum is served from a local disk at memory speed, while LMDB
 * over NFS is not coherent and a lost server is SIGBUS. The price is the store twice, and a copy
 * before a new machine serves. */
#pragma once

#include "common/config.h"
#include "common/err.h"

#include <stdbool.h>
#include <stdint.h>

/* Asked about every MiB: another code than ERR_OK ends a copy with it, nothing half done is left.
 */
typedef err_code store_copy_check(void *context);

/* Copies `folder` to store.source and names it there; nothing where store.source is "" or has it.
 * ERR_CORRUPT, ERR_NOT_FOUND, ERR_IO: printed with the file; and what `check` (NULL: none) says. */
MUST_USE err_code store_copy_publish(const config *c, const char *folder, store_copy_check *check,
                                     void *context);

/* store.source has the whole store `hash`. */
bool store_copy_is_published(const config *c, uint64_t hash);
/* All of it into `folder`, which is there and empty.  Errors as above. */
MUST_USE err_code store_copy_fetch_whole(const config *c, uint64_t hash, const char *folder,
                                         store_copy_check *check, void *context);

/* Partition[0..n-1] into store.local (work_dir/store where that is ""), what is there already only
 * if `again`, then removes other stores from store.local.  *folder: where they are, owned.  Errors
 * as above; ERR_INVALID (printed): the folder is on a network file system. */
MUST_USE err_code store_copy_fetch(const config *c, uint64_t hash, const uint32_t *partition,
                                   uint32_t n, bool again, store_copy_check *check, void *context,
                                   char **folder);
