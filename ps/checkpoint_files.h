/* checkpoint_files.h - the folders and files of checkpoints.
 *
 *     <dir>/<stage>-v<version>-g<generation>[-final]/     a snapshot
 *         0000.part ..       one per virtual shard: checkpoint_part.h
 *         metrics.bin        checkpoint_metrics.h
 *         manifest.json      last; a snapshot without it is not complete: checkpoint_manifest.h
 *         PINNED             somebody wants it kept
 *         *.tmp-XXXXXX       a writer is at it, or died at it (.tmp-copied: checkpoint_copy.h)
 *
 * Several servers may write into one snapshot, prune one folder at the same time, or have a folder
 * each.  A file has its name only once its bytes are on the disk.  Nothing is logged: `why`, of
 * CHECKPOINT_WHY_MAX bytes, gets the path and the cause on every error ("" on ERR_OK).
 * Threads: any. */
#pragma once

#include "common/config.h"
#include "ps/checkpoint_part.h"

enum {
    CHECKPOINT_WHY_MAX = 256,
    CHECKPOINT_NAME_MAX = 80,
    CHECKPOINT_SNAPSHOTS_MAX = 1024, /* of one folder */
    CHECKPOINT_SHARDS_MAX = 4096     /* SHARDS_MAX of table_codec.h */
};

#define CHECKPOINT_MANIFEST_FILE "manifest.json"
#define CHECKPOINT_METRICS_FILE  "metrics.bin"
#define CHECKPOINT_PINNED_FILE   "PINNED"

typedef struct checkpoint_id {
    uint32_t stage; /* stage_id */
    uint32_t generation, version;
    bool final;
} checkpoint_id;

checkpoint_id checkpoint_files_id(const part_id *part);
/* By (generation, stage, version, final). */
int checkpoint_files_compare(const checkpoint_id *a, const checkpoint_id *b);
/* "hgnn-v120-g3-final" into name[CHECKPOINT_NAME_MAX]. */
void checkpoint_files_name(const checkpoint_id *id, char *name);
/* false: no such name is written by checkpoint_files_name. */
bool checkpoint_files_parse(const char *name, checkpoint_id *out);
/* Paths, owned: free.  The first: checkpoint.dir, "" being work_dir/checkpoints. */
char *checkpoint_files_dir(const config *c);
char *checkpoint_files_folder(const char *dir, const checkpoint_id *id);
char *checkpoint_files_part_path(const char *dir, const part_id *id);

/* Makes dir and the snapshot's folder where they are missing and puts `part` there under the name
 * of id->shard: temporary file, write, fsync, rename.  After an error nothing of it is left, as far
 * as the disk allows; a later call begins with a new file.  It is durable after
 * checkpoint_files_seal.  ERR_LIMIT: the disk is full (ENOSPC, EDQUOT); ERR_IO. */
MUST_USE err_code checkpoint_files_write(const char *dir, const part_id *id, const blob *part,
                                         char *why);
/* fsync of the snapshot's folder, of dir, and of its parent.  ERR_NOT_FOUND, ERR_LIMIT, ERR_IO. */
MUST_USE err_code checkpoint_files_seal(const char *dir, const checkpoint_id *id, char *why);
/* Replaces <snapshot>/name by bytes, durably: as the two above.  Same errors. */
MUST_USE err_code checkpoint_files_write_file(const char *dir, const checkpoint_id *id,
                                              const char *name, const void *bytes, size_t n,
                                              char *why);

/* The checked part `id` names.  hash: the checksum it must have; NULL: any.  *out owned
 * (blob_unref), *view (NULL: not wanted) borrowed from it.  ERR_NOT_FOUND; ERR_CORRUPT: damaged,
 * larger than PART_BYTES_MAX, another part's content, another checksum; ERR_MISMATCH: a part of
 * another format; ERR_IO; ERR_NO_MEMORY. */
MUST_USE err_code checkpoint_files_read(const char *dir, const part_id *id, const uint64_t *hash,
                                        blob **out, part_view *view, char *why);
/* A whole regular file of at most max bytes, 8-byte aligned, *out owned.  ERR_CORRUPT: larger, or
 * no regular file; ERR_NOT_FOUND, ERR_IO, ERR_NO_MEMORY. */
MUST_USE err_code checkpoint_files_read_file(const char *path, size_t max, blob **out, char *why);

typedef struct checkpoint_entry {
    checkpoint_id id;
    bool complete; /* has a manifest */
    bool pinned;
    uint32_t parts;
    uint64_t bytes; /* of the parts */
    int64_t time;   /* unix seconds: the manifest's, else the folder's */
} checkpoint_entry;

/* The snapshots in dir, newest first; *out owned: free.  No dir: none.  ERR_IO; ERR_LIMIT: more
 * than CHECKPOINT_SNAPSHOTS_MAX. */
MUST_USE err_code checkpoint_files_list(const char *dir, checkpoint_entry **out, size_t *n,
                                        char *why);
/* Removes the snapshots before `older_than`, but for those in keep [n], the pinned ones and the end
 * of each stage (its newest one), and with them what dead writers left there.  Never one that is
 * not older, so that a caller who slept cannot remove what came since; never a file that is not
 * ours, nor then its folder.  The manifest goes first.  What is gone already is fine.  *removed
 * (NULL: not wanted): snapshots that went. Goes on after an error and returns the first: ERR_IO,
 * ERR_LIMIT as checkpoint_files_list. */
MUST_USE err_code checkpoint_files_prune(const char *dir, const checkpoint_id *older_than,
                                         const checkpoint_id *keep, size_t n, uint32_t *removed,
                                         char *why);
/* Removes all but the pinned ones.  Errors as checkpoint_files_prune. */
MUST_USE err_code checkpoint_files_clear(const char *dir, char *why);
/* The pinned snapshots, into out [max], and how many; a folder that is not there has none.  ERR_IO:
 * it cannot be read, and out is not all. */
MUST_USE err_code checkpoint_files_pinned(const char *dir, checkpoint_id *out, uint32_t max,
                                          uint32_t *n, char *why);
/* Makes (removes) PINNED.  ERR_NOT_FOUND: no such snapshot; ERR_LIMIT, ERR_IO. */
MUST_USE err_code checkpoint_files_pin(const char *dir, const checkpoint_id *id, bool pinned,
                                       char *why);
