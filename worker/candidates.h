/* candidates.h - the items of every type in the order that evaluation scores them, the order of
 * ties, and the popularity tier of each item.  Immutable after init: any thread. */
#pragma once

#include "worker/evaluation.h"

enum { CANDIDATES_TIERS = 5 };

typedef struct candidates {
    const evaluation_input *in;
    uint32_t *begin;     /* [types + 1] into item */
    uint32_t *item;      /* [items] by (type, row) */
    uint32_t *place;     /* [items] by row: position among the candidates of its type */
    uint32_t *tie;       /* [items] by row: place in the order of hash(seed, key); the lower wins */
    uint32_t *ties;      /* [items] tie in the order of item[] */
    uint8_t *tier;       /* [items] by row: 0 never trained, else 1..CANDIDATES_TIERS */
    uint32_t *untrained; /* [types] items never trained */
} candidates;

/* `in` is borrowed until fini.  ERR_NO_MEMORY: c is as after fini. */
MUST_USE err_code candidates_init(candidates *c, const evaluation_input *in);
void candidates_fini(candidates *c);

static inline uint32_t candidates_count(const candidates *c, uint32_t type)
{
    return c->begin[type + 1] - c->begin[type];
}

/* The users with an item of `type` in `lists`, and these items.  Rank and list arrays are NULL.
 * Release with candidates_users_fini. */
MUST_USE err_code candidates_users_init(evaluation_type_users *u, const candidates *c,
                                        uint32_t type, const evaluation_lists *lists);
void candidates_users_fini(evaluation_type_users *u);
