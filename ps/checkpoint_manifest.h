/* checkpoint_manifest.h - manifest.json of a snapshot: which parts make it, and what is needed to
 * go on from it.
 *
 * The scheduler writes it when every server has its parts on the disk; a snapshot without it never
 * happened.  One text per content (key order, spaces): decoding takes nothing else.  The text
 * begins with its checksum, XXH3-64 of every byte after it.  Pure but for the functions with a
 * `dir`, whose `why` is as in checkpoint_files.h.  Threads: any. */
#pragma once

#include "ps/checkpoint_files.h"

enum {
    CHECKPOINT_MANIFEST_FORMAT = 1,
    CHECKPOINT_MANIFEST_BYTES_MAX = 8 << 20,
    CHECKPOINT_STATE_BYTES_MAX = 1 << 20,
    CHECKPOINT_PREVIOUS_MAX = 16,
    CHECKPOINT_TEXT_MAX = 256 /* bytes of job and numerics */
};

/* Why it was made. */
typedef enum checkpoint_reason {
    CHECKPOINT_PERIODIC,
    CHECKPOINT_BEST,
    CHECKPOINT_STAGE_END,
    CHECKPOINT_ASKED,
    CHECKPOINT_STOP,
    CHECKPOINT_SCALE, /* the number of servers changes */
    CHECKPOINT_REASONS
} checkpoint_reason;

const char *checkpoint_reason_name(checkpoint_reason reason); /* "periodic", "best", ... */
bool checkpoint_reason_parse(const char *name, checkpoint_reason *out);

typedef struct checkpoint_manifest_part {
    uint32_t shard;
    uint64_t bytes, hash; /* part_hash */
} checkpoint_manifest_part;

typedef struct checkpoint_manifest {
    const char *job, *numerics;
    uint64_t plan_hash;
    checkpoint_id id;
    uint32_t stage_index;
    uint32_t epoch, step; /* of the plan: the last committed */
    checkpoint_reason reason;
    uint32_t shards;  /* virtual: how many there are */
    uint32_t servers; /* that wrote it */
    uint32_t copies;  /* of each part, on two servers: 2; 0: one (its text is as it always was) */
    uint64_t metrics; /* that there were; below 2^53 */
    const checkpoint_id
        *previous; /* [previous_n] the finished stages before: snapshots of theirs */
    uint32_t previous_n;
    const checkpoint_manifest_part *part; /* [parts] ascending by shard */
    uint32_t parts;
    const void *state; /* [state_bytes] the scheduler core's own */
    size_t state_bytes;
    void *memory; /* what decoding allocated for the pointers above; NULL: they are borrowed */
} checkpoint_manifest;

void checkpoint_manifest_fini(checkpoint_manifest *m);
/* The part of this shard. */
part_id checkpoint_manifest_part_id(const checkpoint_manifest *m, uint32_t shard);

/* Owned: free; *n its bytes (a NUL follows).  Counts and texts above their limits are our bug. */
char *checkpoint_manifest_encode(const checkpoint_manifest *m, size_t *n);
/* *out owned: checkpoint_manifest_fini.  ERR_CORRUPT; ERR_MISMATCH: undamaged, of another format;
 * *wrong then says what is wrong (static). */
MUST_USE err_code checkpoint_manifest_decode(const void *text, size_t n, checkpoint_manifest *out,
                                             const char **wrong);

/* Writes it into the folder of m->id, durably and in one step; the parts must be durable.
 * ERR_LIMIT: the disk is full; ERR_IO. */
MUST_USE err_code checkpoint_manifest_write(const char *dir, const checkpoint_manifest *m,
                                            char *why);
/* That of a snapshot; *out owned: checkpoint_manifest_fini.  ERR_NOT_FOUND; ERR_CORRUPT, also when
 * it is of another snapshot; ERR_MISMATCH; ERR_IO; ERR_NO_MEMORY. */
MUST_USE err_code checkpoint_manifest_read(const char *dir, const checkpoint_id *id,
                                           checkpoint_manifest *out, char *why);

typedef struct checkpoint_listed {
    checkpoint_entry entry;
    err_code rc; /* of reading its manifest */
    checkpoint_manifest manifest;
    char why[CHECKPOINT_WHY_MAX]; /* "": rc is ERR_OK */
} checkpoint_listed;

/* The snapshots of dir, newest first, damaged and incomplete ones too (rc); *out owned:
 * checkpoint_manifest_list_free.  Errors of checkpoint_files_list. */
MUST_USE err_code checkpoint_manifest_list(const char *dir, checkpoint_listed **out, size_t *n,
                                           char *why);
void checkpoint_manifest_list_free(checkpoint_listed *list, size_t n); /* accepts NULL */
