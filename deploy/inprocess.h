/* inprocess.h - the shell without sockets: every core of a job in this thread, messages in a queue.
 *
 * The same cores, kernels and bytes as with processes; nothing is lost, repeated or delayed.
 * Threads: one owner. */
#pragma once

#include "common/shell.h"

#include <stdatomic.h>

typedef struct inprocess inprocess;

inprocess *inprocess_new(void);    /* owned: inprocess_free */
void inprocess_free(inprocess *p); /* accepts NULL; the hosts' owners free them afterwards */
/* Adds a core and starts it.  Copies `host`. */
void inprocess_add(inprocess *p, const core_host *host);

/* Does what is to be done now; then, if nothing was, sleeps until the next timer, at most wait_ms.
 */
void inprocess_run(inprocess *p, uint32_t wait_ms);
/* True if the core at (role, index) has exited; its code and reason. */
bool inprocess_exited(const inprocess *p, uint32_t role, uint32_t index, int *code,
                      const char **why);
/* A stop signal for the core at (role, index). */
void inprocess_stop(inprocess *p, uint32_t role, uint32_t index, int signal);

/* A request of the driver: runs everything until its answer is here.  ERR_CLOSED: there is no such
 * core, or it exited; ERR_STOPPED: *stop was set.  *body owned, NULL: empty. */
MUST_USE err_code inprocess_call(inprocess *p, core_peer from, core_peer to,
                                 const wire_header *request, blob *request_body,
                                 const atomic_int *stop, wire_header *answer, blob **body);
