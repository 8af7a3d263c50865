/* Proves: what `weft describe` says of a small data set is what a person counts by hand. */
#include "deploy/describe.h"

#include "common/files.h"
#include "testing_files.h"

#include <check.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static describe *make(const char *extra)
{
    config *c;
    describe *d;
    char *text = NULL;
    ck_assert_int_gt(asprintf(&text,
                              "data: {items: {path: items.tsv}, interactions: {path: "
                              "interactions.tsv}}\nfeatures: {encoder: hash}\n%s\n",
                              extra),
                     0);
    testing_put_text("job.yaml", text);
    ck_assert_int_eq(config_load("job.yaml", NULL, 0, &c), ERR_OK);
    ck_assert_int_eq(describe_make(c, NULL, &d), ERR_OK);
    config_free(c);
    free(text);
    return d;
}

static bool warns(const describe *d, const char *part)
{
    for (size_t i = 0; i < d->warnings.n; i++) {
        if (strstr(d->warnings.items[i], part)) return true;
    }
    return false;
}

/* Three films and two books; u1 and u2 share m1, m2; u1 alone makes b1 a neighbour of films. */
static void write_small(void)
{
    testing_put_text("items.tsv", "item_id\titem_type\ttext\nm1\tmovie\tOne\nm2\tmovie\tTwo\n"
                                  "m3\tmovie\tThree\nb1\tbook\tFour\nb2\tbook\t\n");
    testing_put_text("interactions.tsv",
                     "user_id\titem_id\ttimestamp\tkind\n"
                     "u1\tm1\t100\tview\nu1\tm2\t100\tview\nu1\tb1\t200\tview\n"
                     "u2\tm1\t100\tview\nu2\tm2\t300\tlike\n"
                     "u3\tm1\t400\tview\nu3\tm3\t400\tview\nu3\tnone\t500\tview\n");
}

static const describe_relation *relation(const describe *d, const char *to, const char *from)
{
    for (uint32_t r = 0; r < d->relations; r++) {
        if (strcmp(d->data->types[d->relation[r].destination], to) == 0 &&
            strcmp(d->data->types[d->relation[r].source], from) == 0) {
            return &d->relation[r];
        }
    }
    ck_abort_msg("no relation %s -> %s", from, to);
    return NULL;
}

static bool near(double a, double b)
{
    return a - b < 1e-9 && b - a < 1e-9;
}

START_TEST(types_users_and_overlap_are_counted)
{
    write_small();
    describe *d = make("split: {method: none}");
    ck_assert_uint_eq(d->data->types_n, 2);
    ck_assert_uint_eq(d->type[0].events, 6);
    ck_assert_uint_eq(d->type[1].events, 1);
    ck_assert_uint_eq(d->type[0].train_users, 3);
    ck_assert_uint_eq(d->type[1].train_users, 1);
    ck_assert_uint_eq(d->type[0].also[1], 1); /* u1 has both */
    ck_assert_uint_eq(d->type[1].also[0], 1);
    ck_assert_uint_eq(d->type[0].untouched, 0);
    ck_assert_uint_eq(d->type[1].untouched, 1); /* b2 */
    ck_assert_uint_eq(d->user_events[0], 2);
    ck_assert_uint_eq(d->user_events[3], 3);
    describe_free(d);
}
END_TEST

START_TEST(edges_are_counted_by_how_many_share_them)
{
    write_small();
    describe *d = make("split: {method: none}");
    /* Films: m1-m2 by two, m1-m3 by one, each seen from both ends. */
    const describe_relation *films = relation(d, "movie", "movie");
    ck_assert(near(films->neighbours, 4.0 / 3) && near(films->kept, 4.0 / 3));
    ck_assert(near(films->users_1, 0.5) && near(films->users_2, 0.5) && near(films->more, 0));
    const describe_relation *books = relation(d, "book", "movie");
    ck_assert(near(books->neighbours, 1.0)); /* b1 has two, b2 none */
    ck_assert(near(books->users_1, 1));
    /* Of 8 + 2 user pairs (m1-m2 by both, m1-m3, b1 with each film), 2 x 3 are one user's alone. */
    ck_assert_msg(near(d->alone, 6.0 / 10), "%g", d->alone);
    describe_free(d);
    d = make("split: {method: none}\ngraph: {min_users: 2}");
    ck_assert(near(relation(d, "movie", "movie")->kept, 2.0 / 3));
    ck_assert(near(relation(d, "book", "movie")->kept, 0));
    describe_free(d);
}
END_TEST

START_TEST(ties_are_of_the_same_user)
{
    write_small();
    describe *d = make("split: {method: none}");
    /* u1: m1 and m2; u3: m1 and m3 (her event of an unknown item is none). */
    ck_assert(near(d->tied, 4.0 / 7));
    ck_assert(near(d->tied_last, 1.0 / 3));
    ck_assert(warns(d, "shares its time"));
    describe_free(d);
}
END_TEST

START_TEST(what_is_odd_is_said)
{
    write_small();
    describe *d = make("split: {method: none}");
    ck_assert(warns(d, "12 % of the interactions name items")); /* 1 of 8 */
    ck_assert(warns(d, "20 % of the items have no text"));
    ck_assert(warns(d, "movie: 0 users to validate on"));
    ck_assert(!warns(d, "max_items_per_user"));
    describe_free(d);
    d = make("split: {method: none}\ngraph: {max_items_per_user: 2}");
    ck_assert(warns(d, "leaves out 1 items"));
    describe_free(d);
}
END_TEST

/* 12 popular films that everybody has, a rare one that goes with the book, and a user who has the
 * book and will see the rare film. */
static void write_cross(void)
{
    FILE *items = fopen("items.tsv", "w"), *events = fopen("interactions.tsv", "w");
    fputs("item_id\titem_type\ttext\nb\tbook\tBook\nrare\tmovie\tRare\n", items);
    for (int i = 0; i < 12; i++) fprintf(items, "m%d\tmovie\tFilm %d\n", i, i);
    fclose(items);
    fputs("user_id\titem_id\ttimestamp\n", events);
    for (int u = 0; u < 30; u++) {
        for (int i = 0; i < 12; i++) fprintf(events, "u%d\tm%d\t%d\n", u, i, 1000 + u * 20 + i);
    }
    for (int u = 0; u < 3; u++) fprintf(events, "r%d\tb\t10\nr%d\trare\t20\n", u, u);
    fputs("x\tb\t100\nx\trare\t5000\n", events);
    fclose(events);
    testing_put_text("split.tsv", "user_id\titem_id\tpart\nx\trare\tvalid\n");
}

START_TEST(items_of_another_type_are_tried_against_popularity)
{
    write_cross();
    describe *d = make("split: {method: file, file: split.tsv}");
    uint32_t movie = catalog_find_type(d->data, "movie"), book = catalog_find_type(d->data, "book");
    ck_assert_uint_eq(d->type[movie].cross_users, 1);
    ck_assert(near(d->type[movie].cross_hr, 1));      /* nothing else goes with the book */
    ck_assert(near(d->type[movie].popularity_hr, 0)); /* 12 films are before it */
    ck_assert_uint_eq(d->type[book].cross_users, 0);
    ck_assert_uint_eq(d->type[movie].valid_users, 1);
    describe_free(d);
}
END_TEST

START_TEST(both_forms_say_the_same)
{
    write_small();
    describe *d = make("split: {method: none}");
    FILE *out = fopen("text", "w");
    ck_assert_int_eq(describe_print(d, false, out), ERR_OK);
    fclose(out);
    out = fopen("json", "w");
    ck_assert_int_eq(describe_print(d, true, out), ERR_OK);
    fclose(out);
    char *text = testing_get_text("text", NULL);
    testing_expect_part(text, "5 items of 2 types, 3 users, 7 events");
    testing_expect_part(text, "own: 60.0 %");
    testing_expect_part(text, "roles (data.kinds is empty: every kind that stands there has all)");
    testing_expect_part(text, "view                         6 graph history positive seen\n");
    testing_expect_part(text, "like                         1 graph history positive seen\n");
    json_t *json = json_load_file("json", JSON_REJECT_DUPLICATES, NULL);
    ck_assert_ptr_nonnull(json);
    ck_assert_uint_eq(json_array_size(json_object_get(json, "types")), 2);
    ck_assert_uint_eq(json_array_size(json_object_get(json, "relations")), 4);
    ck_assert_int_eq(json_integer_value(json_object_get(json, "unknown_items")), 1);
    json_decref(json);
    free(text);
    describe_free(d);
}
END_TEST

START_TEST(data_that_cannot_be_read_is_an_error)
{
    config *c;
    describe *d;
    testing_put_text("job.yaml", "job: x\n");
    ck_assert_int_eq(config_load("job.yaml", NULL, 0, &c), ERR_OK);
    testing_capture_start();
    err_code rc = describe_make(c, NULL, &d);
    testing_expect_part(testing_capture_end(), "data.items.path: is required");
    ck_assert_int_eq(rc, ERR_INVALID);
    ck_assert_ptr_null(d);
    config_free(c);
}
END_TEST

int main(void)
{
    TCase *c = tcase_create("describe");
    tcase_add_checked_fixture(c, testing_enter_folder, testing_leave_folder);
    tcase_add_test(c, types_users_and_overlap_are_counted);
    tcase_add_test(c, edges_are_counted_by_how_many_share_them);
    tcase_add_test(c, ties_are_of_the_same_user);
    tcase_add_test(c, what_is_odd_is_said);
    tcase_add_test(c, items_of_another_type_are_tried_against_popularity);
    tcase_add_test(c, both_forms_say_the_same);
    tcase_add_test(c, data_that_cannot_be_read_is_an_error);
    Suite *s = suite_create("describe");
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
