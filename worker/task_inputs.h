/* task_inputs.h - gathers what a slot needs before it can be computed: digest rounds and caches.
 *
 * A round either asks for something (needs) or finds that nothing is missing.  Node features never
 * change and z is frozen when it is used, so both are cached by node number.
 * Threads: one owner.
 *
 * Why rounds: keys of rows are known only after features came, and a digest that says "again"
 * keeps the protocol core free of knowledge of models. Stable keys inside every micro-batch would
 * cost 8 bytes for each node, each time; rounds cost one more trip where nothing is cached. */
#pragma once

#include "worker/task.h"

typedef struct task_inputs task_inputs;

/* Borrows `j`.  Owned: task_inputs_free. */
task_inputs *task_inputs_new(const job *j);
void task_inputs_free(task_inputs *in); /* accepts NULL */

/* A task from its decoded micro-batch.  ERR_INVALID: malformed; ERR_NOT_FOUND: not in the plan.
 * *out owned: task_free. */
MUST_USE err_code task_inputs_begin(task_inputs *in, const worker_task *w, task **out);

enum { TASK_NEEDS_MAX = WORKER_NEEDS_MAX };

/* Takes in the replies so far, then writes what is missing to need[*needs ..] (bodies owned by the
 * caller).  *more: come again when these are answered.  Nothing added and !*more: ready. */
MUST_USE err_code task_inputs_round(task_inputs *in, task *t, const worker_task *w,
                                    worker_need *need, uint32_t *needs, bool *more);
