/* baseline_popularity.h - the score of an item is how many users have it in train.  Any thread. */
#pragma once

#include "worker/scoring.h"

/* scores [candidates of type] overwritten. */
void baseline_popularity_fill(float *scores, const candidates *c, uint32_t type);
scorer baseline_popularity_scorer(void);
