/* replay_slot.h - one slot with everything it needs, without a cluster: its micro-batch and the
 * replies to what it asks for.  `weft replay` looks at it, `weft bench` times it.  Threads: one
 * owner. */
#pragma once

#include "deploy/replay_source.h"
#include "sampler/build.h"
#include "worker/slot_work.h"
#include "worker/task_inputs.h"

/* What the worker's loop keeps of a lease. */
typedef struct replay_slot {
    const job *job;
    store *store;
    build_env *env;
    replay_source *source;
    task_inputs *inputs;
    task *task;
    worker_task asked; /* asked.build: the micro-batch */
    worker_need need[WORKER_NEEDS_MAX];
    blob *reply[WORKER_NEEDS_MAX];
    uint32_t answered;
} replay_slot;

/* Called for each reply as it comes. */
typedef err_code replay_slot_visit(void *context, const worker_need *need, const blob *reply);

/* Opens store and model (NULL: the values a plan starts with).  `s` is overwritten and borrows `j`;
 * replay_slot_close in any case.  Errors of store_open, build_env_new and replay_source_open. */
MUST_USE err_code replay_slot_open(replay_slot *s, const job *j, const char *store_folder,
                                   const char *model_dir, slot_name name);
/* The micro-batch of the slot's name, *out owned.  Errors of build_new and build_step. */
MUST_USE err_code replay_slot_build(const replay_slot *s, blob **out);
/* Takes the micro-batch and begins the task. */
MUST_USE err_code replay_slot_begin(replay_slot *s, blob *batch);
/* Asks and answers until nothing is missing.  visit NULL: nobody looks. */
MUST_USE err_code replay_slot_gather(replay_slot *s, replay_slot_visit *visit, void *context);
void replay_slot_close(replay_slot *s);
