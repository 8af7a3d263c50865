#include "deploy/train_facts.h"

#include "common/clock.h"

#include <stdio.h>
#include <string.h>

void train_facts_init(train_facts *f)
{
    *f = (train_facts){.start_wall_s = clock_wall_s(), .start_us = clock_now_us()};
}

void train_facts_fini(train_facts *f)
{
    json_decref(f->last);
    f->last = NULL;
}

void train_facts_stage(train_facts *f, const char *stage, uint64_t start_us, uint64_t examples)
{
    if (f->stages == TRAIN_STAGES_MAX) return;
    train_stage_time *s = &f->stage[f->stages++];
    snprintf(s->stage, sizeof s->stage, "%s", stage);
    s->seconds = (double)(clock_now_us() - start_us) / 1e6;
    if (s->seconds > 0) s->examples_per_s = (double)examples / s->seconds;
}

static void end_current(train_facts *f)
{
    if (!f->current[0]) return;
    train_facts_stage(f, f->current, f->current_us, (uint64_t)f->current_examples);
    f->current[0] = 0;
}

void train_facts_status(train_facts *f, json_t *status)
{
    const char *stage = json_string_value(json_object_get(status, "stage"));
    bool leased = json_integer_value(json_object_get(status, "steps")) > 0;
    if (!stage || !leased) return;
    json_decref(f->last);
    f->last = json_incref(status);
    if (strcmp(stage, f->current) != 0) {
        end_current(f);
        snprintf(f->current, sizeof f->current, "%s", stage);
        f->current_us = clock_now_us();
    }
    f->current_examples = json_number_value(json_object_get(status, "examples"));
}

void train_facts_trained(train_facts *f)
{
    end_current(f);
}
