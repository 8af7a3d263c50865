/* bench_two_tower [rounds] - a chunk of the default two-tower shape: prints `name shape median_us`.
 * 512 users with 50 history items, 1024 item rows, z 128, text 640, ids 64, [512, 256, 128]. */
#include "common/blas.h"
#include "common/clock.h"
#include "common/f16.h"
#include "common/mem.h"
#include "common/rng.h"
#include "worker/two_tower.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TYPES = 3, TEXT = 640, HISTORY = 50, ROUNDS_MAX = 100 };

static const char *const type_name[TYPES] = {"movie", "book", "song"};

static uint32_t *numbers(size_t n, uint64_t below, uint64_t seed)
{
    uint32_t *x = xcalloc(n, sizeof *x);
    for (uint64_t i = 0; i < n; i++) x[i] = (uint32_t)rng_below(seed, i, 0, below);
    return x;
}

static float *floats(size_t n, uint64_t seed)
{
    float *x = try_aligned(n, sizeof *x);
    for (uint64_t i = 0; i < n; i++) x[i] = (rng_unit(seed, i, 0) - 0.5f) * 0.2f;
    return x;
}

static two_tower_batch make_batch(uint32_t users, const model_spec *s)
{
    two_tower_batch b = {.users = users,
                         .items = 2 * users,
                         .targets = 3 * users / 2,
                         .unique = 6 * users,
                         .training = true};
    uint64_t *indptr = xcalloc(users + 1, sizeof *indptr);
    uint32_t *node = xcalloc(b.unique, sizeof *node);
    uint16_t *text = xcalloc((size_t)b.unique * TEXT, sizeof *text);
    for (uint32_t i = 0; i < users; i++) indptr[i + 1] = indptr[i] + HISTORY;
    for (uint32_t i = 0; i < b.unique; i++) node[i] = i;
    for (uint64_t i = 0; i < (uint64_t)b.unique * TEXT; i++)
        text[i] = f16_from_f32(rng_unit(5, i, 0) * 0.1f);
    b.node = node;
    b.type = numbers(b.unique, TYPES, 1);
    b.z = s->use_z ? floats((size_t)b.unique * s->z_dim, 2) : NULL;
    b.text = text;
    b.id = floats((size_t)b.unique * s->table[0].dim, 3);
    b.history_indptr = indptr;
    b.history = numbers((size_t)users * HISTORY, b.unique, 4);
    b.positives = numbers(b.targets, 50, 9);
    b.item = numbers(b.items, b.targets, 6);
    b.log_q = floats(b.items, 7);
    return b;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void run(const config *c, const model_facts *f, stage_id stage, size_t rounds)
{
    double us[ROUNDS_MAX], loss, weight;
    model_spec *s = model_spec_new(c, f, stage);
    two_tower *m = two_tower_new(c, f, s);
    float *params = floats(s->values, 8), *grads = xcalloc(s->values, sizeof *grads);
    two_tower_batch b = make_batch(rounds == 1 ? 32 : 512, s);
    float *did = xcalloc((size_t)b.unique * s->table[0].dim, sizeof *did);
    for (size_t i = 0; i < rounds; i++) {
        uint64_t start = clock_now_us();
        if (two_tower_train(m, params, &b, grads, did, &loss, &weight) != ERR_OK) abort();
        us[i] = (double)(clock_now_us() - start);
    }
    qsort(us, rounds, sizeof *us, by_value);
    printf("%s_train %ux%u %.0f\n", stage_name(stage), b.users, b.items, us[rounds / 2]);
}

int main(int argc, char **argv)
{
    size_t rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : 15;
    config *c;
    if (rounds < 1 || rounds > ROUNDS_MAX || config_load(NULL, NULL, 0, &c) != ERR_OK) return 2;
    blas_start();
    model_facts f = {.types = TYPES, .type = type_name, .text_dim = TEXT};
    run(c, &f, STAGE_TWO_TOWER, rounds);
    run(c, &f, STAGE_TWO_TOWER_NO_Z, rounds);
    config_free(c);
    return 0; /* the process ends: the rest is not freed */
}
