/* Proves: items, users and events are read, numbered, deduplicated and counted as the configuration
 * says, and every error in them names file, line and field or the key to change. */
#include "sampler/catalog.h"

#include "common/f16.h"
#include "common/hash.h"
#include "common/npy.h"
#include "testing_config.h"
#include "testing_files.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static config cfg;

static const char items_text[] = "item_id\titem_type\ttext\tauthor\n"
                                 "m1\tmovie\tHeat\tMann\n"
                                 "b1\tbook\tDune\tHerbert\n"
                                 "m2\tmovie\t\t\n"
                                 "b2\tbook\tEmma\tAusten\n";

static const char events_text[] = "user_id\titem_id\ttimestamp\tweight\tkind\n"
                                  "u2\tm1\t300\t1\tstream\n"
                                  "u1\tb1\t100\t2\tstream\n"
                                  "u2\tm1\t200\t5\tstream\n"
                                  "u2\tm1\t400\t1\tfollow\n"
                                  "u2\tb2\t100\t\tstream\n";

static void setup(void)
{
    testing_enter_folder();
    testing_config_init(&cfg);
    testing_put_text("items.tsv", items_text);
    testing_put_text("interactions.tsv", events_text);
}

static catalog *read_ok(void)
{
    catalog *c;
    ck_assert_int_eq(catalog_read(&cfg, &c), ERR_OK);
    return c;
}

static void expect_error(err_code code, const char *message)
{
    catalog *c;
    testing_capture_start();
    err_code rc = catalog_read(&cfg, &c);
    const char *text = testing_capture_end();
    ck_assert_int_eq(rc, code);
    ck_assert_ptr_null(c);
    testing_expect_part(text, message);
}

static void expect_warning(const catalog *c, const char *part)
{
    for (size_t i = 0; i < c->warnings.n; i++) {
        if (strstr(c->warnings.items[i], part)) return;
    }
    ck_abort_msg("no warning holds \"%s\"", part);
}

START_TEST(items_users_and_events_are_numbered_in_order_of_appearance)
{
    catalog *c = read_ok();
    ck_assert_uint_eq(c->types_n, 2);
    ck_assert_str_eq(c->types[0], "movie");
    ck_assert_str_eq(c->types[1], "book");
    ck_assert_uint_eq(c->type_items[0], 2);
    ck_assert_uint_eq(c->items_n, 4);
    ck_assert_str_eq(catalog_item_id(c, 3), "b2");
    ck_assert_str_eq(catalog_item_text(c, 1), "Dune");
    ck_assert_uint_eq(c->item_type[1], 1);
    ck_assert_uint_eq(c->item_key[3], stable_key("book", "b2"));
    ck_assert_uint_eq(c->users_n, 2);
    ck_assert_uint_eq(c->users_in_file, 0);
    ck_assert_str_eq(catalog_user_id(c, 0), "u2");
    ck_assert_uint_eq(catalog_find_user(c, "u1"), 1);
    ck_assert_uint_eq(catalog_find_item(c, "m2"), 2);
    ck_assert_uint_eq(catalog_find_item(c, "zz"), UINT32_MAX);
    ck_assert_uint_eq(c->empty_texts, 1);
    ck_assert_uint_eq(c->item_attributes_n, 0);
    expect_warning(c, "items: 1 have no text");
    catalog_free(c);
}
END_TEST

START_TEST(events_are_deduplicated_to_the_first_by_time_and_row)
{
    catalog *c = read_ok();
    ck_assert_int_eq(c->order, ORDER_TIME);
    ck_assert_uint_eq(c->rows, 5);
    ck_assert_uint_eq(c->events_n, 4);
    ck_assert_uint_eq(c->duplicates, 1);
    ck_assert_uint_eq(c->pairs, 3);
    ck_assert_uint_eq(c->user_events[0], 0);
    ck_assert_uint_eq(c->user_events[1], 3);
    ck_assert_uint_eq(c->user_events[2], 4);
    static const struct {
        const char *item;
        int64_t time;
        uint64_t row;
        float weight;
        const char *kind;
    } expected[] = {{"b2", 100, 4, 1, "stream"},
                    {"m1", 200, 2, 5, "stream"},
                    {"m1", 400, 3, 1, "follow"},
                    {"b1", 100, 1, 2, "stream"}};
    for (int i = 0; i < 4; i++) {
        const catalog_event *e = &c->events[i];
        ck_assert_str_eq(catalog_item_id(c, e->item), expected[i].item);
        ck_assert_int_eq(e->time, expected[i].time);
        ck_assert_uint_eq(e->row, expected[i].row);
        ck_assert(e->weight == expected[i].weight);
        ck_assert_str_eq(c->kinds[e->kind].name, expected[i].kind);
        ck_assert_uint_eq(e->roles, ROLE_ALL);
    }
    ck_assert_uint_eq(c->kinds_n, 2);
    ck_assert_uint_eq(c->kinds[0].events, 3);
    ck_assert_uint_eq(c->kinds[1].events, 1);
    ck_assert_int_eq(c->time_min, 100);
    ck_assert_int_eq(c->time_max, 400);
    catalog_free(c);
}
END_TEST

START_TEST(a_known_time_is_kept_before_an_unknown_one)
{
    testing_put_text("interactions.tsv", "user_id\titem_id\ttimestamp\n"
                                         "u1\tm1\t0\nu1\tm1\t700\nu1\tb1\t\nu1\tb2\t500.25\n");
    cfg.data.order = ORDER_TIME;
    catalog *c = read_ok();
    ck_assert_uint_eq(c->events_n, 3);
    ck_assert_str_eq(catalog_item_id(c, c->events[0].item), "b2");
    ck_assert_int_eq(c->events[0].time, 500);
    ck_assert_int_eq(c->events[1].time, 700);
    ck_assert_int_eq(c->events[2].time, 0);
    ck_assert_uint_eq(c->missing_times, 1);
    ck_assert_str_eq(c->kinds[0].name, "event");
    ck_assert(c->events[0].weight == 1.0f);
    catalog_free(c);
}
END_TEST

START_TEST(file_order_keeps_the_first_row_and_none_sorts_by_stable_key)
{
    testing_put_text("interactions.tsv", "user_id\titem_id\ttimestamp\tweight\n"
                                         "u1\tm2\t900\t1\nu1\tm1\t500\t1\nu1\tm1\t100\t2\n"
                                         "u1\tb1\t0\t1\n");
    cfg.data.order = ORDER_FILE;
    catalog *c = read_ok();
    ck_assert_uint_eq(c->events_n, 3);
    ck_assert_uint_eq(c->events[0].row, 0);
    ck_assert_uint_eq(c->events[1].row, 1);
    ck_assert_uint_eq(c->events[2].row, 3);
    catalog_free(c);
    cfg.data.order = ORDER_NONE;
    c = read_ok();
    ck_assert_uint_eq(c->events_n, 3);
    for (int i = 1; i < 3; i++) {
        ck_assert_uint_lt(c->item_key[c->events[i - 1].item], c->item_key[c->events[i].item]);
    }
    catalog_free(c);
}
END_TEST

START_TEST(a_missing_time_needs_a_declared_order)
{
    testing_put_text("interactions.tsv", "user_id\titem_id\ttimestamp\nu1\tm1\t5\nu1\tb1\t0\n");
    expect_error(ERR_INVALID, "interactions.tsv:3: 1 of 2 events have no time: set data.order");
    cfg.data.from_data_dir = true;
    catalog *c = read_ok();
    ck_assert_int_eq(c->order, ORDER_NONE);
    expect_warning(c, "data.order none is used");
    catalog_free(c);
    testing_put_text("interactions.tsv", "user_id\titem_id\nu1\tm1\nu1\tb1\n");
    cfg.data.order = ORDER_TIME;
    expect_error(ERR_INVALID, "data.order: time, but no row");
}
END_TEST

START_TEST(unknown_items_are_counted_and_warned_of)
{
    testing_put_text("interactions.tsv", "user_id\titem_id\ttimestamp\n"
                                         "u9\tzz\t5\nu1\tm1\t5\nu1\tyy\t6\n");
    catalog *c = read_ok();
    ck_assert_uint_eq(c->unknown_items, 2);
    ck_assert_uint_eq(c->events_n, 1);
    ck_assert_uint_eq(c->users_n, 1);
    expect_warning(c, "interactions: 2 rows name items that are not in the items file "
                      "(the first: line 2)");
    catalog_free(c);
}
END_TEST

START_TEST(types_outside_data_types_are_left_out)
{
    cfg.data.types = testing_config_list("book", NULL);
    catalog *c = read_ok();
    ck_assert_uint_eq(c->types_n, 1);
    ck_assert_uint_eq(c->items_n, 2);
    ck_assert_uint_eq(c->other_types, 3);
    ck_assert_uint_eq(c->unknown_items, 0);
    ck_assert_uint_eq(c->events_n, 2);
    catalog_free(c);
    cfg.data.types = testing_config_list("book", "podcast", NULL);
    expect_error(ERR_INVALID, "data.types: no item of type `podcast` in items.tsv");
}
END_TEST

/* Of the configuration that is wrong only where the items are known, before the events are read. */
START_TEST(types_that_no_item_has_are_found_with_the_items)
{
    ck_assert_int_eq(unlink("interactions.tsv"), 0);
    cfg.two_tower.targets = testing_config_list("book", "podcast", NULL);
    expect_error(ERR_INVALID,
                 "two_tower.targets: the catalogue has no type `podcast`; there are: ");
    cfg.two_tower.targets = (string_list){0};
    cfg.history.types = testing_config_list("podcast", NULL);
    expect_error(ERR_INVALID, "history.types: the catalogue has no type `podcast`");
}
END_TEST

START_TEST(kinds_have_roles_and_bounds)
{
    testing_config_kind(&cfg, "follow", ROLE_SEEN);
    testing_config_kind(&cfg, "stream", ROLE_GRAPH | ROLE_POSITIVE | ROLE_SEEN);
    cfg.data.kinds[1].has_min_weight = true;
    cfg.data.kinds[1].min_weight = 2;
    catalog *c = read_ok();
    ck_assert_str_eq(c->kinds[0].name, "follow");
    ck_assert_uint_eq(c->kinds[1].events, 3);
    ck_assert_uint_eq(c->events[0].roles, ROLE_SEEN); /* b2, weight 1 */
    ck_assert_uint_eq(c->events[1].roles, ROLE_GRAPH | ROLE_POSITIVE | ROLE_SEEN);
    ck_assert_uint_eq(c->events[2].roles, ROLE_SEEN); /* follow */
    catalog_free(c);
    cfg.data.kinds[1].roles = ROLE_POSITIVE;
    c = read_ok();
    ck_assert_uint_eq(c->light_rows, 2);
    ck_assert_uint_eq(c->events_n, 3);
    catalog_free(c);
}
END_TEST

START_TEST(an_event_below_min_weight_gives_way_to_one_that_reaches_it)
{
    testing_put_text("interactions.tsv", "user_id\titem_id\ttimestamp\tweight\n"
                                         "u1\tm1\t100\t0.1\nu1\tm1\t200\t0.7\nu1\tm1\t300\t9\n");
    testing_config_kind(&cfg, "event", ROLE_ALL);
    cfg.data.kinds[0].has_min_weight = true;
    cfg.data.kinds[0].min_weight = 0.7;
    catalog *c = read_ok();
    ck_assert_uint_eq(c->events_n, 1);
    ck_assert_int_eq(c->events[0].time, 200);
    ck_assert_uint_eq(c->events[0].roles, ROLE_ALL);
    ck_assert_uint_eq(c->duplicates, 2);
    catalog_free(c);
}
END_TEST

START_TEST(ignored_kinds_leave_nothing_and_unlisted_ones_are_errors)
{
    testing_config_kind(&cfg, "stream", ROLE_ALL);
    expect_error(ERR_INVALID, "interactions.tsv:5:5: kind \"follow\" is not in data.kinds");
    cfg.data.skip_bad_rows = true;
    expect_error(ERR_INVALID, "kind \"follow\" is not in data.kinds");
    testing_config_kind(&cfg, "follow", 0);
    testing_config_kind(&cfg, "preview", ROLE_ALL);
    catalog *c = read_ok();
    ck_assert_uint_eq(c->ignored_kinds, 1);
    ck_assert_uint_eq(c->kinds_n, 2);
    ck_assert_str_eq(c->kinds[1].name, "preview");
    expect_warning(c, "kind preview: no events");
    catalog_free(c);
}
END_TEST

static void expect_item_error(const char *rows, const char *message)
{
    char text[8192 + 64];
    snprintf(text, sizeof text, "item_id\titem_type\ttext\n%s", rows);
    testing_put_text("items.tsv", text);
    expect_error(ERR_INVALID, message);
}

START_TEST(bad_items_are_named_by_line_and_field)
{
    expect_item_error("m1\tmovie\tx\nm2\tmovie\ty\nm1\tbook\tz\n",
                      "items.tsv:4:1: item_id \"m1\" is already in line 2");
    expect_item_error("\tmovie\tx\n", "items.tsv:2:1: item_id is empty");
    expect_item_error("m1\tmy type\tx\n", "items.tsv:2:2: item_type \"my type\" is not a name");
    expect_item_error("m1\t\tx\n", "items.tsv:2:2: item_type \"\" is not a name");
    expect_item_error("", "items.tsv: no items");
    char row[400] = "m1\tmovie\tx\n";
    memset(row + 11, 'i', 257);
    strcpy(row + 11 + 257, "\tmovie\tx\n");
    expect_item_error(row, "items.tsv:3:1: item_id is longer than 256 bytes");
    cfg.data.types = testing_config_list("book", NULL);
    expect_item_error("m1\tmovie\tx\nm1\tbook\ty\n", "item_id \"m1\" is already in line 2");
}
END_TEST

START_TEST(more_types_or_kinds_than_the_limit_are_refused)
{
    char text[8192], *p = text;
    for (int i = 0; i <= CONFIG_TYPES_MAX; i++) p += sprintf(p, "i%d\tt%d\tx\n", i, i);
    expect_item_error(text, "items.tsv:66: more than 64 item types");
    testing_put_text("items.tsv", items_text);
    p = text + sprintf(text, "user_id\titem_id\ttimestamp\tkind\n");
    for (int i = 0; i <= CATALOG_KINDS_MAX; i++) p += sprintf(p, "u\tm1\t5\tk%d\n", i);
    testing_put_text("interactions.tsv", text);
    expect_error(ERR_INVALID, "interactions.tsv:66: more than 64 kinds");
}
END_TEST

static void expect_event_error(const char *row, const char *message)
{
    char text[1024];
    snprintf(text, sizeof text, "user_id\titem_id\ttimestamp\tweight\tkind\n%s\n", row);
    testing_put_text("interactions.tsv", text);
    expect_error(ERR_INVALID, message);
}

START_TEST(bad_events_are_named_by_line_and_field)
{
    expect_event_error("\tm1\t5\t1\tk", "interactions.tsv:2:1: user_id \"\" is empty");
    expect_event_error("u\t\t5\t1\tk", "interactions.tsv:2:2: item_id \"\" is empty");
    expect_event_error("u\tm1\t-5\t1\tk", "interactions.tsv:2:3: timestamp \"-5\" is not a time");
    expect_event_error("u\tm1\t2020-01-01\t1\tk", "2:3: timestamp \"2020-01-01\" is not a time");
    expect_event_error("u\tm1\t1577836800000\t1\tk", "is not in unix seconds (milliseconds?)");
    expect_event_error("u\tm1\t5\tnan\tk", "interactions.tsv:2:4: weight \"nan\" is not a finite");
    expect_event_error("u\tm1\t5\t1e99\tk", "2:4: weight \"1e99\" is not a finite");
    expect_event_error("u\tm1\t5\t1x\tk", "2:4: weight \"1x\" is not a finite");
    expect_event_error("u\tm1\t5\t1\ta b", "interactions.tsv:2:5: kind \"a b\" is not a name");
    expect_event_error("", "interactions.tsv: no interactions");
    expect_event_error("u\tzz\t5\t1\tk", "none of 1 rows is an event of an item");
    testing_put_text("interactions.tsv", "user_id\tmovie\nu\tm1\n");
    expect_error(ERR_INVALID, "interactions.tsv:1: no column \"item_id\" "
                              "(data.interactions.columns.item_id); the header has user_id, movie");
    testing_put_text("interactions.tsv", "user_id,item_id\nu,m1\n");
    expect_error(ERR_INVALID,
                 "the header is one column, `user_id,item_id`: columns are separated by "
                 "tabs in a .tsv, by commas in a .csv");
}
END_TEST

START_TEST(bad_rows_are_skipped_and_counted_when_asked)
{
    cfg.data.skip_bad_rows = true;
    testing_put_text("items.tsv",
                     "item_id\titem_type\ttext\nm1\tmovie\tx\nm1\tmovie\ty\n\tmovie\t\n");
    testing_put_text("interactions.tsv",
                     "user_id\titem_id\ttimestamp\nu\tm1\t-1\nu\tm1\nu\tm1\t7\n");
    catalog *c = read_ok();
    ck_assert_uint_eq(c->items_n, 1);
    ck_assert_str_eq(catalog_item_text(c, 0), "x");
    ck_assert_uint_eq(c->bad_rows, 4);
    ck_assert_uint_eq(c->events_n, 1);
    ck_assert_uint_eq(c->events[0].row, 0);
    expect_warning(c, "items: 2 bad rows skipped, the first at 3:1: item_id \"m1\" is already in");
    expect_warning(c, "interactions: 2 bad rows skipped, the first at 2:3: timestamp");
    catalog_free(c);
}
END_TEST

START_TEST(item_attributes_are_sorted_values_with_unknown_first)
{
    cfg.data.items.attributes = testing_config_list("author", NULL);
    catalog *c = read_ok();
    ck_assert_uint_eq(c->item_attributes_n, 1);
    const catalog_attribute *a = &c->item_attributes[0];
    ck_assert_str_eq(a->key, "author");
    ck_assert_uint_eq(string_pool_count(a->values), 4);
    ck_assert_str_eq(string_pool_get(a->values, 0), "");
    ck_assert_str_eq(string_pool_get(a->values, 1), "Austen");
    ck_assert_str_eq(string_pool_get(a->values, 3), "Mann");
    ck_assert_uint_eq(a->index[0], 3);
    ck_assert_uint_eq(a->index[1], 2);
    ck_assert_uint_eq(a->index[2], 0);
    ck_assert_uint_eq(a->index[3], 1);
    catalog_free(c);
    cfg.data.items.max_values = 3;
    c = read_ok();
    ck_assert_uint_eq(c->item_attributes_n, 1);
    catalog_free(c);
    cfg.data.items.max_values = 2;
    c = read_ok();
    ck_assert_uint_eq(c->item_attributes_n, 0);
    expect_warning(c, "items: attribute author has 3 values, more than data.items.max_values (2)");
    catalog_free(c);
    cfg.data.items.attributes = testing_config_list("editor", NULL);
    expect_error(ERR_INVALID, "items.tsv:1: no column \"editor\" (data.items.attributes)");
    cfg.data.items.attributes = testing_config_list("the author", NULL);
    expect_error(ERR_INVALID, "data.items.attributes: \"the author\" is not a name");
}
END_TEST

START_TEST(user_attributes_come_from_key_value_fields)
{
    testing_config_users(&cfg);
    cfg.data.users.max_values = 2;
    testing_put_text("users.tsv",
                     "user_id\tattributes\nu5\tage=24\tzip=1\nu1\tzip=2\nu6\tage=7\tzip=3\n"
                     "u7\t\n");
    catalog *c = read_ok();
    ck_assert_uint_eq(c->users_n, 5); /* u2 comes from the interactions */
    ck_assert_uint_eq(c->users_in_file, 4);
    ck_assert_str_eq(catalog_user_id(c, 4), "u2");
    ck_assert_uint_eq(c->user_attributes_n, 1);
    const catalog_attribute *a = &c->user_attributes[0];
    ck_assert_str_eq(a->key, "age");
    static const uint32_t expected[] = {1, 0, 2, 0, 0};
    ck_assert_mem_eq(a->index, expected, sizeof expected);
    expect_warning(c, "users: attribute zip has 3 values, more than data.users.max_values (2)");
    catalog_free(c);
    cfg.data.users.max_values = 0;
    c = read_ok();
    ck_assert_uint_eq(c->user_attributes_n, 2);
    ck_assert_str_eq(c->user_attributes[1].key, "zip");
    catalog_free(c);
    cfg.data.users.attribute_keys = testing_config_list("zip", NULL);
    c = read_ok();
    ck_assert_uint_eq(c->user_attributes_n, 1);
    ck_assert_str_eq(c->user_attributes[0].key, "zip");
    catalog_free(c);
    cfg.data.users.attribute_keys = testing_config_list("height", NULL);
    expect_error(ERR_INVALID, "data.users.attributes: no column or key \"height\" in users.tsv");
}
END_TEST

START_TEST(user_attributes_come_from_columns)
{
    testing_config_users(&cfg);
    testing_put_text("users.tsv", "user_id\tage\ttaste\nu1\told\tx\nu2\tyoung\ty\nu3\told\tz\n");
    cfg.data.users.attribute_keys = testing_config_list("age", NULL);
    catalog *c = read_ok();
    ck_assert_uint_eq(c->user_attributes_n, 1);
    ck_assert_uint_eq(c->user_attributes[0].index[1], 2);
    catalog_free(c);
    cfg.data.users.attribute_keys = testing_config_list("height", NULL);
    expect_error(ERR_INVALID, "users.tsv:1: no column \"height\" (data.users.attributes)");
}
END_TEST

static void put_vectors(npy_type type, uint64_t rows, uint64_t d, const void *values)
{
    uint64_t shape[2] = {rows, d};
    ck_assert_int_eq(npy_write("v.npy", type, shape, 2, values), ERR_OK);
    cfg.data.users.vector = (char *)"v.npy";
}

START_TEST(user_vectors_are_rows_of_a_npy_file)
{
    testing_config_users(&cfg);
    testing_put_text("users.tsv", "user_id\nu1\nu3\n");
    static const float values[] = {1, 2, 0.5f, -10};
    put_vectors(NPY_F32, 2, 2, values);
    catalog *c = read_ok();
    ck_assert_uint_eq(c->users_n, 3); /* u2 is not in the file: zeros */
    ck_assert_uint_eq(c->user_vector_d, 2);
    static const float expected[] = {1, 2, 0.5f, -10, 0, 0};
    ck_assert_mem_eq(c->user_vectors, expected, sizeof expected);
    uint64_t hash;
    ck_assert_int_eq(catalog_content_hash(&cfg, &hash), ERR_OK);
    ck_assert_uint_eq(hash, c->content_hash);
    catalog_free(c);
    uint16_t halves[4];
    f16_encode(halves, values, 4);
    put_vectors(NPY_F16, 2, 2, halves);
    c = read_ok();
    ck_assert_mem_eq(c->user_vectors, expected, sizeof expected);
    ck_assert_uint_ne(hash, c->content_hash);
    catalog_free(c);
}
END_TEST

START_TEST(user_vectors_of_another_shape_or_kind_are_refused)
{
    testing_config_users(&cfg);
    testing_put_text("users.tsv", "user_id\nu1\nu3\n");
    static const float values[] = {1, 2, 3, 4};
    put_vectors(NPY_F32, 4, 1, values);
    expect_error(ERR_INVALID, "v.npy: 4 rows for the 2 users of users.tsv");
    put_vectors(NPY_I32, 2, 2, values);
    expect_error(ERR_INVALID, "v.npy: user vectors are [users, 1 to 4096] of f32 or f16");
    static const float odd[] = {1, 2, 3, INFINITY};
    put_vectors(NPY_F32, 2, 2, odd);
    expect_error(ERR_INVALID, "v.npy: row 1 holds a value that is not finite");
    cfg.data.users.vector = (char *)"none.npy";
    expect_error(ERR_NOT_FOUND, "none.npy");
}
END_TEST

static void expect_user_error(const char *text, const char *message)
{
    testing_put_text("users.tsv", text);
    expect_error(ERR_INVALID, message);
}

START_TEST(bad_users_are_named_by_line_and_field)
{
    testing_config_users(&cfg);
    expect_user_error("user_id\tattributes\nu1\ta=1\nu1\ta=2\n",
                      "users.tsv:3:1: user_id \"u1\" is already in line 2");
    expect_user_error("user_id\tattributes\n\ta=1\n", "users.tsv:2:1: user_id is empty");
    expect_user_error("user_id\tattributes\nu1\ta=1\tb\n", "users.tsv:2:3: \"b\" is not key=value");
    expect_user_error("user_id\tattributes\nu1\ta b=1\n", "2:2: \"a b=1\" has a key that is not");
    expect_user_error("attributes\tuser_id\na=1\tu1\n",
                      "users.tsv:1: data.users.columns.attributes must be the last column");
    cfg.data.users.attribute_keys = testing_config_list("a", "a", NULL);
    expect_user_error("user_id\tattributes\nu1\ta=1\n",
                      "data.users.attributes: \"a\" is not a name");
}
END_TEST

START_TEST(missing_files_are_not_found)
{
    cfg.data.items.path = (char *)"nowhere.tsv";
    expect_error(ERR_NOT_FOUND, "nowhere.tsv: No such file");
    testing_config_init(&cfg);
    cfg.data.interactions.path = (char *)"nowhere.tsv";
    expect_error(ERR_NOT_FOUND, "nowhere.tsv: No such file");
    testing_config_init(&cfg);
    cfg.data.users.path = (char *)"nowhere.tsv";
    expect_error(ERR_NOT_FOUND, "nowhere.tsv: No such file");
}
END_TEST

START_TEST(columns_that_nothing_uses_are_listed_once)
{
    testing_capture_start();
    catalog *c = read_ok();
    const char *text = testing_capture_end();
    testing_expect_part(text, "columns_ignored file=\"items.tsv\" columns=\"author\"");
    catalog_free(c);
}
END_TEST

START_TEST(the_content_hash_sees_contents_and_not_paths)
{
    uint64_t before, after;
    catalog *c = read_ok();
    ck_assert_int_eq(catalog_content_hash(&cfg, &before), ERR_OK);
    ck_assert_uint_eq(before, c->content_hash);
    catalog_free(c);
    testing_put_text("moved.tsv", items_text);
    cfg.data.items.path = (char *)"moved.tsv";
    ck_assert_int_eq(catalog_content_hash(&cfg, &after), ERR_OK);
    ck_assert_uint_eq(before, after);
    cfg.split.method = SPLIT_FILE;
    cfg.split.file = (char *)"split.tsv";
    testing_put_text("split.tsv", "user_id\titem_id\tpart\n");
    ck_assert_int_eq(catalog_content_hash(&cfg, &after), ERR_OK);
    ck_assert_uint_ne(before, after);
    cfg.split.method = SPLIT_AUTO;
    testing_put_text("interactions.tsv", "user_id\titem_id\ttimestamp\nu\tm1\t5\n");
    ck_assert_int_eq(catalog_content_hash(&cfg, &after), ERR_OK);
    ck_assert_uint_ne(before, after);
    cfg.data.items.path = (char *)"nowhere.tsv";
    testing_capture_start();
    ck_assert_int_eq(catalog_content_hash(&cfg, &after), ERR_NOT_FOUND);
    (void)testing_capture_end();
}
END_TEST

START_TEST(equal_stable_keys_are_found)
{
    uint64_t keys[] = {5, 3, 9, 3, 7};
    size_t pair[2];
    ck_assert(catalog_keys_collide(keys, 5, pair));
    ck_assert_uint_eq(pair[0], 1);
    ck_assert_uint_eq(pair[1], 3);
    ck_assert(!catalog_keys_collide(keys, 3, pair));
}
END_TEST

START_TEST(movielens_csv_loads_through_the_column_map)
{
    testing_put_text("movies.csv", "movieId,title,genres\r\n1,\"American President, The "
                                   "(1995)\",Comedy|Drama\r\n"
                                   "2,\"\"\"Great Performances\"\" Cats (1998)\",Musical\r\n");
    testing_put_text("ratings.csv", "userId,movieId,rating,timestamp\r\n"
                                    "7,2,4.5,964982703\r\n7,1,2.0,964981247\r\n");
    static const char *const sets[] = {"data.items.path=movies.csv",
                                       "data.interactions.path=ratings.csv"};
    config *given;
    ck_assert_int_eq(config_load(WEFT_SOURCE_DIR "/configs/movielens.yaml", sets, 2, &given),
                     ERR_OK);
    cfg = *given;
    cfg.data.items.path = (char *)"movies.csv";
    cfg.data.interactions.path = (char *)"ratings.csv";
    catalog *c = read_ok();
    ck_assert_uint_eq(c->items_n, 2);
    ck_assert_str_eq(c->types[0], "movie");
    ck_assert_str_eq(catalog_item_text(c, 0), "American President, The (1995). Comedy|Drama");
    ck_assert_str_eq(catalog_item_text(c, 1), "\"Great Performances\" Cats (1998). Musical");
    ck_assert_uint_eq(c->events_n, 2);
    ck_assert_int_eq(c->order, ORDER_TIME);
    ck_assert_uint_eq(c->events[0].item, 0);
    ck_assert_uint_eq(c->events[0].roles, ROLE_SEEN); /* rated 2: no positive, but not news */
    ck_assert(c->events[1].weight == 4.5f);
    ck_assert_uint_eq(c->events[1].roles, ROLE_ALL);
    ck_assert_str_eq(c->kinds[0].name, "rating");
    catalog_free(c);
    config_free(given);
}
END_TEST

START_TEST(the_summary_names_types_kinds_and_times)
{
    catalog *c = read_ok();
    FILE *f = fopen("summary.txt", "w");
    catalog_print_summary(c, f);
    fclose(f);
    catalog_free(c);
    char *text = testing_get_text("summary.txt", NULL);
    testing_expect_part(text, "type movie");
    testing_expect_part(text, "kind stream");
    testing_expect_part(text, "(3 user-item pairs, order: time, 1970-01-01 to 1970-01-01)");
    testing_expect_part(text, "duplicates");
    free(text);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("catalog");
    TCase *c = tcase_create("catalog");
    tcase_add_checked_fixture(c, setup, testing_leave_folder);
    tcase_add_test(c, items_users_and_events_are_numbered_in_order_of_appearance);
    tcase_add_test(c, events_are_deduplicated_to_the_first_by_time_and_row);
    tcase_add_test(c, a_known_time_is_kept_before_an_unknown_one);
    tcase_add_test(c, file_order_keeps_the_first_row_and_none_sorts_by_stable_key);
    tcase_add_test(c, a_missing_time_needs_a_declared_order);
    tcase_add_test(c, unknown_items_are_counted_and_warned_of);
    tcase_add_test(c, types_outside_data_types_are_left_out);
    tcase_add_test(c, types_that_no_item_has_are_found_with_the_items);
    tcase_add_test(c, kinds_have_roles_and_bounds);
    tcase_add_test(c, an_event_below_min_weight_gives_way_to_one_that_reaches_it);
    tcase_add_test(c, ignored_kinds_leave_nothing_and_unlisted_ones_are_errors);
    tcase_add_test(c, bad_items_are_named_by_line_and_field);
    tcase_add_test(c, more_types_or_kinds_than_the_limit_are_refused);
    tcase_add_test(c, bad_events_are_named_by_line_and_field);
    tcase_add_test(c, bad_rows_are_skipped_and_counted_when_asked);
    tcase_add_test(c, item_attributes_are_sorted_values_with_unknown_first);
    tcase_add_test(c, user_attributes_come_from_key_value_fields);
    tcase_add_test(c, user_attributes_come_from_columns);
    tcase_add_test(c, user_vectors_are_rows_of_a_npy_file);
    tcase_add_test(c, user_vectors_of_another_shape_or_kind_are_refused);
    tcase_add_test(c, bad_users_are_named_by_line_and_field);
    tcase_add_test(c, missing_files_are_not_found);
    tcase_add_test(c, columns_that_nothing_uses_are_listed_once);
    tcase_add_test(c, the_content_hash_sees_contents_and_not_paths);
    tcase_add_test(c, equal_stable_keys_are_found);
    tcase_add_test(c, movielens_csv_loads_through_the_column_map);
    tcase_add_test(c, the_summary_names_types_kinds_and_times);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
