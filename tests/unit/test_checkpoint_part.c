/* Proves: what part_encode writes, part_decode reads back and nothing else: every field, every
 * length and every flipped bit is checked, and a sealed lie about sizes is refused as well. */
#include "common/mem.h"
#include "common/rng.h"
#include "ps/checkpoint_part.h"
#include "testing_part.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

enum { FIELDS = 64, ENTRY = 16 };

/* A part of its own to damage: exactly its size, so that ASan sees a read past it. */
typedef struct fixture {
    uint8_t *data;
    size_t n;
    part_view view;
    const char *wrong;
} fixture;

static fixture copy_of(blob *b)
{
    fixture f = {.n = blob_size(b)};
    f.data = xmalloc(f.n);
    memcpy(f.data, blob_data(b), f.n);
    blob_unref(b);
    return f;
}

static fixture small(void)
{
    part_id id = testing_part_id(9, 3, 8);
    return copy_of(testing_part(&id));
}

static void put_u32(fixture *f, size_t at, uint32_t v)
{
    memcpy(f->data + at, &v, sizeof v);
    testing_part_seal(f->data, f->n);
}

static void refused(fixture *f, err_code code, const char *wrong)
{
    ck_assert_int_eq(part_check(f->data, f->n, &f->view, &f->wrong), code);
    ck_assert_ptr_nonnull(f->wrong);
    ck_assert_msg(strstr(f->wrong, wrong) != NULL, "\"%s\" is not \"%s\"", f->wrong, wrong);
    ck_assert_uint_eq(f->view.sections, 0);
    free(f->data);
}

START_TEST(what_is_encoded_comes_back)
{
    part_id id = testing_part_id(9, 3, 8);
    id.final = true;
    blob *b = testing_part(&id);
    const part_section *want = testing_part_sections();
    ck_assert_uint_eq(blob_size(b), part_bytes(want, TESTING_PART_SECTIONS));
    part_view v;
    ck_assert_int_eq(part_decode(blob_data(b), blob_size(b), &v), ERR_OK);
    ck_assert(part_id_equal(&v.id, &id));
    ck_assert_uint_eq(v.sections, TESTING_PART_SECTIONS);
    for (uint32_t i = 0; i < v.sections; i++) {
        const part_section *s = part_find(&v, want[i].kind, want[i].table);
        ck_assert_ptr_nonnull(s);
        ck_assert_uint_eq(s->n, want[i].n);
        ck_assert_uint_eq(s->dim, want[i].dim);
        if (s->n) ck_assert_mem_eq(s->keys, want[i].keys, s->n * 8);
        if (s->n && s->dim) ck_assert_mem_eq(s->values, want[i].values, 4UL * s->n * s->dim);
    }
    ck_assert_ptr_null(part_find(&v, PART_ROWS, 3));
    blob_unref(b);
}
END_TEST

START_TEST(an_empty_part_is_a_part)
{
    part_id id = testing_part_id(0, 0, 1);
    blob *b = part_encode(&id, NULL, 0);
    part_view v;
    ck_assert_uint_eq(blob_size(b), FIELDS);
    ck_assert_int_eq(part_decode(blob_data(b), blob_size(b), &v), ERR_OK);
    ck_assert_uint_eq(v.sections, 0);
    ck_assert(part_id_equal(&v.id, &id));
    blob_unref(b);
}
END_TEST

START_TEST(the_order_of_the_sections_given_changes_nothing)
{
    part_id id = testing_part_id(9, 3, 8);
    part_section turned[TESTING_PART_SECTIONS];
    for (int i = 0; i < TESTING_PART_SECTIONS; i++)
        turned[i] = testing_part_sections()[TESTING_PART_SECTIONS - 1 - i];
    blob *a = testing_part(&id), *b = part_encode(&id, turned, TESTING_PART_SECTIONS);
    ck_assert_uint_eq(blob_size(a), blob_size(b));
    ck_assert_mem_eq(blob_data(a), blob_data(b), blob_size(a));
    ck_assert_uint_eq(part_hash(a), part_hash(b));
    blob_unref(a);
    blob_unref(b);
}
END_TEST

START_TEST(every_part_of_the_identity_counts)
{
    part_id id[8];
    for (int i = 0; i < 8; i++) id[i] = testing_part_id(9, 3, 8);
    id[1].plan_hash++;
    id[2].stage++;
    id[3].generation++;
    id[4].version++;
    id[5].shard++;
    id[6].shards++;
    id[7].final = true;
    blob *first = testing_part(&id[0]);
    for (int i = 1; i < 8; i++) {
        blob *other = testing_part(&id[i]);
        ck_assert(!part_id_equal(&id[0], &id[i]));
        ck_assert_uint_ne(part_hash(first), part_hash(other));
        blob_unref(other);
    }
    blob_unref(first);
}
END_TEST

START_TEST(every_damaged_byte_is_detected)
{
    fixture f = small();
    for (size_t i = 0; i < f.n; i++) {
        f.data[i] ^= 0xff;
        ck_assert_int_eq(part_decode(f.data, f.n, &f.view), ERR_CORRUPT);
        f.data[i] ^= 0xff;
    }
    ck_assert_int_eq(part_decode(f.data, f.n, &f.view), ERR_OK);
    free(f.data);
}
END_TEST

START_TEST(every_truncation_is_detected_sealed_or_not)
{
    fixture f = small();
    for (size_t n = 0; n < f.n; n++) {
        uint8_t *cut = xmalloc(n ? n : 1);
        memcpy(cut, f.data, n);
        ck_assert_int_eq(part_decode(cut, n, &f.view), ERR_CORRUPT);
        testing_part_seal(cut, n);
        ck_assert_int_eq(part_decode(cut, n, &f.view), ERR_CORRUPT);
        free(cut);
    }
    free(f.data);
}
END_TEST

START_TEST(a_thousand_flipped_bits_are_detected)
{
    fixture f = small();
    for (uint64_t i = 0; i < 1000; i++) {
        uint64_t bit = rng_below(USE_TEST, i, 0, f.n * 8);
        f.data[bit / 8] ^= (uint8_t)(1U << bit % 8);
        ck_assert_int_eq(part_decode(f.data, f.n, &f.view), ERR_CORRUPT);
        f.data[bit / 8] ^= (uint8_t)(1U << bit % 8);
    }
    free(f.data);
}
END_TEST

START_TEST(bytes_behind_the_end_are_detected)
{
    fixture f = small();
    f.data = xrealloc(f.data, f.n + 8, 1);
    memset(f.data + f.n, 0, 8);
    f.n += 8;
    testing_part_seal(f.data, f.n);
    refused(&f, ERR_CORRUPT, "not as long");

    f = small();
    f.data = xrealloc(f.data, f.n + 8, 1);
    memset(f.data + f.n, 0, 8);
    f.n += 8;
    put_u32(&f, 24, (uint32_t)f.n);
    refused(&f, ERR_CORRUPT, "after the last section");
}
END_TEST

START_TEST(another_format_is_a_mismatch_and_not_damage)
{
    fixture f = small();
    put_u32(&f, 16, PART_FORMAT + 1);
    refused(&f, ERR_MISMATCH, "another format");
}
END_TEST

START_TEST(another_kind_of_file_is_refused)
{
    fixture f = small();
    f.data[0] = 'w';
    refused(&f, ERR_CORRUPT, "no checkpoint part");
    f = small();
    f.n = 63;
    refused(&f, ERR_CORRUPT, "shorter than a header");
}
END_TEST

START_TEST(a_sealed_lie_in_the_header_is_refused)
{
    fixture f = small();
    put_u32(&f, 20, PART_SECTIONS_MAX + 1);
    refused(&f, ERR_CORRUPT, "too many sections");
    f = small();
    put_u32(&f, 20, PART_SECTIONS_MAX);
    refused(&f, ERR_CORRUPT, "shorter than its table");
    f = small();
    put_u32(&f, 52, 8);
    refused(&f, ERR_CORRUPT, "shard out of range");
    f = small();
    put_u32(&f, 60, 2);
    refused(&f, ERR_CORRUPT, "unknown flags");
}
END_TEST

START_TEST(a_sealed_lie_in_the_table_is_refused)
{
    const struct {
        size_t entry, field;
        uint32_t value;
        const char *wrong;
    } lie[] = {
        {0, 0, 0, "unknown kind"},
        {6, 0, PART_UPDATES + 1, "unknown kind"},
        {0, 4, 1, "a table where none belongs"},
        {6, 4, 1, "a table where none belongs"},
        {1, 0, PART_DENSE, "not in order"},
        {4, 4, 1, "not in order"},
        {4, 4, 0, "not in order"},
        {0, 8, UINT32_MAX, "longer than the part"},
        {0, 12, UINT32_MAX, "longer than the part"},
        {6, 12, 3, "longer than the part"},
        {6, 8, UINT32_MAX, "longer than the part"},
    };
    for (size_t i = 0; i < sizeof lie / sizeof *lie; i++) {
        fixture f = small();
        put_u32(&f, FIELDS + lie[i].entry * ENTRY + lie[i].field, lie[i].value);
        refused(&f, ERR_CORRUPT, lie[i].wrong);
    }
}
END_TEST

START_TEST(keys_out_of_order_are_refused)
{
    size_t keys = FIELDS + TESTING_PART_SECTIONS * ENTRY;
    fixture f = small();
    put_u32(&f, keys + 8, 0); /* 0, 0 */
    refused(&f, ERR_CORRUPT, "keys not ascending");
    f = small();
    put_u32(&f, keys, 8); /* 8, 7 */
    refused(&f, ERR_CORRUPT, "keys not ascending");
}
END_TEST

START_TEST(padding_that_is_not_zero_is_refused)
{
    /* The one row of odd width is the last section. */
    const uint64_t key = 1;
    const float value = 1;
    const part_section s = {PART_ROWS, 1, 1, 1, &key, &value};
    part_id id = testing_part_id(9, 3, 8);
    fixture f = copy_of(part_encode(&id, &s, 1));
    put_u32(&f, f.n - 4, 1);
    refused(&f, ERR_CORRUPT, "padding");
}
END_TEST

START_TEST(more_bytes_than_a_part_may_have_are_not_encoded)
{
    static const uint64_t key;
    part_id id = testing_part_id(9, 3, 8);
    const part_section wide = {PART_ROWS, 1, PART_BYTES_MAX / 4, 1, &key, NULL};
    ck_assert_ptr_null(part_encode(&id, &wide, 1));
    const part_section many = {PART_ROWS, 1, 0, PART_BYTES_MAX / 8 + 1, &key, NULL};
    ck_assert_ptr_null(part_encode(&id, &many, 1));
    const part_section huge = {PART_ROWS, 1, UINT32_MAX, UINT32_MAX, &key, NULL};
    ck_assert_ptr_null(part_encode(&id, &huge, 1));
    ck_assert(part_bytes(&huge, 1) > PART_BYTES_MAX);
}
END_TEST

START_TEST(as_many_sections_as_allowed_fit_and_one_more_is_our_bug)
{
    part_section s[PART_SECTIONS_MAX + 1];
    for (uint32_t i = 0; i <= PART_SECTIONS_MAX; i++)
        s[i] = (part_section){.kind = PART_ROWS, .table = i, .dim = 4};
    part_id id = testing_part_id(9, 3, 8);
    blob *b = part_encode(&id, s, PART_SECTIONS_MAX);
    part_view v;
    ck_assert_int_eq(part_decode(blob_data(b), blob_size(b), &v), ERR_OK);
    ck_assert_uint_eq(v.sections, PART_SECTIONS_MAX);
    blob_unref(b);
    blob_unref(part_encode(&id, s, PART_SECTIONS_MAX + 1)); /* aborts */
}
END_TEST

START_TEST(the_same_section_twice_is_our_bug)
{
    const part_section s[2] = {{.kind = PART_ROWS, .table = 1}, {.kind = PART_ROWS, .table = 1}};
    part_id id = testing_part_id(9, 3, 8);
    blob_unref(part_encode(&id, s, 2)); /* aborts */
}
END_TEST

int main(void)
{
    Suite *s = suite_create("checkpoint_part");
    TCase *c = tcase_create("checkpoint_part");
    tcase_add_test(c, what_is_encoded_comes_back);
    tcase_add_test(c, an_empty_part_is_a_part);
    tcase_add_test(c, the_order_of_the_sections_given_changes_nothing);
    tcase_add_test(c, every_part_of_the_identity_counts);
    tcase_add_test(c, every_damaged_byte_is_detected);
    tcase_add_test(c, every_truncation_is_detected_sealed_or_not);
    tcase_add_test(c, a_thousand_flipped_bits_are_detected);
    tcase_add_test(c, bytes_behind_the_end_are_detected);
    tcase_add_test(c, another_format_is_a_mismatch_and_not_damage);
    tcase_add_test(c, another_kind_of_file_is_refused);
    tcase_add_test(c, a_sealed_lie_in_the_header_is_refused);
    tcase_add_test(c, a_sealed_lie_in_the_table_is_refused);
    tcase_add_test(c, keys_out_of_order_are_refused);
    tcase_add_test(c, padding_that_is_not_zero_is_refused);
    tcase_add_test(c, more_bytes_than_a_part_may_have_are_not_encoded);
    tcase_add_test_raise_signal(c, as_many_sections_as_allowed_fit_and_one_more_is_our_bug, 6);
    tcase_add_test_raise_signal(c, the_same_section_twice_is_our_bug, 6);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
