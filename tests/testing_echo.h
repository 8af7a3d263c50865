/* testing_echo.h - a server shell with keys, on loopback, while a script in another thread talks to
 * it.  Folders of keys: keys/ (of the server), other/ (of strangers). */
#pragma once

#include "common/zmq_client.h"
#include "common/zmq_shell.h"

typedef struct testing_echo {
    core_host host;
    zmq_shell *shell;
    keyring *keys;
    char bound[CORE_TEXT_MAX], why[CORE_TEXT_MAX];
    _Atomic uint32_t messages; /* that the core saw; STOP is not counted */
    _Atomic uint32_t key_role; /* of the last one */
    wire_status status;        /* it answers with this; WIRE_OK: and with the body it was sent */
} testing_echo;

/* Runs `weft keygen --out FOLDER [--add ROLE --name NAME]`, in silence; its exit code. */
int testing_echo_keygen(const char *folder, const char *add, const char *name);
/* Makes keys/ and other/ in the current folder. */
void testing_echo_folders(void);

/* A server (ps-0) that answers with what it was sent; use_keys: those of keys/. */
void testing_echo_open(testing_echo *e, bool use_keys);
/* Runs it while `script` runs, which must end with testing_echo_stop. */
void testing_echo_run(testing_echo *e, void *(*script)(void *), void *user);
void testing_echo_stop(testing_echo *e);
void testing_echo_close(testing_echo *e);
uint64_t testing_echo_refused(const testing_echo *e, refusal why);

/* One request by a process of `role` with `keys` (NULL: none); the code of zmq_client_call, and
 * what was answered. */
err_code testing_echo_ask(testing_echo *e, keyring *keys, wire_role role, wire_op op,
                          uint32_t timeout_ms, wire_header *answer);
/* The keys of `role` in `folder`, owned. */
keyring *testing_echo_keys(const char *folder, wire_role role);
/* Writes folder/allow anew, with the line that has `word` replaced by `line`; NULL: left out. */
void testing_echo_allow(const char *folder, const char *word, const char *line);
