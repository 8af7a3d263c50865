/* core.h - what every protocol core is made of: events in, actions out.
 *
 * A core has no clock, socket, disk, lock or thread.  Its step function takes one event (with the
 * time it happened) and appends actions to a list; the shell carries them out in order.  Three
 * shells: simulated time (tests/sim), in-process, zmq.
 *
 *     uint64_t worker_loop_step(worker_loop *w, const core_event *e, core_actions *out);
 *
 * returns the absolute time in us at which it wants a TIMER event (0: at once; UINT64_MAX: never).
 * Every step gives a new value: an earlier one no longer counts.  A TIMER that comes early or twice
 * is harmless. Threads: one owner per core. */
#pragma once

#include "common/blob.h"
#include "common/err.h"
#include "common/wire.h"

#include <stdint.h>

typedef struct core_peer {
    uint32_t role, index; /* wire_role */
    uint64_t incarnation; /* 0: whoever lives there */
} core_peer;

/* Rules that a test can switch off, to see that it would notice.  NULL in production. */
typedef struct core_mutations {
    uint64_t off; /* 1 << CORE_RULE_* */
} core_mutations;

typedef enum core_event_type {
    CORE_START,
    CORE_TIMER,
    CORE_MESSAGE,
    CORE_RESULT,
    CORE_STOP
} core_event_type;

typedef struct core_event {
    core_event_type type;
    uint64_t now_us; /* monotonic, never 0 */
    union {
        struct {
            uint64_t route; /* the shell's way back to the sender: copied into the answer */
            const wire_header *header; /* checked by wire_decode or wire_check; borrowed */
            uint32_t key_role; /* of the sender's CURVE key; WIRE_NONE: it came without keys */
            /* Borrowed: the core takes its own reference.  Data 8-byte aligned (zmq's need not be:
             * the shell copies those).  NULL: empty. */
            blob *body;
        } message;
        struct {
            uint64_t token; /* of the action this is the result of */
            err_code status;
            const void *detail; /* what the action's kind says; borrowed */
        } result;
        int signal; /* STOP: SIGTERM, SIGINT, or 0 */
    };
} core_event;

typedef enum core_action_type {
    CORE_SEND,    /* a request or an answer */
    CORE_PEER,    /* where a peer is: connect, or reconnect if the incarnation or address is new */
    CORE_COMPUTE, /* work for the shell's threads; its RESULT comes later, any order */
    CORE_PERSIST, /* make bytes durable, then RESULT; everything before it in the list is durable
                     too */
    CORE_METRIC,  /* one metric in plan order: store under its index before what follows in the list
                   */
    CORE_EVENT,   /* a line for the event log */
    CORE_EXIT     /* the last action of a life */
} core_action_type;

enum { CORE_TEXT_MAX = 256 };

typedef enum metric_kind {
    METRIC_STEP = 1,
    METRIC_VALID,
    METRIC_STAGE,
    METRIC_PUT, /* a PUT round's rows: stored, but no line of metrics.jsonl */
    METRIC_CUT  /* forget all from this index on: a rollback */
} metric_kind;
enum { METRIC_SUMS_MAX = 256 };
typedef struct core_metric {
    uint64_t index; /* 0, 1, ... over the whole job; writing one again is harmless (same content) */
    metric_kind kind;
    uint32_t stage, epoch, step; /* STAGE: step = steps committed, epoch = best step (0: none) */
    uint64_t examples; /* STEP; PUT: rows; STAGE: over all steps, or rows of the last round */
    double loss;       /* STEP: sum over examples / examples; STAGE: the last */
    uint32_t voids;    /* STEP: void slots; STAGE: over all steps */
    double value;      /* VALID; STAGE: the best */
    bool best;         /* VALID */
    uint32_t stopped;  /* STAGE: scheduler_stopped */
    uint32_t sums_n;   /* VALID: the summed scores, what the plan's score() was given */
    double sums[METRIC_SUMS_MAX];
} core_metric;

typedef struct core_action {
    core_action_type type;
    union {
        struct {
            core_peer to;   /* requests: this peer's DEALER */
            uint64_t route; /* answers: this ROUTER identity; 0 in requests */
            wire_header header;
            blob *body; /* owned by the list; NULL: empty */
        } send;
        struct {
            core_peer peer;
            char address[CORE_TEXT_MAX];
        } peer;
        struct {
            uint64_t token;
            uint32_t kind;      /* the core's own enum */
            const void *detail; /* valid until the RESULT of this token was stepped in */
        } compute;
        struct {
            uint64_t token;
            blob *bytes; /* owned by the list */
        } persist;
        core_metric *metric; /* owned by the list */
        struct {
            const char *name; /* "join", static */
            core_peer who;
            char why[CORE_TEXT_MAX];
        } event;
        struct {
            int code; /* 0, 1, 2 */
            char why[CORE_TEXT_MAX];
        } exit;
    };
} core_action;

/* Reused from step to step: core_actions_reset drops the references it owns. */
typedef struct core_actions {
    core_action *items;
    size_t n, cap;
} core_actions;

void core_actions_init(core_actions *a);
void core_actions_reset(core_actions *a);
void core_actions_fini(core_actions *a);

/* Appends a message.  Takes `body` (NULL: empty) and sets header.body_bytes. */
void core_send(core_actions *a, core_peer to, uint64_t route, const wire_header *h, blob *body);
void core_event_line(core_actions *a, const char *name, core_peer who, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void core_exit(core_actions *a, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void core_peer_at(core_actions *a, core_peer peer, const char *address);
void core_persist(core_actions *a, uint64_t token, blob *bytes); /* takes bytes */
void core_compute(core_actions *a, uint64_t token, uint32_t kind, const void *detail);
void core_metric_line(core_actions *a, const core_metric *m);

/* The protocol's rules that the simulation switches off one at a time: bits of core_mutations.off.
 */
typedef enum core_rule_id {
    CORE_RULE_COMMIT,          /* tables change only on COMMIT, not when the last push arrives */
    CORE_RULE_VERSION,         /* a pull of rows names the exact version */
    CORE_RULE_GENERATION,      /* servers and scheduler refuse another generation */
    CORE_RULE_RESTAMP,         /* a generation is fixed in the lease, never stamped again */
    CORE_RULE_SLOT_ORDER,      /* sums go in slot order, not as pushes arrive */
    CORE_RULE_DEDUPE,          /* a repeated push is dropped */
    CORE_RULE_LEARN,           /* a restarted scheduler learns from its servers */
    CORE_RULE_HIGHEST,         /* it commits up to the highest version any server has */
    CORE_RULE_CREDIT,          /* leases ahead never count against the oldest open step */
    CORE_RULE_INCARNATION,     /* an order is for one incarnation, and of the newest term */
    CORE_RULE_VOID,            /* a void slot has no gradient and no examples */
    CORE_RULE_EVERY_SERVER,    /* a push goes to every server, also when it is empty */
    CORE_RULE_ALL_ACKS,        /* DONE only when all servers have acknowledged */
    CORE_RULE_ALL_SLOTS,       /* COMMIT only when all slots are DONE */
    CORE_RULE_ALL_SERVERS,     /* the next step only when all servers have committed */
    CORE_RULE_ALL_PARTS,       /* a checkpoint counts when every server has its parts */
    CORE_RULE_SECOND_HOLDER,   /* the oldest open slot goes to a second worker */
    CORE_RULE_VALID_BARRIER,   /* no slot of t+1 before the decision of the validation at t */
    CORE_RULE_SCORE_ORDER,     /* validation sums are added in chunk order */
    CORE_RULE_RESEND,          /* requests are sent again */
    CORE_RULE_DURABLE,         /* a generation is durable before it is announced */
    CORE_RULE_EXAMPLES,        /* the sum is divided by the step's examples */
    CORE_RULE_READ_ONLY_PULL,  /* a pull creates no row */
    CORE_RULE_ALL_READY,       /* a rollback waits until every server has gone back */
    CORE_RULE_GONE,            /* a server past the version answers GONE */
    CORE_RULE_BEST,            /* the best version is kept and adopted at the end */
    CORE_RULE_PART_GENERATION, /* parts of an earlier generation do not count */
    CORE_RULE_TAKEN,           /* no COMMIT before every server has taken the snapshot */
    CORE_RULE_ROLLBACK,        /* every server goes back, not only the one that died */
    CORE_RULE_KEEP,            /* files that a checkpoint needs are not removed */
    CORE_RULE_REOPEN,          /* a slot that a server does not hold is not DONE */
    CORE_RULE_PROGRESS,        /* a lease that does not get on is given up */
    CORE_RULE_PAST,            /* delay k: a server keeps the k versions before its newest */
    CORE_RULE_PAST_ROWS,       /* the past is of rows, too */
    CORE_RULE_PAST_SAVED,      /* and it is in a snapshot, for the steps that follow it */
    CORE_RULE_EXACT_DELAY,     /* a lease names the version t - k, not the newest */
    CORE_RULE_BOUND,           /* ssp: a pull waits until all up to step t - 1 - s is applied */
    CORE_RULE_OWN_COUNT,       /* on arrival: divided by the slot's count, at its share of lr */
    CORE_RULE_APPLIED_SAVED,   /* what is applied of the open rounds is in a snapshot */
    CORE_RULE_APPLIED_SHARD,   /* for each virtual shard */
    CORE_RULE_RECOVERED,       /* without state, term and generation leap */
    CORE_RULE_PARK,            /* a server that is not at a pull's version yet waits */
    CORE_RULE_COMPLETE,        /* a micro-batch is complete or not sent */
    CORE_RULE_FIRST_DONE,      /* a slot is DONE once */
    CORE_RULE_LEARN_ALL,       /* a slot was DONE only if every server holds it */
    CORE_RULE_STAGE_END,       /* a stage ends when its checkpoint is recorded */
    CORE_RULE_WRITTEN,         /* a server reports parts when they are durable, not before */
    CORE_RULE_NEW_GENERATION,  /* going back begins a generation */
    CORE_RULE_ROLLING,         /* which is durable, with where to, before it is announced */
    CORE_RULE_PASS_OVER,       /* a checkpoint that cannot be read is passed over */
    CORE_RULE_CUT,             /* metrics of what is gone back behind are cut */
    CORE_RULE_LAST_METRIC,     /* a record remembers the last metric, of the open round, too */
    CORE_RULE_COPIES,          /* with two copies a checkpoint counts when both are there */
    CORE_RULE_LEAVERS,         /* and servers that leave stay until all have gone back */
} core_rule_id;

static inline bool core_rule(const core_mutations *m, core_rule_id rule)
{
    return !m || !(m->off >> rule & 1);
}
