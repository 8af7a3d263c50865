/* Proves: a control body is unpacked within a bound, and damaged or oversized ones are not. */
#include "common/proto_alloc.h"
#include "proto/weft.pb-c.h"

#include <check.h>

static proto_alloc a;

static blob *packed_done(double *sums, size_t n)
{
    Weft__Done d = WEFT__DONE__INIT;
    d.version = 1;
    d.loss = 2.5;
    d.sums = sums;
    d.n_sums = n;
    return proto_pack(&d.base);
}

START_TEST(what_was_packed_unpacks)
{
    double sums[3] = {1, 2, 1e300};
    blob *b = packed_done(sums, 3);
    proto_alloc_init(&a, 4096);
    Weft__Done *d = proto_unpack(&a, &weft__done__descriptor, b, 1000);
    ck_assert_ptr_nonnull(d);
    ck_assert(d->loss == 2.5 && d->n_sums == 3 && d->sums[2] == 1e300);
    blob_unref(b);
    proto_alloc_fini(&a);
}
END_TEST

START_TEST(nothing_unpacks_to_the_defaults)
{
    Weft__Done d = WEFT__DONE__INIT;
    ck_assert_ptr_null(proto_pack(&d.base));
    proto_alloc_init(&a, 4096);
    Weft__Done *back = proto_unpack(&a, &weft__done__descriptor, NULL, 1000);
    ck_assert_ptr_nonnull(back);
    ck_assert_uint_eq(back->version, 0);
    proto_alloc_fini(&a);
}
END_TEST

START_TEST(a_body_over_the_limit_is_refused)
{
    double sums[100] = {0};
    blob *b = packed_done(sums, 100);
    proto_alloc_init(&a, 4096);
    ck_assert_ptr_null(proto_unpack(&a, &weft__done__descriptor, b, 100));
    blob_unref(b);
    proto_alloc_fini(&a);
}
END_TEST

START_TEST(a_body_that_needs_more_than_the_block_is_refused_and_the_next_is_not)
{
    double sums[100] = {0};
    blob *large = packed_done(sums, 100), *small = packed_done(sums, 1);
    proto_alloc_init(&a, 512);
    ck_assert_ptr_null(proto_unpack(&a, &weft__done__descriptor, large, 4096));
    ck_assert_ptr_nonnull(proto_unpack(&a, &weft__done__descriptor, small, 4096));
    blob_unref(large);
    blob_unref(small);
    proto_alloc_fini(&a);
}
END_TEST

START_TEST(a_cut_body_is_refused)
{
    double sums[3] = {1, 2, 3};
    blob *b = packed_done(sums, 3), *cut = blob_copy(blob_data(b), blob_size(b) - 1);
    proto_alloc_init(&a, 4096);
    ck_assert_ptr_null(proto_unpack(&a, &weft__done__descriptor, cut, 1000));
    blob_unref(b);
    blob_unref(cut);
    proto_alloc_fini(&a);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("proto_alloc");
    TCase *t = tcase_create("proto_alloc");
    tcase_add_test(t, what_was_packed_unpacks);
    tcase_add_test(t, nothing_unpacks_to_the_defaults);
    tcase_add_test(t, a_body_over_the_limit_is_refused);
    tcase_add_test(t, a_body_that_needs_more_than_the_block_is_refused_and_the_next_is_not);
    tcase_add_test(t, a_cut_body_is_refused);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
