/* lease_needs.h - what a leased slot has asked for, and the replies as they come in.
 *
 * Pure data: no messages.  A need is answered when all of its parts (servers) are.  Threads: the
 * arrays of a task are read by compute threads only while nothing is added here. */
#pragma once

#include "worker/worker_loop.h"

typedef struct need_part {
    uint32_t server, n;
    uint32_t *position; /* owned, [n]: where this server's rows go */
} need_part;

typedef struct need_state {
    uint32_t pending; /* parts without an answer */
    uint32_t parts;
    need_part *part; /* owned; ROWS */
} need_state;

typedef struct lease_needs {
    worker_need *need; /* [n], bodies owned */
    blob **reply;      /* [n], owned; NULL: not there yet */
    need_state *state; /* [n] */
    uint32_t n;
    size_t need_cap, reply_cap, state_cap;
} lease_needs;

void lease_needs_fini(lease_needs *l);
/* Appends a copy of `need` with a reference on its body; returns its number.  UINT32_MAX: too many,
 * or malformed (keys not ascending, no width). */
uint32_t lease_needs_add(lease_needs *l, const worker_need *need);
/* ROWS: cuts need i by server.  For each part, keys[part] (owned by the caller) are its keys;
 * returns the number of parts (at most map->servers).  0: no keys, and the need is answered. */
uint32_t lease_needs_split(lease_needs *l, uint32_t i, const shard_map *map, blob **keys);
/* ROWS: the rows of part `part`.  False: of another size, or a repeat. */
bool lease_needs_rows(lease_needs *l, uint32_t i, uint32_t part, const blob *rows);
/* FEATURES, DENSE: the whole reply (takes a reference). */
void lease_needs_reply(lease_needs *l, uint32_t i, blob *reply);
bool lease_needs_answered(const lease_needs *l);
