/* Proves: what bytes_writer encodes, bytes_reader decodes, and a short buffer never reads past its end. */
#include "common/bytes.h"

#include <check.h>
#include <stdlib.h>

START_TEST(values_come_back_in_order)
{
    bytes_writer w;
    bytes_writer_init(&w);
    bytes_put_u32(&w, 7);
    bytes_put_string(&w, "weft");
    bytes_align(&w, 8);
    bytes_put_f64(&w, 2.5);
    blob *b = bytes_take_blob(&w);
    bytes_reader r;
    bytes_reader_init(&r, blob_data(b), blob_size(b));
    ck_assert_uint_eq(bytes_get_u32(&r), 7);
    char *s = bytes_get_string(&r, 16);
    ck_assert_str_eq(s, "weft");
    free(s);
    bytes_skip_align(&r, 8);
    ck_assert(bytes_get_f64(&r) == 2.5);
    ck_assert(bytes_done(&r));
    blob_unref(b);
}
END_TEST

START_TEST(a_short_read_fails_and_stays_failed)
{
    uint8_t data[6] = {1, 0, 0, 0, 2, 0};
    bytes_reader r;
    bytes_reader_init(&r, data, sizeof data);
    ck_assert_uint_eq(bytes_get_u32(&r), 1);
    ck_assert_uint_eq(bytes_get_u32(&r), 0);
    ck_assert(r.failed);
    ck_assert_uint_eq(bytes_get_u16(&r), 0);
    ck_assert(!bytes_done(&r));
    bytes_reader_init(&r, data, sizeof data);
    ck_assert_ptr_null(bytes_get(&r, SIZE_MAX / 2, 8));
    ck_assert(r.failed);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("bytes");
    TCase *c = tcase_create("bytes");
    tcase_add_test(c, values_come_back_in_order);
    tcase_add_test(c, a_short_read_fails_and_stays_failed);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
