/* Proves: .safetensors files have the format's bytes, come back, and are refused when damaged. */
#include "common/safetensors.h"

#include "common/files.h"
#include "testing_files.h"

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char path[64];

static void setup(void)
{
    strcpy(path, "/tmp/test_safetensors-XXXXXX");
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    close(fd);
}

static void teardown(void)
{
    unlink(path);
}

static const float values[] = {1, 2, 3, 4, 5, 6};

START_TEST(the_bytes_are_the_formats)
{
    safetensors_writer *w = safetensors_writer_new();
    safetensors_add(w, "b.w", (uint64_t[]){2, 2}, 2, values);
    safetensors_add(w, "a", (uint64_t[]){1}, 1, values + 4);
    safetensors_add_metadata(w, "types", "[\"movie\"]");
    safetensors_add_metadata(w, "format", "weft-model-1");
    ck_assert_int_eq(safetensors_write(w, path), ERR_OK);
    safetensors_writer_free(w);
    static const char header[] =
        "{\"__metadata__\":{\"format\":\"weft-model-1\",\"types\":\"[\\\"movie\\\"]\"},"
        "\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
        "\"b.w\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[4,20]}}";
    char *data;
    size_t bytes, padded = (sizeof header - 1 + 7) / 8 * 8;
    ck_assert_int_eq(files_read(path, 4096, &data, &bytes), ERR_OK);
    ck_assert_uint_eq(bytes, 8 + padded + 20);
    uint64_t n;
    memcpy(&n, data, 8);
    ck_assert_uint_eq(n, padded);
    ck_assert_int_eq(memcmp(data + 8, header, sizeof header - 1), 0);
    for (size_t i = sizeof header - 1; i < padded; i++) ck_assert_int_eq(data[8 + i], ' ');
    ck_assert_int_eq(memcmp(data + 8 + padded, values + 4, 4), 0);
    ck_assert_int_eq(memcmp(data + 12 + padded, values, 16), 0);
    free(data);
}
END_TEST

START_TEST(halves_lie_behind_all_floats)
{
    static const uint16_t halves[3] = {0x3c00, 0x4000, 0xc200};
    safetensors_writer *w = safetensors_writer_new();
    safetensors_add_f16(w, "a", (uint64_t[]){3, 1}, 2, halves);
    safetensors_add(w, "b", (uint64_t[]){2}, 1, values);
    ck_assert_int_eq(safetensors_write(w, path), ERR_OK);
    safetensors_writer_free(w);
    safetensors_file *f;
    ck_assert_int_eq(safetensors_open(path, &f), ERR_OK);
    const safetensors_tensor *a = safetensors_find(f, "a"), *b = safetensors_find(f, "b");
    ck_assert_ptr_eq(safetensors_at(f, 0), a);
    ck_assert(a->type == SAFETENSORS_F16 && a->dims == 2 && a->values == 3);
    ck_assert_int_eq(memcmp(a->data, halves, sizeof halves), 0);
    ck_assert_int_eq(memcmp(b->data, values, 8), 0);
    ck_assert_ptr_eq((const float *)b->data + 2, a->data);
    safetensors_close(f);
}
END_TEST

START_TEST(tensors_and_metadata_come_back)
{
    safetensors_writer *w = safetensors_writer_new();
    safetensors_add(w, "z", (uint64_t[]){2, 3}, 2, values);
    safetensors_add(w, "empty", (uint64_t[]){0, 3}, 2, NULL);
    safetensors_add(w, "scalar", NULL, 0, values + 5);
    safetensors_add_metadata(w, "config", "a: 1\nb: \"é\"\n");
    ck_assert_int_eq(safetensors_write(w, path), ERR_OK);
    safetensors_writer_free(w);
    safetensors_file *f;
    ck_assert_int_eq(safetensors_open(path, &f), ERR_OK);
    ck_assert_uint_eq(safetensors_count(f), 3);
    ck_assert_str_eq(safetensors_at(f, 0)->name, "empty");
    const safetensors_tensor *z = safetensors_find(f, "z"), *scalar = safetensors_find(f, "scalar");
    ck_assert(z->dims == 2 && z->shape[0] == 2 && z->shape[1] == 3 && z->values == 6);
    ck_assert_int_eq(memcmp(z->data, values, sizeof values), 0);
    ck_assert(scalar->dims == 0 && scalar->values == 1 && *(const float *)scalar->data == 6);
    ck_assert_uint_eq(safetensors_find(f, "empty")->values, 0);
    ck_assert_ptr_null(safetensors_find(f, "zz"));
    ck_assert_str_eq(safetensors_metadata(f, "config"), "a: 1\nb: \"é\"\n");
    ck_assert_ptr_null(safetensors_metadata(f, "none"));
    safetensors_close(f);
    safetensors_close(NULL);
}
END_TEST

START_TEST(a_file_without_tensors_is_fine)
{
    safetensors_writer *w = safetensors_writer_new();
    ck_assert_int_eq(safetensors_write(w, path), ERR_OK);
    safetensors_writer_free(w);
    safetensors_file *f;
    ck_assert_int_eq(safetensors_open(path, &f), ERR_OK);
    ck_assert_uint_eq(safetensors_count(f), 0);
    ck_assert_ptr_null(safetensors_metadata(f, "x"));
    safetensors_close(f);
}
END_TEST

START_TEST(a_full_disk_is_io)
{
    safetensors_writer *w = safetensors_writer_new();
    safetensors_add(w, "a", (uint64_t[]){6}, 1, values);
    testing_capture_start();
    err_code rc = safetensors_write(w, "/dev/full");
    testing_capture_end();
    safetensors_writer_free(w);
    ck_assert_int_eq(rc, ERR_IO);
}
END_TEST

START_TEST(a_name_given_twice_aborts)
{
    safetensors_writer *w = safetensors_writer_new();
    safetensors_add(w, "a", (uint64_t[]){1}, 1, values);
    safetensors_add(w, "a", (uint64_t[]){1}, 1, values);
    ck_assert_int_eq(safetensors_write(w, path), ERR_OK);
}
END_TEST

/* A file with this header (padded) and `payload` bytes behind it. */
static void put(const char *header, size_t payload)
{
    FILE *file = fopen(path, "w");
    uint64_t n = (strlen(header) + 7) / 8 * 8;
    fwrite(&n, 8, 1, file);
    fprintf(file, "%-*s", (int)n, header);
    for (size_t i = 0; i < payload; i++) fputc(0, file);
    fclose(file);
}

static void refused(err_code expected, const char *message)
{
    safetensors_file *f;
    testing_capture_start();
    err_code rc = safetensors_open(path, &f);
    const char *text = testing_capture_end();
    ck_assert_msg(rc == expected, "%d: %s", (int)rc, text);
    ck_assert_ptr_null(f);
    ck_assert_msg(strstr(text, message) && strstr(text, path), "%s", text);
}

#define ENTRY(type, shape, offsets)                                                                \
    "{\"dtype\":\"" type "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"

START_TEST(f16_is_read)
{
    safetensors_file *f;
    put("{\"a\":" ENTRY("F16", "[2,1]", "[0,4]") "}", 4);
    ck_assert_int_eq(safetensors_open(path, &f), ERR_OK);
    ck_assert_uint_eq(safetensors_at(f, 0)->type, SAFETENSORS_F16);
    safetensors_close(f);
}
END_TEST

START_TEST(damaged_files_are_corrupt)
{
    put("{\"a\":" ENTRY("F32", "[2]", "[0,8]") "}", 7);
    refused(ERR_CORRUPT, "a: its data lies outside the file");
    put("{\"a\":" ENTRY("F32", "[2]", "[0,8]") "}", 12);
    refused(ERR_CORRUPT, "bytes behind the last tensor");
    put("{\"a\":" ENTRY("F32", "[2]", "[0,4]") "}", 4);
    refused(ERR_CORRUPT, "does not fit its shape");
    put("{\"a\":" ENTRY("F32", "[4611686018427387905]", "[0,4]") "}", 4);
    refused(ERR_CORRUPT, "does not fit its shape");
    put("{\"a\":" ENTRY("F32", "[4294967296,4294967296]", "[0,0]") "}", 0);
    refused(ERR_CORRUPT, "its shape is malformed");
    put("{\"a\":" ENTRY("F32", "[-1]", "[0,4]") "}", 4);
    refused(ERR_CORRUPT, "its shape is malformed");
    put("{\"a\":" ENTRY("F32", "[1]", "[4,0]") "}", 4);
    refused(ERR_CORRUPT, "data_offsets are malformed");
    put("{\"a\":" ENTRY("F32", "[1]", "[0]") "}", 4);
    refused(ERR_CORRUPT, "data_offsets are malformed");
    put("{\"a\":" ENTRY("F32", "[1]", "[0,4]") ",\"b\":" ENTRY("F32", "[1]", "[0,4]") "}", 4);
    refused(ERR_CORRUPT, "overlap");
    put("{\"a\":" ENTRY("F32", "[1]", "[4,8]") "}", 8);
    refused(ERR_CORRUPT, "gap");
    put("{\"a\":" ENTRY("F16", "[1]", "[0,2]") ",\"b\":" ENTRY("F32", "[1]", "[2,6]") "}", 6);
    refused(ERR_CORRUPT, "not aligned");
    put("{\"a\":{\"shape\":[1],\"data_offsets\":[0,4]}}", 4);
    refused(ERR_CORRUPT, "a: no dtype");
    put("{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4);
    refused(ERR_CORRUPT, "a: no shape");
    put("{\"a\":3}", 0);
    refused(ERR_CORRUPT, "not an object");
    put("[]", 0);
    refused(ERR_CORRUPT, "not an object");
    put("{\"a\":", 0);
    refused(ERR_CORRUPT, "header");
    put("{\"__metadata__\":{\"x\":1}}", 0);
    refused(ERR_CORRUPT, "x: metadata that is not a string");
    put("{\"__metadata__\":[]}", 0);
    refused(ERR_CORRUPT, "__metadata__: not an object");
    ck_assert_int_eq(truncate(path, 9), 0);
    refused(ERR_CORRUPT, "header does not fit");
    ck_assert_int_eq(truncate(path, 7), 0);
    refused(ERR_CORRUPT, "too short");
    ck_assert_int_eq(truncate(path, 0), 0);
    refused(ERR_CORRUPT, "empty");
}
END_TEST

START_TEST(what_is_not_supported_is_invalid_and_what_is_absent_not_found)
{
    put("{\"a\":" ENTRY("BF16", "[2]", "[0,4]") "}", 4);
    refused(ERR_INVALID, "a: type BF16 is not F32 or F16");
    put("{\"a\":" ENTRY("F32", "[1,1,1,1,1]", "[0,4]") "}", 4);
    refused(ERR_INVALID, "more than 4 dimensions");
    unlink(path);
    refused(ERR_NOT_FOUND, "cannot open");
}
END_TEST

int main(void)
{
    TCase *c = tcase_create("safetensors");
    tcase_add_checked_fixture(c, testing_enter_folder, testing_leave_folder);
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, the_bytes_are_the_formats);
    tcase_add_test(c, halves_lie_behind_all_floats);
    tcase_add_test(c, tensors_and_metadata_come_back);
    tcase_add_test(c, a_file_without_tensors_is_fine);
    tcase_add_test(c, a_full_disk_is_io);
    tcase_add_test_raise_signal(c, a_name_given_twice_aborts, SIGABRT);
    tcase_add_test(c, f16_is_read);
    tcase_add_test(c, damaged_files_are_corrupt);
    tcase_add_test(c, what_is_not_supported_is_invalid_and_what_is_absent_not_found);
    Suite *s = suite_create("safetensors");
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
