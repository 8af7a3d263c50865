#include "worker/baseline_popularity.h"

void baseline_popularity_fill(float *scores, const candidates *c, uint32_t type)
{
    uint32_t begin = c->begin[type], n = candidates_count(c, type);
    for (uint32_t i = 0; i < n; i++) scores[i] = (float)c->in->train_count[c->item[begin + i]];
}

static err_code popularity_score(const void *state, const candidates *c, uint32_t type,
                                 const uint32_t *users, size_t n, float *scores)
{
    (void)state;
    (void)users;
    for (size_t i = 0; i < n; i++) {
        baseline_popularity_fill(scores + i * candidates_count(c, type), c, type);
    }
    return ERR_OK;
}

scorer baseline_popularity_scorer(void)
{
    return (scorer){popularity_score, 0, MODEL_POPULARITY};
}
