/* zmq_client.h - one-off requests without a core: a process that fetches its job, the `weft`
 * command. Threads: one owner. */
#pragma once

#include "common/core.h"
#include "common/keys.h"

typedef struct zmq_client zmq_client;

/* Asked again and again while a call waits: another code than ERR_OK ends the call with it. */
typedef err_code zmq_client_check(void *context);

/* `self`: who asks.  keys: for what is not ipc://, borrowed; NULL: none.  context: that of a shell
 * in the same process (zmq_shell_context), closed after the client; NULL: one of its own.  ERR_IO.
 * *out owned: zmq_client_close. */
MUST_USE err_code zmq_client_open(core_peer self, keyring *keys, void *context, zmq_client **out);
void zmq_client_close(zmq_client *c); /* accepts NULL */

/* Sends `request` (and `body`, borrowed, may be NULL) to `endpoint` and waits for the answer,
 * sending again every 2 s, for at most timeout_ms (and as long for a name to have an address).
 * ERR_CLOSED: no answer; ERR_IO; ERR_MISMATCH
 * (printed): who answers speaks another protocol version; ERR_INVALID (printed): it does not let
 * our key in, or one side has none; and what `check` (called about every 50 ms with `context`;
 * NULL: none) says.  *answer is set on ERR_OK, and *answer_body: owned, NULL if empty. */
MUST_USE err_code zmq_client_call(zmq_client *c, const char *endpoint, const wire_header *request,
                                  blob *body, uint32_t timeout_ms, zmq_client_check *check,
                                  void *context, wire_header *answer, blob **answer_body);
/* Why the endpoint of the last call has not answered, for people; may take REACH_PROBE_MS. */
void zmq_client_why(const zmq_client *c, char why[CORE_TEXT_MAX]);
