/* Proves: the encoder a configuration names is the one that is opened, precomputed vectors come by
 * id in f16, f32, .npy and .safetensors, and each way of getting them wrong is an error. */
#include "common/blas.h"
#include "common/f16.h"
#include "common/files.h"
#include "common/npy.h"
#include "common/safetensors.h"
#include "sampler/encoder.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 3, DIM = 4 };

static char folder[64], matrix[128], ids[128], tensors[128];
static const float VALUES[ROWS * DIM] = {1, 2, 3, 4, 0.5f, -0.5f, 0, 8, -1, -2, -3, -4};

static void write_text(const char *path, const char *text)
{
    ck_assert_int_eq(files_write_atomic(path, text, strlen(text), 0644), ERR_OK);
}

static void write_matrix(const uint64_t *shape, size_t dims, const float *values)
{
    ck_assert_int_eq(npy_write(matrix, NPY_F32, shape, dims, values), ERR_OK);
}

static void make_files(void)
{
    snprintf(folder, sizeof folder, "/tmp/weft_encoder_XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(matrix, sizeof matrix, "%s/vectors.npy", folder);
    snprintf(tensors, sizeof tensors, "%s/vectors.safetensors", folder);
    snprintf(ids, sizeof ids, "%s/ids.txt", folder);
    write_matrix((uint64_t[]){ROWS, DIM}, 2, VALUES);
    write_text(ids, "x\ny\r\nz\n");
}

static void remove_files(void)
{
    ck_assert_int_eq(files_remove_tree(folder), ERR_OK);
}

static config precomputed(void)
{
    config c;
    memset(&c, 0, sizeof c);
    c.features.encoder = ENCODER_PRECOMPUTED;
    c.features.ngram_dim = 128;
    c.features.precomputed.path = matrix;
    c.features.precomputed.ids = ids;
    return c;
}

static encoder *open_encoder(const config *c)
{
    encoder *e = NULL;
    ck_assert_int_eq(encoder_open(c, &e), ERR_OK);
    return e;
}

static err_code open_error(const config *c)
{
    encoder *e = NULL;
    err_code rc = encoder_open(c, &e);
    encoder_close(e);
    return rc;
}

static const char *const TEXTS[] = {"one", "two", "three"};

static void check_vectors(const config *c)
{
    const char *wanted[] = {"z", "x", "y"};
    float out[ROWS * DIM];
    encoder *e = open_encoder(c);
    ck_assert_uint_eq(encoder_dim(e), DIM);
    ck_assert_uint_eq(encoder_block_dim(e), DIM);
    ck_assert_uint_eq(encoder_ngram_dim(e), 0);
    ck_assert_str_eq(encoder_name(e), "precomputed");
    ck_assert(!encoder_is_cacheable(e));
    ck_assert_int_eq(encoder_encode(e, wanted, TEXTS, ROWS, out), ERR_OK);
    ck_assert_mem_eq(out, VALUES + 2 * DIM, DIM * sizeof *out);
    ck_assert_mem_eq(out + DIM, VALUES, 2 * DIM * sizeof *out);
    encoder_close(e);
}

START_TEST(rows_come_by_id_from_npy_f32)
{
    config c = precomputed();
    check_vectors(&c);
}
END_TEST

START_TEST(rows_come_by_id_from_npy_f16)
{
    uint16_t half[ROWS * DIM];
    f16_encode(half, VALUES, ROWS * DIM);
    ck_assert_int_eq(npy_write(matrix, NPY_F16, (uint64_t[]){ROWS, DIM}, 2, half), ERR_OK);
    config c = precomputed();
    check_vectors(&c);
}
END_TEST

static void write_tensors(const char *name, const char *id_list)
{
    safetensors_writer *w = safetensors_writer_new();
    safetensors_add(w, name, (uint64_t[]){ROWS, DIM}, 2, VALUES);
    if (id_list) safetensors_add_metadata(w, "ids", id_list);
    ck_assert_int_eq(safetensors_write(w, tensors), ERR_OK);
    safetensors_writer_free(w);
}

START_TEST(rows_come_by_id_from_safetensors)
{
    char none[] = "";
    config c = precomputed();
    c.features.precomputed.path = tensors;
    write_tensors("anything", NULL);
    check_vectors(&c);
    write_tensors("vectors", "[\"x\", \"y\", \"z\"]");
    c.features.precomputed.ids = none;
    check_vectors(&c);
    write_tensors("vectors", "{}");
    ck_assert_int_eq(open_error(&c), ERR_INVALID);
    write_tensors("vectors", "[\"x\", \"y\", 3]");
    ck_assert_int_eq(open_error(&c), ERR_INVALID);
}
END_TEST

START_TEST(a_missing_item_is_an_error_unless_zero_is_asked_for)
{
    const char *wanted[] = {"x", "nobody"};
    float out[2 * DIM], zero[DIM] = {0};
    config c = precomputed();
    encoder *e = open_encoder(&c);
    ck_assert_int_eq(encoder_encode(e, wanted, TEXTS, 2, out), ERR_INVALID);
    encoder_close(e);
    c.features.precomputed.missing_zero = true;
    e = open_encoder(&c);
    ck_assert_int_eq(encoder_encode(e, wanted, TEXTS, 2, out), ERR_OK);
    ck_assert_mem_eq(out, VALUES, DIM * sizeof *out);
    ck_assert_mem_eq(out + DIM, zero, sizeof zero);
    encoder_close(e);
}
END_TEST

START_TEST(ids_must_fit_the_rows)
{
    config c = precomputed();
    write_text(ids, "x\ny\n");
    ck_assert_int_eq(open_error(&c), ERR_INVALID);
    write_text(ids, "x\ny\nz\nw\n");
    ck_assert_int_eq(open_error(&c), ERR_INVALID);
    write_text(ids, "x\ny\nx\n");
    ck_assert_int_eq(open_error(&c), ERR_INVALID);
}
END_TEST

START_TEST(files_that_are_not_there_are_not_found)
{
    char nowhere[] = "/tmp/weft_no_such_file.npy";
    config c = precomputed();
    c.features.precomputed.path = nowhere;
    ck_assert_int_eq(open_error(&c), ERR_NOT_FOUND);
    c = precomputed();
    c.features.precomputed.ids = nowhere;
    ck_assert_int_eq(open_error(&c), ERR_NOT_FOUND);
}
END_TEST

START_TEST(a_wrong_shape_type_or_kind_of_file_is_invalid)
{
    char none[] = "";
    config c = precomputed();
    write_matrix((uint64_t[]){ROWS * DIM}, 1, VALUES);
    ck_assert_int_eq(open_error(&c), ERR_INVALID);
    int32_t whole[ROWS * DIM] = {0};
    ck_assert_int_eq(npy_write(matrix, NPY_I32, (uint64_t[]){ROWS, DIM}, 2, whole), ERR_OK);
    ck_assert_int_eq(open_error(&c), ERR_INVALID);
    c.features.precomputed.path = ids;
    ck_assert_int_eq(open_error(&c), ERR_INVALID);
    c.features.precomputed.path = none;
    ck_assert_int_eq(open_error(&c), ERR_INVALID);
    c = precomputed();
    c.features.precomputed.ids = none;
    ck_assert_int_eq(open_error(&c), ERR_INVALID);
}
END_TEST

START_TEST(a_vector_that_is_not_finite_is_invalid)
{
    float values[ROWS * DIM], out[DIM];
    memcpy(values, VALUES, sizeof values);
    values[DIM + 1] = NAN;
    write_matrix((uint64_t[]){ROWS, DIM}, 2, values);
    config c = precomputed();
    encoder *e = open_encoder(&c);
    const char *good = "x", *bad = "y";
    ck_assert_int_eq(encoder_encode(e, &good, TEXTS, 1, out), ERR_OK);
    ck_assert_int_eq(encoder_encode(e, &bad, TEXTS, 1, out), ERR_INVALID);
    encoder_close(e);
}
END_TEST

START_TEST(the_id_follows_the_numbers)
{
    config c = precomputed();
    encoder *e = open_encoder(&c);
    uint64_t before = encoder_id(e);
    encoder_close(e);
    float values[ROWS * DIM];
    memcpy(values, VALUES, sizeof values);
    values[5] += 1;
    write_matrix((uint64_t[]){ROWS, DIM}, 2, values);
    e = open_encoder(&c);
    ck_assert_uint_ne(encoder_id(e), before);
    encoder_close(e);
}
END_TEST

START_TEST(hash_and_none_have_no_first_block)
{
    config c = precomputed();
    c.features.encoder = ENCODER_HASH;
    encoder *e = open_encoder(&c);
    ck_assert_str_eq(encoder_name(e), "hash");
    ck_assert_uint_eq(encoder_dim(e), 128);
    ck_assert_uint_eq(encoder_block_dim(e), 0);
    encoder_close(e);
    c.features.ngram_dim = 0;
    ck_assert_int_eq(open_error(&c), ERR_INVALID);
    c.features.encoder = ENCODER_NONE;
    e = open_encoder(&c);
    ck_assert_str_eq(encoder_name(e), "none");
    ck_assert_uint_eq(encoder_dim(e), 0);
    encoder_close(e);
}
END_TEST

START_TEST(missing_weights_are_not_found)
{
    config c = precomputed();
    c.features.encoder = ENCODER_EMBEDDED;
    c.features.embedded.path = folder;
    ck_assert_int_eq(open_error(&c), ERR_NOT_FOUND);
}
END_TEST

static config openai(char *url, char *model)
{
    static char template[] = "{text}";
    config c = precomputed();
    c.features.encoder = ENCODER_OPENAI;
    c.features.openai.url = url;
    c.features.openai.model = model;
    c.features.openai.template = template;
    return c;
}

START_TEST(openai_needs_a_url_and_a_model)
{
    static char none[] = "", url[] = "http://127.0.0.1:1/v1/embeddings", model[] = "m";
    static char ftp[] = "ftp://127.0.0.1/", with_password[] = "http://me:secret@127.0.0.1/";
    static char malformed[] = "http://127.0.0.1:port/";
    config c = openai(none, model);
    ck_assert_int_eq(open_error(&c), ERR_INVALID);
    c = openai(url, none);
    ck_assert_int_eq(open_error(&c), ERR_INVALID);
    c = openai(ftp, model);
    ck_assert_int_eq(open_error(&c), ERR_INVALID);
    c = openai(with_password, model);
    ck_assert_int_eq(open_error(&c), ERR_INVALID);
    c = openai(malformed, model);
    ck_assert_int_eq(open_error(&c), ERR_INVALID);
}
END_TEST

START_TEST(openai_opens_without_a_server_and_is_known_by_its_model)
{
    static char url[] = "http://127.0.0.1:1/v1/embeddings", model[] = "m", other[] = "n";
    static char template[] = "query: {text}";
    config c = openai(url, model);
    encoder *e = open_encoder(&c);
    uint64_t id = encoder_id(e);
    ck_assert_str_eq(encoder_name(e), "openai");
    ck_assert_ptr_nonnull(strstr(encoder_note(e), "model m "));
    ck_assert(encoder_is_cacheable(e));
    ck_assert_uint_eq(encoder_dim(e), 0);
    encoder_close(e);
    c.features.openai.template = template;
    e = open_encoder(&c);
    ck_assert_uint_ne(encoder_id(e), id);
    encoder_close(e);
    c = openai(url, other);
    e = open_encoder(&c);
    ck_assert_uint_ne(encoder_id(e), id);
    encoder_close(e);
}
END_TEST

/* Needs the weights. */
START_TEST(threads_and_neighbours_do_not_change_a_vector)
{
    enum { N = 40 };
    static char text[N][64];
    static const char *texts[N];
    static float one[N * 512], three[N * 512];
    for (size_t i = 0; i < N; i++) {
        snprintf(text[i], sizeof text[i], i % 7 ? "Book %zu of %zu dragons and a kitchen" : " ", i,
                 i * i);
        texts[i] = text[i];
    }
    config c = precomputed();
    c.features.encoder = ENCODER_EMBEDDED;
    c.prepare.threads = 1;
    encoder *e = open_encoder(&c);
    ck_assert_str_eq(encoder_name(e), "use_lite+ngram");
    ck_assert_uint_eq(encoder_dim(e), 640);
    ck_assert(encoder_is_cacheable(e));
    ck_assert_uint_ne(encoder_cache_id(e), encoder_id(e));
    ck_assert_int_eq(encoder_encode(e, texts, texts, N, one), ERR_OK);
    encoder_close(e);
    c.prepare.threads = 3;
    e = open_encoder(&c);
    ck_assert_int_eq(encoder_encode(e, texts, texts, N, three), ERR_OK);
    encoder_close(e);
    ck_assert_mem_eq(one, three, sizeof one);
    for (size_t k = 0; k < 512; k++) ck_assert(one[k] == 0);
    ck_assert(one[512] != 0);
}
END_TEST

int main(void)
{
    blas_start();
    char *weights = encoder_find_weights("");
    Suite *s = suite_create("encoder");
    TCase *c = tcase_create("encoder");
    tcase_add_checked_fixture(c, make_files, remove_files);
    tcase_add_test(c, rows_come_by_id_from_npy_f32);
    tcase_add_test(c, rows_come_by_id_from_npy_f16);
    tcase_add_test(c, rows_come_by_id_from_safetensors);
    tcase_add_test(c, a_missing_item_is_an_error_unless_zero_is_asked_for);
    tcase_add_test(c, ids_must_fit_the_rows);
    tcase_add_test(c, files_that_are_not_there_are_not_found);
    tcase_add_test(c, a_wrong_shape_type_or_kind_of_file_is_invalid);
    tcase_add_test(c, a_vector_that_is_not_finite_is_invalid);
    tcase_add_test(c, the_id_follows_the_numbers);
    tcase_add_test(c, hash_and_none_have_no_first_block);
    tcase_add_test(c, missing_weights_are_not_found);
    tcase_add_test(c, openai_needs_a_url_and_a_model);
    tcase_add_test(c, openai_opens_without_a_server_and_is_known_by_its_model);
    if (weights) {
        tcase_add_test(c, threads_and_neighbours_do_not_change_a_vector);
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
