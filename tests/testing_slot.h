/* testing_slot.h - slots of a small job computed by hand: what sampler and servers would answer
 * comes from this process. */
#pragma once

#include "deploy/replay_source.h"
#include "testing_job.h"
#include "worker/engine.h"

enum { TESTING_SERVERS = 3, TESTING_NEEDS_MAX = 512 };

/* A store with everything open. */
typedef struct testing_bench {
    job *job;
    char *folder;
    store *store;
    build_env *env;
    replay_source *source;
    shard_map map; /* of TESTING_SERVERS servers */
} testing_bench;

void testing_bench_open(testing_bench *b, const char *keys);
/* The same over a job that is there: takes both. */
void testing_bench_use(testing_bench *b, job *j, char *folder);
void testing_bench_close(testing_bench *b);

/* A lease with its micro-batch, and the needs and replies so far. */
typedef struct testing_lease {
    testing_bench *bench;
    worker_task asked;
    worker_need need[TESTING_NEEDS_MAX];
    blob *reply[TESTING_NEEDS_MAX];
} testing_lease;

void testing_lease_open(testing_lease *l, testing_bench *b, slot_name name);
void testing_lease_close(testing_lease *l);
/* One digest; its needs are added and answered.  *again as the digest says. */
err_code testing_lease_digest(testing_lease *l, engine *e, bool *again);
/* Digests until nothing is missing, then computes; fails the test on an error.  Owned: engine_done.
 */
const worker_output *testing_lease_compute(testing_lease *l, engine *e);
/* The reply to need i, to be changed; NULL: there is no such need (of a kind and table). */
blob **testing_lease_reply(testing_lease *l, worker_need_kind kind, uint32_t table);
