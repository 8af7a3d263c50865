/* trained_source.h - where the finished tables of a job are read from: its servers
 * (cluster_tables.h) or its checkpoints (checkpoint_tables.h).
 *
 * Threads: one owner. */
#pragma once

#include "common/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct trained_source {
    void *context;
    bool no_z; /* the stage two_tower_no_z was trained */
    /* Rows of a finished stage's table: keys [n] any order, out [n, dim] overwritten. */
    err_code (*rows)(void *context, uint32_t stage, uint32_t table, uint32_t dim,
                     const uint64_t *keys, size_t n, float *out);
    /* The flat dense parameters of a stage: out [floats] overwritten. */
    err_code (*dense)(void *context, uint32_t stage, float *out, size_t floats);
} trained_source;
