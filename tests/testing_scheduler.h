/* testing_scheduler.h - a scheduler core with the plan of tests/sim, and the messages of its peers.
 *
 * Peer (role, index) has incarnation 100 * role + index + 1.  What the scheduler wants durable is.
 */
#pragma once

#include "common/core.h"
#include "ps/scheduler.h"
#include "ps/scheduler_commands.h"

enum { TESTING_VOIDS_MAX = 4 }; /* in a row */

typedef struct testing_scheduler {
    scheduler *core;
    core_actions out; /* of the last step */
    uint64_t now_us, tags;
    int exit_code; /* -1: it runs */
    uint32_t term;
    scheduler_config config;
    blob *durable; /* the last one */
    char exit_why[CORE_TEXT_MAX];
} testing_scheduler;

/* One server, one sampler and two workers are configured; nobody has said HELLO yet. */
void testing_scheduler_start(testing_scheduler *t, uint64_t stall_timeout_us);
/* A new life of it, with what was durable; nobody has said HELLO in it. */
void testing_scheduler_restart(testing_scheduler *t);
void testing_scheduler_fini(testing_scheduler *t);

void testing_scheduler_hello(testing_scheduler *t, wire_role role, uint32_t index);
void testing_scheduler_command(testing_scheduler *t, scheduler_command command, uint32_t n);
void testing_scheduler_timer(testing_scheduler *t, uint64_t after_us);
/* Answers the STAGE that was ordered in the last step. */
void testing_scheduler_staged(testing_scheduler *t);
/* The server's answer to the order `op` of the last step; false: there was none. */
bool testing_scheduler_answer(testing_scheduler *t, wire_op op, wire_status status,
                              uint32_t version);
/* Server 0 says HELLO: it is in generation 1 at `version` and holds these slots. */
void testing_scheduler_holds(testing_scheduler *t, uint32_t version, const uint32_t *slot,
                             size_t n);

/* The worker has pushed a slot of the first round of a generation. */
void testing_scheduler_done(testing_scheduler *t, uint32_t worker, slot_name name);
void testing_scheduler_done_loss(testing_scheduler *t, uint32_t worker, slot_name name,
                                 double loss);
void testing_scheduler_done_void(testing_scheduler *t, uint32_t worker, slot_name name);

typedef struct testing_work {
    uint32_t sequence; /* 1, 2, ... */
    bool leaving;
    slot_name held; /* stage 0: none */
    uint32_t state; /* of what is held: peer_state */
    uint64_t progress;
} testing_work;
/* Asks for work; returns how many slots the answer grants, -1 without one.  *leave (may be NULL):
 * the worker is told to leave. */
int testing_scheduler_work(testing_scheduler *t, uint32_t worker, testing_work w, bool *leave);
