#include "common/schedule.h"

#include "common/vmath.h"

static float scheduled(const config_optimizer *o, float base, uint64_t step, uint64_t max_steps)
{
    const uint64_t warm = o->warmup_steps;
    if (step < warm) return (float)((double)base * (double)step / (double)warm);
    if (o->schedule == SCHEDULE_CONSTANT || max_steps <= warm) return base;
    double at = (double)(step - warm) / (double)(max_steps - warm);
    if (at > 1.0) at = 1.0;
    return (float)((double)base * 0.5 * (1.0 + vmath_cos(at * 3.14159265358979323846)));
}

float lr_at(const config_optimizer *o, uint64_t step, uint64_t max_steps)
{
    return scheduled(o, o->lr, step, max_steps);
}

float sparse_lr_at(const config_optimizer *o, uint64_t step, uint64_t max_steps)
{
    return scheduled(o, o->sparse_lr, step, max_steps);
}
