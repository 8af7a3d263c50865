/* keys.h - the CURVE keys of one process: its own pair, those it calls, those who may call it.
 *
 * The folder (`weft keygen` makes one with everything; security.keys, or --keys of a worker):
 *     ROLE.key   0600  the key pair of a role (scheduler, ps, sampler, worker, driver)
 *     peers      0644  public keys of those who are called: one line for scheduler, ps and sampler
 *     allow      0644  public keys of those who may call, with their roles (key_table.h)
 * A host needs what its processes use and no more: worker.key and peers for workers; driver.key and
 * peers for `weft` commands; scheduler.key, ps.key or sampler.key with peers and allow for those
 * who are called.  Secrets are never printed.
 *
 * The allow table is looked at again when its file changes: a key without a line, or whose role was
 * changed to `revoked`, is refused from then on, also on connections that are open.  While the file
 * is missing, empty or malformed nobody is let in. Threads: any; open and close by the owner.
 *
 * Why files and a table: people read it, any tool copies it, and as a key is checked with each
 * message revoking it needs no restart. TLS in front would be another process; a key for each
 * worker is possible, but workers come and go, so that by default they share one and are not told
 * apart. */
#pragma once

#include "common/key_table.h"

typedef struct keyring keyring;

/* What `role` needs from `folder`; scheduler, ps and sampler need `allow`.  ERR_INVALID,
 * ERR_NOT_FOUND, ERR_LIMIT, ERR_IO (printed, naming the file).  *out is owned: keyring_close. */
MUST_USE err_code keyring_open(const char *folder, uint32_t role, keyring **out);
void keyring_close(keyring *k); /* accepts NULL; wipes the secret */

uint32_t keyring_own_role(const keyring *k);
const char *keyring_folder(const keyring *k);

/* Makes a socket the CURVE server, or the client of a server of role `to`.  Before bind or connect.
 * k NULL: nothing is changed.  ERR_IO: libzmq has no CURVE (printed). */
MUST_USE err_code keyring_serve(const keyring *k, void *socket);
MUST_USE err_code keyring_call(const keyring *k, void *socket, uint32_t to);
/* Keys are for networks: a socket in the file system has permissions. */
bool keyring_wanted(const char *endpoint);

typedef enum key_verdict {
    KEY_ALLOWED,
    KEY_REFUSED, /* no line, or revoked */
    KEY_UNSURE   /* the table cannot be used now */
} key_verdict;

/* Whether `key` (Z85) may call us, and as what.  Looks at the file at most every KEYS_CHECK_US, or
 * at once if `fresh`. */
enum { KEYS_CHECK_US = 500000 };
key_verdict keyring_check(keyring *k, const char *key, bool fresh, uint32_t *role);

/* A new pair in Z85, [41] each. */
MUST_USE err_code keys_generate(char public_key[KEY_TEXT_BYTES + 1],
                                char secret_key[KEY_TEXT_BYTES + 1]);
/* The content of ROLE.key; the caller wipes text [KEY_FILE_MAX]. */
enum { KEY_FILE_MAX = 512 };
void keys_format(uint32_t role, const char *public_key, const char *secret_key,
                 char text[KEY_FILE_MAX]);
