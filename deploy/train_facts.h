/* train_facts.h - what a run took: times, rates and events for run.json.  Threads: one owner. */
#pragma once

#include "deploy/cluster.h"
#include "sampler/prepare.h"

#include <jansson.h>

enum { TRAIN_STAGES_MAX = 16 };

typedef struct train_stage_time {
    char stage[32];
    double seconds, examples_per_s; /* examples_per_s 0: not applicable */
} train_stage_time;

typedef struct train_facts {
    uint64_t start_wall_s, start_us;
    prepare_stats prepare;
    cluster_facts cluster;
    train_stage_time stage[TRAIN_STAGES_MAX];
    uint32_t stages;
    /* The leased stage that runs now. */
    char current[32];
    uint64_t current_us;
    double current_examples;
    json_t *last; /* the last status of the training, owned */
} train_facts;

void train_facts_init(train_facts *f);
void train_facts_fini(train_facts *f);
/* A stage that ends now. */
void train_facts_stage(train_facts *f, const char *stage, uint64_t start_us, uint64_t examples);
/* Notes from a status which stage runs. */
void train_facts_status(train_facts *f, json_t *status);
/* The leased stages are over. */
void train_facts_trained(train_facts *f);
