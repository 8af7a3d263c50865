/* Proves: the metrics beside a snapshot come back as they were, and any damage is found. */
#include "ps/checkpoint_metrics.h"

#include "testing_files.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

enum { METRICS = 5 };

static core_metric list[METRICS];

static void set_up(void)
{
    testing_enter_folder();
    for (uint32_t i = 0; i < METRICS; i++) {
        list[i] = (core_metric){.index = i,
                                .kind = i == 3 ? METRIC_VALID : METRIC_STEP,
                                .stage = STAGE_HGNN,
                                .step = i + 1,
                                .loss = 1.0 / (i + 3),
                                .sums_n = i == 3 ? 4 : 0};
        for (uint32_t k = 0; k < list[i].sums_n; k++) list[i].sums[k] = k + 0.5;
    }
}

START_TEST(they_come_back_from_a_snapshots_folder)
{
    checkpoint_id id = {STAGE_HGNN, 2, 7, false};
    core_metric *back;
    size_t n;
    char why[CHECKPOINT_WHY_MAX];
    ck_assert_int_eq(checkpoint_metrics_read("c", &id, &back, &n, why), ERR_NOT_FOUND);
    ck_assert_int_eq(checkpoint_metrics_write("c", &id, list, METRICS, why), ERR_OK);
    ck_assert_int_eq(checkpoint_metrics_read("c", &id, &back, &n, why), ERR_OK);
    ck_assert_uint_eq(n, METRICS);
    for (size_t i = 0; i < n; i++) ck_assert(memcmp(&back[i], &list[i], sizeof *list) == 0);
    free(back);
}
END_TEST

START_TEST(none_is_a_list_too)
{
    core_metric *back;
    size_t n;
    blob *b = checkpoint_metrics_encode(NULL, 0);
    ck_assert_int_eq(checkpoint_metrics_decode(blob_data(b), blob_size(b), &back, &n), ERR_OK);
    ck_assert_uint_eq(n, 0);
    free(back);
    blob_unref(b);
}
END_TEST

START_TEST(every_flipped_bit_and_every_cut_is_found)
{
    core_metric *back;
    size_t n;
    blob *b = checkpoint_metrics_encode(list, METRICS);
    uint8_t *copy = malloc(blob_size(b));
    for (size_t bit = 0; bit < 8 * blob_size(b); bit++) {
        memcpy(copy, blob_data(b), blob_size(b));
        copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
        ck_assert_int_eq(checkpoint_metrics_decode(copy, blob_size(b), &back, &n), ERR_CORRUPT);
    }
    for (size_t bytes = 0; bytes < blob_size(b); bytes++)
        ck_assert_int_eq(checkpoint_metrics_decode(blob_data(b), bytes, &back, &n), ERR_CORRUPT);
    free(copy);
    blob_unref(b);
}
END_TEST

/* The checksum is right, the rest is not. */
START_TEST(a_list_with_a_hole_is_none)
{
    core_metric *back;
    size_t n;
    list[2].index = 3;
    blob *b = checkpoint_metrics_encode(list, METRICS);
    ck_assert_int_eq(checkpoint_metrics_decode(blob_data(b), blob_size(b), &back, &n), ERR_CORRUPT);
    blob_unref(b);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("checkpoint_metrics");
    TCase *c = tcase_create("checkpoint_metrics");
    tcase_add_checked_fixture(c, set_up, testing_leave_folder);
    tcase_add_test(c, they_come_back_from_a_snapshots_folder);
    tcase_add_test(c, none_is_a_list_too);
    tcase_add_test(c, every_flipped_bit_and_every_cut_is_found);
    tcase_add_test(c, a_list_with_a_hole_is_none);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
