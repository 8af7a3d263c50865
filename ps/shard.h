/* shard.h - the parameter server's protocol core: tables that change only on COMMIT.
 *
 * Pure (common/core.h).  A server is at (generation, stage, version): version counts the rounds of
 * the generation it has committed.  The open round's pushes are held per slot; COMMIT(generation,
 * version) sums them in slot order, divides by the examples, runs the optimizer and moves to
 * version + 1.  With delay k pushes for the k rounds after it are held, too, and the k versions of
 * the trained tables before the newest one are kept.  In ssp and asp a gradient is applied when it
 * comes (stage_arrival.h), a pull is answered with what there is once its version is reached, and a
 * training round's commit changes no table.
 *
 * Dense parameters live in immutable blobs, one per version; sparse rows in a hash table of slabs.
 * A pull names the exact version: ahead of us it is parked until its budget ends (BEHIND), behind
 * us it is GONE. A finished stage's tables stay, frozen, under version WIRE_FINAL.
 *
 * SNAPSHOT takes a copy of the stage's tables at once and has it written (SHARD_SAVE); ROLLBACK
 * forgets everything and reads a checkpoint (SHARD_LOAD) under a new generation.  At most one of
 * these jobs is with the shell at a time.  HELLO says how far they are.  With two copies a server
 * gets the parts that it is the second of from their owners, when it has written its own; and going
 * back it gets what it should have and has not from whoever has it.  Threads: one owner. */
#pragma once

#include "common/core.h"
#include "common/staleness.h"
#include "common/table_codec.h"

enum { SHARD_TABLES_MAX = 16, SHARD_SLOTS_MAX = 1 << 16, SHARD_PARKED_MAX = 4096 };
enum { SHARD_PARKED_BYTES_MAX = 512 << 20 }; /* of keys, together */
enum {
    SHARD_LEAVE_US = 20000000
}; /* how long a server that is told to stop waits for a checkpoint */

/* Which update of the parameters it is. */
typedef struct shard_update {
    uint32_t step;   /* of the plan, 1..: says the learning rate */
    uint64_t number; /* of updates, with this one: for bias corrections */
    float lr_scale;  /* of the learning rate; 1 at a commit */
} shard_update;

typedef struct shard_table {
    uint32_t id;  /* 1.. */
    uint32_t dim; /* floats of a row */
    bool is_put;  /* rows are assigned (embed, vectors, validation scratch), not trained */
    bool
        scratch; /* a put table that each validation writes anew; dropped at the end of the stage */
    uint32_t state; /* floats of optimizer state behind each trained row */
} shard_table;

/* What the arithmetic needs to know about the model.  Every function is pure; `stage` is a main
 * stage (HGNN, EMBED, ...): a validation stage's tables belong to its main stage. */
typedef struct shard_model {
    void *ctx;
    /* Floats of dense parameters of a stage (0: none) and of optimizer state per parameter. */
    size_t (*dense_floats)(void *ctx, uint32_t stage);
    uint32_t (*dense_state)(void *ctx, uint32_t stage);
    /* out [n]: the initial values of parameters offset..offset+n-1 of the flat array. */
    void (*init_dense)(void *ctx, uint32_t stage, size_t offset, size_t n, float *out);
    /* Fills tables[SHARD_TABLES_MAX]; returns how many. */
    uint32_t (*tables)(void *ctx, uint32_t stage, shard_table *tables);
    void (*init_row)(void *ctx, uint32_t stage, uint32_t table, uint64_t key,
                     float *out /* [dim] */);
    /* w_new [n] overwritten from w_old [n] and g [n], the gradient divided by the examples; state
     * [dense_state][n] (one array after the other, n apart) updated.  offset as above. */
    void (*apply_dense)(void *ctx, uint32_t stage, shard_update u, size_t offset, size_t n,
                        float *w_new, const float *w_old, float *state, const float *g);
    /* w [dim] and state [table.state] updated in place. */
    void (*apply_row)(void *ctx, uint32_t stage, shard_update u, uint32_t table, uint64_t key,
                      float *w, float *state, const float *g);
    /* Slots of a step of a stage or of its validation; 0: no such step.  NULL: not known. */
    uint32_t (*slots)(void *ctx, uint32_t stage, uint32_t step);
    /* Examples that the plan has for a step.  NULL: not known. */
    uint64_t (*examples)(void *ctx, uint32_t stage, uint32_t step);
    staleness staleness;
} shard_model;

typedef struct shard_config {
    uint32_t index;
    uint64_t incarnation;
    uint64_t plan_hash;
    const char *numerics; /* borrowed until shard_free, as the next two */
    const char *address;  /* what peers connect to */
    const shard_model *model;
    uint32_t pid;
    uint32_t found_generation; /* the highest in a folder of its own; 0: none is there */
    double max_norm;           /* of a push (push_guard.h); 0: any */
    uint32_t piece_bytes;      /* of a part that is asked for at a time; 0: PART_PIECE_BYTES */
    const core_mutations *mutations;
} shard_config;

/* COMPUTE kinds; details: shard_save and shard_load (shard_disk.h), which the shell fills in.
 * shard_copies.h has two more, which may be with the shell at the same time. */
enum { SHARD_SAVE = 1, SHARD_LOAD = 2 };

typedef struct shard shard;

shard *shard_new(const shard_config *c); /* owned: shard_free */
void shard_free(shard *s);
uint64_t shard_step(shard *s, const core_event *e, core_actions *out);
/* Of everything that pulls can see, and of what is held. */
uint64_t shard_digest(const shard *s);

typedef struct shard_stats {
    uint32_t generation, stage, version, held, parked, servers; /* servers: of its map */
    bool finished, stopping, loading, known;                    /* known: member_is_known */
    uint64_t rows, bytes, pulls, pushes, repeats, gone, hash_mismatches, commits, refused;
} shard_stats;
void shard_stats_get(const shard *s, shard_stats *out);
/* True: a PUSH changes the tables, not a COMMIT. */
bool shard_applies_on_arrival(const shard *s);
/* The shell times a step that changed the tables and says so, for the status page. */
void shard_note_apply(shard *s, uint64_t us);
/* False while it reads its tables back from a checkpoint, and until it can. */
bool shard_is_ready(const shard *s);
/* The shell's resident memory, for the status page. */
void shard_note_rss(shard *s, uint64_t bytes);
/* How much the shell has refused so far, for the status page. */
void shard_note_refused(shard *s, uint64_t total);

/* For invariants and tests: this server's dense blocks now or FINAL (borrowed until the next step;
 * NULL: none), and one row (false: absent). */
const blob *shard_dense(const shard *s, uint32_t stage, bool final);
bool shard_row(const shard *s, uint32_t stage, uint32_t table, bool final, uint64_t key,
               const float **row);
