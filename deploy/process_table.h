/* process_table.h - which processes of a job this machine is to have, and what became of each.
 *
 * Bookkeeping only: who starts, signals and reaps is cluster_processes.c.  Threads: one owner. */
#pragma once

#include "common/wire.h"
#include "deploy/restart_policy.h"

#include <stddef.h>

typedef enum process_state {
    PROCESS_OFF,     /* not there, and not wanted */
    PROCESS_RUNNING, /* started */
    PROCESS_WAITING, /* ended; started again at due_us */
    PROCESS_LEAVING  /* told to leave; killed at due_us */
} process_state;

typedef struct process_slot {
    uint32_t role, index; /* wire_role */
    process_state state;
    restart_policy policy;
    uint64_t started_us, ended_us, due_us;
    bool left; /* the last life ended by itself, without an error */
} process_slot;

typedef struct process_table {
    process_slot **slot; /* owned, each at a fixed address */
    size_t n, cap;
} process_table;

void process_table_fini(process_table *t); /* t all 0: empty */

/* "ps-0": the name of the process, of its log and, with "weft-" for the number, of its program. */
enum { PROCESS_NAME_MAX = 32 };
void process_name(const process_slot *p, char out[PROCESS_NAME_MAX]);

/* The slot of (role, index), made OFF if it was never asked for. */
process_slot *process_table_get(process_table *t, uint32_t role, uint32_t index);
process_slot *process_table_named(process_table *t, const char *name); /* NULL: no such */
/* How many of a role there are or will be again: RUNNING and WAITING. */
uint32_t process_table_count(const process_table *t, uint32_t role);
/* One more than the highest index that was ever started; 0: none. */
uint32_t process_table_indexes(const process_table *t, uint32_t role);

/* The next one to go where there are more than `wanted`: first one that left by itself (it was
 * drained), then the highest index; NULL: there are not. */
process_slot *process_table_surplus(process_table *t, uint32_t role, uint32_t wanted);
/* The lowest index to start where there are fewer; NULL: there are not, or those that are leaving
 * have to be gone first. */
process_slot *process_table_missing(process_table *t, uint32_t role, uint32_t wanted);
