/* Proves: a generated catalogue has the counts that were asked for, is the same bytes for the same
 * options, loads without a complaint, and holds what the baselines live on. */
#include "deploy/synth.h"

#include "deploy/command_synth.h"
#include "sampler/split.h"
#include "testing_config.h"
#include "testing_files.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const synth_options small = {
    .users = 300, .items = 400, .types = 3, .interactions = 6000, .seed = 7};

static synth_counts write_ok(const synth_options *o, const char *dir)
{
    synth_counts n;
    ck_assert_int_eq(synth_write(o, dir, &n), ERR_OK);
    return n;
}

static catalog *read_folder(config *c, const char *dir)
{
    static char items[64], users[64], interactions[64];
    testing_config_init(c);
    snprintf(items, sizeof items, "%s/items.tsv", dir);
    snprintf(users, sizeof users, "%s/users.tsv", dir);
    snprintf(interactions, sizeof interactions, "%s/interactions.tsv", dir);
    c->data.items.path = items;
    c->data.users.path = users;
    c->data.interactions.path = interactions;
    catalog *d;
    ck_assert_int_eq(catalog_read(c, &d), ERR_OK);
    return d;
}

START_TEST(a_generated_catalogue_loads_with_the_counts_asked_for)
{
    synth_counts n = write_ok(&small, "a/b");
    config c;
    catalog *d = read_folder(&c, "a/b");
    ck_assert_uint_eq(d->items_n, 400);
    ck_assert_uint_eq(d->users_n, 300);
    ck_assert_uint_eq(d->users_in_file, 300);
    ck_assert_uint_eq(d->types_n, 3);
    ck_assert_str_eq(d->types[0], "audiobook");
    for (uint32_t t = 0; t < 3; t++) ck_assert_uint_eq(d->type_items[t], n.type_items[t]);
    ck_assert_uint_eq(d->rows, 6000);
    ck_assert_uint_eq(n.streams + n.follows, 6000);
    ck_assert_uint_gt(n.follows, 0);
    ck_assert_uint_eq(d->events_n + d->duplicates, 6000);
    ck_assert_uint_lt(d->duplicates, 300);
    ck_assert_uint_eq(d->unknown_items + d->bad_rows + d->missing_times + d->empty_texts, 0);
    ck_assert_int_eq(d->order, ORDER_TIME);
    ck_assert_int_ge(d->time_min, SYNTH_START);
    ck_assert_int_le(d->time_max, SYNTH_START + SYNTH_DAYS * 86400);
    ck_assert_int_gt(d->time_max - d->time_min, 150 * 86400);
    ck_assert_uint_eq(d->user_attributes_n, 2);
    ck_assert_str_eq(d->user_attributes[0].key, "age_band");
    ck_assert_uint_eq(d->warnings.n, 0);
    split *s;
    ck_assert_int_eq(split_make(&c, d, &s), ERR_OK);
    ck_assert_int_eq(s->method, SPLIT_TIME);
    split_free(s);
    catalog_free(d);
}
END_TEST

START_TEST(some_items_are_never_touched_and_types_differ_in_density)
{
    synth_options o = small;
    o.items = 2000;
    o.interactions = 40000;
    synth_counts n = write_ok(&o, "a");
    config c;
    catalog *d = read_folder(&c, "a");
    uint32_t untouched = 0, most = 0, *count = calloc(d->items_n, sizeof *count);
    for (uint64_t e = 0; e < d->events_n; e++) {
        uint32_t now = ++count[d->events[e].item];
        if (now > most) most = now;
    }
    for (uint32_t i = 0; i < d->items_n; i++) untouched += !count[i];
    free(count);
    ck_assert_uint_ge(untouched, n.untouched_items);
    ck_assert_uint_gt(n.untouched_items, 2000 * 2 / 100);
    ck_assert_uint_lt(n.untouched_items, 2000 * 6 / 100);
    ck_assert_uint_gt(most, 5 * 40000 / 2000); /* a head of popular items */
    double density[3];
    for (int t = 0; t < 3; t++) density[t] = (double)n.type_events[t] / n.type_items[t];
    ck_assert(density[0] > 1.5 * density[1]);
    ck_assert(density[0] > 1.5 * density[2]);
    catalog_free(d);
}
END_TEST

static void expect_same(const char *a, const char *b, const char *name, bool same)
{
    char path[64];
    size_t na, nb;
    snprintf(path, sizeof path, "%s/%s", a, name);
    char *x = testing_get_text(path, &na);
    snprintf(path, sizeof path, "%s/%s", b, name);
    char *y = testing_get_text(path, &nb);
    ck_assert_int_eq(na == nb && memcmp(x, y, na) == 0, same);
    free(x);
    free(y);
}

START_TEST(the_same_options_give_the_same_bytes_and_another_seed_others)
{
    synth_options o = small;
    write_ok(&o, "a");
    write_ok(&o, "b");
    o.seed = 8;
    write_ok(&o, "c");
    static const char *const names[] = {"items.tsv", "users.tsv", "interactions.tsv"};
    for (int i = 0; i < 3; i++) {
        expect_same("a", "b", names[i], true);
        expect_same("a", "c", names[i], false);
    }
}
END_TEST

START_TEST(files_of_somebody_are_not_replaced_and_its_own_may_be_there)
{
    synth_counts n;
    synth_options o = small;
    write_ok(&o, "mine");
    write_ok(&o, "same");
    write_ok(&o, "same"); /* again: the same bytes */
    o.seed = 8;
    ck_assert_int_eq(synth_write(&o, "same", &n), ERR_INVALID);
    expect_same("mine", "same", "items.tsv", true);
    ck_assert_int_ne(access("same/items.tsv.partial", F_OK), 0);
    ck_assert_int_eq(unlink("same/items.tsv"), 0);
    ck_assert_int_eq(unlink("same/interactions.tsv"), 0);
    ck_assert_int_eq(synth_write(&o, "same", &n), ERR_INVALID); /* users.tsv is there */
    ck_assert_int_ne(access("same/items.tsv", F_OK), 0);
}
END_TEST

START_TEST(texts_are_sentences_of_words)
{
    write_ok(&small, "a");
    char *text = testing_get_text("a/items.tsv", NULL);
    testing_expect_part(text, "item_id\titem_type\ttext\naudiobook-1\taudiobook\t");
    testing_expect_part(text, " audiobook about ");
    testing_expect_part(text, ": an ancient history ");
    testing_expect_part(text, "\npodcast-2\tpodcast\t");
    testing_expect_part(text, " album");
    free(text);
}
END_TEST

/* Share of events whose user had a streamed item of the same genre before: what text-kNN lives on.
 */
START_TEST(users_come_back_to_their_genres)
{
    write_ok(&small, "a");
    config c;
    catalog *d = read_folder(&c, "a");
    static const char *const genres[] = {"gothic mystery", "space opera", "cooking", "football"};
    uint64_t again = 0, events = 0, of_genre = 0, all = 0;
    for (int g = 0; g < 4; g++) {
        for (uint32_t u = 0; u < d->users_n; u++) {
            uint64_t had = 0;
            for (uint64_t e = d->user_events[u]; e < d->user_events[u + 1]; e++) {
                bool is = strstr(catalog_item_text(d, d->events[e].item), genres[g]) != NULL;
                again += is && had >= 3;
                events += had >= 3;
                of_genre += is;
                all++;
                had += is;
            }
        }
    }
    ck_assert(again * all > 2 * of_genre * events);
    catalog_free(d);
}
END_TEST

START_TEST(tiny_and_crowded_catalogues_are_written_in_full)
{
    synth_options o = {.users = 5, .items = 3, .types = 3, .interactions = 200, .seed = 1};
    synth_counts n = write_ok(&o, "a");
    ck_assert_uint_eq(n.streams + n.follows, 200);
    o = (synth_options){.users = 500, .items = 12, .types = 12, .interactions = 20, .seed = 1};
    n = write_ok(&o, "b");
    ck_assert_uint_eq(n.streams + n.follows, 20);
    for (int t = 0; t < 12; t++) ck_assert_uint_eq(n.type_items[t], 1);
    config c;
    catalog *d = read_folder(&c, "b");
    ck_assert_uint_eq(d->users_n, 500);
    ck_assert_uint_eq(d->types_n, 12);
    catalog_free(d);
}
END_TEST

static void expect_error(synth_options o, err_code code, const char *dir, const char *message)
{
    synth_counts n;
    testing_capture_start();
    err_code rc = synth_write(&o, dir, &n);
    const char *text = testing_capture_end();
    ck_assert_int_eq(rc, code);
    testing_expect_part(text, message);
}

START_TEST(options_out_of_bounds_and_bad_folders_are_refused)
{
    synth_options o = small;
    o.types = 13;
    expect_error(o, ERR_INVALID, "a", "--types: 13 is not between 1 and 12");
    o.types = 0;
    expect_error(o, ERR_INVALID, "a", "--types: 0 is not between 1 and 12");
    o = small;
    o.items = 2;
    expect_error(o, ERR_INVALID, "a", "--items: 2 is not between --types (3) and");
    o = small;
    o.users = 0;
    expect_error(o, ERR_INVALID, "a", "--users: 0 is not between 1 and");
    o = small;
    o.interactions = 0;
    expect_error(o, ERR_INVALID, "a", "--interactions: there must be at least one");
    testing_put_text("file", "x");
    expect_error(small, ERR_IO, "file/a", "file");
}
END_TEST

static int run(const char *const *args)
{
    char *argv[16], text[16][32];
    int argc = 0;
    for (; args[argc]; argc++) {
        snprintf(text[argc], sizeof text[argc], "%s", args[argc]);
        argv[argc] = text[argc];
    }
    argv[argc] = NULL;
    return command_synth(argc, argv);
}

START_TEST(the_command_writes_the_files_and_prints_json)
{
    static const char *const args[] = {
        "weft synth",     "--users", "20",    "--items", "30",     "--types", "2",
        "--interactions", "100",     "--out", "a",       "--json", NULL};
    fflush(stdout);
    int saved = dup(1);
    ck_assert_ptr_nonnull(freopen("out.json", "wb", stdout));
    int code = run(args);
    fflush(stdout);
    dup2(saved, 1);
    ck_assert_int_eq(code, 0);
    char *text = testing_get_text("out.json", NULL);
    testing_expect_part(text, "{\"out\": \"a\", \"users\": 20, \"items\": {\"audiobook\": ");
    testing_expect_part(text, "\"events\": {\"stream\": ");
    free(text);
    struct stat st;
    ck_assert_int_eq(stat("a/interactions.tsv", &st), 0);
    static const char *const bad[] = {"weft synth", "--types", "40", "--out", "a", NULL};
    testing_capture_start();
    ck_assert_int_eq(run(bad), 2);
    testing_expect_part(testing_capture_end(), "--types: 40");
}
END_TEST

START_TEST(a_number_that_is_none_is_a_usage_error)
{
    static const char *const args[] = {"weft synth", "--users", "12x", "--out", "a", NULL};
    exit(run(args));
}
END_TEST

START_TEST(a_missing_out_is_a_usage_error)
{
    static const char *const args[] = {"weft synth", "--users", "12", NULL};
    exit(run(args));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("synth");
    TCase *c = tcase_create("synth");
    tcase_add_checked_fixture(c, testing_enter_folder, testing_leave_folder);
    tcase_add_test(c, a_generated_catalogue_loads_with_the_counts_asked_for);
    tcase_add_test(c, some_items_are_never_touched_and_types_differ_in_density);
    tcase_add_test(c, the_same_options_give_the_same_bytes_and_another_seed_others);
    tcase_add_test(c, files_of_somebody_are_not_replaced_and_its_own_may_be_there);
    tcase_add_test(c, texts_are_sentences_of_words);
    tcase_add_test(c, users_come_back_to_their_genres);
    tcase_add_test(c, tiny_and_crowded_catalogues_are_written_in_full);
    tcase_add_test(c, options_out_of_bounds_and_bad_folders_are_refused);
    tcase_add_test(c, the_command_writes_the_files_and_prints_json);
    suite_add_tcase(s, c);
    TCase *usage = tcase_create("usage");
    tcase_add_exit_test(usage, a_number_that_is_none_is_a_usage_error, 2);
    tcase_add_exit_test(usage, a_missing_out_is_a_usage_error, 2);
    suite_add_tcase(s, usage);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
