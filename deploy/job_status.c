#include "deploy/job_status.h"

#include <string.h>

bool job_status_is_starting(const json_t *status)
{
    const char *state = json_string_value(json_object_get(status, "state"));
    return !state || strcmp(state, "STARTING") == 0 || strcmp(state, "PREPARING") == 0;
}

uint32_t job_status_stage(const json_t *status)
{
    uint32_t stage;
    const char *name = json_string_value(json_object_get(status, "stage"));
    return name && stage_parse(name, &stage) ? stage : STAGE_NONE;
}

bool job_status_is_trained(const json_t *status, const plan *p)
{
    uint32_t stages[STAGE_COUNT], n = plan_stages(p, stages), stage = job_status_stage(status);
    if (job_status_is_starting(status)) return false;
    if ((uint32_t)json_integer_value(json_object_get(status, "generation")) < n) return false;
    return stage != STAGE_NONE && !plan_has_stage(p, stage);
}
