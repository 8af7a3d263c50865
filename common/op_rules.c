#include "common/op_rules.h"

typedef struct op_rule {
    uint32_t from, to; /* bit r: role r */
} op_rule;

enum {
    SCHEDULER = 1 << WIRE_SCHEDULER,
    SERVER = 1 << WIRE_SERVER,
    SAMPLER = 1 << WIRE_SAMPLER,
    WORKER = 1 << WIRE_WORKER,
    DRIVER = 1 << WIRE_DRIVER,
    MEMBERS = SERVER | SAMPLER | WORKER | DRIVER,
};

static const op_rule rules[WIRE_OPS] = {
    [WIRE_HELLO] = {MEMBERS, SCHEDULER},
    [WIRE_WORK] = {WORKER, SCHEDULER},
    [WIRE_DONE] = {WORKER, SCHEDULER},
    [WIRE_PROGRESS] = {DRIVER, SCHEDULER},
    [WIRE_CONFIG] = {MEMBERS, SCHEDULER},
    [WIRE_BUILD] = {WORKER, SAMPLER},
    [WIRE_LEAF] = {SAMPLER, SAMPLER},
    [WIRE_FEATURES] = {WORKER, SAMPLER},
    [WIRE_PULL] = {WORKER | DRIVER, SERVER},
    [WIRE_PUSH] = {WORKER, SERVER},
    [WIRE_PUT] = {WORKER, SERVER},
    [WIRE_VOID] = {WORKER, SERVER},
    [WIRE_STAGE] = {SCHEDULER, SERVER},
    [WIRE_COMMIT] = {SCHEDULER, SERVER},
    [WIRE_SNAPSHOT] = {SCHEDULER, SERVER},
    [WIRE_ROLLBACK] = {SCHEDULER, SERVER},
    [WIRE_PART] = {SERVER, SERVER},
    [WIRE_STOP] = {SCHEDULER, SERVER | SAMPLER},
};

static bool has(uint32_t set, uint32_t role)
{
    return role && role < WIRE_ROLES && (set >> role & 1);
}

bool op_allowed(uint32_t op, uint32_t from, uint32_t to)
{
    return op < WIRE_OPS && has(rules[op].from, from) && has(rules[op].to, to);
}

wire_role op_server(uint32_t op)
{
    wire_role only = WIRE_NONE;
    for (wire_role r = WIRE_NONE; op < WIRE_OPS && r < WIRE_ROLES; r++) {
        if (!has(rules[op].to, r)) continue;
        if (only) return WIRE_NONE;
        only = r;
    }
    return only;
}
