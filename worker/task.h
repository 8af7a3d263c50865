/* task.h - one leased slot on its way through the worker: its micro-batch and the inputs it needs.
 *
 * Made and filled by the thread that digests (task_inputs.h), then read by the one that computes; the
 * protocol core hands it from one to the other.  Threads: one at a time. */
#pragma once

#include "common/job.h"
#include "common/microbatch.h"
#include "worker/row_cache.h"
#include "worker/worker_loop.h"

/* How a node's row lies in the cache: key, positives, attributes, then the f16 channels of h^0 (text,
 * then random features). */
typedef struct feature_layout {
    uint32_t attributes, text_dim, random;
    size_t attribute_at, channels_at, bytes;
} feature_layout;

typedef struct task {
    const job *job;
    const feature_layout *layout;
    slot_name name;
    uint32_t generation, version;
    plan_work work;
    microbatch *batch;
    /* Every node whose features are needed, ascending, with its row and place by key. */
    uint32_t nodes;
    uint32_t *node;
    uint8_t *feature;   /* [nodes, layout->bytes] */
    uint8_t *have;      /* [nodes] */
    uint32_t *by_key;   /* [nodes] indexes into node[], by ascending stable key */
    float *z;           /* [nodes, z_dim]; NULL: not needed */
    uint8_t *have_z;    /* [nodes] */
    /* Which of the needs holds what; UINT32_MAX: none. */
    uint32_t dense_need, rows_need, z_need, feature_need, feature_needs, candidates_need;
    uint32_t rows_dim;
    uint32_t candidates; /* scoring: the sample's nodes, by number */
    const uint32_t *candidate;
    blob *vectors; /* scoring: [candidates, dim] in their order; NULL: not here yet */
    bool asked_rows;
} task;

static inline uint64_t task_key(const task *t, uint32_t i)
{
    return *(const uint64_t *)(const void *)(t->feature + (size_t)i * t->layout->bytes);
}

static inline uint32_t task_positives(const task *t, uint32_t i)
{
    return *(const uint32_t *)(const void *)(t->feature + (size_t)i * t->layout->bytes + 8);
}

static inline const uint32_t *task_attributes(const task *t, uint32_t i)
{
    return (const uint32_t *)(const void *)(t->feature + (size_t)i * t->layout->bytes +
                                            t->layout->attribute_at);
}

static inline const uint16_t *task_channels(const task *t, uint32_t i)
{
    return (const uint16_t *)(const void *)(t->feature + (size_t)i * t->layout->bytes +
                                            t->layout->channels_at);
}

/* The index of `node` in t->node; it must be there. */
uint32_t task_index(const task *t, uint32_t node);

void task_free(task *t); /* accepts NULL */
