#include "testing_evaluation.h"

#include "common/f16.h"
#include "common/hash.h"
#include "common/mem.h"
#include "common/rng.h"

#include <stdlib.h>

static const char *const type_name[] = {"movie", "book", "decade"};

static void fill_items(fixture *f, uint64_t key)
{
    for (uint32_t i = 0; i < FIXTURE_ITEMS; i++) {
        f->type[i] = i % 12 == 7 && i < 12 * FIXTURE_DECADES ? 2 : 0;
        f->key[i] = rng_u64(key, i, 1);
        for (uint32_t k = 0; k < FIXTURE_DIM; k++) {
            f->item[i * FIXTURE_DIM + k] = (float)rng_below(key, i, 10 + k, 3) - 1;
            f->z[i * FIXTURE_DIM + k] = rng_normal(key, i, 20 + k);
            f->text[i * FIXTURE_DIM + k] = f16_from_f32(rng_normal(key, i, 30 + k));
        }
    }
    /* Types are mixed in row order: every 12th is a decade, then some more until there are enough.
     */
    uint32_t decades = 0;
    for (uint32_t i = 0; i < FIXTURE_ITEMS; i++) decades += f->type[i] == 2;
    for (uint32_t i = 0; decades < FIXTURE_DECADES; i += 5) {
        if (f->type[i] == 0) {
            f->type[i] = 2;
            decades++;
        }
    }
    f->type[33] = 1;
}

static uint8_t draw_part(const fixture *f, uint64_t key, uint32_t u, uint32_t i)
{
    double x = rng_unit_f64(key, u, 100 + i);
    double popular = 0.02 + 0.2 * (1 + i % 10) / 10;
    bool untrained = f->type[i] == 0 && i >= FIXTURE_ITEMS - 6;
    if (x < popular) return untrained || u >= FIXTURE_USERS - 10 ? 0 : 1;
    if (f->type[i] == 2) return 0;
    if (x > 0.98) return 2;
    return x > 0.94 ? 3 : 0;
}

static void add(fixture_lists *l, uint32_t user, uint32_t item)
{
    l->item[l->indptr[user + 1]++] = item;
}

static void fill_users(fixture *f, uint64_t key)
{
    for (uint32_t u = 0; u < FIXTURE_USERS; u++) {
        f->train.indptr[u + 1] = f->train.indptr[u];
        f->valid.indptr[u + 1] = f->valid.indptr[u];
        f->test.indptr[u + 1] = f->test.indptr[u];
        for (uint32_t k = 0; k < FIXTURE_DIM; k++) {
            f->user[u * FIXTURE_DIM + k] = (float)rng_below(key, u, 50 + k, 3) - 1;
        }
        for (uint32_t i = 0; i < FIXTURE_ITEMS; i++) {
            uint8_t part = f->part[u][i] = draw_part(f, key, u, i);
            if (part == 1) {
                add(&f->train, u, i);
                f->count[i]++;
                f->user_types[u] |= 1ull << f->type[i];
            }
            if (part == 2) add(&f->valid, u, i);
            if (part == 3) add(&f->test, u, i);
        }
    }
}

static evaluation_lists lists_of(const fixture_lists *l)
{
    return (evaluation_lists){l->indptr, l->item};
}

fixture *fixture_new(uint64_t seed)
{
    fixture *f = xcalloc(1, sizeof *f);
    uint64_t key = rng_key(seed, 0, 0, 0, 0, USE_TEST);
    fill_items(f, key);
    fill_users(f, key);
    f->in = (evaluation_input){.seed = seed,
                               .types = 3,
                               .items = FIXTURE_ITEMS,
                               .users = FIXTURE_USERS,
                               .type_name = type_name,
                               .item_type = f->type,
                               .item_key = f->key,
                               .train_count = f->count,
                               .train_any = f->count,
                               .user_types = f->user_types,
                               .train = lists_of(&f->train),
                               .history = lists_of(&f->train),
                               .seen_train = lists_of(&f->train),
                               .seen_valid = lists_of(&f->valid),
                               .valid = lists_of(&f->valid),
                               .test = lists_of(&f->test),
                               .two_tower = {f->item, f->user, FIXTURE_DIM},
                               .z = f->z,
                               .z_dim = FIXTURE_DIM,
                               .text = f->text,
                               .text_dim = FIXTURE_DIM,
                               .baselines = 63,
                               .ease_items = 12000,
                               .bootstrap = 1000,
                               .recommendations = 7,
                               .threads = 1};
    return f;
}

uint32_t fixture_naive_rank(const fixture *f, uint32_t user, uint32_t item, const float *score)
{
    uint32_t better = 0;
    uint64_t mine = hash64(&f->key[item], 8, f->in.seed);
    for (uint32_t i = 0; i < FIXTURE_ITEMS; i++) {
        if (f->type[i] != f->type[item] || f->part[user][i] == 1 || f->part[user][i] == 2) continue;
        uint64_t other = hash64(&f->key[i], 8, f->in.seed);
        if (score[i] > score[item] || (score[i] == score[item] && other < mine)) better++;
    }
    return better + 1;
}
