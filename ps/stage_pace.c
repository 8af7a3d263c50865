#include "ps/stage_pace.h"

void stage_pace_step(stage_pace *p, uint32_t step, uint64_t now_us)
{
    if (!p->first_us) *p = (stage_pace){.first_us = now_us, .first = step};
    p->last_us = now_us;
    p->last = step;
}

double stage_pace_left_s(const stage_pace *p, uint32_t steps, uint64_t now_us)
{
    uint64_t done = p->last - p->first, took_us = p->last_us - p->first_us;
    uint64_t since_us = now_us - p->last_us;
    if (p->last >= steps) return p->first_us ? 0 : -1;
    if (done < PACE_STEPS_MIN || (took_us < PACE_US && done * PACE_PART < steps)) return -1;
    double step_us = (double)took_us / (double)done;
    double open_us = (double)since_us < step_us ? (double)since_us : step_us;
    return (step_us * (double)(steps - p->last) - open_us) / 1e6;
}
