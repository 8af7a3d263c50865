/* scheduler.h - the control plane's protocol core: membership, leases, commits, stages, status.
 *
 * Pure (common/core.h).  The job is a list of stages; a stage is a list of rounds; a round has
 * slots that workers lease.  When every slot of the open round is DONE the round is committed on
 * every server; a generation is one stage.  Durable: term, generation and stage (PERSIST), and the
 * metrics in plan order (METRIC), from which the decisions of validation are rebuilt.  Threads: one
 * owner. */
#pragma once

#include "common/core.h"
#include "common/histogram.h"
#include "common/peer_state.h"
#include "common/staleness.h"
#include "common/table_codec.h"
#include "ps/checkpoint_part.h"
#include "ps/shard_disk.h"
#include "ps/status_curve.h"

enum {
    SCHEDULER_STAGES_MAX = 16,
    SCHEDULER_PEERS_MAX = 1024,
    SCHEDULER_EVENTS_MAX = 200,
    SCHEDULER_SUMS_MAX = METRIC_SUMS_MAX
};

typedef struct plan_round {
    uint32_t stage, epoch, step; /* names of its slots */
    round_kind kind;
    uint32_t slots; /* at least 1 */
} plan_round;

typedef enum scheduler_stopped {
    STOPPED_NOT,
    STOPPED_EPOCHS,
    STOPPED_MAX_STEPS,
    STOPPED_PATIENCE,
    STOPPED_END /* a put stage's end */
} scheduler_stopped;

/* The plan as the scheduler sees it: pure functions of the plan. */
typedef struct scheduler_plan {
    void *ctx;
    uint32_t stages;
    uint32_t stage[SCHEDULER_STAGES_MAX]; /* the leased main stages in order: STAGE_HGNN,
                                             STAGE_EMBED, ... */
    /* Steps of a main stage, and the round of its step 1..steps. */
    uint32_t (*steps)(void *ctx, uint32_t stage);
    plan_round (*round)(void *ctx, uint32_t stage, uint32_t step);
    scheduler_stopped (*stops_by)(void *ctx, uint32_t stage); /* what the last step means */
    /* Rounds of the validation after `step` (0: none there) and the i-th of them, i = 0..n-1.  The
     * last one is ROUND_SCORE. */
    uint32_t (*valid_rounds)(void *ctx, uint32_t stage, uint32_t step);
    plan_round (*valid_round)(void *ctx, uint32_t stage, uint32_t step, uint32_t i);
    /* The selection value (larger is better) of sums [n], added over the slots in slot order. */
    double (*score)(void *ctx, uint32_t stage, const double *sums, uint32_t n);
    uint32_t (*patience)(void *ctx,
                         uint32_t stage); /* validations without improvement; 0: no limit */
    const char *(*metric)(void *ctx, uint32_t stage); /* "mrr_100", for the status page; static */
    staleness staleness;
} scheduler_plan;

typedef struct scheduler_config {
    uint64_t incarnation;
    const char *job;            /* borrowed until scheduler_free, as all that follows */
    uint32_t servers, samplers; /* how many must be there */
    uint32_t workers;           /* how many `weft train` starts */
    uint32_t virtual_shards;
    uint32_t copies;              /* of each part of a checkpoint: 2 (on two servers), or 1 */
    uint64_t checkpoint_every_us; /* 0: only at the best step, the end of a stage and a stop */
    uint32_t rollbacks_max;       /* without a committed step between; 0: 3 */
    const char *numerics;
    bool numerics_strict;
    const blob *config;      /* the answer to CONFIG; NULL: none yet (set by scheduler_set_plan) */
    uint32_t max_void_slots; /* in a row, in plan order */
    uint32_t dead_holders_max; /* of one slot; 0: 3 */
    uint64_t stall_timeout_us; /* 0: none */
    bool on_done_wait;
    bool driver; /* a driver says when the job is done (PROGRESS done); else its last stage */
    uint32_t pid;
    const core_mutations *mutations;
} scheduler_config;

/* What was made durable in earlier lives: the last PERSIST bytes (NULL: first start) and all
 * metrics, in order of index. */
typedef struct scheduler_durable {
    const void *state;
    size_t state_bytes;
    const core_metric *metric;
    size_t metrics;
} scheduler_durable;

/* COMPUTE kinds. */
enum {
    SCHEDULER_WRITE_MANIFEST = 2, /* detail: scheduler_manifest; the parts are durable */
    SCHEDULER_LOAD_PLAN = 1 /* the driver has prepared: load the manifest, then scheduler_set_plan
                             * and RESULT; status != ERR_OK ends the job */
};

/* A checkpoint for the manifest beside its parts. */
typedef struct scheduler_manifest {
    uint32_t stage, stage_index, generation, version, epoch, step;
    bool final;
    const char *reason; /* "periodic", "best", "stage_end", "asked", "stop", "scale" */
    uint32_t shards, servers;
    uint32_t copies; /* of each part */
    uint64_t metrics;
    const saved_part *part; /* [parts] ascending by shard */
    size_t parts;
    part_id previous[SCHEDULER_STAGES_MAX]; /* [previous_n] finals of the finished stages */
    uint32_t previous_n;
    part_id
        keep[SCHEDULER_STAGES_MAX + 8]; /* [keep_n] the snapshots that are needed, this one, too */
    uint32_t keep_n;
    const void *record; /* [record_bytes] the core's own */
    size_t record_bytes;
} scheduler_manifest;

/* What the manifests of checkpoints tell a scheduler that has no durable state, or is to go back
 * further than that would. */
typedef struct scheduler_recovery {
    uint64_t plan_hash;
    uint32_t generation;      /* the highest that is known of */
    uint32_t shards, servers; /* of the last record */
    /* [records] of scheduler_manifest, the oldest first: it goes on from the last */
    const void *record[SCHEDULER_STAGES_MAX + 8];
    size_t record_bytes[SCHEDULER_STAGES_MAX + 8];
    uint32_t records;
} scheduler_recovery;
/* The state for scheduler_durable, owned; NULL: records of another version of this program. */
blob *scheduler_recover(const scheduler_recovery *r);

typedef struct scheduler scheduler;

/* plan NULL: not prepared yet; peers wait in state PREPARING.  ERR_MISMATCH: the durable state is
 * of another plan; ERR_CORRUPT.  *out owned: scheduler_free. */
MUST_USE err_code scheduler_new(const scheduler_config *c, const scheduler_plan *plan,
                                uint64_t plan_hash, const scheduler_durable *durable,
                                scheduler **out);
void scheduler_free(scheduler *s);
/* Once, when the plan is known; plan and config (may be NULL) are borrowed until scheduler_free. */
MUST_USE err_code scheduler_set_plan(scheduler *s, const scheduler_plan *plan, uint64_t plan_hash,
                                     const blob *config);
/* Another number of servers: comes into force through a checkpoint, when all of them are there. */
void scheduler_want_servers(scheduler *s, uint32_t servers);
/* Snapshots [n] that somebody wants kept: with folders of their own servers do not see who.  More
 * than SCHEDULER_PINNED_MAX: the first. */
enum { SCHEDULER_PINNED_MAX = 32 };
void scheduler_set_pinned(scheduler *s, const part_id *snapshot, uint32_t n);
/* A checkpoint as soon as there can be one. */
void scheduler_want_checkpoint(scheduler *s);
uint64_t scheduler_step(scheduler *s, const core_event *e, core_actions *out);
uint64_t scheduler_digest(const scheduler *s);
/* POST /api/v1/stop and SIGTERM: stops leasing, tells everybody, exits. */

/* One row of workers, servers or samplers; fields that do not apply are 0. */
typedef struct status_peer {
    core_peer peer;
    uint32_t pid;
    char address[CORE_TEXT_MAX];
    peer_state state;
    uint64_t last_seen_ms, rss_bytes;
    /* workers */
    bool draining;      /* has been asked to leave */
    slot_name slot;     /* stage 0: none */
    uint32_t leases;    /* slots it holds */
    double lease_age_s; /* since the oldest of them was given; 0: none is open */
    uint64_t slots_done;
    double examples_per_s;
    double step_ms_p50, step_ms_p99; /* computing a slot of training */
    double time_share[5];            /* sample, pull, compute, push, wait; sums to 1 or 0 */
    double phase_s[5];               /* the same in seconds, since the process began */
    /* servers */
    uint32_t version;
    uint32_t saved_step; /* of its last checkpoint; 0: none */
    uint64_t rows, bytes, pulls, pushes, repeats;
    double apply_ms_p50, apply_ms_p99;
    double pulls_per_s, pushes_per_s;
    /* samplers */
    uint64_t batches, queue;
    double batches_per_s, remote_share;
} status_peer;

typedef struct status_event {
    uint64_t at_us;    /* monotonic, of the event that caused it */
    const char *event; /* static */
    core_peer who;
    char why[CORE_TEXT_MAX];
} status_event;

/* What a finished stage that validates came to. */
typedef struct status_result {
    uint32_t stage, steps, best_step;
    const char *metric; /* static */
    double best;
} status_result;

/* The checkpoints of this life of the scheduler. */
typedef struct status_checkpoint {
    uint32_t made, failed;
    uint32_t stage, step; /* of the last one; made 0: none */
    const char *reason;   /* "periodic", ...; static */
    uint64_t bytes;
    double age_s, took_s;
    const char *under_way; /* "taking", "writing", "recording"; NULL: none is being made */
} status_checkpoint;

/* A copy of what the status page needs, arrays owned by the snapshot. */
typedef struct scheduler_status {
    job_state state;
    bool is_waiting;
    char waiting_for[CORE_TEXT_MAX], waiting_whom[64];
    double waiting_since_s;
    char failure[CORE_TEXT_MAX];
    char stopped_by[32]; /* who asked for a stop; "": nobody has */
    uint32_t stage;      /* main stage, or the driver's STAGE_PREPARE, EVALUATE, EXPORT */
    uint32_t epoch, step, steps;
    double progress, elapsed_s, eta_s, stage_elapsed_s;
    uint64_t examples;           /* of this stage */
    double examples_per_s, loss; /* loss NaN: none yet */
    const char *metric;          /* "": none */
    bool has_validation;
    double valid_last, valid_best;
    uint32_t best_step;
    status_result result[STAGE_COUNT]; /* of the finished stages, in their order */
    uint32_t results_n;
    uint32_t generation, term, map;
    bool bits_guaranteed;
    uint64_t plan_hash;
    char numerics[CORE_TEXT_MAX];
    double time_share[5];
    uint32_t workers_wanted, servers_wanted;
    bool supervised; /* a weft train is here that starts as many */
    uint32_t workers, servers, samplers;
    status_peer *worker, *server, *sampler; /* workers slowest first */
    struct {
        uint64_t leases, reassigned, void_slots, gone, hash_mismatches, refused_peers, repeats;
        uint64_t rollbacks;
    } counters;
    status_checkpoint checkpoint;
    /* Where it goes on if all of it ends now; STAGE_NONE: it does not, or that is not known. */
    uint32_t resume_stage, resume_step;
    double staleness;                         /* of the last step; NaN: none yet */
    uint32_t workers_here, slots, slots_open; /* not lost; of the open round; and not done */
    histogram step_time, slot_time, commit_time, checkpoint_time, rollback_time;
    uint32_t curve_stage;        /* of the two curves */
    status_curve *curve, *valid; /* the second: v[0] */
    uint32_t events_n;
    uint64_t events_ever;
    status_event *event; /* oldest first */
} scheduler_status;

/* How much the shell has refused so far. */
void scheduler_note_refused(scheduler *s, uint64_t total);
void scheduler_status_get(const scheduler *s, uint64_t now_us, scheduler_status *out);
void scheduler_status_fini(scheduler_status *st);

/* For invariants and tests. */
typedef struct scheduler_view {
    uint32_t term, generation, stage_index, version;
    plan_round round;
    bool running; /* leases are given */
    bool rolling; /* servers are going back */
    uint32_t records, rollbacks;
    bool finished;   /* every stage is done */
    uint32_t done;   /* slots of the open round that are DONE */
    uint32_t leases; /* live leases, each (slot, holder) once */
} scheduler_view;
void scheduler_view_get(const scheduler *s, scheduler_view *out);
