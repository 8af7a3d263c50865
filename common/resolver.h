/* resolver.h - names of hosts turned into numbers by a thread of our own.
 *
 * libzmq would look a name up inside its I/O thread, at every reconnect, and everything it sends
 * would wait for the answer.  So it is only given numbers: HELLO carries them, and the one name a
 * process is told, the scheduler's, is looked up here.  A lookup may take as long as it wants: it
 * is never waited for beyond a timeout, nor when the resolver is closed.  Threads: one owner. */
#pragma once

#include "common/core.h"

#include <stdbool.h>

enum { RESOLVER_RETRY_MS = 500 };

/* tcp:// with a host that is neither a number nor a wildcard. */
bool resolver_is_named(const char *endpoint);

typedef struct resolver resolver;

/* For one endpoint, named; copied.  Owned: resolver_free. */
resolver *resolver_new(const char *endpoint);
void resolver_free(resolver *r); /* accepts NULL */
/* Looks it up, unless that is going on already. */
void resolver_ask(resolver *r);
/* True: a lookup has ended since the last call; number[CORE_TEXT_MAX] is the endpoint with an IPv4
 * address, or "" if the name has none.  An address that it had before is kept while it is one of
 * the name's. */
bool resolver_take(resolver *r, char number[CORE_TEXT_MAX]);

/* Asked again and again while somebody waits: another code than ERR_OK ends the wait with it. */
typedef err_code resolver_check(void *context);

/* The endpoint with a number, an endpoint without a name as it is.  Asks again until the name has
 * an address, at most timeout_ms: ERR_CLOSED; and what `check` (NULL: none) says. */
MUST_USE err_code resolver_wait(const char *endpoint, uint32_t timeout_ms, resolver_check *check,
                                void *context, char number[CORE_TEXT_MAX]);
