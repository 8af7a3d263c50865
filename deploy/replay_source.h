/* replay_source.h - what a slot asks for, answered without a cluster.
 *
 * Node features come from the store; parameters, ids and z from the folder of an exported model, or
 * the parameters and ids as the plan starts them (version 0).  Rows that only a running job has -
 * layers of `embed`, vectors of a validation - are refused by name.  Threads: one owner. */
#pragma once

#include "common/job.h"
#include "sampler/build.h"
#include "worker/worker_loop.h"

typedef struct replay_source replay_source;

/* Borrows j and env.  store_folder: the store's; model_dir: NULL, or the --out folder of a finished
 * job.  ERR_MISMATCH (printed): the model was trained on another foundation.  Errors of
 * safetensors_open and dataset_open.  *out owned: replay_source_close. */
MUST_USE err_code replay_source_open(const job *j, const build_env *env, const char *store_folder,
                                     const char *model_dir, replay_source **out);
void replay_source_close(replay_source *s); /* accepts NULL */

/* The reply to `need` as a worker gets it, *out owned.  ERR_NOT_FOUND (printed): neither store nor
 * model has it.  ERR_MISMATCH (printed): the model has it in another shape. */
MUST_USE err_code replay_source_answer(replay_source *s, const worker_need *need, blob **out);
