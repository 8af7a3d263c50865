#include "deploy/restart_policy.h"

#define MS_US UINT64_C(1000)

bool restart_policy_next(restart_policy *p, uint64_t started_us, uint64_t now_us, uint64_t *due_us)
{
    if (now_us - started_us >= RESTART_CALM_MS * MS_US) *p = (restart_policy){0};
    uint64_t *oldest = &p->at_us[p->n % RESTARTS_MAX];
    if (p->n >= RESTARTS_MAX && now_us - *oldest < RESTARTS_WINDOW_MS * MS_US) return false;
    uint32_t delay = p->delay_ms ? 2 * p->delay_ms : RESTART_DELAY_MS;
    p->delay_ms = delay < RESTART_DELAY_MAX_MS ? delay : RESTART_DELAY_MAX_MS;
    *oldest = now_us;
    p->n++;
    *due_us = now_us + p->delay_ms * MS_US;
    return true;
}
