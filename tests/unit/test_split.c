/* Proves: the cut of each method is the one promised, a held-out pair leaves nothing in train, row
 * order means nothing where order is unknown, and every unsuitable method or split file is refused.
 */
#include "sampler/split.h"

#include "testing_config.h"
#include "testing_files.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static config cfg;
static catalog *data;
static split *s;

static void setup(void)
{
    testing_enter_folder();
    testing_config_init(&cfg);
    char text[4096], *p = text;
    p += sprintf(p, "item_id\titem_type\ttext\n");
    for (int i = 0; i < 40; i++) p += sprintf(p, "m%d\tmovie\tx\n", i);
    for (int i = 0; i < 10; i++) p += sprintf(p, "b%d\tbook\tx\n", i);
    testing_put_text("items.tsv", text);
}

static void teardown(void)
{
    split_free(s);
    catalog_free(data);
    testing_leave_folder();
}

static void put_events(const char *rows)
{
    char text[16384];
    int n = snprintf(text, sizeof text, "user_id\titem_id\ttimestamp\tkind\tweight\n%s", rows);
    ck_assert_int_lt(n, (int)sizeof text);
    testing_put_text("interactions.tsv", text);
}

static void make(void)
{
    split_free(s);
    s = NULL;
    catalog_free(data);
    ck_assert_int_eq(catalog_read(&cfg, &data), ERR_OK);
    ck_assert_int_eq(split_make(&cfg, data, &s), ERR_OK);
}

static void expect_error(err_code code, const char *message)
{
    catalog_free(data);
    ck_assert_int_eq(catalog_read(&cfg, &data), ERR_OK);
    testing_capture_start();
    err_code rc = split_make(&cfg, data, &s);
    const char *text = testing_capture_end();
    ck_assert_int_eq(rc, code);
    ck_assert_ptr_null(s);
    testing_expect_part(text, message);
}

/* The part of the event; "?" when there is no such event. */
static const char *part_of(const char *user, const char *item, const char *kind)
{
    uint32_t u = catalog_find_user(data, user), i = catalog_find_item(data, item);
    if (u == UINT32_MAX || i == UINT32_MAX) return "?";
    for (uint64_t e = data->user_events[u]; e < data->user_events[u + 1]; e++) {
        bool same_kind = !kind || strcmp(data->kinds[data->events[e].kind].name, kind) == 0;
        if (data->events[e].item == i && same_kind) return split_part_name(s->part[e]);
    }
    return "?";
}

/* The listed pairs as "user item part" joined by "; ". */
static const char *listed(void)
{
    static char text[8192];
    char *p = text;
    *p = '\0';
    for (uint64_t i = 0; i < s->pairs_n; i++) {
        p += sprintf(p, "%s%s %s %s", i ? "; " : "", catalog_user_id(data, s->pairs[i].user),
                     catalog_item_id(data, s->pairs[i].item), split_part_name(s->pairs[i].part));
    }
    return text;
}

static bool warned(const char *part)
{
    for (size_t i = 0; i < data->warnings.n; i++) {
        if (strstr(data->warnings.items[i], part)) return true;
    }
    return false;
}

/* n events of one user at times 1000, 1001, ...: items m0, m1, ... */
static void put_line_of_events(int n)
{
    char rows[8192], *p = rows;
    for (int i = 0; i < n; i++) p += sprintf(p, "u\tm%d\t%d\tk\t1\n", i, 1000 + i);
    put_events(rows);
}

START_TEST(time_cuts_the_last_fraction_and_valid_from_the_rest)
{
    put_line_of_events(40);
    make();
    ck_assert_int_eq(s->method, SPLIT_TIME);
    ck_assert_int_eq(s->test_from, 1036);
    ck_assert_int_eq(s->valid_from, 1033); /* 3 of the 36 that are left */
    ck_assert_uint_eq(s->events[SPLIT_TRAIN], 33);
    ck_assert_uint_eq(s->events[SPLIT_VALID], 3);
    ck_assert_uint_eq(s->positives[SPLIT_TEST], 4);
    ck_assert_str_eq(listed(), "u m33 valid; u m34 valid; u m35 valid; "
                               "u m36 test; u m37 test; u m38 test; u m39 test");
    for (uint64_t e = 0; e < data->events_n; e++) {
        int64_t t = data->events[e].time;
        ck_assert_int_eq(s->part[e], t >= 1036   ? SPLIT_TEST
                                     : t >= 1033 ? SPLIT_VALID
                                                 : SPLIT_TRAIN);
    }
}
END_TEST

START_TEST(equal_times_stay_on_one_side)
{
    put_events("u\tm0\t1\tk\t1\nu\tm1\t2\tk\t1\nu\tm2\t3\tk\t1\nu\tm3\t3\tk\t1\n"
               "v\tm0\t4\tk\t1\nv\tm1\t4\tk\t1\nv\tm2\t4\tk\t1\n");
    cfg.split.holdout_fraction = 0.3; /* 2 of 7, but the latest time has 3 */
    make();
    ck_assert_int_eq(s->test_from, 4);
    ck_assert_int_eq(s->valid_from, 3); /* 1 of 4, but the latest time has 2 */
    cfg.split.holdout_fraction = 0.5;   /* 3 of 7, then 2 of 4 */
    make();
    ck_assert_int_eq(s->test_from, 4);
    ck_assert_int_eq(s->valid_from, 3);
}
END_TEST

START_TEST(holdout_days_replace_the_fraction)
{
    char rows[1024], *p = rows;
    for (int i = 0; i < 10; i++) p += sprintf(p, "u\tm%d\t%d\tk\t1\n", i, 86400 * (i + 1));
    put_events(rows);
    cfg.split.holdout_days = 2;
    make();
    ck_assert_uint_eq(s->events[SPLIT_TEST], 2);
    ck_assert_uint_eq(s->events[SPLIT_VALID], 2);
    ck_assert_str_eq(part_of("u", "m7", NULL), "valid");
    ck_assert_str_eq(part_of("u", "m8", NULL), "test");
}
END_TEST

START_TEST(a_held_out_pair_takes_all_its_events_of_every_kind)
{
    /* u tagged m0 long before she listened to it; the listen is in the test window. */
    put_events(
        "u\tm0\t100\ttag\t1\nu\tm1\t200\tlisten\t1\nu\tm1\t210\ttag\t1\nu\tm2\t300\tlisten\t1\n"
        "v\tm0\t100\ttag\t1\nv\tm3\t400\tlisten\t1\nv\tm4\t500\tlisten\t1\n"
        "u\tm5\t600\tlisten\t1\nu\tm5\t150\ttag\t1\nu\tm0\t900\tlisten\t1\n");
    make();
    ck_assert_str_eq(part_of("u", "m0", "listen"), "test");
    ck_assert_str_eq(part_of("u", "m0", "tag"), "test");
    ck_assert_str_eq(part_of("u", "m5", "listen"), "valid");
    ck_assert_str_eq(part_of("u", "m5", "tag"), "valid");
    ck_assert_str_eq(part_of("v", "m0", NULL), "train"); /* another user's own pair */
    ck_assert_str_eq(listed(), "u m5 valid; u m0 test");
}
END_TEST

START_TEST(kinds_that_are_no_positives_are_never_targets_and_never_in_train_after_the_cut)
{
    testing_config_kind(&cfg, "stream", ROLE_ALL);
    testing_config_kind(&cfg, "preview", ROLE_GRAPH | ROLE_HISTORY | ROLE_SEEN);
    put_events("u\tm0\t100\tstream\t1\nu\tm1\t200\tstream\t1\nu\tm2\t300\tstream\t1\n"
               "u\tm3\t400\tstream\t1\nu\tm6\t450\tpreview\t1\nu\tm4\t500\tstream\t1\n"
               "u\tm5\t600\tpreview\t1\nu\tm0\t600\tpreview\t1\nu\tm3\t650\tpreview\t1\n");
    make();
    ck_assert_int_eq(s->test_from, 500);
    ck_assert_int_eq(s->valid_from, 400);
    ck_assert_str_eq(part_of("u", "m5", NULL), "test");
    ck_assert_str_eq(part_of("u", "m6", NULL), "valid");
    ck_assert_str_eq(part_of("u", "m0", "stream"), "train");
    ck_assert_str_eq(part_of("u", "m0", "preview"), "test");
    ck_assert_str_eq(part_of("u", "m3", "stream"), "valid");
    ck_assert_uint_eq(s->positives[SPLIT_TEST], 1);
    ck_assert_uint_eq(s->positives[SPLIT_VALID], 1);
    ck_assert_str_eq(listed(), "u m3 valid; u m6 valid; u m4 test; u m5 test");
    ck_assert(s->pairs[0].positive && !s->pairs[1].positive);
    ck_assert(s->pairs[2].positive && !s->pairs[3].positive);
}
END_TEST

START_TEST(events_below_min_weight_are_no_targets)
{
    testing_config_kind(&cfg, "k", ROLE_ALL);
    cfg.data.kinds[0].has_min_weight = true;
    cfg.data.kinds[0].min_weight = 3.5;
    put_events("u\tm0\t100\tk\t5\nu\tm1\t200\tk\t5\nu\tm2\t300\tk\t5\nu\tm3\t400\tk\t1\n");
    make();
    ck_assert_int_eq(s->test_from, 300);
    ck_assert_uint_eq(s->positives[SPLIT_TEST], 1);
    ck_assert_str_eq(part_of("u", "m3", NULL), "test");
}
END_TEST

START_TEST(an_unknown_time_is_train_unless_its_pair_is_held_out)
{
    cfg.data.order = ORDER_TIME;
    put_events("u\tm0\t0\tlisten\t1\nu\tm9\t0\tlisten\t1\nu\tm1\t100\ttag\t1\nu\tm2\t200\ttag\t1\n"
               "u\tm3\t300\ttag\t1\nu\tm0\t400\ttag\t1\n");
    make();
    ck_assert_str_eq(part_of("u", "m0", "listen"), "test");
    ck_assert_str_eq(part_of("u", "m9", NULL), "train");
}
END_TEST

START_TEST(time_that_leaves_nothing_is_refused)
{
    put_events("u\tm0\t100\tk\t1\nu\tm1\t100\tk\t1\n");
    expect_error(ERR_INVALID, "split.method: time leaves no positive event before the test part");
    put_events("u\tm0\t100\tk\t1\nu\tm1\t200\tk\t1\n");
    expect_error(ERR_INVALID, "split.method: time leaves no positive event before the valid part");
    cfg.split.holdout_days = 3;
    expect_error(ERR_INVALID, "a smaller split.holdout_days");
}
END_TEST

START_TEST(days_without_a_time_split_are_refused)
{
    put_line_of_events(10);
    cfg.data.order = ORDER_NONE; /* auto: random */
    cfg.split.holdout_days = 3;
    expect_error(ERR_INVALID, "split.holdout_days: needs split.method: time, and auto is random");
    cfg.data.order = ORDER_FILE;
    expect_error(ERR_INVALID, "and auto is last");
}
END_TEST

START_TEST(time_without_time_order_and_last_without_order_are_refused)
{
    cfg.data.order = ORDER_NONE;
    put_line_of_events(10);
    cfg.split.method = SPLIT_TIME;
    expect_error(ERR_INVALID, "split.method: time needs data.order: time");
    cfg.split.method = SPLIT_LAST;
    expect_error(ERR_INVALID, "split.method: last needs an order");
    cfg.data.order = ORDER_FILE;
    cfg.split.method = SPLIT_TIME;
    expect_error(ERR_INVALID, "split.method: time needs data.order: time");
}
END_TEST

START_TEST(auto_follows_the_order)
{
    put_line_of_events(10);
    cfg.data.order = ORDER_FILE;
    make();
    ck_assert_int_eq(s->method, SPLIT_LAST);
    cfg.data.order = ORDER_NONE;
    make();
    ck_assert_int_eq(s->method, SPLIT_RANDOM);
    ck_assert_str_eq(split_method_name(s->method), "random");
}
END_TEST

START_TEST(last_takes_each_types_last_by_time_then_row)
{
    cfg.split.method = SPLIT_LAST;
    put_events("u\tm0\t100\tk\t1\nu\tm3\t400\tk\t1\nu\tm1\t400\tk\t1\nu\tb0\t50\tk\t1\n"
               "u\tb1\t60\tk\t1\nu\tm2\t300\tk\t1\nu\tm4\t200\tk\t1\nu\tm5\t210\tk\t1\n"
               "v\tm0\t1\tk\t1\nv\tm1\t2\tk\t1\nv\tm2\t3\tk\t1\nv\tm3\t4\tk\t1\n");
    make();
    /* v has 4 events, below min_events; m1 stands after m3 in the file. */
    ck_assert_str_eq(listed(), "u m3 valid; u m1 test; u b0 valid; u b1 test");
    cfg.split.per_type = false;
    make();
    ck_assert_str_eq(listed(), "u m3 valid; u m1 test");
    cfg.split.min_events = 4; /* v: one test event, and then three are too few */
    make();
    ck_assert_str_eq(listed(), "u m3 valid; u m1 test; v m3 test");
}
END_TEST

START_TEST(last_goes_by_row_for_file_order_and_knows_no_unknown_time)
{
    cfg.split.method = SPLIT_LAST;
    cfg.split.min_events = 1;
    put_events("u\tm0\t900\tk\t1\nu\tm1\t100\tk\t1\nu\tm2\t200\tk\t1\nu\tm3\t0\tk\t1\n");
    cfg.data.order = ORDER_FILE;
    make();
    ck_assert_str_eq(listed(), "u m2 valid; u m3 test");
    cfg.data.order = ORDER_TIME;
    make();
    ck_assert_str_eq(listed(), "u m2 valid; u m0 test");
}
END_TEST

START_TEST(random_takes_a_tenth_at_least_one_and_never_the_last_pair)
{
    char rows[8192], *p = rows;
    for (int i = 0; i < 35; i++) p += sprintf(p, "u\tm%d\t0\tk\t1\n", i);
    for (int i = 0; i < 3; i++) p += sprintf(p, "u\tb%d\t0\tk\t1\n", i);
    p += sprintf(p, "v\tm0\t0\tk\t1\nw\tm0\t0\tk\t1\nw\tb0\t0\tk\t1\n");
    put_events(rows);
    cfg.data.order = ORDER_NONE;
    make();
    /* u: 3 movies and 1 book, then 3 of 32 and 1 of 2; v keeps her only one; w one in all. */
    ck_assert_uint_eq(s->positives[SPLIT_TEST], 3 + 1 + 1);
    ck_assert_uint_eq(s->positives[SPLIT_VALID], 3 + 1);
    ck_assert_str_eq(part_of("v", "m0", NULL), "train");
    cfg.split.per_type = false;
    make(); /* u: 3 of 38, then 3 of 35 */
    ck_assert_uint_eq(s->positives[SPLIT_TEST], 3 + 1);
    ck_assert_uint_eq(s->positives[SPLIT_VALID], 3);
}
END_TEST

static void put_shuffled(unsigned step)
{
    char rows[8192], *p = rows;
    for (unsigned i = 0; i < 60; i++) {
        unsigned j = i * step % 60;
        p += sprintf(p, "u%u\tm%u\t0\tk\t1\n", j % 3, j / 3);
    }
    put_events(rows);
}

START_TEST(random_depends_on_seed_and_ids_not_on_rows)
{
    cfg.data.order = ORDER_NONE;
    cfg.split.holdout_fraction = 0.3;
    put_shuffled(1);
    make();
    bool test[3][20];
    for (int u = 0; u < 3; u++) {
        for (int i = 0; i < 20; i++) {
            char user[16], item[16];
            sprintf(user, "u%d", u);
            sprintf(item, "m%d", i);
            test[u][i] = strcmp(part_of(user, item, NULL), "test") == 0;
        }
    }
    put_shuffled(7);
    make();
    int other_seed_differs = 0, users_differ = 0;
    for (int round = 0; round < 2; round++) {
        for (int u = 0; u < 3; u++) {
            for (int i = 0; i < 20; i++) {
                char user[16], item[16];
                sprintf(user, "u%d", u);
                sprintf(item, "m%d", i);
                bool now = strcmp(part_of(user, item, NULL), "test") == 0;
                if (!round) ck_assert_int_eq(now, test[u][i]);
                other_seed_differs += round && now != test[u][i];
                users_differ += test[u][i] != test[(u + 1) % 3][i];
            }
        }
        cfg.seed = 2;
        make();
    }
    ck_assert_int_gt(other_seed_differs, 0);
    ck_assert_int_gt(users_differ, 0);
}
END_TEST

START_TEST(random_holds_out_pairs_with_every_kind)
{
    cfg.data.order = ORDER_NONE;
    char rows[8192], *p = rows;
    for (int i = 0; i < 20; i++) p += sprintf(p, "u\tm%d\t0\ttag\t1\nu\tm%d\t0\tlisten\t1\n", i, i);
    put_events(rows);
    make();
    ck_assert_uint_eq(s->positives[SPLIT_TEST], 2);
    ck_assert_uint_eq(s->events[SPLIT_TEST], 4);
    for (int i = 0; i < 20; i++) {
        char item[16];
        sprintf(item, "m%d", i);
        ck_assert_str_eq(part_of("u", item, "tag"), part_of("u", item, "listen"));
    }
}
END_TEST

START_TEST(none_keeps_everything_in_train)
{
    put_line_of_events(10);
    cfg.split.method = SPLIT_NONE;
    make();
    ck_assert_uint_eq(s->events[SPLIT_TRAIN], 10);
    ck_assert_uint_eq(s->pairs_n, 0);
    ck_assert_uint_eq(data->warnings.n, 0);
}
END_TEST

START_TEST(an_empty_part_is_warned_of)
{
    put_line_of_events(4);
    cfg.split.method = SPLIT_LAST;
    make();
    ck_assert(warned("split: the test part has no positives (split.method last)"));
    ck_assert(warned("split: the valid part has no positives"));
}
END_TEST

START_TEST(a_written_split_reads_back_as_the_same_split)
{
    put_events(
        "u\tm0\t100\ttag\t1\nu\tm1\t200\tlisten\t1\nu\tm1\t210\ttag\t1\nu\tm2\t300\tlisten\t1\n"
        "v 1\tm0\t100\ttag\t1\nv 1\tm3\t400\tlisten\t1\nv 1\tb4\t500\tlisten\t1\n"
        "u\tm5\t600\tlisten\t1\nu\tm5\t150\ttag\t1\nu\tm0\t900\tlisten\t1\n");
    cfg.split.holdout_fraction = 0.3;
    make();
    ck_assert_int_eq(split_write(s, data, "split.tsv"), ERR_OK);
    char *text = testing_get_text("split.tsv", NULL);
    ck_assert_str_eq(text, "user_id\titem_id\tpart\n"
                           "u\tm0\ttest\nu\tm5\ttest\nv 1\tm3\tvalid\nv 1\tb4\ttest\n");
    free(text);
    uint8_t before[16];
    uint64_t n = data->events_n;
    memcpy(before, s->part, n);
    cfg.split.method = SPLIT_FILE;
    cfg.split.file = (char *)"split.tsv";
    make();
    ck_assert_int_eq(s->method, SPLIT_FILE);
    ck_assert_uint_eq(data->events_n, n);
    ck_assert_mem_eq(s->part, before, n);
    ck_assert_uint_eq(s->pairs_n, 4);
}
END_TEST

START_TEST(a_split_that_cannot_be_written_is_an_io_error)
{
    put_line_of_events(10);
    make();
    testing_capture_start();
    ck_assert_int_eq(split_write(s, data, "no/such/folder/split.tsv"), ERR_IO);
    testing_expect_part(testing_capture_end(), "no/such/folder/split.tsv: No such file");
}
END_TEST

static void expect_file_error(const char *rows, const char *message)
{
    char text[1024];
    snprintf(text, sizeof text, "user_id\titem_id\tpart\n%s", rows);
    testing_put_text("given.tsv", text);
    expect_error(ERR_INVALID, message);
}

START_TEST(a_malformed_split_file_is_named_by_line)
{
    put_line_of_events(10);
    cfg.split.method = SPLIT_FILE;
    expect_error(ERR_INVALID, "split.file: split.method: file needs a path");
    cfg.split.file = (char *)"given.tsv";
    testing_capture_start();
    ck_assert_int_eq(split_make(&cfg, data, &s), ERR_NOT_FOUND);
    testing_expect_part(testing_capture_end(), "given.tsv: No such file");
    expect_file_error("u\tm1\ttest\nu\tm2\ttrain\n",
                      "given.tsv:3:3: part \"train\" is not valid or");
    expect_file_error("u\tm1\ttest\nx\tm2\ttest\n", "given.tsv:3:1: no user \"x\" in the data");
    expect_file_error("u\tzz\ttest\n", "given.tsv:2:2: no item \"zz\" in the data");
    expect_file_error("u\tm1\ttest\nu\tm30\tvalid\n",
                      "given.tsv:3: no event of user \"u\" with item \"m30\" in the data");
    expect_file_error("u\tm1\ttest\nu\tm2\ttest\nu\tm1\tvalid\n",
                      "given.tsv:4: the pair is already in line 2");
    testing_put_text("given.tsv", "user\titem_id\tpart\n");
    expect_error(ERR_INVALID, "given.tsv:1: no column \"user_id\" (split.file)");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("split");
    TCase *c = tcase_create("split");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, time_cuts_the_last_fraction_and_valid_from_the_rest);
    tcase_add_test(c, equal_times_stay_on_one_side);
    tcase_add_test(c, holdout_days_replace_the_fraction);
    tcase_add_test(c, days_without_a_time_split_are_refused);
    tcase_add_test(c, a_held_out_pair_takes_all_its_events_of_every_kind);
    tcase_add_test(c,
                   kinds_that_are_no_positives_are_never_targets_and_never_in_train_after_the_cut);
    tcase_add_test(c, events_below_min_weight_are_no_targets);
    tcase_add_test(c, an_unknown_time_is_train_unless_its_pair_is_held_out);
    tcase_add_test(c, time_that_leaves_nothing_is_refused);
    tcase_add_test(c, time_without_time_order_and_last_without_order_are_refused);
    tcase_add_test(c, auto_follows_the_order);
    tcase_add_test(c, last_takes_each_types_last_by_time_then_row);
    tcase_add_test(c, last_goes_by_row_for_file_order_and_knows_no_unknown_time);
    tcase_add_test(c, random_takes_a_tenth_at_least_one_and_never_the_last_pair);
    tcase_add_test(c, random_depends_on_seed_and_ids_not_on_rows);
    tcase_add_test(c, random_holds_out_pairs_with_every_kind);
    tcase_add_test(c, none_keeps_everything_in_train);
    tcase_add_test(c, an_empty_part_is_warned_of);
    tcase_add_test(c, a_written_split_reads_back_as_the_same_split);
    tcase_add_test(c, a_split_that_cannot_be_written_is_an_io_error);
    tcase_add_test(c, a_malformed_split_file_is_named_by_line);
    suite_add_tcase(suite, c);
    SRunner *r = srunner_create(suite);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
