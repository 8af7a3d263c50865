/* scheduler_state.h - the scheduler core's own state, shared by its files and nobody else.
 *
 * scheduler.c is the life of the job (stages, rounds, commits), scheduler_checkpoint.c snapshots
 * and their records, scheduler_rollback.c going back to one, scheduler_peers.c membership,
 * scheduler_leases.c WORK and DONE, scheduler_reopen.c a DONE that was not true, scheduler_status.c
 * what people see. */
#pragma once

#include "common/latency.h"
#include "common/proto_alloc.h"
#include "common/requests.h"
#include "proto/weft.pb-c.h"
#include "ps/scheduler.h"
#include "ps/scheduler_commands.h"
#include "ps/stage_pace.h"

enum { AHEAD_MAX = STALENESS_MAX + 1 };
enum { HOLDERS_MAX = 4, PAST_LIVES = 4, HELD_MAX = 256, RECORDS_MAX = SCHEDULER_STAGES_MAX + 8 };
enum { DRAINED_MAX = 32 };
enum {
    LEASE_US = 10000000,     /* a lease lives so long without being listed */
    STUCK_US = 60000000,     /* and so long, or 5 x p95, without its counter moving */
    PEER_LOST_US = 5000000,  /* a worker or sampler that is silent so long is lost */
    IDLE_BACKUP_US = 200000, /* the youngest lease that an idle worker may double */
    STALLED_US = 30000000,
    WAITING_US = 1000000,
    TICK_US = 250000,
    CONTEST_US = 3000000, /* a life that is silent so long gives way to an earlier one */
    TWIN_US = 1500000, /* a server that is silent so long, to a later one: HELLO is each second */
    GOODBYE_US = 3000000, /* how long the end waits for everybody to hear of it */
    PAUSE_US = 2000000,   /* we step every TICK_US: a longer gap is a pause of ours */
    ORDER_RETRY_US = 1000000,
    SAVE_RETRY_US = 5000000, /* after a checkpoint that could not be written */
    STOP_US = 20000000,      /* how long a stop waits for its checkpoint */
};

/* Who opened a request of ours (requests.h). */
enum { OWNER_STAGE = 1, OWNER_COMMIT, OWNER_STOP, OWNER_SNAPSHOT, OWNER_ROLLBACK };
/* Tokens of PERSIST and COMPUTE. */
enum {
    TOKEN_BOOT = 1,
    TOKEN_PLAN,
    TOKEN_DECISION,
    TOKEN_GENERATION,
    TOKEN_TRAINED,
    TOKEN_RECORD,
    TOKEN_MANIFEST,
    TOKEN_ROLLING,
    TOKEN_RUNNING,
    TOKEN_WANTED
};

typedef enum phase {
    PHASE_BOOT,       /* the term is being made durable */
    PHASE_PREPARING,  /* no plan yet */
    PHASE_GATHER,     /* until every server and sampler has said HELLO in this term */
    PHASE_STAGING,    /* servers make the stage's tables */
    PHASE_RUNNING,    /* the open round's slots are leased */
    PHASE_DECIDING,   /* the decision of a validation is being made durable */
    PHASE_COMMITTING, /* until every server has committed the open round */
    PHASE_SAVING,     /* the checkpoint of the finished stage is being written */
    PHASE_ENDING,     /* the next generation is being made durable */
    PHASE_GOING_BACK, /* a rollback is being made durable */
    PHASE_ROLLING,    /* until every server has gone back */
    PHASE_ROLLED,     /* that is being made durable */
    PHASE_TRAINED,    /* every stage is done; the driver evaluates and exports */
    PHASE_OVER        /* done, failed or stopping: everybody is told */
} phase;

typedef struct held_lease {
    slot_name name;
    uint32_t generation, version, state;
    uint64_t progress;
} held_lease;

/* A slot that a server holds for the round of a version. */
typedef struct held_slot {
    uint32_t slot, version;
    bool is_void;
    uint64_t examples;
    double loss;
} held_slot;

typedef struct member_state {
    core_peer id; /* incarnation 0: never seen */
    uint64_t past[PAST_LIVES];
    uint32_t past_n;
    uint64_t contested_us, contested_by; /* a past life that has been heard of since then */
    uint64_t twin;                       /* another process with a server's index; 0: none */
    uint32_t twin_view;                  /* the view that was made when it came */
    uint64_t twin_us;                    /* when it came */
    bool twin_refused;                   /* who is here has seen that view: both live */
    char address[CORE_TEXT_MAX];
    uint32_t pid;
    uint64_t rss_bytes, seen_us, refusals;
    bool lost;  /* not here: silent, or it has left */
    bool heard; /* said HELLO in this term */
    /* servers */
    uint32_t generation, version;
    bool finished, staged;
    bool ready, taken, saved; /* has gone back; has taken the snapshot; has written it */
    bool may_go;              /* is leaving, and a checkpoint has what it holds */
    bool lacks;               /* refused the COMMIT: it does not hold every slot */
    uint32_t saved_step;      /* of its last checkpoint; 0: none */
    held_slot *slots;         /* owned; as of the HELLO that made us `heard` */
    uint32_t slots_n;
    uint64_t rows, bytes, pulls, pushes, repeats, gone, hash_mismatches;
    uint32_t apply_us_p50, apply_us_p99;
    uint64_t rate_pulls, rate_pushes;
    double pulls_per_s, pushes_per_s;
    /* samplers */
    uint64_t batches, queue, leaves_asked, leaves_local, rate_batches,
        rate_us; /* rate_us: servers, too */
    double batches_per_s;
    /* workers */
    uint32_t sequence, wanted, state;
    bool leaving, told; /* leaving: servers, too; told: has heard that the job is over */
    bool left;          /* lost, and nobody misses it */
    bool draining;      /* is to leave, and gets no more slots */
    held_lease held[HELD_MAX];
    uint32_t held_n;
    bool parked; /* a WORK waits for an answer */
    uint64_t route, until_us;
    wire_header work;
    uint64_t slots_done, examples, phase_us[5], slot_us_p50, slot_us_p99;
    uint64_t rate_examples, rate_from_us;
    double examples_per_s;
    uint32_t doubled; /* slots that went to a second worker because of it */
    uint64_t doubled_us;
} member_state;

typedef struct slot_lease {
    core_peer worker;
    uint64_t since_us, renewed_us, moved_us; /* granted; listed; listed with another counter */
    uint64_t progress;                       /* that counter */
    uint32_t sequence; /* of the WORK that it answered; 0: learned from a list */
} slot_lease;

typedef struct slot_state {
    bool done, is_void;
    core_peer by; /* who said so; role 0: servers did */
    uint64_t examples;
    double loss;
    double *sums;           /* owned; SCORE */
    uint32_t sums_n, order; /* order: of arrival, 1.. */
    uint32_t deaths, leases;
    uint32_t stale; /* steps between the tables it was computed on and those it changes */
    slot_lease lease[HOLDERS_MAX];
    slot_lease stuck[HOLDERS_MAX]; /* given up: not granted again while they stand still */
    uint32_t stucks;               /* ever; the ring holds the last ones */
} slot_state;

typedef struct position {
    uint32_t step; /* of the main stage, 1.. */
    bool in_valid;
    uint32_t valid; /* round of its validation */
} position;

typedef struct open_round {
    bool open;
    bool ordered; /* a COMMIT has gone out, and slots were opened again since */
    position at;
    plan_round plan;
    uint32_t version; /* rounds of the generation committed before it */
    uint32_t base;    /* the version of the tables that its slots are computed on */
    uint32_t done;
    uint64_t opened_us; /* its slots can be computed since then */
    uint64_t commit_us; /* its commit was ordered; 0: not yet */
    slot_state *slot;   /* owned, [plan.slots] */
} open_round;

/* What is known of the stage from its metrics. */
typedef struct stage_state {
    uint32_t stage;
    uint64_t examples, rows;
    double loss; /* NaN: none */
    uint32_t voids, voids_in_row, steps;
    bool has_valid, last_best;
    double valid_last, valid_best;
    uint32_t valid_step, best_step, bad; /* bad: validations since the best */
} stage_state;

/* Why a checkpoint is made. */
enum {
    SAVE_PERIODIC = 1,
    SAVE_BEST = 2,
    SAVE_STAGE_END = 4,
    SAVE_ASKED = 8,
    SAVE_STOP = 16,
    SAVE_SCALE = 32
};

/* A complete checkpoint: every server has written its parts of the stage, and those of the stages
 * before are in the records of their ends.  Plain: it is written to disk as it is. */
typedef struct checkpoint_record {
    uint32_t generation, stage_index, version; /* of the parts */
    uint32_t step;                             /* of the main stage */
    uint32_t reasons, end;                     /* SAVE_*; end: the stage is finished */
    uint32_t term, zero;                       /* zero: no padding */
    uint64_t metrics;                          /* that came before it */
    uint32_t last_kind, last_stage, last_step; /* the last of them: perhaps of the open round */
    stage_state stage;
} checkpoint_record;

typedef enum save_phase {
    SAVE_NONE,
    SAVE_TAKING,    /* until every server has taken its copy: no COMMIT meanwhile */
    SAVE_WRITING,   /* until every server has written its parts */
    SAVE_RECORDING, /* the record is being made durable */
    SAVE_MANIFEST   /* the manifest is being written beside the parts */
} save_phase;

/* The checkpoint under way. */
typedef struct save_state {
    save_phase phase;
    checkpoint_record record;
    uint32_t attempt;  /* in this life: the first is 1 */
    uint32_t wanted;   /* SAVE_*: the next one */
    uint64_t since_us; /* it started */
    uint64_t next_us, retry_us;
    saved_part *part; /* owned, [parts] of all servers */
    size_t parts, parts_cap;
    saved_part *copy; /* owned, [copies]: likewise of the second servers */
    size_t copies, copies_cap;
    scheduler_manifest manifest; /* what the shell writes; points into this struct */
    core_peer failed;            /* who could not write the last one; role 0: nobody */
    char why[CORE_TEXT_MAX];
} save_state;

struct scheduler {
    scheduler_config config;
    const scheduler_plan *plan; /* NULL: not prepared */
    uint64_t plan_hash, durable_plan_hash;
    const blob *answer_config;
    proto_alloc arena;
    requests *requests;
    phase phase;
    uint32_t term, generation, stage_index; /* stage_index == plan->stages: trained */
    bool restored;
    uint32_t coming_generation; /* that is being made durable */
    uint32_t found_generation;  /* with two copies: of snapshots in the servers' folders */
    shard_map map;
    uint32_t servers_configured;
    uint32_t servers_wanted;              /* by the configuration or a command */
    bool wants_durable;                   /* a command has changed what is wanted */
    part_id pinned[SCHEDULER_PINNED_MAX]; /* [pinned_n] */
    uint32_t pinned_n;
    checkpoint_record record[RECORDS_MAX]; /* oldest first; a rollback goes to the last one */
    uint32_t records;
    save_state save;
    bool rolling;             /* durable: a rollback has begun and is not over */
    bool stage_start;         /* durable: the generation began with a stage, not with a rollback */
    bool must_roll;           /* the servers' number is another one than in the life before */
    bool recovered;           /* from manifests, and nobody has gone back to them yet */
    uint64_t metrics_durable; /* of the life before, while it was rolling */
    uint32_t rollbacks, rollbacks_in_row;
    shard_map next_map; /* of the rollback that is being made durable */
    bool stop_wanted;
    uint64_t stop_by_us;
    char stopped_by[32]; /* who asked for it; "": nobody */
    bool signalled;      /* it is this process that was told to go: the job may go on elsewhere */
    uint32_t view;
    uint64_t metrics; /* written so far */
    core_metric last_metric;
    stage_state stage;
    status_result result[STAGE_COUNT];
    uint32_t results_n;
    open_round cur, ahead[AHEAD_MAX]; /* ahead: [ahead_n], those that follow it */
    uint32_t ahead_n;
    uint32_t commit_flags;
    uint64_t order_retry_us;        /* when an order that was not obeyed goes out again */
    member_state *server, *sampler; /* [servers_known], [config.samplers] */
    uint32_t servers_known;         /* config.servers, or more: those that a larger map waits for */
    member_state *worker;           /* by index, [workers] */
    size_t workers, workers_cap;
    member_state driver;
    latency slot_us;
    bool foreign_numerics;
    /* the end */
    job_state end;
    int exit_code;
    bool exited;
    uint64_t over_until_us;
    char failure[CORE_TEXT_MAX];
    /* what people see */
    uint32_t workers_configured, workers_wanted; /* wanted: or by a command */
    uint64_t drained[DRAINED_MAX];               /* incarnations; a ring, 0: none */
    uint32_t drains;                             /* ever */
    uint64_t suggested;                          /* indexes given to workers that asked for one */
    uint64_t started_us, moved_us, stage_from_us, stepped_us;
    bool stalled;
    uint32_t driver_stage;
    uint64_t driver_done, driver_total;
    bool driver_finished;
    bool driver_attached; /* is to be told of the end, as it sees nobody exit */
    struct {
        uint64_t leases, reassigned, void_slots, refused_peers, shell_refusals;
    } counters;
    status_event event[SCHEDULER_EVENTS_MAX];
    uint32_t events; /* ever; the ring holds the last ones */
    uint32_t curve_stage;
    status_curve curve, valid;
    double staleness;
    histogram step_time, slot_time, commit_time, checkpoint_time, rollback_time;
    struct {
        uint32_t made, failed, stage, step;
        const char *reason;
        uint64_t bytes, at_us, took_us;
    } saved;              /* checkpoints of this life */
    uint64_t rollback_us; /* the one under way began */
    stage_pace pace;      /* of the stage in this life, since stage_from_us */
    uint64_t rate_from_us, rate_examples;
    double examples_per_s;
};

/* Round i from the open one on; NULL: that is not open. */
static inline open_round *scheduler_round(scheduler *s, uint32_t i)
{
    if (!s->cur.open || i > s->ahead_n) return NULL;
    return i ? &s->ahead[i - 1] : &s->cur;
}

/* True if the servers have (or have had) the tables that its slots are computed on. */
static inline bool scheduler_round_is_ripe(const scheduler *s, const open_round *r)
{
    return r->base <= s->cur.version;
}

/* scheduler.c */
void scheduler_fail(scheduler *s, uint64_t now_us, core_actions *out, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* The job ends: everybody is told, then we exit with `code`. */
void scheduler_end(scheduler *s, uint64_t now_us, core_actions *out, job_state how, int code);
/* Somebody, who is named, asks for a stop: after a checkpoint, or, of a job that is done and waits,
 * now.  Asked again: nothing more. */
void scheduler_stop(scheduler *s, uint64_t now_us, core_actions *out, const char *by);
/* Goes on with whatever can go on now: gathered, staged, all slots done, all committed. */
void scheduler_advance(scheduler *s, uint64_t now_us, core_actions *out);
void scheduler_answer(scheduler *s, core_actions *out, uint64_t route, const wire_header *to,
                      wire_status status, blob *body);
/* The main stage of this generation; STAGE_NONE before the first and after the last. */
uint32_t scheduler_stage(const scheduler *s);
bool scheduler_leases_allowed(const scheduler *s);

void scheduler_order(scheduler *s, uint64_t now_us, core_actions *out, const member_state *to,
                     wire_header h, blob *body, uint64_t owner);
void scheduler_persist(scheduler *s, core_actions *out, uint64_t token, uint32_t generation,
                       uint32_t stage_index);
/* The rounds go on from where the servers are. */
void scheduler_resume(scheduler *s, uint64_t now_us, core_actions *out);
void scheduler_trained(scheduler *s, uint64_t now_us, core_actions *out);
/* The checkpoint of the finished stage is recorded: the next one begins. */
void scheduler_stage_saved(scheduler *s, uint64_t now_us, core_actions *out);
void scheduler_close_rounds(scheduler *s);

/* scheduler_checkpoint.c */
void scheduler_save_want(scheduler *s, uint32_t reason);
/* Starts, resends and finishes what can be now. */
void scheduler_save_advance(scheduler *s, uint64_t now_us, core_actions *out);
/* False while a COMMIT would change what is to be saved. */
bool scheduler_save_allows_commit(const scheduler *s);
void scheduler_save_taken(scheduler *s, member_state *p);
void scheduler_save_report(scheduler *s, member_state *p, const Weft__Saved *x, uint64_t now_us,
                           core_actions *out);
void scheduler_save_result(scheduler *s, const core_event *e, core_actions *out);
void scheduler_save_abandon(scheduler *s);
/* True if the last record is of where we are. */
bool scheduler_save_is_current(const scheduler *s);
void scheduler_save_fini(scheduler *s);
/* Names of all snapshots that the records need, into name [RECORDS_MAX]; returns how many. */
uint32_t scheduler_save_names(const scheduler *s, Weft__SnapshotName *name);
Weft__SnapshotName scheduler_save_name(const scheduler *s, const checkpoint_record *r);

/* scheduler_durable.c */
blob *scheduler_durable_encode(const scheduler *s, uint32_t generation, uint32_t stage_index);
MUST_USE err_code scheduler_durable_restore(scheduler *s, const scheduler_durable *d);

/* scheduler_rollback.c */
/* Every server goes back to the last record, under the next generation. */
void scheduler_rollback(scheduler *s, uint64_t now_us, core_actions *out, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void scheduler_rollback_resume(scheduler *s, uint64_t now_us, core_actions *out);
void scheduler_rollback_advance(scheduler *s, uint64_t now_us, core_actions *out);
void scheduler_rollback_result(scheduler *s, const core_event *e, core_actions *out);
/* The server's state says that it cannot read the checkpoint. */
void scheduler_rollback_failed(scheduler *s, const member_state *p, const char *why,
                               uint64_t now_us, core_actions *out);
/* True if all servers of the wanted number have joined. */
bool scheduler_servers_are_here(const scheduler *s);
/* Above those of an earlier run, too, whose parts may still be in servers' folders: under a name of
 * ours they would be taken for ours. */
uint32_t scheduler_next_generation(const scheduler *s);
/* Those of an earlier, larger map may have the only copy of a part until all have gone back. */
static inline bool scheduler_keeps_leavers(const scheduler *s)
{
    bool two = s->config.copies > 1 && core_rule(s->config.mutations, CORE_RULE_LEAVERS);
    return two && (s->rolling || s->must_roll);
}
/* Room for members [n]. */
void scheduler_servers_known(scheduler *s, uint32_t n);

/* scheduler_commands.c */
/* It has been asked to leave, perhaps in an earlier life of ours. */
bool scheduler_commands_drains(const scheduler *s, uint64_t incarnation);

/* scheduler_peers.c */
void scheduler_peers_hello(scheduler *s, const core_event *e, core_actions *out);
void scheduler_peers_progress(scheduler *s, const core_event *e, core_actions *out);
void scheduler_peers_timer(scheduler *s, uint64_t now_us, core_actions *out);
/* Silence of `pause_us` was ours: nobody is older for it. */
void scheduler_peers_forgive(scheduler *s, uint64_t pause_us);
/* The worker in this life; NULL: it has not said HELLO, or is a past one. */
member_state *scheduler_peers_worker(scheduler *s, const wire_header *h);
void scheduler_peers_seen(scheduler *s, member_state *p, uint64_t now_us, core_actions *out);
/* A worker that leaves and holds nothing more: it is not waited for, and no death. */
void scheduler_peers_left(scheduler *s, member_state *p, uint64_t now_us, core_actions *out);

/* scheduler_leases.c */
void scheduler_leases_work(scheduler *s, const core_event *e, core_actions *out);
void scheduler_leases_done(scheduler *s, const core_event *e, core_actions *out);
/* Answers parked WORKs that have something to hear; drops leases that have run out. */
void scheduler_leases_serve(scheduler *s, uint64_t now_us, core_actions *out);
/* A worker is gone: frees what it holds. */
void scheduler_leases_free(scheduler *s, core_peer worker, bool died, uint64_t now_us,
                           core_actions *out);
uint32_t scheduler_leases_live(const scheduler *s);
void scheduler_leases_forgive(scheduler *s, uint64_t pause_us);

/* scheduler_reopen.c */
/* A server has refused the COMMIT of the open round with this answer. */
void scheduler_reopen_refused(scheduler *s, member_state *p, const wire_header *answer);
/* Goes back if a server has obeyed a COMMIT that the others could not. */
void scheduler_reopen_advance(scheduler *s, uint64_t now_us, core_actions *out);
/* What it holds: slots that are missing there are leased again. */
void scheduler_reopen_listed(scheduler *s, member_state *p, const Weft__ServerState *x,
                             uint64_t now_us, core_actions *out);

/* scheduler_status.c */
void scheduler_note(scheduler *s, uint64_t now_us, core_actions *out, const char *name,
                    core_peer who, const char *format, ...) __attribute__((format(printf, 6, 7)));
/* Something went forward: the wait starts anew. */
void scheduler_moved(scheduler *s, uint64_t now_us);
/* Takes a metric (new or restored) into the stage's state and the curves. */
void scheduler_status_metric(scheduler *s, const core_metric *m, uint64_t now_us);
/* After a rollback: forgets the points behind the stage's state. */
void scheduler_status_cut(scheduler *s);
/* The stage begins or goes on here: what is left of it is guessed from now on. */
void scheduler_status_stage_from(scheduler *s, uint64_t now_us);
/* Where the job goes on if all of it ends now: the stage, or STAGE_EVALUATE after the last, and the
 * step of the last checkpoint in it.  STAGE_NONE: it does not, or that is not known. */
void scheduler_resume_point(const scheduler *s, uint32_t *stage, uint32_t *step);
void scheduler_status_stall(scheduler *s, uint64_t now_us, core_actions *out);
