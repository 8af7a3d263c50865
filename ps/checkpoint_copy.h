/* checkpoint_copy.h - a part of a snapshot goes to another folder of checkpoints in pieces.
 *
 * The pieces come in any order, but for the first, into <part>.tmp-copied; it gets its name when
 * all of them are there, are that part with that checksum, and are on the disk; the name is durable
 * after checkpoint_files_seal.  Who dies at it begins anew.  `why` is as in checkpoint_files.h.
 * Threads: any; one writer a part. */
#pragma once

#include "ps/checkpoint_files.h"

bool checkpoint_copy_is_there(const char *dir, const part_id *id);

/* At most `max` bytes of the file from offset on, how many it has, and the checksum it says it has;
 * not compared with what is in it.  *out owned.  ERR_NOT_FOUND; ERR_CORRUPT: no part, or another
 * one's, or shorter than the offset; ERR_IO; ERR_NO_MEMORY. */
MUST_USE err_code checkpoint_copy_read(const char *dir, const part_id *id, uint64_t offset,
                                       size_t max, blob **out, uint64_t *total, uint64_t *hash,
                                       char *why);
/* Writes a piece; offset 0 begins the file, its folders are made.  ERR_LIMIT: the disk is full;
 * ERR_IO. */
MUST_USE err_code checkpoint_copy_write(const char *dir, const part_id *id, uint64_t offset,
                                        const void *bytes, size_t n, char *why);
/* All pieces are there: under the part's name.  ERR_CORRUPT: they are not that part; they
 * are removed then.  ERR_LIMIT, ERR_IO. */
MUST_USE err_code checkpoint_copy_finish(const char *dir, const part_id *id, uint64_t total,
                                         uint64_t hash, char *why);
