/* Proves: a manifest comes back as it was written, and only one that is exactly as written is
 * taken: flipped bits, cut ends, other orders and values out of range are damage; another format is
 * not. */
#include "common/hash.h"
#include "common/mem.h"
#include "common/rng.h"
#include "common/slot.h"
#include "ps/checkpoint_manifest.h"
#include "testing_disk.h"
#include "testing_files.h"
#include "testing_part.h"

#include <check.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char dir[] = "work/checkpoints";
static const char file[] = "work/checkpoints/hgnn-v9-g3/manifest.json";
static const checkpoint_manifest_part part[3] = {
    {0, 100, 1}, {1, PART_BYTES_MAX, UINT64_MAX}, {2, 0, 0}};
static char why[CHECKPOINT_WHY_MAX];

static char *small(size_t *n)
{
    return checkpoint_manifest_encode(testing_checkpoint_manifest(9, 3, part), n);
}

static void seal(char *text, size_t n)
{
    const size_t at = strlen("{\n  \"checksum\": \"");
    char digits[17];
    if (n < at + 16) return;
    snprintf(digits, sizeof digits, "%016" PRIx64, hash64(text + at + 16, n - at - 16, 0));
    memcpy(text + at, digits, 16);
}

static err_code decode(const char *text, size_t n, const char **wrong)
{
    checkpoint_manifest m;
    err_code rc = checkpoint_manifest_decode(text, n, &m, wrong);
    ck_assert_int_eq(rc == ERR_OK, *wrong == NULL);
    if (rc != ERR_OK) ck_assert_ptr_null(m.memory);
    checkpoint_manifest_fini(&m);
    return rc;
}

START_TEST(what_is_encoded_comes_back)
{
    size_t n;
    char *text = small(&n);
    const char *wrong;
    checkpoint_manifest m;
    const checkpoint_manifest *want = testing_checkpoint_manifest(9, 3, part);
    ck_assert_int_eq(checkpoint_manifest_decode(text, n, &m, &wrong), ERR_OK);
    ck_assert_str_eq(m.job, want->job);
    ck_assert_str_eq(m.numerics, want->numerics);
    ck_assert(m.plan_hash == want->plan_hash && m.stage_index == 1 && m.epoch == 1 && m.step == 9);
    ck_assert_int_eq(checkpoint_files_compare(&m.id, &want->id), 0);
    ck_assert(m.reason == CHECKPOINT_BEST && m.shards == 3 && m.servers == 2 && m.metrics == 17);
    ck_assert_uint_eq(m.previous_n, 1);
    ck_assert_int_eq(checkpoint_files_compare(&m.previous[0], &want->previous[0]), 0);
    ck_assert_uint_eq(m.parts, 3);
    for (int i = 0; i < 3; i++) {
        ck_assert_uint_eq(m.part[i].shard, part[i].shard);
        ck_assert_uint_eq(m.part[i].bytes, part[i].bytes);
        ck_assert_uint_eq(m.part[i].hash, part[i].hash);
    }
    ck_assert_uint_eq(m.state_bytes, 4);
    ck_assert_mem_eq(m.state, want->state, 4);
    part_id id = checkpoint_manifest_part_id(&m, 2), same = testing_part_id(9, 2, 3);
    ck_assert(part_id_equal(&id, &same));
    checkpoint_manifest_fini(&m);
    free(text);
}
END_TEST

START_TEST(two_copies_are_said_and_one_is_not)
{
    checkpoint_manifest m = *testing_checkpoint_manifest(9, 3, part), back;
    size_t n;
    const char *wrong;
    char *text = checkpoint_manifest_encode(&m, &n);
    ck_assert_ptr_null(strstr(text, "copies"));
    free(text);
    m.copies = 2;
    text = checkpoint_manifest_encode(&m, &n);
    testing_expect_part(text, "\"copies\": 2,");
    ck_assert_int_eq(checkpoint_manifest_decode(text, n, &back, &wrong), ERR_OK);
    ck_assert_uint_eq(back.copies, 2);
    checkpoint_manifest_fini(&back);
    free(text);
    m.copies = 3;
    text = checkpoint_manifest_encode(&m, &n);
    ck_assert_int_eq(decode(text, n, &wrong), ERR_CORRUPT);
    ck_assert_str_eq(wrong, "copies");
    free(text);
}
END_TEST

START_TEST(lists_and_state_may_be_empty)
{
    checkpoint_manifest m = *testing_checkpoint_manifest(9, 3, part);
    m.parts = m.previous_n = 0;
    m.state_bytes = 0;
    m.job = "";
    size_t n;
    const char *wrong;
    char *text = checkpoint_manifest_encode(&m, &n);
    ck_assert_int_eq(decode(text, n, &wrong), ERR_OK);
    free(text);
}
END_TEST

START_TEST(the_largest_manifest_is_read_again)
{
    checkpoint_manifest m = *testing_checkpoint_manifest(9, 3, part);
    checkpoint_manifest_part *many = xcalloc(CHECKPOINT_SHARDS_MAX, sizeof *many);
    for (uint32_t i = 0; i < CHECKPOINT_SHARDS_MAX; i++)
        many[i] = (checkpoint_manifest_part){i, PART_BYTES_MAX, UINT64_MAX - i};
    char job[CHECKPOINT_TEXT_MAX + 1];
    memset(job, '\n', sizeof job);
    job[CHECKPOINT_TEXT_MAX] = '\0';
    m.job = m.numerics = job;
    m.part = many;
    m.parts = m.shards = CHECKPOINT_SHARDS_MAX;
    m.state = xcalloc(CHECKPOINT_STATE_BYTES_MAX, 1);
    m.state_bytes = CHECKPOINT_STATE_BYTES_MAX;
    size_t n;
    const char *wrong;
    char *text = checkpoint_manifest_encode(&m, &n);
    ck_assert_uint_le(n, CHECKPOINT_MANIFEST_BYTES_MAX);
    ck_assert_int_eq(decode(text, n, &wrong), ERR_OK);
    free(text);
    free(many);
    free((void *)(uintptr_t)m.state);
}
END_TEST

START_TEST(reasons_have_names)
{
    checkpoint_reason back;
    for (uint32_t i = 0; i < CHECKPOINT_REASONS; i++) {
        ck_assert(checkpoint_reason_parse(checkpoint_reason_name((checkpoint_reason)i), &back));
        ck_assert_uint_eq(back, i);
    }
    ck_assert(!checkpoint_reason_parse("", &back));
    ck_assert(!checkpoint_reason_parse("Best", &back));
}
END_TEST

START_TEST(every_flipped_bit_is_detected)
{
    size_t n;
    const char *wrong;
    char *text = small(&n);
    for (size_t bit = 0; bit < n * 8; bit++) {
        text[bit / 8] ^= (char)(1U << bit % 8);
        ck_assert_msg(decode(text, n, &wrong) == ERR_CORRUPT, "bit %zu", bit);
        text[bit / 8] ^= (char)(1U << bit % 8);
    }
    ck_assert_int_eq(decode(text, n, &wrong), ERR_OK);
    free(text);
}
END_TEST

START_TEST(every_truncation_is_detected_sealed_or_not)
{
    size_t n;
    const char *wrong;
    char *text = small(&n);
    for (size_t k = 0; k < n; k++) {
        char *cut = xmalloc(k ? k : 1);
        memcpy(cut, text, k);
        ck_assert_int_eq(decode(cut, k, &wrong), ERR_CORRUPT);
        seal(cut, k);
        ck_assert_int_eq(decode(cut, k, &wrong), ERR_CORRUPT);
        free(cut);
    }
    free(text);
}
END_TEST

/* `from`, which is there, becomes `to`; sealed. */
static void refused(const char *from, const char *to, err_code code, const char *what)
{
    size_t n;
    const char *wrong;
    char *text = small(&n), *at = strstr(text, from);
    ck_assert_msg(at != NULL, "\"%s\" is not in %s", from, text);
    char *lie = xprintf("%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    seal(lie, strlen(lie));
    ck_assert_msg(decode(lie, strlen(lie), &wrong) == code, "%s -> %s", from, to);
    ck_assert_msg(strcmp(wrong, what) == 0, "%s -> %s: %s", from, to, wrong);
    free(lie);
    free(text);
}

START_TEST(another_format_is_a_mismatch)
{
    refused("\"format\": 1", "\"format\": 2", ERR_MISMATCH, "of another format");
    refused("\"format\": 1", "\"format\": \"1\"", ERR_CORRUPT, "format");
}
END_TEST

START_TEST(a_sealed_lie_is_refused_and_the_key_named)
{
    refused("\"job\": ", "\"joc\": ", ERR_CORRUPT, "job");
    refused("\"1234567890abcdef\"", "\"1234567890abcde\"", ERR_CORRUPT, "plan_hash");
    refused("\"1234567890abcdef\"", "\"1234567890abcdeF\"", ERR_CORRUPT, "plan_hash");
    refused("\"numerics\": \"", "\"numerics\": 5, \"x\": \"", ERR_CORRUPT, "numerics");
    refused("\"stage\": \"hgnn\"", "\"stage\": \"gnn\"", ERR_CORRUPT, "stage");
    refused("\"generation\": 3", "\"generation\": -3", ERR_CORRUPT, "generation");
    refused("\"version\": 9", "\"version\": 4294967296", ERR_CORRUPT, "version");
    refused("\"final\": false", "\"final\": 0", ERR_CORRUPT, "final");
    refused("\"epoch\": 1", "\"epoch\": 1.0", ERR_CORRUPT, "epoch");
    refused("\"reason\": \"best\"", "\"reason\": \"luck\"", ERR_CORRUPT, "reason");
    refused("\"shards\": 3", "\"shards\": 0", ERR_CORRUPT, "shards");
    refused("\"shards\": 3", "\"shards\": 4097", ERR_CORRUPT, "shards");
    refused("\"shards\": 3", "\"shards\": 2", ERR_CORRUPT, "parts");
    refused("\"metrics\": 17", "\"metrics\": 9007199254740992", ERR_CORRUPT, "metrics");
    refused("\"previous\": [", "\"previous\": 1, \"x\": [", ERR_CORRUPT, "previous");
    refused("\"previous\": [", "\"previous\": [5,", ERR_CORRUPT, "stage");
    refused("\"shard\": 2", "\"shard\": 1", ERR_CORRUPT, "order of the parts");
    refused("\"shard\": 2", "\"shard\": 3", ERR_CORRUPT, "shard");
    refused("\"bytes\": 100", "\"bytes\": 1073741825", ERR_CORRUPT, "bytes");
    refused("\"hash\": \"0", "\"hash\": \"", ERR_CORRUPT, "hash");
    refused("\"state_hex\": \"00", "\"state_hex\": \"0", ERR_CORRUPT, "state_hex");
    refused("\"state_hex\": \"00", "\"state_hex\": \"0g", ERR_CORRUPT, "state_hex");
}
END_TEST

START_TEST(what_would_be_written_otherwise_is_refused)
{
    refused("\"step\": 9", "\"step\":  9", ERR_CORRUPT, "not as it is written");
    refused("\"step\": 9", "\"step\": 9,\n  \"more\": 1", ERR_CORRUPT, "not as it is written");
    refused("\"step\": 9", "\"step\": 9,\n  \"step\": 9", ERR_CORRUPT, "no JSON object");
    refused("a \\\"job", "\\u0061 \\\"job", ERR_CORRUPT, "not as it is written");
    refused("}\n", "}\n\n", ERR_CORRUPT, "not as it is written");
    refused("{\n  \"checksum\"", "[\n  \"checksum\"", ERR_CORRUPT, "no manifest");
}
END_TEST

START_TEST(texts_lists_and_files_above_their_limits_are_refused)
{
    char *longer = xmalloc(CHECKPOINT_TEXT_MAX + 32);
    memcpy(longer, "\"job\": \"", 8);
    memset(longer + 8, 'x', CHECKPOINT_TEXT_MAX + 1);
    longer[CHECKPOINT_TEXT_MAX + 9] = '\0';
    refused("\"job\": \"", longer, ERR_CORRUPT, "job");
    free(longer);
    char *many = xstrdup("\"previous\": [");
    for (int i = 0; i < CHECKPOINT_PREVIOUS_MAX; i++) {
        char *more = xprintf("%s1,", many);
        free(many);
        many = more;
    }
    refused("\"previous\": [", many, ERR_CORRUPT, "previous");
    free(many);
    const char *wrong;
    char *large = xcalloc(CHECKPOINT_MANIFEST_BYTES_MAX + 1, 1);
    ck_assert_int_eq(decode(large, CHECKPOINT_MANIFEST_BYTES_MAX + 1, &wrong), ERR_CORRUPT);
    ck_assert_str_eq(wrong, "larger than a manifest may be");
    free(large);
    size_t n = 2 * (CHECKPOINT_STATE_BYTES_MAX + 1);
    char *state = xmalloc(n + 32);
    memcpy(state, "\"state_hex\": \"", 14);
    memset(state + 14, '0', n);
    state[n + 14] = '\0';
    refused("\"state_hex\": \"", state, ERR_CORRUPT, "state_hex");
    free(state);
}
END_TEST

static err_code read_it(void)
{
    checkpoint_manifest m;
    const checkpoint_id id = testing_checkpoint_manifest(9, 3, part)->id;
    err_code rc = checkpoint_manifest_read(dir, &id, &m, why);
    ck_assert_int_eq(rc == ERR_OK, why[0] == '\0');
    if (rc != ERR_OK) testing_expect_part(why, file);
    checkpoint_manifest_fini(&m);
    return rc;
}

START_TEST(a_written_manifest_is_read_and_a_failed_write_leaves_the_old_one)
{
    const checkpoint_manifest *m = testing_checkpoint_manifest(9, 3, part);
    ck_assert_int_eq(read_it(), ERR_NOT_FOUND);
    ck_assert_int_eq(checkpoint_manifest_write(dir, m, why), ERR_OK);
    ck_assert_int_eq(read_it(), ERR_OK);
    for (testing_disk_call call = TESTING_DISK_WRITE; call < TESTING_DISK_CALLS; call++) {
        testing_disk_fail(call, 0, EIO);
        ck_assert_int_eq(checkpoint_manifest_write(dir, m, why), ERR_IO);
        ck_assert_int_eq(testing_disk_heal(), 1);
        testing_expect_part(why, file);
        ck_assert_int_eq(read_it(), ERR_OK);
    }
    testing_disk_fail(TESTING_DISK_WRITE, 0, ENOSPC);
    ck_assert_int_eq(checkpoint_manifest_write(dir, m, why), ERR_LIMIT);
    testing_disk_heal();
    ck_assert_int_eq(read_it(), ERR_OK);
}
END_TEST

START_TEST(a_damaged_or_misplaced_manifest_names_its_file)
{
    ck_assert_int_eq(checkpoint_manifest_write(dir, testing_checkpoint_manifest(9, 3, part), why),
                     ERR_OK);
    size_t n;
    char *text = testing_get_text(file, &n);
    text[n / 2] ^= 1;
    testing_put(file, text, n);
    ck_assert_int_eq(read_it(), ERR_CORRUPT);
    text[n / 2] ^= 1;
    char *format = strstr(text, "\"format\": 1");
    format[strlen("\"format\": ")] = '3';
    seal(text, n);
    testing_put(file, text, n);
    ck_assert_int_eq(read_it(), ERR_MISMATCH);
    free(text);
    text = checkpoint_manifest_encode(testing_checkpoint_manifest(8, 3, part), &n);
    testing_put(file, text, n);
    ck_assert_int_eq(read_it(), ERR_CORRUPT);
    testing_expect_part(why, "of another snapshot");
    free(text);
    ck_assert_int_eq(truncate(file, CHECKPOINT_MANIFEST_BYTES_MAX + 1), 0);
    ck_assert_int_eq(read_it(), ERR_CORRUPT);
    ck_assert_int_eq(unlink(file), 0);
    ck_assert_int_eq(mkdir(file, 0777), 0);
    ck_assert_int_eq(read_it(), ERR_CORRUPT);
}
END_TEST

START_TEST(the_list_has_good_damaged_and_incomplete_snapshots)
{
    testing_put_snapshot(dir, 7);
    testing_put_snapshot(dir, 8);
    testing_put_snapshot(dir, 9);
    size_t n;
    char *text = testing_get_text(file, &n);
    testing_put(file, text, n - 1);
    free(text);
    ck_assert_int_eq(unlink("work/checkpoints/hgnn-v8-g3/manifest.json"), 0);
    checkpoint_listed *list;
    ck_assert_int_eq(checkpoint_manifest_list(dir, &list, &n, why), ERR_OK);
    ck_assert_uint_eq(n, 4);
    ck_assert_int_eq(list[0].rc, ERR_CORRUPT);
    testing_expect_part(list[0].why, file);
    ck_assert_int_eq(list[1].rc, ERR_NOT_FOUND);
    ck_assert_int_eq(list[2].rc, ERR_OK);
    ck_assert_str_eq(list[2].why, "");
    ck_assert_uint_eq(list[2].manifest.step, 7);
    ck_assert_int_eq(list[3].rc, ERR_OK);
    ck_assert(list[3].manifest.id.final);
    checkpoint_manifest_list_free(list, n);
    checkpoint_manifest_list_free(NULL, 0);
}
END_TEST

START_TEST(a_folder_that_cannot_be_listed_is_an_error)
{
    checkpoint_listed *list;
    size_t n;
    ck_assert_int_eq(checkpoint_manifest_list(dir, &list, &n, why), ERR_OK);
    ck_assert_uint_eq(n, 0);
    checkpoint_manifest_list_free(list, n);
    testing_put_text("work", "a file\n");
    ck_assert_int_eq(checkpoint_manifest_list(dir, &list, &n, why), ERR_IO);
    ck_assert_ptr_null(list);
}
END_TEST

START_TEST(a_thousand_flipped_bits_in_the_files_are_detected)
{
    testing_put_snapshot(dir, 9);
    size_t n[2];
    const char *const path[2] = {file, "work/checkpoints/hgnn-v9-g3/0002.part"};
    char *bytes[2] = {testing_get_text(path[0], &n[0]), testing_get_text(path[1], &n[1])};
    const checkpoint_id id = testing_checkpoint_manifest(9, 4, part)->id;
    part_id two = testing_part_id(9, 2, 4);
    for (uint32_t i = 0; i < 1000; i++) {
        uint32_t which = i % 2;
        uint64_t bit = rng_below(USE_TEST, i, 0, n[which] * 8);
        bytes[which][bit / 8] ^= (char)(1U << bit % 8);
        testing_put(path[which], bytes[which], n[which]);
        checkpoint_manifest m;
        blob *b;
        err_code rc = which ? checkpoint_files_read(dir, &two, NULL, &b, NULL, why)
                            : checkpoint_manifest_read(dir, &id, &m, why);
        ck_assert_int_eq(rc, ERR_CORRUPT);
        bytes[which][bit / 8] ^= (char)(1U << bit % 8);
    }
    free(bytes[0]);
    free(bytes[1]);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("checkpoint_manifest");
    TCase *c = tcase_create("checkpoint_manifest");
    tcase_add_checked_fixture(c, testing_enter_folder, testing_leave_folder);
    tcase_add_test(c, what_is_encoded_comes_back);
    tcase_add_test(c, two_copies_are_said_and_one_is_not);
    tcase_add_test(c, lists_and_state_may_be_empty);
    tcase_add_test(c, the_largest_manifest_is_read_again);
    tcase_add_test(c, reasons_have_names);
    tcase_add_test(c, every_flipped_bit_is_detected);
    tcase_add_test(c, every_truncation_is_detected_sealed_or_not);
    tcase_add_test(c, another_format_is_a_mismatch);
    tcase_add_test(c, a_sealed_lie_is_refused_and_the_key_named);
    tcase_add_test(c, what_would_be_written_otherwise_is_refused);
    tcase_add_test(c, texts_lists_and_files_above_their_limits_are_refused);
    tcase_add_test(c, a_written_manifest_is_read_and_a_failed_write_leaves_the_old_one);
    tcase_add_test(c, a_damaged_or_misplaced_manifest_names_its_file);
    tcase_add_test(c, the_list_has_good_damaged_and_incomplete_snapshots);
    tcase_add_test(c, a_folder_that_cannot_be_listed_is_an_error);
    tcase_add_test(c, a_thousand_flipped_bits_in_the_files_are_detected);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
