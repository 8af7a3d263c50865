/* refusals.h - what this process refused from others: counted by reason, logged at a bounded rate.
 * Threads: any. */
#pragma once

#include "common/err.h"

#include <stdint.h>

typedef enum refusal {
    REFUSED_HANDSHAKE, /* no CURVE, or not with our public key */
    REFUSED_KEY,       /* a key that is not in the allow table, or no longer */
    REFUSED_ROLE,      /* the header claims another role than the key has */
    REFUSED_OP,        /* an operation that the role may not ask for here */
    REFUSED_MALFORMED, /* not two good frames, or not in this direction */
    REFUSED_BODY,      /* answered with WIRE_REFUSED by the core */
    REFUSED_PEER,      /* a peer with too many of these: its connection is closed */
    REFUSED_QUEUE,     /* it does not read its answers, or sends without end */
    REFUSALS
} refusal;

typedef struct refusals refusals;

refusals *refusals_new(void); /* owned: refusals_free */
void refusals_free(refusals *r);

/* Counts one, and logs it with its reason unless REFUSALS_LOGGED of the reason were within the last
 * REFUSALS_WINDOW_US; how many were left out is said with the next line. */
enum { REFUSALS_LOGGED = 5, REFUSALS_WINDOW_US = 10000000 };
void refusals_add(refusals *r, refusal why, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

uint64_t refusals_count(refusals *r, refusal why);
uint64_t refusals_total(refusals *r);
const char *refusal_name(refusal why); /* "unknown_key", ... */
