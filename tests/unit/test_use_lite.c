/* Proves: USE Lite gives the token ids and vectors of its TF.js reference, and a text's vector does
 * not depend on its neighbours.  Needs the weights (deploy/get-encoder.sh); without them it is
 * skipped. */
#include "common/files.h"
#include "common/numerics.h"
#include "sampler/encoder.h"
#include "sampler/use_lite.h"
#include "sampler/use_lite_batch.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static use_lite *model;
static char *weights;

typedef struct golden {
    const char *text;
    uint32_t ids[24];
    size_t n;
    float first[6];
} golden;

/* From TF.js (@energetic-ai/embeddings 0.2.0). */
static const golden GOLDEN[] = {
    {"Harry Potter and the Philosopher's Stone fantasy audiobook",
     {5508, 847, 1033, 12, 9, 5374, 920, 5276, 46, 13, 7, 6190, 6681, 5804, 2571},
     15,
     {0.040567f, -0.063298f, -0.053270f, -0.000662f, -0.041372f, -0.042185f}},
    {"The Hobbit",
     {34, 765, 1230, 217},
     4,
     {0.025658f, 0.022111f, -0.053291f, -0.032855f, 0.022807f, -0.053082f}},
    {"Le Petit Prince",
     {516, 5332, 217, 4491},
     4,
     {-0.047305f, 0.051159f, 0.044746f, -0.038314f, -0.051955f, -0.024287f}},
    /* Pieces with a colon have no score in the vocabulary. */
    {": a colon :) and (: http://x.y ://",
     {30, 57, 11, 6002, 658, 12, 44, 57, 290, 255, 152, 6, 48, 30, 255},
     15,
     {-0.0130258f, -0.0671236f, 0.0271993f, -0.0148916f, 0.0641660f, -0.0396026f}},
    /* Runs of unknown characters are one token. */
    {"日本語のタイトル 東京物語 (1953)",
     {30, 0, 30, 0, 3513, 5268, 52},
     7,
     {0.0264994f, -0.0362887f, -0.0149672f, 0.0587964f, -0.0583229f, -0.0150235f}},
    /* NFKC. */
    {"ﬁne ligatures ①②③ ﬀ Ⅷ ½ ㎏",
     {839, 30, 3994, 4129, 7, 575, 360, 30, 1266, 651, 109, 109, 109, 207, 7935, 288, 687, 143},
     18,
     {0.0383112f, -0.0242473f, 0.0354351f, 0.0292704f, -0.0018020f, 0.0185511f}},
    {"  leading and   double   spaces ",
     {30, 30, 2428, 12, 30, 30, 1991, 30, 30, 1016, 7, 30},
     12,
     {0.0365928f, -0.0597559f, 0.0590606f, 0.0482870f, 0.0570317f, -0.0490328f}},
};
enum { GOLDEN_COUNT = sizeof GOLDEN / sizeof *GOLDEN };

START_TEST(token_ids_are_those_of_the_reference)
{
    const golden *g = &GOLDEN[_i];
    uint32_t *ids;
    size_t n;
    use_lite_tokenize(model, g->text, &ids, &n);
    ck_assert_uint_eq(n, g->n);
    for (size_t i = 0; i < n; i++) ck_assert_uint_eq(ids[i], g->ids[i]);
    free(ids);
}
END_TEST

START_TEST(vectors_are_those_of_the_reference)
{
    float out[USE_LITE_DIM];
    ck_assert_int_eq(use_lite_encode(model, &GOLDEN[_i].text, 1, out), ERR_OK);
    for (size_t k = 0; k < 6; k++) ck_assert_float_eq_tol(out[k], GOLDEN[_i].first[k], 1e-5);
    double squares = 0;
    for (size_t k = 0; k < USE_LITE_DIM; k++) squares += (double)out[k] * (double)out[k];
    ck_assert_double_eq_tol(squares, 1.0, 1e-6);
}
END_TEST

START_TEST(a_text_alone_and_in_a_batch_gives_the_same_bytes)
{
    const char *texts[3 * GOLDEN_COUNT];
    static float batch[3 * GOLDEN_COUNT][USE_LITE_DIM];
    for (size_t i = 0; i < 3 * GOLDEN_COUNT; i++) texts[i] = GOLDEN[i * 5 % GOLDEN_COUNT].text;
    ck_assert_int_eq(use_lite_encode(model, texts, 3 * GOLDEN_COUNT, batch[0]), ERR_OK);
    for (size_t i = 0; i < 3 * GOLDEN_COUNT; i++) {
        float alone[USE_LITE_DIM];
        ck_assert_int_eq(use_lite_encode(model, &texts[i], 1, alone), ERR_OK);
        ck_assert_mem_eq(alone, batch[i], sizeof alone);
    }
}
END_TEST

START_TEST(a_batch_that_may_not_share_takes_one_window_and_gives_the_same)
{
    static const float position[BATCH_WINDOW * USE_LITE_EMBEDDING];
    const uint32_t first[] = {34, 765, 1230}, second[] = {516, 5332, 217, 4491, 9};
    float alone[2][USE_LITE_DIM] = {0}, shared[2][USE_LITE_DIM] = {0};
    use_lite_weights w;
    ck_assert_int_eq(use_lite_weights_load(weights, &w), ERR_OK);
    use_lite_batch *b = use_lite_batch_new(&w, position, false);
    ck_assert(use_lite_batch_add(b, second, 5, 1, alone[1]));
    ck_assert(!use_lite_batch_add(b, first, 3, 1, alone[0]));
    use_lite_batch_run(b);
    ck_assert(use_lite_batch_add(b, first, 3, 1, alone[0]));
    use_lite_batch_run(b);
    use_lite_batch_free(b);
    b = use_lite_batch_new(&w, position, true);
    ck_assert(use_lite_batch_add(b, first, 3, 1, shared[0]));
    ck_assert(use_lite_batch_add(b, second, 5, 1, shared[1]));
    use_lite_batch_run(b);
    use_lite_batch_free(b);
    ck_assert(alone[0][0] != 0 && alone[1][0] != 0);
    if (use_lite_batch_can_share(&w)) ck_assert_mem_eq(alone, shared, sizeof alone);
    use_lite_weights_fini(&w);
}
END_TEST

START_TEST(a_full_batch_takes_no_more)
{
    static const float position[BATCH_WINDOW * USE_LITE_EMBEDDING];
    uint32_t ids[BATCH_WINDOW] = {0};
    float out[USE_LITE_DIM] = {0};
    use_lite_weights w;
    ck_assert_int_eq(use_lite_weights_load(weights, &w), ERR_OK);
    use_lite_batch *b = use_lite_batch_new(&w, position, true);
    for (size_t i = 0; i < BATCH_ROWS / BATCH_WINDOW; i++) {
        ck_assert(use_lite_batch_add(b, ids, BATCH_WINDOW, 1, out));
    }
    ck_assert(!use_lite_batch_add(b, ids, 1, 1, out));
    use_lite_batch_run(b);
    ck_assert(use_lite_batch_add(b, ids, 1, 1, out));
    use_lite_batch_free(b);
    use_lite_weights_fini(&w);
}
END_TEST

/* "word word ..." of n tokens. */
static char *repeated(const char *word, size_t n)
{
    char *s = calloc(n, strlen(word) + 1);
    for (size_t i = 0; i < n; i++) {
        if (i) strcat(s, " ");
        strcat(s, word);
    }
    return s;
}

static double cosine_of(const float *x, const float *y)
{
    double sum = 0;
    for (size_t k = 0; k < USE_LITE_DIM; k++) sum += (double)x[k] * (double)y[k];
    return sum;
}

START_TEST(a_long_text_is_the_mean_of_its_windows)
{
    char *thes = repeated("the", 128), *ands = repeated("and", 128);
    char *both = malloc(strlen(thes) + strlen(ands) + 2);
    sprintf(both, "%s %s", thes, ands);
    const char *texts[] = {thes, ands, both};
    float out[3][USE_LITE_DIM];
    uint32_t *ids;
    size_t n;
    use_lite_tokenize(model, both, &ids, &n);
    ck_assert_uint_eq(n, 256);
    ck_assert_int_eq(use_lite_encode(model, texts, 3, out[0]), ERR_OK);
    double apart = cosine_of(out[0], out[1]);
    /* Of two unit vectors: |a + b| = sqrt(2 + 2 a.b). */
    ck_assert_double_lt(apart, 0.9);
    ck_assert_double_eq_tol(cosine_of(out[2], out[0]), sqrt((1 + apart) / 2), 1e-5);
    ck_assert_double_eq_tol(cosine_of(out[2], out[1]), sqrt((1 + apart) / 2), 1e-5);
    free(ids);
    free(thes);
    free(ands);
    free(both);
}
END_TEST

START_TEST(a_huge_text_is_cut)
{
    char *huge = repeated("dragon", 20000);
    float out[USE_LITE_DIM];
    uint32_t *ids;
    size_t n;
    use_lite_tokenize(model, huge, &ids, &n);
    ck_assert_uint_eq(n, USE_LITE_TOKENS_MAX * USE_LITE_WINDOWS_MAX);
    const char *text = huge;
    ck_assert_int_eq(use_lite_encode(model, &text, 1, out), ERR_OK);
    ck_assert_double_eq_tol(cosine_of(out, out), 1.0, 1e-6);
    free(ids);
    free(huge);
}
END_TEST

START_TEST(an_empty_text_gives_zeros)
{
    const char *text = "";
    float out[USE_LITE_DIM];
    memset(out, 1, sizeof out);
    ck_assert_int_eq(use_lite_encode(model, &text, 1, out), ERR_OK);
    for (size_t k = 0; k < USE_LITE_DIM; k++) ck_assert(out[k] == 0);
}
END_TEST

START_TEST(a_truncated_shard_is_corrupt_and_a_missing_one_not_found)
{
    char folder[] = "/tmp/weft_use_lite_XXXXXX", path[256];
    ck_assert_ptr_nonnull(mkdtemp(folder));
    static const char *NAMES[] = {"model.json",       "vocab.json",       "group1-shard1of7",
                                  "group1-shard2of7", "group1-shard3of7", "group1-shard4of7",
                                  "group1-shard5of7", "group1-shard6of7", "group1-shard7of7"};
    for (size_t i = 0; i < 9; i++) {
        char *from = files_join(weights, NAMES[i]);
        snprintf(path, sizeof path, "%s/%s", folder, NAMES[i]);
        ck_assert_int_eq(symlink(from, path), 0);
        free(from);
    }
    use_lite *u = NULL;
    ck_assert_int_eq(use_lite_open(folder, &u), ERR_OK);
    use_lite_close(u);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(use_lite_open(folder, &u), ERR_NOT_FOUND);
    ck_assert_int_eq(files_write_atomic(path, "12345678", 8, 0644), ERR_OK);
    ck_assert_int_eq(use_lite_open(folder, &u), ERR_CORRUPT);
    ck_assert_int_eq(files_remove_tree(folder), ERR_OK);
}
END_TEST

int main(int argc, char **argv)
{
    (void)argc;
    weights = encoder_find_weights("");
    if (!weights) {
        printf("SKIPPED: no USE Lite weights; run deploy/get-encoder.sh\n");
        return 77;
    }
    if (numerics_start(argv, "HASWELL") != ERR_OK) return 1;
    if (use_lite_open(weights, &model) != ERR_OK) return 1;
    Suite *s = suite_create("use_lite");
    TCase *c = tcase_create("use_lite");
    tcase_add_loop_test(c, token_ids_are_those_of_the_reference, 0, GOLDEN_COUNT);
    tcase_add_loop_test(c, vectors_are_those_of_the_reference, 0, GOLDEN_COUNT);
    tcase_add_test(c, a_text_alone_and_in_a_batch_gives_the_same_bytes);
    tcase_add_test(c, a_batch_that_may_not_share_takes_one_window_and_gives_the_same);
    tcase_add_test(c, a_full_batch_takes_no_more);
    tcase_add_test(c, a_long_text_is_the_mean_of_its_windows);
    tcase_add_test(c, a_huge_text_is_cut);
    tcase_add_test(c, an_empty_text_gives_zeros);
    tcase_add_test(c, a_truncated_shard_is_corrupt_and_a_missing_one_not_found);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failures = srunner_ntests_failed(r);
    srunner_free(r);
    use_lite_close(model);
    free(weights);
    return failures ? 1 : 0;
}
