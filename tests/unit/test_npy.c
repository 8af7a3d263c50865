/* Proves: .npy files have NumPy's bytes, and what is not exactly that is refused with its name. */
#include "common/files.h"
#include "common/npy.h"
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
    strcpy(path, "/tmp/test_npy-XXXXXX");
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    close(fd);
}

static void teardown(void)
{
    unlink(path);
}

static char *content(size_t *bytes)
{
    char *data;
    ck_assert_int_eq(files_read(path, 1 << 20, &data, bytes), ERR_OK);
    return data;
}

START_TEST(the_bytes_are_those_of_numpy)
{
    /* numpy.save of numpy.array([[1, 2, 3], [4, 5, 6]], dtype="<f4") */
    static const float values[] = {1, 2, 3, 4, 5, 6};
    static const char dict[] = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }";
    size_t n;
    ck_assert_int_eq(npy_write(path, NPY_F32, (uint64_t[]){2, 3}, 2, values), ERR_OK);
    char *data = content(&n);
    ck_assert_uint_eq(n, 128 + 24);
    ck_assert_int_eq(memcmp(data, "\x93NUMPY\x01\x00\x76\x00", 10), 0);
    ck_assert_int_eq(memcmp(data + 10, dict, sizeof dict - 1), 0);
    for (size_t i = 10 + sizeof dict - 1; i < 127; i++) ck_assert_int_eq(data[i], ' ');
    ck_assert_int_eq(data[127], '\n');
    ck_assert_int_eq(memcmp(data + 128, values, 24), 0);
    free(data);
    ck_assert_int_eq(npy_write(path, NPY_I64, (uint64_t[]){0}, 1, NULL), ERR_OK);
    data = content(&n);
    ck_assert_uint_eq(n, 128);
    ck_assert_ptr_nonnull(
        strstr(data + 10, "{'descr': '<i8', 'fortran_order': False, 'shape': (0,), }"));
    free(data);
}
END_TEST

START_TEST(every_type_comes_back)
{
    static const int64_t values[] = {-1, 2, 3, 1ll << 40, 5, 6}; /* any bytes will do */
    static const npy_type types[] = {NPY_F32, NPY_F16, NPY_I32, NPY_I64};
    for (size_t i = 0; i < 4; i++) {
        npy_array a;
        ck_assert_int_eq(npy_write(path, types[i], (uint64_t[]){3, 2}, 2, values), ERR_OK);
        ck_assert_int_eq(npy_read(path, &a), ERR_OK);
        ck_assert_uint_eq(a.type, types[i]);
        ck_assert_uint_eq(a.dims, 2);
        ck_assert(a.shape[0] == 3 && a.shape[1] == 2 && a.values == 6);
        ck_assert_int_eq(memcmp(a.data, values, 6 * npy_type_bytes(a.type)), 0);
        npy_fini(&a);
        npy_fini(&a);
    }
}
END_TEST

START_TEST(rows_are_streamed)
{
    npy_writer *w;
    npy_array a;
    ck_assert_int_eq(npy_create(path, NPY_I32, (uint64_t[]){3}, 1, &w), ERR_OK);
    for (int32_t i = 0; i < 3; i++) ck_assert_int_eq(npy_append(w, &i, 1), ERR_OK);
    ck_assert_int_eq(npy_append(w, NULL, 0), ERR_OK);
    ck_assert_int_eq(npy_close(w), ERR_OK);
    ck_assert_int_eq(npy_read(path, &a), ERR_OK);
    ck_assert(a.dims == 1 && a.shape[0] == 3 && a.shape[1] == 1);
    ck_assert_int_eq(((const int32_t *)a.data)[2], 2);
    npy_fini(&a);
}
END_TEST

START_TEST(too_few_values_are_invalid)
{
    npy_writer *w;
    ck_assert_int_eq(npy_create(path, NPY_I32, (uint64_t[]){3}, 1, &w), ERR_OK);
    testing_capture_start();
    err_code rc = npy_close(w);
    ck_assert_ptr_nonnull(strstr(testing_capture_end(), "3 values are missing"));
    ck_assert_int_eq(rc, ERR_INVALID);
    ck_assert_int_eq(npy_close(NULL), ERR_OK);
    npy_abandon(NULL);
}
END_TEST

START_TEST(too_many_values_abort)
{
    npy_writer *w;
    ck_assert_int_eq(npy_create(path, NPY_I32, (uint64_t[]){1}, 1, &w), ERR_OK);
    ck_assert_int_eq(npy_append(w, (int32_t[]){1, 2}, 2), ERR_OK);
}
END_TEST

START_TEST(a_full_disk_is_io)
{
    npy_writer *w;
    static float values[100000];
    testing_capture_start();
    ck_assert_int_eq(npy_create("/dev/full", NPY_F32, (uint64_t[]){100000}, 1, &w), ERR_OK);
    err_code append = npy_append(w, values, 100000);
    npy_abandon(w);
    err_code whole = npy_write("/dev/full", NPY_F32, (uint64_t[]){1}, 1, values);
    err_code absent = npy_write("/nonexistent/x.npy", NPY_F32, (uint64_t[]){1}, 1, values);
    const char *text = testing_capture_end();
    ck_assert_int_eq(append, ERR_IO);
    ck_assert_int_eq(whole, ERR_IO);
    ck_assert_int_ne(absent, ERR_OK);
    ck_assert_ptr_nonnull(strstr(text, "/dev/full: cannot write: No space left"));
}
END_TEST

/* A file of this header text, version and payload. */
static void put_npy(int version, const char *dict, size_t payload)
{
    FILE *file = fopen(path, "w");
    size_t n = strlen(dict);
    fwrite("\x93NUMPY", 1, 6, file);
    fputc(version, file);
    fputc(0, file);
    fputc((int)(n & 255), file);
    fputc((int)(n >> 8), file);
    if (version == 2) fputc(0, file), fputc(0, file);
    fputs(dict, file);
    for (size_t i = 0; i < payload; i++) fputc(1, file);
    fclose(file);
}

static void refused(const char *message)
{
    npy_array a;
    testing_capture_start();
    err_code rc = npy_read(path, &a);
    const char *text = testing_capture_end();
    ck_assert_int_eq(rc, ERR_INVALID);
    ck_assert_ptr_null(a.data);
    ck_assert_msg(strstr(text, message) && strstr(text, path), "%s", text);
}

START_TEST(other_headers_of_the_same_meaning_are_read)
{
    static const char *const dicts[] = {
        "{'descr': '<i4', 'fortran_order': False, 'shape': (2,), }    ",
        "{\"shape\":(2,),\"fortran_order\":True,\"descr\":\"<i4\"}     \n    ",
    };
    for (size_t i = 0; i < 2; i++) {
        for (int version = 1; version <= 2; version++) {
            char text[80];
            npy_array a;
            snprintf(text, sizeof text, "%s%s", dicts[i], version == 1 ? "" : "  ");
            while ((strlen(text) + (version == 1 ? 10 : 12)) % 4 != 0) strcat(text, " ");
            put_npy(version, text, 8);
            ck_assert_int_eq(npy_read(path, &a), ERR_OK);
            ck_assert(a.shape[0] == 2 && ((const int32_t *)a.data)[1] == 0x01010101);
            npy_fini(&a);
        }
    }
}
END_TEST

START_TEST(other_files_are_refused)
{
    npy_array a;
    put_npy(1, "{'descr': '<f8', 'fortran_order': False, 'shape': (1,), }", 8);
    refused("its type is not");
    put_npy(1, "{'descr': '>f4', 'fortran_order': False, 'shape': (1,), }", 4);
    refused("its type is not");
    put_npy(1, "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }", 4);
    refused("header is malformed");
    put_npy(1, "{'descr': '<f4', 'fortran_order': True, 'shape': (1, 2), }", 8);
    refused("column order");
    put_npy(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1, 1), }", 4);
    refused("one or two dimensions");
    put_npy(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (), }", 4);
    refused("one or two dimensions");
    put_npy(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", 7);
    refused("size is not what its header says");
    put_npy(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", 9);
    refused("size is not what its header says");
    put_npy(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 4), }", 0);
    refused("size is not what its header says");
    put_npy(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,), }", 0);
    refused("header is malformed");
    put_npy(1, "{'descr': '<f4', 'fortran_order': False}", 4);
    refused("header is malformed");
    put_npy(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), } x", 4);
    refused("header is malformed");
    put_npy(1, "{'descr': '<f4", 4);
    refused("header is malformed");
    put_npy(1, "{'descr': '<i8', 'fortran_order': False, 'shape': (1,), } ", 8);
    refused("not aligned");
    put_npy(3, "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }", 4);
    refused("not a .npy file of version");
    ck_assert_int_eq(truncate(path, 11), 0);
    refused("not a .npy file");
    ck_assert_int_eq(truncate(path, 0), 0);
    refused("not a .npy file");
    unlink(path);
    testing_capture_start();
    err_code rc = npy_read(path, &a);
    testing_capture_end();
    ck_assert_int_eq(rc, ERR_NOT_FOUND);
}
END_TEST

int main(void)
{
    TCase *c = tcase_create("npy");
    tcase_add_checked_fixture(c, testing_enter_folder, testing_leave_folder);
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, the_bytes_are_those_of_numpy);
    tcase_add_test(c, every_type_comes_back);
    tcase_add_test(c, rows_are_streamed);
    tcase_add_test(c, too_few_values_are_invalid);
    tcase_add_test_raise_signal(c, too_many_values_abort, SIGABRT);
    tcase_add_test(c, a_full_disk_is_io);
    tcase_add_test(c, other_headers_of_the_same_meaning_are_read);
    tcase_add_test(c, other_files_are_refused);
    Suite *s = suite_create("npy");
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
