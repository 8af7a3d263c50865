/* Proves: the vectors of a catalogue have length 1, are centred over the corpus alone, do not
 * depend on threads, cache or order of computing, and survive their storage. */
#include "common/blas.h"
#include "common/files.h"
#include "sampler/features.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N = 6, DIM = 64 };

static const char *const IDS[N] = {"a", "b", "c", "d", "e", "f"};
static const char *const TEXTS[N] = {"The Hobbit. Fantasy",   "The Two Towers. Fantasy",
                                     "Cooking for Beginners", "  ",
                                     "Cooking with Fire",     "Война и мир"};

static config hash_config(void)
{
    config c;
    memset(&c, 0, sizeof c);
    c.features.encoder = ENCODER_HASH;
    c.features.ngram_dim = DIM;
    c.features.storage = STORAGE_F16;
    c.features.center = true;
    return c;
}

static features *build(const config *c, const uint8_t *corpus, const char *cache_dir)
{
    features_input in = {
        .ids = IDS, .texts = TEXTS, .n = N, .corpus = corpus, .cache_dir = cache_dir};
    features *f = NULL;
    ck_assert_int_eq(features_build_texts(c, &in, &f), ERR_OK);
    return f;
}

static double length_of(const float *x, size_t d)
{
    double squares = 0;
    for (size_t k = 0; k < d; k++) squares += (double)x[k] * (double)x[k];
    return sqrt(squares);
}

START_TEST(vectors_have_length_one_and_blank_texts_are_zero)
{
    config c = hash_config();
    features *f = build(&c, NULL, NULL);
    ck_assert_uint_eq(f->n, N);
    ck_assert_uint_eq(f->dim, DIM);
    ck_assert_str_eq(f->encoder, "hash");
    for (uint32_t i = 0; i < N; i++) {
        float x[DIM];
        features_row(f, i, x);
        ck_assert_double_eq_tol(length_of(x, DIM), i == 3 ? 0 : 1, 1e-3);
        for (size_t k = 0; k < DIM; k++) ck_assert(fabsf(x[k]) <= 1.0f);
    }
    features_free(f);
}
END_TEST

START_TEST(the_mean_is_that_of_the_corpus_and_is_taken_off)
{
    config c = hash_config();
    c.features.center = false;
    const uint8_t corpus[N] = {1, 1, 0, 1, 0, 0};
    features *plain = build(&c, corpus, NULL);
    c.features.center = true;
    features *centred = build(&c, corpus, NULL);
    float x[N][DIM];
    for (uint32_t i = 0; i < N; i++) features_row(plain, i, x[i]);
    for (size_t k = 0; k < DIM; k++) {
        ck_assert(plain->mean[k] == 0);
        /* Item 3 is in the corpus but has no text. */
        ck_assert_float_eq_tol(centred->mean[k], (x[0][k] + x[1][k]) / 2, 1e-3);
    }
    float y[DIM], expect[DIM];
    features_row(centred, 4, y);
    for (size_t k = 0; k < DIM; k++) expect[k] = x[4][k] - centred->mean[k];
    double length = length_of(expect, DIM);
    for (size_t k = 0; k < DIM; k++)
        ck_assert_double_eq_tol(y[k], (double)expect[k] / length, 2e-3);
    features_free(plain);
    features_free(centred);
}
END_TEST

START_TEST(int8_rows_are_close_and_their_scale_is_a_power_of_two)
{
    config c = hash_config();
    features *f16 = build(&c, NULL, NULL);
    c.features.storage = STORAGE_INT8;
    features *int8 = build(&c, NULL, NULL);
    ck_assert_ptr_null(int8->f16);
    for (uint32_t i = 0; i < N; i++) {
        float x[DIM], y[DIM], largest = 0;
        features_row(f16, i, x);
        features_row(int8, i, y);
        for (size_t k = 0; k < DIM; k++) largest = fmaxf(largest, fabsf(x[k]));
        for (size_t k = 0; k < DIM; k++) {
            ck_assert_float_le(fabsf(x[k] - y[k]), largest / 126 + 1e-3f);
            ck_assert(fabsf(y[k]) <= 1.0f);
        }
    }
    features_free(f16);
    features_free(int8);
}
END_TEST

START_TEST(none_has_no_columns)
{
    config c = hash_config();
    c.features.encoder = ENCODER_NONE;
    features *f = build(&c, NULL, NULL);
    ck_assert_uint_eq(f->n, N);
    ck_assert_uint_eq(f->dim, 0);
    ck_assert_str_eq(f->encoder, "none");
    features_free(f);
}
END_TEST

START_TEST(no_items_are_no_error)
{
    config c = hash_config();
    features_input in = {.ids = IDS, .texts = TEXTS, .n = 0};
    features *f = NULL;
    ck_assert_int_eq(features_build_texts(&c, &in, &f), ERR_OK);
    ck_assert_uint_eq(f->n, 0);
    ck_assert_uint_eq(f->dim, DIM);
    features_free(f);
}
END_TEST

START_TEST(the_same_input_gives_the_same_bytes)
{
    config c = hash_config();
    features *a = build(&c, NULL, NULL), *b = build(&c, NULL, NULL);
    ck_assert_mem_eq(a->f16, b->f16, N * DIM * sizeof *a->f16);
    ck_assert_mem_eq(a->mean, b->mean, DIM * sizeof *a->mean);
    features_free(a);
    features_free(b);
}
END_TEST

typedef struct seen {
    uint64_t done, total;
} seen;

static void note_progress(void *context, const char *stage, uint64_t done, uint64_t total)
{
    seen *s = context;
    ck_assert_str_eq(stage, "text");
    ck_assert_uint_gt(done, s->done);
    *s = (seen){done, total};
}

START_TEST(progress_ends_at_the_total)
{
    config c = hash_config();
    seen s = {0};
    progress p = {.report = note_progress, .context = &s};
    features_input in = {.ids = IDS, .texts = TEXTS, .n = N, .progress = &p};
    features *f = NULL;
    ck_assert_int_eq(features_build_texts(&c, &in, &f), ERR_OK);
    ck_assert_uint_eq(s.done, N);
    ck_assert_uint_eq(s.total, N);
    features_free(f);
}
END_TEST

START_TEST(a_stop_ends_it)
{
    config c = hash_config();
    atomic_int stop = 1;
    progress p = {.stop = &stop};
    features_input in = {.ids = IDS, .texts = TEXTS, .n = N, .progress = &p};
    features *f = NULL;
    ck_assert_int_eq(features_build_texts(&c, &in, &f), ERR_STOPPED);
}
END_TEST

/* Needs the weights. */
START_TEST(embedded_vectors_are_the_same_with_and_without_cache_and_threads)
{
    char folder[] = "/tmp/weft_features_XXXXXX";
    ck_assert_ptr_nonnull(mkdtemp(folder));
    config c = hash_config();
    c.features.encoder = ENCODER_EMBEDDED;
    c.prepare.threads = 1;
    features *plain = build(&c, NULL, NULL);
    features *first = build(&c, NULL, folder);
    c.prepare.threads = 3;
    features *second = build(&c, NULL, folder);
    features *threads = build(&c, NULL, NULL);
    ck_assert_uint_eq(plain->dim, 512 + DIM);
    ck_assert_str_eq(plain->encoder, "use_lite+ngram");
    ck_assert_uint_eq(first->cache.misses, N);
    ck_assert_uint_eq(second->cache.misses, 0);
    ck_assert_uint_eq(second->cache.hits, N);
    size_t bytes = (size_t)N * plain->dim * sizeof *plain->f16;
    ck_assert_mem_eq(plain->f16, first->f16, bytes);
    ck_assert_mem_eq(plain->f16, second->f16, bytes);
    ck_assert_mem_eq(plain->f16, threads->f16, bytes);
    float x[512 + DIM];
    features_row(plain, 0, x);
    ck_assert_double_eq_tol(length_of(x, 512), sqrt(0.5), 1e-3);
    ck_assert_double_eq_tol(length_of(x + 512, DIM), sqrt(0.5), 1e-3);
    features_row(plain, 3, x);
    ck_assert_double_eq_tol(length_of(x, 512 + DIM), 0, 1e-9);
    features_free(plain);
    features_free(first);
    features_free(second);
    features_free(threads);
    ck_assert_int_eq(files_remove_tree(folder), ERR_OK);
}
END_TEST

int main(void)
{
    blas_start();
    char *weights = encoder_find_weights("");
    Suite *s = suite_create("features");
    TCase *c = tcase_create("features");
    tcase_add_test(c, vectors_have_length_one_and_blank_texts_are_zero);
    tcase_add_test(c, the_mean_is_that_of_the_corpus_and_is_taken_off);
    tcase_add_test(c, int8_rows_are_close_and_their_scale_is_a_power_of_two);
    tcase_add_test(c, none_has_no_columns);
    tcase_add_test(c, no_items_are_no_error);
    tcase_add_test(c, the_same_input_gives_the_same_bytes);
    tcase_add_test(c, progress_ends_at_the_total);
    tcase_add_test(c, a_stop_ends_it);
    if (weights) {
        tcase_add_test(c, embedded_vectors_are_the_same_with_and_without_cache_and_threads);
    } else {
        printf("SKIPPED the embedded case: no USE Lite weights; run deploy/get-encoder.sh\n");
    }
    free(weights);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failures = srunner_ntests_failed(r);
    srunner_free(r);
    return failures ? 1 : 0;
}
