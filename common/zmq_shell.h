/* zmq_shell.h - runs one core as a process: a ROUTER for those who call it, a DEALER per peer it
 * calls.
 *
 * Messages are two frames (wire.h); anything else, and a header that does not decode, is dropped,
 * counted and logged with the peer's address.  With keys tcp is CURVE, and a sender is what its key
 * says (keys.h); its header must say the same, and op_rules.h allow what it asks for: otherwise it
 * is refused before the core sees it.  Answers are taken from those we called only.  A connection
 * with too many refused messages is cut (zmq_peers.h), and so is one that sends without end
 * (zmq_guard.h).  A name in an address is looked up by a thread of ours, again when the peer has
 * been silent (resolver.h).  Bodies are sent and received without copies where they are large and
 * aligned.  Nothing waits on the network: what cannot be sent now is dropped, and the core sends it
 * again.  Threads: the one that opened it, except zmq_shell_post. */
#pragma once

#include "common/keys.h"
#include "common/op_meter.h"
#include "common/refusals.h"
#include "common/shell.h"

typedef struct zmq_shell zmq_shell;

/* From the end of the core on the process has so many seconds to free what it has, or it ends at
 * once with the core's exit code: a computation nobody waits for must not keep it. */
enum { ZMQ_SHELL_EXIT_S = 3 };

/* `endpoint` to bind ("ipc://ps-0.sock", "tcp://127.0.0.1:*"), NULL: none.  bound[CORE_TEXT_MAX] is
 * the actual one.  keys: for what is not ipc://; borrowed until zmq_shell_close; NULL: none. Blocks
 * SIGTERM and SIGINT in this thread and takes them through a descriptor: call before other threads
 * start.  ERR_IO: cannot bind (logged).  *out owned: zmq_shell_close. */
MUST_USE err_code zmq_shell_open(const char *endpoint, keyring *keys, zmq_shell **out, char *bound);
void zmq_shell_close(zmq_shell *s); /* accepts NULL; removes the file of an ipc:// socket */

/* The shell's side of shell_post; any thread. */
void zmq_shell_post(void *shell, uint64_t token, err_code status, const void *detail);

/* Runs `host` until its core exits.  Returns the exit code and, in why[CORE_TEXT_MAX], the reason.
 * A second SIGTERM or SIGINT ends it at once with 128 + the signal. */
int zmq_shell_run(zmq_shell *s, const core_host *host, char *why);

/* Called about every SHELL_IDLE_MS by the thread that runs the core.  accepted: the scheduler's
 * last answer to our HELLO was that we belong to the job; refused: messages, so far. */
typedef void zmq_shell_notice(void *user, bool accepted, uint64_t refused);
void zmq_shell_on_idle(zmq_shell *s, zmq_shell_notice *notice, void *user);

/* What was refused so far; borrowed until zmq_shell_close. */
refusals *zmq_shell_refusals(const zmq_shell *s);

/* What its core is asked and asks; borrowed until zmq_shell_close.  Threads: the shell's. */
const op_meter *zmq_shell_meter(const zmq_shell *s);

/* The most bytes of a connection that wait to be read (zmq_guard.h). */
void zmq_shell_limit_unread(zmq_shell *s, uint64_t bytes);

/* The context of its sockets, for a zmq_client beside it: a process has one. */
void *zmq_shell_context(const zmq_shell *s);

/* Connects to a peer the core knows from the start (the scheduler). */
void zmq_shell_connect(zmq_shell *s, core_peer peer, const char *address);
