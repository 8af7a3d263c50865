/* schedule.h - the learning rate as a pure function of (configuration, step).  Threads: any. */
#pragma once

#include "common/config.h"

/* step counts from 1.  Linear warm-up: lr * step / warmup_steps up to step = warmup_steps; then lr
 * (constant), or a cosine from lr down to 0 after step max_steps (cosine; max_steps 0 or not above
 * the warm-up: constant).  The horizon is max_steps, wherever training stops. */
float lr_at(const config_optimizer *o, uint64_t step, uint64_t max_steps);
/* The same for sparse_lr. */
float sparse_lr_at(const config_optimizer *o, uint64_t step, uint64_t max_steps);
