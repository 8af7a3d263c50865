/* run_json.h - run.json: how a result came about: times, hosts, versions, rates, events.
 *
 * It comes last: its being there means that the folder is complete.  Threads: one owner. */
#pragma once

#include "common/config.h"
#include "common/wire.h"

#include <jansson.h>

typedef struct run_json_stage {
    const char *stage;
    double seconds, examples_per_s; /* examples_per_s 0: not applicable */
} run_json_stage;

/* What the roles were. */
typedef enum run_json_processes {
    RUN_JSON_CLUSTER,    /* processes, as many as the configuration says */
    RUN_JSON_IN_PROCESS, /* as many, within the driver */
    RUN_JSON_NONE        /* the command was alone */
} run_json_processes;

/* Everything is borrowed until the call returns. */
typedef struct run_json_input {
    uint64_t start_wall_s, end_wall_s; /* unix seconds */
    const char *command;               /* the command line */
    const char *numerics;              /* numerics_id() */
    const config *config;              /* effective, with D keys; secrets are paths in it */
    run_json_processes processes;
    const run_json_stage *stage;
    size_t stages;
    uint64_t store_bytes;
    bool store_reused;
    uint64_t encoder_cache_hits;
    bool has_encoder_cache;              /* false: the encoder has none, or the store was reused */
    uint64_t peak_rss_bytes[WIRE_ROLES]; /* by role; 0: no such process of its own */
    uint32_t restarts;                   /* processes started again */
    const json_t *status; /* the last of the training: counters and events; NULL: none */
} run_json_input;

/* ERR_IO (printed). */
MUST_USE err_code run_json_write(const run_json_input *in, const char *path);
