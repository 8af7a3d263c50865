/* zap.h - answers libzmq's question whether a CURVE client may come in (ZeroMQ RFC 27, ZAP).
 * Threads: the one that has the socket. */
#pragma once

#include "common/keys.h"
#include "common/refusals.h"

#include <stdint.h>

#define ZAP_ENDPOINT "inproc://zeromq.zap.01"

/* A REP socket bound to ZAP_ENDPOINT; must be there before a CURVE server is bound, or every key is
 * let in.  NULL: errno says why. */
void *zap_bind(void *context);

/* Answers one waiting request; false: there is none, or the context ends.  A key of the allow table
 * is let in, and travels as "User-Id" with each of its messages; another is refused for good (400);
 * while the table cannot be used, for now (300: the client tries again).  Refusals are counted. */
bool zap_answer(void *socket, keyring *k, refusals *r);
