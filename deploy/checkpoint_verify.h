/* checkpoint_verify.h - is everything there that a snapshot needs?  Reads every byte of it.
 * Threads: any. */
#pragma once

#include "ps/checkpoint_manifest.h"

/* Called for each thing that is wrong; `problem` names the file. */
typedef void checkpoint_problem(void *user, const char *problem);

enum { CHECKPOINT_FOLDERS_MAX = 64 };

/* Where to look: the folder with the manifests, then those of other servers. */
typedef struct checkpoint_folders {
    const char *dir[CHECKPOINT_FOLDERS_MAX];
    size_t n;
} checkpoint_folders;

typedef struct checkpoint_verified {
    uint32_t problems;
    uint32_t parts;       /* that the manifest lists */
    uint32_t twice, once; /* good in two folders or more; in one */
} checkpoint_verified;

/* The manifest as listed, every part it names (identity, size, checksum), and the same of the
 * finished stages it refers to.  Where two copies were made and only one folder is looked at, a
 * part that is not in it is no problem: another server has it. */
checkpoint_verified checkpoint_verify(const checkpoint_folders *folders,
                                      const checkpoint_listed *snapshot, checkpoint_problem *tell,
                                      void *user);
