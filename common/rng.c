#include "common/rng.h"

#include "common/hash.h"
#include "common/panic.h"
#include "common/vmath.h"

#include <Random123/philox.h>

uint64_t rng_key(uint64_t seed, uint64_t stage, uint64_t epoch, uint64_t step, uint64_t slot,
                 uint64_t use)
{
    const uint64_t name[6] = {seed, stage, epoch, step, slot, use};
    return hash64(name, sizeof name, 0);
}

uint64_t rng_slot_key(uint64_t seed, slot_name name, rng_use use)
{
    return rng_key(seed, name.stage, name.epoch, name.step, name.slot, (uint64_t)use);
}

void rng_block(uint64_t key, uint64_t node, uint32_t draw, uint32_t retry, uint32_t out[4])
{
    philox4x32_ctr_t c = {{(uint32_t)node, (uint32_t)(node >> 32), draw, retry}};
    philox4x32_key_t k = {{(uint32_t)key, (uint32_t)(key >> 32)}};
    c = philox4x32_R(10, c, k);
    for (int i = 0; i < 4; i++) out[i] = c.v[i];
}

static uint64_t draw_u64(uint64_t key, uint64_t node, uint32_t draw, uint32_t retry)
{
    uint32_t b[4];
    rng_block(key, node, draw, retry, b);
    return (uint64_t)b[1] << 32 | b[0];
}

uint32_t rng_u32(uint64_t key, uint64_t node, uint32_t draw)
{
    return (uint32_t)draw_u64(key, node, draw, 0);
}

uint64_t rng_u64(uint64_t key, uint64_t node, uint32_t draw)
{
    return draw_u64(key, node, draw, 0);
}

float rng_unit(uint64_t key, uint64_t node, uint32_t draw)
{
    return (float)(rng_u32(key, node, draw) >> 8) * 0x1p-24f;
}

double rng_unit_f64(uint64_t key, uint64_t node, uint32_t draw)
{
    return (double)(rng_u64(key, node, draw) >> 11) * 0x1p-53;
}

/* Lemire's multiply-and-reject: the low half below 2^64 mod n would be over-represented. */
uint64_t rng_below(uint64_t key, uint64_t node, uint32_t draw, uint64_t n)
{
    ASSERT(n > 0);
    const uint64_t reject = (0 - n) % n;
    for (uint32_t retry = 0;; retry++) {
        unsigned __int128 m = (unsigned __int128)draw_u64(key, node, draw, retry) * n;
        if ((uint64_t)m >= reject) return (uint64_t)(m >> 64);
    }
}

/* Marsaglia's polar method: log and sqrt only (sqrt is exact by IEEE 754). */
float rng_normal(uint64_t key, uint64_t node, uint32_t draw)
{
    for (uint32_t retry = 0;; retry++) {
        uint32_t b[4];
        rng_block(key, node, draw, retry, b);
        double u = ((double)b[0] + 0.5) * 0x1p-31 - 1.0;
        double v = ((double)b[1] + 0.5) * 0x1p-31 - 1.0;
        double s = u * u + v * v;
        if (s < 1.0) return (float)(u * __builtin_sqrt(-2.0 * vmath_log(s) / s));
    }
}

enum { FEISTEL_ROUNDS = 8 };

static uint64_t feistel_round(uint64_t key, uint64_t round, uint64_t x, uint64_t mask)
{
    uint64_t h = (x + 1) * 0x9E3779B97F4A7C15ull ^ (key + round * 0xD1B54A32D192ED03ull);
    h = (h ^ h >> 30) * 0xBF58476D1CE4E5B9ull;
    h = (h ^ h >> 27) * 0x94D049BB133111EBull;
    return (h ^ h >> 31) & mask;
}

/* Bits of each half: the smallest h with 4^h >= n. */
static unsigned half_bits(uint64_t n)
{
    unsigned h = 1;
    while (h < 32 && (n - 1) >> (2 * h)) h++;
    return h;
}

uint64_t rng_permute(uint64_t key, uint64_t n, uint64_t i)
{
    ASSERT(i < n);
    const unsigned h = half_bits(n);
    const uint64_t mask = (1ull << h) - 1;
    do {
        uint64_t left = i >> h, right = i & mask;
        for (uint64_t r = 0; r < FEISTEL_ROUNDS; r++) {
            uint64_t t = left ^ feistel_round(key, r, right, mask);
            left = right;
            right = t;
        }
        i = left << h | right;
    } while (i >= n);
    return i;
}

uint64_t rng_unpermute(uint64_t key, uint64_t n, uint64_t i)
{
    ASSERT(i < n);
    const unsigned h = half_bits(n);
    const uint64_t mask = (1ull << h) - 1;
    do {
        uint64_t left = i >> h, right = i & mask;
        for (uint64_t r = FEISTEL_ROUNDS; r-- > 0;) {
            uint64_t t = right ^ feistel_round(key, r, left, mask);
            right = left;
            left = t;
        }
        i = left << h | right;
    } while (i >= n);
    return i;
}
