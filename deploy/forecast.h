/* forecast.h - what a job will need, before anything starts: memory, disk, network and time of each
 * role, and what bounds the cluster.
 *
 * Sizes of weights, steps and slots are the plan's own, exact; how many different items a slot
 * touches is an expected value; times rest on what was measured on this machine for a second
 * (calibrate.h), and stand for machines like it.  Plain data.
 *
 * Memory is computed in the terms of the code that allocates it, so that a figure says which key
 * to change; a test holds it against a run. Who changes what a role allocates changes
 * forecast_memory.c, too. */
#pragma once

#include "common/job.h"
#include "deploy/calibrate.h"
#include "deploy/outlook.h"

enum { FORECAST_PARTS = 8, FORECAST_STAGES = 8, FORECAST_NOTES = 8 };

/* What a slot touches. */
typedef struct forecast_slot {
    double pairs;                                         /* examples of a slot */
    double rows[CONFIG_LAYERS_MAX + 1][CONFIG_TYPES_MAX]; /* hgnn: of a chunk, as subgraph.rows */
    double edges;                                         /* hgnn: drawn in a chunk, of all hops */
    double unique, targets, history;                      /* towers: of a chunk */
    double nodes;                                         /* different items of a slot */
    double body_bytes;                                    /* the sampler's answer */
    double flops;                                         /* of a slot */
} forecast_slot;

typedef struct forecast_part {
    const char *name; /* static */
    double bytes;
} forecast_part;

typedef struct forecast_role {
    const char *name; /* static: "scheduler", "ps", "sampler", "worker", "weft train" */
    uint32_t processes;
    double memory; /* of one process: the sum of its parts */
    forecast_part part[FORECAST_PARTS];
    uint32_t parts;
    double disk; /* what the role writes or maps, all processes together */
} forecast_role;

typedef struct forecast_stage {
    const char *name;                  /* static */
    uint32_t steps, slots;             /* slots of a full step */
    double pairs;                      /* of a step */
    double pull, push, body, features; /* bytes of a slot */
    double slot_s, step_s, seconds;    /* seconds: of the whole stage, validations included */
    double worker_network, server_network, sampler_network; /* busiest process, bytes a second */
    const char *bound;                                      /* static: what a step waits for most */
} forecast_stage;

typedef struct forecast {
    forecast_role role[5];
    uint32_t roles;
    forecast_stage stage[FORECAST_STAGES];
    uint32_t stages;
    /* Bytes on disk; temporary: of prepare, while it works. */
    double store, cache, checkpoints, results, temporary;
    double seconds;             /* of everything */
    uint32_t workers_useful;    /* more do not help */
    char *note[FORECAST_NOTES]; /* owned: what bounds the cluster, for a person */
    uint32_t notes;
} forecast;

/* `f` is overwritten; forecast_fini. */
void forecast_make(const job *j, const outlook *o, const calibration *speed, forecast *f);
void forecast_fini(forecast *f);

/* Everything runs here unless the scheduler has an address that is not this machine's. */
bool forecast_is_one_machine(const config *c);

/* The pieces, in forecast_slot.c. */
void forecast_slot_hgnn(const job *j, const outlook *o, forecast_slot *out);
/* One layer over a chunk of nodes: `embed` and the validation of the HGNN; k = 1..layers. */
void forecast_slot_layer(const job *j, const outlook *o, uint32_t k, forecast_slot *out);
/* stage: STAGE_TWO_TOWER or STAGE_TWO_TOWER_NO_Z. */
void forecast_slot_tower(const job *j, const outlook *o, uint32_t stage, forecast_slot *out);

/* In forecast_memory.c. */
void forecast_memory(const job *j, const outlook *o, forecast *f);
/* In forecast_time.c. */
void forecast_time(const job *j, const outlook *o, const calibration *speed, forecast *f);
