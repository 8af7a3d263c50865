/* Proves: optimizers follow their definitions, slice by slice the same.  (Their numbers are
 * compared with PyTorch's by golden_check.) */
#include "common/rng.h"
#include "ps/optimizer.h"

#include <check.h>
#include <math.h>
#include <string.h>

enum { N = 37 };

static config_optimizer options(optimizer_kind name)
{
    return (config_optimizer){.name = name,
                              .lr = 0.1f,
                              .weight_decay = 0.01f,
                              .momentum = 0.9f,
                              .beta1 = 0.9f,
                              .beta2 = 0.999f,
                              .eps = 1e-8f,
                              .sparse_lr = 0.05f};
}

static void run(const config_optimizer *o, float *w, float *a, float *b, size_t first, size_t n)
{
    float g[N];
    for (uint64_t step = 1; step <= 5; step++) {
        for (size_t i = 0; i < n; i++) g[i] = rng_normal(step, first + i, 0);
        float *const out[] = {a, b};
        const float *const in[] = {a, b};
        optimizer_apply(o, o->lr, step, w, out, w, in, g, n);
    }
}

START_TEST(any_cut_into_slices_gives_the_same_bits)
{
    for (int kind = OPT_SGD; kind <= OPT_ADAMW; kind++) {
        config_optimizer o = options((optimizer_kind)kind);
        float w[N], a[N] = {0}, b[N] = {0}, w2[N], a2[N] = {0}, b2[N] = {0};
        for (size_t i = 0; i < N; i++) w[i] = w2[i] = rng_normal(9, i, 0);
        run(&o, w, a, b, 0, N);
        run(&o, w2, a2, b2, 0, 5);
        run(&o, w2 + 5, a2 + 5, b2 + 5, 5, N - 5);
        ck_assert_mem_eq(w, w2, sizeof w);
        ck_assert_mem_eq(a, a2, sizeof a);
    }
}
END_TEST

START_TEST(every_optimizer_keeps_the_states_it_says)
{
    ck_assert_uint_eq(optimizer_states(OPT_SGD), 0);
    ck_assert_uint_eq(optimizer_states(OPT_MOMENTUM), 1);
    ck_assert_uint_eq(optimizer_states(OPT_ADAGRAD), 1);
    ck_assert_uint_eq(optimizer_states(OPT_ADAM), 2);
    ck_assert_uint_eq(optimizer_states(OPT_ADAMW), 2);
    ck_assert_uint_eq(optimizer_sparse_states(SPARSE_ROWWISE_ADAGRAD, 8), 1);
    ck_assert_uint_eq(optimizer_sparse_states(SPARSE_LAZY_ADAM, 8), 17);
}
END_TEST

START_TEST(decay_is_decoupled_in_adamw_only)
{
    config_optimizer adam = options(OPT_ADAM), adamw = options(OPT_ADAMW);
    float w = 2, w2 = 2, m = 0, v = 0, m2 = 0, v2 = 0, g = 0;
    float *const s1[] = {&m, &v}, *const s2[] = {&m2, &v2};
    const float *const c1[] = {&m, &v}, *const c2[] = {&m2, &v2};
    optimizer_apply(&adam, 0.1f, 1, &w, s1, &w, c1, &g, 1);
    optimizer_apply(&adamw, 0.1f, 1, &w2, s2, &w2, c2, &g, 1);
    ck_assert_float_eq_tol(w, 1.9f, 1e-5f);        /* a step of lr along the sign of decay * w */
    ck_assert_float_eq_tol(w2, 2 * 0.999f, 1e-6f); /* w (1 - lr decay) */
}
END_TEST

START_TEST(rowwise_adagrad_shares_one_scale_per_row)
{
    config_optimizer o = options(OPT_SGD);
    o.sparse = SPARSE_ROWWISE_ADAGRAD;
    float w[2] = {1, 1}, g[2] = {3, 4}, state[1] = {0};
    optimizer_sparse_apply(&o, 0.5f, w, state, g, 2);
    ck_assert_float_eq_tol(state[0], 12.5f, 1e-6f);
    ck_assert_float_eq_tol(w[0], 1 - 0.5f * 3 / sqrtf(12.5f), 1e-6f);
    ck_assert_float_eq_tol(w[1], 1 - 0.5f * 4 / sqrtf(12.5f), 1e-6f);
    float zero[2] = {0, 0}, w2[2] = {1, 1}, fresh[1] = {0};
    optimizer_sparse_apply(&o, 0.5f, w2, fresh, zero, 2);
    ck_assert(w2[0] == 1 && w2[1] == 1);
}
END_TEST

START_TEST(lazy_adam_counts_the_steps_of_its_row)
{
    config_optimizer o = options(OPT_ADAM);
    o.sparse = SPARSE_LAZY_ADAM;
    o.weight_decay = 0;
    float w[3] = {1, 2, 3}, state[7] = {0}, dense[3] = {1, 2, 3}, m[3] = {0}, v[3] = {0};
    for (uint64_t step = 1; step <= 4; step++) {
        float g[3], *const out[] = {m, v};
        const float *const in[] = {m, v};
        for (size_t i = 0; i < 3; i++) g[i] = rng_normal(step, i, 5);
        optimizer_sparse_apply(&o, 0.1f, w, state, g, 3);
        optimizer_apply(&o, 0.1f, step, dense, out, dense, in, g, 3);
    }
    ck_assert_mem_eq(w, dense, sizeof w);
    ck_assert(state[6] == 4);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("optimizer");
    TCase *c = tcase_create("optimizer");
    tcase_add_test(c, any_cut_into_slices_gives_the_same_bits);
    tcase_add_test(c, every_optimizer_keeps_the_states_it_says);
    tcase_add_test(c, decay_is_decoupled_in_adamw_only);
    tcase_add_test(c, rowwise_adagrad_shares_one_scale_per_row);
    tcase_add_test(c, lazy_adam_counts_the_steps_of_its_row);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
