#include "common/latency.h"

enum { FORGET_AT = 4096 };

static uint32_t bucket_of(uint64_t us)
{
    uint64_t x = us < 4 ? 4 : us;
    uint32_t log = 63 - (uint32_t)__builtin_clzll(x);
    uint32_t b = log * 4 + (uint32_t)(x >> (log - 2) & 3);
    return b < LATENCY_BUCKETS ? b : LATENCY_BUCKETS - 1;
}

static uint64_t bucket_end(uint32_t b)
{
    return (uint64_t)(4 + b % 4 + 1) << (b / 4) >> 2;
}

void latency_add(latency *l, uint64_t us)
{
    l->count[bucket_of(us)]++;
    if (++l->n < FORGET_AT) return;
    l->n = 0;
    for (uint32_t b = 0; b < LATENCY_BUCKETS; b++) l->n += l->count[b] /= 2;
}

uint64_t latency_quantile(const latency *l, double q)
{
    uint32_t above = (uint32_t)((1.0 - q) * (double)l->n), seen = 0;
    for (uint32_t b = LATENCY_BUCKETS; b-- > 0;) {
        seen += l->count[b];
        if (seen > above) return bucket_end(b);
    }
    return 0;
}
