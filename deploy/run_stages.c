#include "deploy/run_stages.h"

#include <stdlib.h>
#include <string.h>

/* The time of a stage's first step began before the stage: it is left out. */
typedef struct step_sums {
    uint64_t steps;
    double seconds, examples;
} step_sums;

static void add_step(step_sums sums[STAGE_COUNT], const char *line)
{
    uint32_t stage;
    json_t *step = json_loads(line, 0, NULL);
    const char *name = json_string_value(json_object_get(step, "stage"));
    if (name && stage_parse(name, &stage) && sums[stage].steps++ > 0) {
        sums[stage].seconds += json_number_value(json_object_get(step, "seconds"));
        sums[stage].examples += json_number_value(json_object_get(step, "examples"));
    }
    json_decref(step);
}

static void read_steps(step_sums sums[STAGE_COUNT], const char *path)
{
    char *line = NULL;
    size_t cap = 0;
    FILE *file = path ? fopen(path, "rb") : NULL;
    while (file && getline(&line, &cap, file) >= 0) add_step(sums, line);
    free(line);
    if (file) fclose(file);
}

void run_stages_merge(run_stages *out, const run_json_stage *seen, size_t n, const char *steps_path)
{
    step_sums sums[STAGE_COUNT] = {0};
    read_steps(sums, steps_path);
    out->n = 0;
    for (uint32_t s = STAGE_NONE + 1; s < STAGE_COUNT; s++) {
        run_json_stage stage = {.stage = stage_name(s), .seconds = sums[s].seconds};
        bool found = sums[s].steps > 0;
        for (size_t i = 0; i < n; i++) {
            if (strcmp(seen[i].stage, stage.stage) != 0) continue;
            stage = seen[i];
            found = true;
        }
        if (sums[s].seconds > 0.0) stage.examples_per_s = sums[s].examples / sums[s].seconds;
        if (found) out->stage[out->n++] = stage;
    }
}
