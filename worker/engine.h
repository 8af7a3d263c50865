/* engine.h - carries out the worker loop's COMPUTE actions: digests and slots.
 *
 * Two threads beside the network's: one digests (decodes micro-batches, gathers from caches, says what
 * is missing), one computes (and uses `threads` - 1 more for the chunks of a slot), so that the next
 * slot is fetched while one is computed.  Without start, everything runs inside engine_compute.
 * Threads: engine_compute and engine_done by the shell's; stop before free. */
#pragma once

#include "common/shell.h"
#include "worker/worker_loop.h"

#include "common/job.h"

typedef struct engine engine;

/* Borrows `j`.  Owned: engine_free. */
engine *engine_new(const job *j, uint32_t threads);
void engine_free(engine *e); /* accepts NULL */
void engine_start(engine *e);
/* Joins the threads: what is being computed is finished, what waits is dropped. */
void engine_stop(engine *e);

/* Since when (clock_now_us) a thread has been at the task it is at, or has left one to wait; the
 * earlier of both threads; 0: there is nothing to do. */
uint64_t engine_busy_since(engine *e);

/* core_host.compute and core_host.done; user: the engine. */
void engine_compute(void *user, uint64_t token, uint32_t kind, const void *detail, shell_post *post,
                    void *shell);
void engine_done(void *user, uint64_t token, const void *detail);

/* A digest or slot by hand (replay, tests).  *out owned: engine_done(NULL, 0, *out). */
MUST_USE err_code engine_digest_now(engine *e, const worker_task *w, const worker_digest **out);
MUST_USE err_code engine_slot_now(engine *e, const worker_task *w, const worker_output **out);
