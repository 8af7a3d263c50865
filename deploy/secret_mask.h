/* secret_mask.h - takes secrets out of text that leaves the machine.
 *
 * Nothing of ours writes a secret anywhere; a log or a URL of somebody else's may.  Threads: one
 * owner. */
#pragma once

#include "common/config.h"

#include <stdbool.h>

typedef struct secret_mask secret_mask;

/* Knows the secrets of the job: those of the keys in security.keys, the tokens of http.token_file
 * and work_dir/run/token, the key of features.openai.key_file.  Owned: secret_mask_free. */
secret_mask *secret_mask_new(const config *c);
void secret_mask_free(secret_mask *m); /* accepts NULL; wipes what it knows */
/* One more; shorter than SECRET_MIN it is ignored. */
enum { SECRET_MIN = 8 };
void secret_mask_add(secret_mask *m, const char *secret);

/* Files that are there and could not be read: what is in them is not masked. */
uint32_t secret_mask_unread(const secret_mask *m);

/* Overwrites with '*' every known secret, what follows "Bearer ", and passwords in URLs.  Returns
 * how many there were. */
uint32_t secret_mask_apply(const secret_mask *m, char *data, size_t bytes);
