/* Proves: a store with any damaged byte is not read as if it were whole; only the partitions that
 * were asked for are opened; missing files are named.  (What a store holds: test_prepare.) */
#include "sampler/store.h"

#include "common/dataset.h"
#include "common/mem.h"
#include "common/rng.h"
#include "sampler/store_format.h"
#include "testing_files.h"
#include "testing_prepare.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static config *c;
static char *folder, *path, *bytes;
static size_t size;
static store *s;

static void setup(void)
{
    testing_enter_folder();
    testing_prepare_write(40, 60, 1500, 3);
    c = testing_prepare_config("");
    folder = testing_prepare_run(c);
    path = xprintf("%s/part-2/data.mdb", folder);
    bytes = testing_get_text(path, &size);
}

static void teardown(void)
{
    store_close(s);
    free(bytes);
    free(path);
    free(folder);
    config_free(c);
    testing_leave_folder();
}

static err_code open_all(verify_kind verify, const char *says)
{
    testing_capture_start();
    err_code rc = store_open(folder, NULL, 0, verify, &s);
    const char *text = testing_capture_end();
    if (says != NULL) testing_expect_part(text, says);
    return rc;
}

/* Position of the first block of a kind in the file, and its header. */
static size_t find_block(uint16_t kind, store_header *h)
{
    for (size_t at = 16; at + sizeof *h <= size; at += 4096) {
        memcpy(h, bytes + at, sizeof *h);
        if (h->magic == STORE_MAGIC && h->kind == kind) return at;
    }
    ck_abort_msg("no block of kind %u", kind);
}

static void put_byte(size_t at, char byte)
{
    FILE *f = fopen(path, "r+b");
    ck_assert_ptr_nonnull(f);
    ck_assert_int_eq(fseek(f, (long)at, SEEK_SET), 0);
    ck_assert_int_eq(fputc(byte, f), (unsigned char)byte);
    ck_assert_int_eq(fclose(f), 0);
}

START_TEST(a_thousand_flipped_bits_are_found_on_open)
{
    for (uint32_t i = 0; i < 1000; i++) {
        size_t at = rng_below(1, i, 0, size);
        put_byte(at, (char)(bytes[at] ^ (char)(1U << i % 8)));
        ck_assert_int_eq(open_all(VERIFY_OPEN, "part-2/data.mdb"), ERR_CORRUPT);
        ck_assert_ptr_null(s);
        put_byte(at, bytes[at]);
    }
    ck_assert_int_eq(open_all(VERIFY_OPEN, NULL), ERR_OK);
}
END_TEST

START_TEST(a_shorter_file_is_found_whatever_is_verified)
{
    testing_put(path, bytes, size - 4096);
    ck_assert_int_eq(open_all(VERIFY_OFF, "part-2/data.mdb"), ERR_CORRUPT);
    ck_assert_int_eq(open_all(VERIFY_LAZY, "part-2/data.mdb"), ERR_CORRUPT);
}
END_TEST

/* Reads everything a store holds; how many calls failed. */
static uint32_t read_all(void)
{
    const manifest *m = store_manifest(s);
    uint32_t failed = 0;

    for (uint32_t v = 0; v < m->items; v++) {
        store_item item;
        failed += !store_item_get(s, v, &item);
        for (uint32_t r = 0; r < m->relations; r++) {
            if (m->relation[r].destination == manifest_type_of(m, v)) store_neighbours(s, r, v);
        }
    }
    for (uint32_t u = 0; u < m->users; u++) {
        store_user user;
        failed += !store_user_get(s, u, &user);
    }
    for (uint32_t r = 0; r < m->relations; r++) {
        for (uint32_t p = 0; p < m->partitions; p++) {
            store_edge e;
            if (m->relation[r].partition_edges[p] == 0) continue;
            failed += !store_edge_at(s, r, p, 0, &e);
            failed += !store_edge_at_weight(s, r, p, 0, &e);
        }
    }
    return failed;
}

/* Puts `value` into array `array` of the first block of a kind and makes its checksum good again.
 */
static void reseal(uint16_t kind, uint32_t array, size_t index, uint32_t value)
{
    store_header h;
    size_t at = find_block(kind, &h);
    memcpy(bytes + at + sizeof h + store_layout_of(&h).at[array] + 4 * index, &value, 4);
    h.hash = store_hash(&h, bytes + at + sizeof h);
    memcpy(bytes + at, &h, sizeof h);
    testing_put(path, bytes, size);
}

START_TEST(a_block_that_says_what_cannot_be_is_not_read)
{
    static const struct {
        uint16_t kind;
        uint32_t array;
        size_t index;
        uint32_t value;
        const char *says;
    } cases[] = {
        {STORE_ADJACENCY, 0, 2, 12345, "sums of pair weights"},
        {STORE_ADJACENCY, 1, 1, 0x7fffffff, "offsets of edges"},
        {STORE_ADJACENCY, 2, 0, 0xffffffff, "a source of another type"},
        {STORE_ADJACENCY, 3, 0, 0, "a weight of 0"},
        {STORE_ADJACENCY, 3, 0, 0x7fffffff, "sums of pair weights"},
        {STORE_ITEM, 3, 0, 0xffff, "an unknown value of an attribute"},
        {STORE_USER, 1, 0, 0xffff, "an unknown value of an attribute"},
        {STORE_EVENTS, 0, 1, 0x7fffffff, "offsets of events"},
        {STORE_EVENTS, 2, 0, 0xffffffff, "an event with an unknown item"},
        {STORE_EVENTS, 3, 0, 0xffffffff, "an unknown role"},
        {STORE_EVENTS, 4, 0, 0x03030303, "an unknown part of the split"},
    };
    char *good = testing_get_text(path, &size);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        memcpy(bytes, good, size);
        reseal(cases[i].kind, cases[i].array, cases[i].index, cases[i].value);
        ck_assert_int_eq(open_all(VERIFY_LAZY, NULL), ERR_OK);
        testing_capture_start();
        ck_assert_uint_gt(read_all() + store_failed(s), 0);
        testing_expect_part(testing_capture_end(), cases[i].says);
        ck_assert(store_failed(s));
        store_close(s);
    }
    s = NULL;
    free(good);
}
END_TEST

START_TEST(lazy_finds_a_damaged_payload_when_it_is_touched)
{
    store_header h;

    for (uint16_t kind = STORE_ADJACENCY; kind < STORE_KINDS; kind++) {
        size_t at = find_block(kind, &h) + sizeof h + h.payload_bytes / 2;
        bytes[at] ^= 1;
        testing_put(path, bytes, size);
        ck_assert_int_eq(open_all(VERIFY_LAZY, NULL), ERR_OK);
        ck_assert(!store_failed(s));
        testing_capture_start();
        uint32_t failed = read_all();
        testing_expect_part(testing_capture_end(), "part-2: damaged block");
        ck_assert(store_failed(s));
        ck_assert_uint_gt(failed, 0);
        store_close(s);
        s = NULL;
        bytes[at] ^= 1;
    }
    testing_put(path, bytes, size);
    ck_assert_int_eq(open_all(VERIFY_LAZY, NULL), ERR_OK);
    ck_assert_uint_eq(read_all(), 0);
    ck_assert(!store_failed(s));
}
END_TEST

static void expect_header_refused(size_t offset, err_code code, const char *says)
{
    store_header h;
    size_t at = find_block(STORE_ITEM, &h) + offset;

    bytes[at] ^= 1;
    testing_put(path, bytes, size);
    ck_assert_int_eq(open_all(VERIFY_OFF, says), code);
    bytes[at] ^= 1;
}

START_TEST(a_wrong_header_is_found_whatever_is_verified)
{
    expect_header_refused(offsetof(store_header, magic), ERR_CORRUPT, "magic");
    expect_header_refused(offsetof(store_header, version), ERR_MISMATCH, "version");
    expect_header_refused(offsetof(store_header, sub) + 3, ERR_CORRUPT, "section");
    expect_header_refused(offsetof(store_header, first), ERR_CORRUPT, "rows");
    expect_header_refused(offsetof(store_header, rows), ERR_CORRUPT, "row count");
    expect_header_refused(offsetof(store_header, width), ERR_CORRUPT, "width");
    expect_header_refused(offsetof(store_header, payload_bytes), ERR_CORRUPT, "size");
}
END_TEST

START_TEST(only_what_was_asked_for_is_opened)
{
    const uint32_t mine[] = {3, 1, 3};

    ck_assert_int_eq(unlink(path), 0); /* partition 2 */
    ck_assert_int_eq(store_open(folder, mine, 3, VERIFY_OPEN, &s), ERR_OK);
    ck_assert(store_has(s, 1) && store_has(s, 3));
    ck_assert(!store_has(s, 0) && !store_has(s, 2) && !store_has(s, 4));
}
END_TEST

START_TEST(a_store_can_be_open_twice_in_one_process)
{
    store *other;

    ck_assert_int_eq(store_open(folder, NULL, 0, VERIFY_OPEN, &s), ERR_OK);
    ck_assert_int_eq(store_open(folder, NULL, 0, VERIFY_LAZY, &other), ERR_OK);
    store_close(other);
    ck_assert_uint_eq(read_all(), 0);
}
END_TEST

START_TEST(missing_stores_and_partitions_are_named)
{
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(open_all(VERIFY_OPEN, "part-2/data.mdb"), ERR_NOT_FOUND);
    ck_assert_int_eq(open_all(VERIFY_OFF, "partition 2"), ERR_NOT_FOUND);
    testing_capture_start();
    err_code rc = store_open("nowhere", NULL, 0, VERIFY_OPEN, &s);
    testing_expect_part(testing_capture_end(), "nowhere");
    ck_assert_int_eq(rc, ERR_NOT_FOUND);
}
END_TEST

START_TEST(every_flipped_byte_of_the_dataset_that_is_read_is_found)
{
    dataset *d;
    size_t n;
    char *file = xprintf("%s/dataset", folder), *data = testing_get_text(file, &n);
    uint32_t found = 0;

    for (uint32_t i = 0; i < 80; i++) {
        size_t at = i < 40 ? rng_below(2, i, 0, 64 + 33 * 32) : rng_below(2, i, 0, n);
        data[at] ^= (char)(1 << i % 8);
        testing_put(file, data, n);
        testing_capture_start();
        err_code rc = dataset_open(folder, &d);
        const char *text = testing_capture_end();
        data[at] ^= (char)(1 << i % 8);
        if (rc == ERR_OK) { /* padding between sections */
            ck_assert_uint_ge(i, 40);
            dataset_close(d);
            continue;
        }
        testing_expect_part(text, "dataset: damaged");
        ck_assert_int_eq(rc, ERR_CORRUPT);
        found++;
    }
    ck_assert_uint_gt(found, 70);
    testing_put(file, data, n / 2);
    testing_capture_start();
    ck_assert_int_eq(dataset_open(folder, &d), ERR_CORRUPT);
    testing_put(file, data, 0);
    ck_assert_int_eq(dataset_open(folder, &d), ERR_CORRUPT);
    ck_assert_int_eq(unlink(file), 0);
    ck_assert_int_eq(dataset_open(folder, &d), ERR_NOT_FOUND);
    testing_capture_end();
    free(data);
    free(file);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store");
    TCase *t = tcase_create("store");
    tcase_set_timeout(t, 100);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, a_thousand_flipped_bits_are_found_on_open);
    tcase_add_test(t, a_shorter_file_is_found_whatever_is_verified);
    tcase_add_test(t, a_block_that_says_what_cannot_be_is_not_read);
    tcase_add_test(t, lazy_finds_a_damaged_payload_when_it_is_touched);
    tcase_add_test(t, a_wrong_header_is_found_whatever_is_verified);
    tcase_add_test(t, only_what_was_asked_for_is_opened);
    tcase_add_test(t, a_store_can_be_open_twice_in_one_process);
    tcase_add_test(t, missing_stores_and_partitions_are_named);
    tcase_add_test(t, every_flipped_byte_of_the_dataset_that_is_read_is_found);
    suite_add_tcase(suite, t);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
