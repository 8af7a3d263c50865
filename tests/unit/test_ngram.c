/* Proves: n-gram vectors have length 1, put like spelling near like, ignore case, forms and
 * punctuation, weigh rare grams above common ones, and are the same bits every time. */
#include "sampler/ngram.h"
#include "sampler/text_norm.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DIM = 512 };

static double dot(const float *x, const float *y)
{
    double sum = 0;
    for (size_t k = 0; k < DIM; k++) sum += (double)x[k] * (double)y[k];
    return sum;
}

static double cosine_of(const ngram_model *m, const char *a, const char *b)
{
    float x[DIM], y[DIM];
    ngram_encode(m, a, x);
    ngram_encode(m, b, y);
    return dot(x, y);
}

START_TEST(a_vector_has_length_one)
{
    ngram_model *m = ngram_model_new(DIM);
    ck_assert_double_eq_tol(cosine_of(m, "The Hobbit", "The Hobbit"), 1.0, 1e-6);
    ngram_model_free(m);
}
END_TEST

START_TEST(a_text_without_words_gives_zeros)
{
    ngram_model *m = ngram_model_new(DIM);
    float x[DIM];
    memset(x, 1, sizeof x);
    ngram_encode(m, " -- !? ", x);
    for (size_t k = 0; k < DIM; k++) ck_assert(x[k] == 0);
    ngram_model_free(m);
}
END_TEST

START_TEST(like_spelling_is_near)
{
    ngram_model *m = ngram_model_new(DIM);
    double like = cosine_of(m, "Die Verwandlung", "Verwandlungen");
    double unlike = cosine_of(m, "Die Verwandlung", "Krieg und Frieden");
    ck_assert_double_gt(like, 0.5);
    ck_assert_double_lt(fabs(unlike), 0.2);
    ngram_model_free(m);
}
END_TEST

START_TEST(case_form_and_punctuation_do_not_count)
{
    ngram_model *m = ngram_model_new(DIM);
    float x[DIM], y[DIM];
    ngram_encode(m, "Straße, ÉTUDE: ﬁne", x);
    ngram_encode(m, "STRASSE -- e\xCC\x81tude (fine)", y);
    ck_assert_mem_eq(x, y, sizeof x);
    ngram_model_free(m);
}
END_TEST

START_TEST(other_scripts_have_vectors_too)
{
    ngram_model *m = ngram_model_new(DIM);
    ck_assert_double_gt(cosine_of(m, "Преступление и наказание", "преступления"), 0.3);
    ck_assert_double_gt(cosine_of(m, "東京物語", "東京物語2"), 0.3);
    ngram_model_free(m);
}
END_TEST

START_TEST(rare_grams_weigh_more_than_common_ones)
{
    ngram_model *m = ngram_model_new(DIM);
    double before = cosine_of(m, "series dragon", "series kitchen");
    for (int i = 0; i < 100; i++) ngram_model_count(m, "series");
    ngram_model_count(m, "dragon");
    ngram_model_count(m, "kitchen");
    double after = cosine_of(m, "series dragon", "series kitchen");
    ck_assert_double_gt(before, 0.3);
    ck_assert_double_lt(after, before - 0.2);
    ngram_model_free(m);
}
END_TEST

START_TEST(bytes_that_are_not_utf8_are_no_accident)
{
    char *s = text_norm_nfkc("caf\xE9 \xF0\x28");
    ck_assert_str_eq(s, "caf\xEF\xBF\xBD \xEF\xBF\xBD(");
    free(s);
    ck_assert(text_norm_is_blank(" \t\n"));
    ck_assert(!text_norm_is_blank(" \xC3\xA9"));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("ngram");
    TCase *c = tcase_create("ngram");
    tcase_add_test(c, a_vector_has_length_one);
    tcase_add_test(c, a_text_without_words_gives_zeros);
    tcase_add_test(c, like_spelling_is_near);
    tcase_add_test(c, case_form_and_punctuation_do_not_count);
    tcase_add_test(c, other_scripts_have_vectors_too);
    tcase_add_test(c, rare_grams_weigh_more_than_common_ones);
    tcase_add_test(c, bytes_that_are_not_utf8_are_no_accident);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failures = srunner_ntests_failed(r);
    srunner_free(r);
    return failures ? 1 : 0;
}
