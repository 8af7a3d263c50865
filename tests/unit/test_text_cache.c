/* Proves: the cache gives back the bits it was given, asks only for what is new, keeps models
 * apart, and computes a damaged value again. */
#include "common/files.h"
#include "sampler/text_cache.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { DIM = 5, MODEL = 77 };

static char folder[64];

static void make_folder(void)
{
    snprintf(folder, sizeof folder, "/tmp/weft_text_cache_XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void remove_folder(void)
{
    ck_assert_int_eq(files_remove_tree(folder), ERR_OK);
}

/* A model that counts what it is asked for. */
typedef struct fake {
    size_t calls, texts;
    err_code rc;
} fake;

static err_code fake_encode(void *context, const char *const *texts, size_t n, float *out)
{
    fake *f = context;
    f->calls++;
    f->texts += n;
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < DIM; k++)
            out[i * DIM + k] = (float)strlen(texts[i]) / (float)(k + 3);
    }
    return f->rc;
}

static text_cache *open_cache(uint64_t model)
{
    text_cache *c = NULL;
    ck_assert_int_eq(text_cache_open(folder, model, DIM, &c), ERR_OK);
    return c;
}

START_TEST(a_second_run_asks_only_for_what_is_new)
{
    const char *texts[] = {"a", "bb", "ccc", "dddd"};
    float first[4 * DIM], second[4 * DIM];
    fake f = {0};
    text_cache_stats stats = {0};
    text_cache *c = open_cache(MODEL);
    ck_assert_int_eq(text_cache_fill(c, fake_encode, &f, texts, 3, TEXT_CACHE_BATCH, first, &stats),
                     ERR_OK);
    text_cache_close(c);
    ck_assert_uint_eq(stats.hits, 0);
    ck_assert_uint_eq(stats.misses, 3);
    c = open_cache(MODEL);
    stats = (text_cache_stats){0};
    ck_assert_int_eq(
        text_cache_fill(c, fake_encode, &f, texts, 4, TEXT_CACHE_BATCH, second, &stats), ERR_OK);
    text_cache_close(c);
    ck_assert_uint_eq(stats.hits, 3);
    ck_assert_uint_eq(stats.misses, 1);
    ck_assert_uint_eq(f.texts, 4);
    ck_assert_mem_eq(first, second, 3 * DIM * sizeof *first);
}
END_TEST

START_TEST(many_texts_come_in_batches)
{
    enum { N = 3 * TEXT_CACHE_BATCH + 7 };
    static char text[N][8];
    static const char *texts[N];
    static float out[N * DIM], again[N * DIM];
    for (size_t i = 0; i < N; i++) {
        snprintf(text[i], sizeof text[i], "%zu", i * i % 10007);
        texts[i] = text[i];
    }
    fake f = {0};
    text_cache_stats stats = {0};
    text_cache *c = open_cache(MODEL);
    ck_assert_int_eq(text_cache_fill(c, fake_encode, &f, texts, N, TEXT_CACHE_BATCH, out, &stats),
                     ERR_OK);
    ck_assert_uint_eq(f.calls, 4);
    ck_assert_int_eq(text_cache_fill(c, fake_encode, &f, texts, N, TEXT_CACHE_BATCH, again, &stats),
                     ERR_OK);
    ck_assert_uint_eq(f.calls, 4);
    ck_assert_uint_eq(stats.hits + stats.misses, 2 * N);
    ck_assert_mem_eq(out, again, sizeof out);
    text_cache_close(c);
}
END_TEST

START_TEST(the_cache_grows_as_it_fills)
{
    enum { WIDE = TEXT_CACHE_DIM_MAX, N = 600 }; /* 38 MiB */
    float *vector = calloc(WIDE, sizeof *vector);
    char text[16];
    const char *texts = text;
    text_cache *c = NULL;
    ck_assert_int_eq(text_cache_open(folder, MODEL, WIDE, &c), ERR_OK);
    for (int i = 0; i < N; i++) {
        vector[1] = (float)i;
        snprintf(text, sizeof text, "%d", i);
        ck_assert_int_eq(text_cache_put(c, &texts, 1, vector), ERR_OK);
    }
    for (int i = 0; i < N; i += 97) {
        bool found = false;
        snprintf(text, sizeof text, "%d", i);
        ck_assert_int_eq(text_cache_get(c, &texts, 1, vector, &found), ERR_OK);
        ck_assert(found && vector[1] == (float)i);
    }
    text_cache_close(c);
    free(vector);
}
END_TEST

START_TEST(models_do_not_share_vectors)
{
    const char *texts[] = {"same text"};
    float out[DIM];
    fake f = {0};
    text_cache_stats stats = {0};
    for (uint64_t model = 1; model <= 2; model++) {
        text_cache *c = open_cache(model);
        ck_assert_int_eq(
            text_cache_fill(c, fake_encode, &f, texts, 1, TEXT_CACHE_BATCH, out, &stats), ERR_OK);
        text_cache_close(c);
    }
    ck_assert_uint_eq(stats.hits, 0);
    ck_assert_uint_eq(stats.misses, 2);
}
END_TEST

START_TEST(an_encoder_that_fails_stores_nothing)
{
    const char *texts[] = {"x"};
    float out[DIM];
    bool found = true;
    fake f = {.rc = ERR_NO_MEMORY};
    text_cache_stats stats = {0};
    text_cache *c = open_cache(MODEL);
    ck_assert_int_eq(text_cache_fill(c, fake_encode, &f, texts, 1, TEXT_CACHE_BATCH, out, &stats),
                     ERR_NO_MEMORY);
    ck_assert_int_eq(text_cache_get(c, texts, 1, out, &found), ERR_OK);
    ck_assert(!found);
    text_cache_close(c);
}
END_TEST

/* Changes one byte of the only value in the data file. */
static void damage(const float *vector)
{
    char *path = files_join(folder, "data.mdb"), *data = NULL;
    size_t bytes, hits = 0;
    ck_assert_int_eq(files_read(path, 1 << 20, &data, &bytes), ERR_OK);
    for (size_t i = 0; i + DIM * sizeof *vector <= bytes; i++) {
        if (memcmp(data + i, vector, DIM * sizeof *vector) != 0) continue;
        data[i + 3] = (char)(data[i + 3] ^ 1);
        hits++;
    }
    ck_assert_uint_ge(hits, 1);
    ck_assert_int_eq(files_write_atomic(path, data, bytes, 0644), ERR_OK);
    free(data);
    free(path);
}

START_TEST(a_damaged_value_is_computed_again)
{
    const char *texts[] = {"some text"};
    float out[DIM], again[DIM];
    fake f = {0};
    text_cache_stats stats = {0};
    text_cache *c = open_cache(MODEL);
    ck_assert_int_eq(text_cache_fill(c, fake_encode, &f, texts, 1, TEXT_CACHE_BATCH, out, &stats),
                     ERR_OK);
    text_cache_close(c);
    damage(out);
    c = open_cache(MODEL);
    ck_assert_int_eq(text_cache_fill(c, fake_encode, &f, texts, 1, TEXT_CACHE_BATCH, again, &stats),
                     ERR_OK);
    ck_assert_uint_eq(stats.corrupt, 1);
    ck_assert_uint_eq(f.calls, 2);
    ck_assert_mem_eq(out, again, sizeof out);
    bool found = false;
    ck_assert_int_eq(text_cache_get(c, texts, 1, again, &found), ERR_OK);
    ck_assert(found);
    text_cache_close(c);
}
END_TEST

START_TEST(a_folder_with_another_file_is_refused)
{
    char *path = files_join(folder, "data.mdb");
    static const char TEXT[8192] = "not an LMDB environment";
    text_cache *c = NULL;
    ck_assert_int_eq(files_write_atomic(path, TEXT, sizeof TEXT, 0644), ERR_OK);
    ck_assert_int_eq(text_cache_open(folder, MODEL, DIM, &c), ERR_CORRUPT);
    free(path);
}
END_TEST

START_TEST(a_folder_that_cannot_be_made_is_an_error)
{
    text_cache *c = NULL;
    ck_assert_int_eq(text_cache_open("/proc/none/cache", MODEL, DIM, &c), ERR_IO);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("text_cache");
    TCase *c = tcase_create("text_cache");
    tcase_add_checked_fixture(c, make_folder, remove_folder);
    tcase_add_test(c, a_second_run_asks_only_for_what_is_new);
    tcase_add_test(c, many_texts_come_in_batches);
    tcase_add_test(c, the_cache_grows_as_it_fills);
    tcase_add_test(c, models_do_not_share_vectors);
    tcase_add_test(c, an_encoder_that_fails_stores_nothing);
    tcase_add_test(c, a_damaged_value_is_computed_again);
    tcase_add_test(c, a_folder_with_another_file_is_refused);
    tcase_add_test(c, a_folder_that_cannot_be_made_is_an_error);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failures = srunner_ntests_failed(r);
    srunner_free(r);
    return failures ? 1 : 0;
}
