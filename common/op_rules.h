/* op_rules.h - who may ask whom for what.
 *
 * The role of the sender is that of its CURVE key where there are keys, else what its header
 * claims. An operation without a rule is refused by everybody.  Threads: any. */
#pragma once

#include "common/wire.h"

/* True if a process of role `from` may ask one of role `to` for `op`. */
bool op_allowed(uint32_t op, uint32_t from, uint32_t to);

/* The role that serves `op`, whose public key a one-off request needs; WIRE_NONE: more than one
 * does, or none. */
wire_role op_server(uint32_t op);
