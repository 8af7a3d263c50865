/* checkpoint_verify.h - is everything there that a snapshot needs?  Reads every byte of it.
 * Threads: any. */
#pragma once

#include "ps/checkpoint_manifest.h"

/* Called for each thing that is wrong; `problem` names the file. */
typedef void checkpoint_problem(void *user, const char *problem);

/* The manifest as listed, every part it names (identity, size, checksum), and the same of the
 * finished stages it refers to.  Returns the number of problems. */
uint32_t checkpoint_verify(const char *dir, const checkpoint_listed *snapshot,
                           checkpoint_problem *tell, void *user);
