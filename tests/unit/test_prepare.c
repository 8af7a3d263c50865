/* Proves: a store holds exactly what the input files say, cut and numbered as promised; it is the
 * same for every memory budget and number of threads; it is reused, and never half there. */
#include "sampler/prepare.h"

#include "common/dataset.h"
#include "common/f16.h"
#include "common/hash.h"
#include "common/manifest.h"
#include "common/mem.h"
#include "sampler/catalog.h"
#include "sampler/features.h"
#include "sampler/split.h"
#include "sampler/store.h"
#include "testing_files.h"
#include "testing_prepare.h"

#include <check.h>
#include <dirent.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { USERS = 60, ITEMS = 90, EVENTS = 3000 };

static config *c;
static catalog *data;
static split *parts;
static char *folder;
static store *s;
static dataset *d;
static const manifest *m;

static void setup(void)
{
    testing_enter_folder();
    testing_prepare_write(USERS, ITEMS, EVENTS, 7);
    c = testing_prepare_config("");
}

static void teardown(void)
{
    dataset_close(d);
    store_close(s);
    free(folder);
    split_free(parts);
    catalog_free(data);
    config_free(c);
    testing_leave_folder();
}

static void prepare(void)
{
    folder = testing_prepare_run(c);
    ck_assert_int_eq(catalog_read(c, &data), ERR_OK);
    ck_assert_int_eq(split_make(c, data, &parts), ERR_OK);
    ck_assert_int_eq(store_open(folder, NULL, 0, VERIFY_OPEN, &s), ERR_OK);
    ck_assert_int_eq(dataset_open(folder, &d), ERR_OK);
    m = store_manifest(s);
}

START_TEST(numbers_are_a_permutation_by_type_partition_and_hash)
{
    prepare();
    ck_assert_uint_eq(m->items, data->items_n);
    ck_assert_uint_eq(m->users, data->users_n);
    ck_assert_uint_eq(m->types.n, 3);
    for (uint32_t i = 0; i < data->items_n; i++) {
        uint32_t node = d->item_node[i];
        ck_assert_uint_eq(d->node_item[node], i);
        ck_assert_uint_eq(manifest_type_of(m, node), data->item_type[i]);
        ck_assert_uint_eq(d->item_type[i], data->item_type[i]);
        ck_assert_str_eq(dataset_item_id(d, i), catalog_item_id(data, i));
        ck_assert_str_eq(dataset_item_text(d, i), catalog_item_text(data, i));
    }
    for (uint32_t u = 0; u < data->users_n; u++) {
        ck_assert_uint_eq(d->user_row[d->user_number[u]], u);
        ck_assert_str_eq(dataset_user_id(d, u), catalog_user_id(data, u));
    }
}
END_TEST

START_TEST(item_rows_hold_keys_counts_attributes_and_text)
{
    features *f;
    uint8_t *corpus = xcalloc(ITEMS + 1, 1);

    prepare();
    for (uint32_t i = 0; i < data->items_n; i++) corpus[i] = d->train_any[i] > 0;
    ck_assert_int_eq(features_build(c, data, corpus, NULL, NULL, &f), ERR_OK);
    for (uint32_t i = 0; i < data->items_n; i++) {
        store_item item;
        float row[16];
        ck_assert(store_item_get(s, d->item_node[i], &item));
        ck_assert_uint_eq(item.key, data->item_key[i]);
        ck_assert_uint_eq(item.train_users, d->train_users[i]);
        ck_assert_uint_eq(item.positives, d->train_positives[i]);
        ck_assert_uint_eq(item.attribute[0], data->item_attributes[0].index[i]);
        ck_assert_mem_eq(item.text_f16, f->f16 + (size_t)i * f->dim, f->dim * 2);
        ck_assert_mem_eq(dataset_text(d, i), item.text_f16, f->dim * 2);
        ck_assert(store_text(s, d->item_node[i], row));
        ck_assert(row[3] == f16_to_f32(item.text_f16[3]));
    }
    ck_assert_mem_eq(d->text_mean, f->mean, f->dim * sizeof(float));
    features_free(f);
    free(corpus);
}
END_TEST

/* Whether user u has an event of one of `roles` for `item` in `part`: by looking at all of them. */
static bool has_event(uint32_t u, uint32_t item, uint32_t roles, int part)
{
    for (uint64_t e = data->user_events[u]; e < data->user_events[u + 1]; e++) {
        if (data->events[e].item == item && parts->part[e] == part &&
            (data->events[e].roles & roles) != 0) {
            return true;
        }
    }
    return false;
}

static bool list_has(const dataset_lists *l, uint32_t u, uint32_t item)
{
    uint32_t n = 0;
    for (uint64_t e = l->indptr[u]; e < l->indptr[u + 1]; e++) n += l->item[e] == item;
    ck_assert_uint_le(n, 1);
    return n == 1;
}

START_TEST(lists_of_the_dataset_are_what_events_and_split_say)
{
    uint64_t tests = 0, valids = 0;

    prepare();
    for (uint32_t u = 0; u < data->users_n; u++) {
        for (uint32_t i = 0; i < data->items_n; i++) {
            ck_assert(list_has(&d->seen_train, u, i) == has_event(u, i, ROLE_SEEN, SPLIT_TRAIN));
            ck_assert(list_has(&d->seen_valid, u, i) == has_event(u, i, ROLE_SEEN, SPLIT_VALID));
            ck_assert(list_has(&d->history, u, i) == has_event(u, i, ROLE_HISTORY, SPLIT_TRAIN));
            ck_assert(list_has(&d->positive, u, i) == has_event(u, i, ROLE_POSITIVE, SPLIT_TRAIN));
            ck_assert(list_has(&d->valid, u, i) == has_event(u, i, ROLE_POSITIVE, SPLIT_VALID));
            ck_assert(list_has(&d->test, u, i) == has_event(u, i, ROLE_POSITIVE, SPLIT_TEST));
            tests += list_has(&d->test, u, i);
            valids += list_has(&d->valid, u, i);
        }
        for (uint64_t e = d->history.indptr[u] + 1; e < d->history.indptr[u + 1]; e++) {
            ck_assert_int_le(d->history_time[e - 1], d->history_time[e]);
        }
        for (uint64_t e = d->test.indptr[u] + 1; e < d->test.indptr[u + 1]; e++) {
            ck_assert_uint_lt(d->test.item[e - 1], d->test.item[e]);
        }
    }
    ck_assert_uint_gt(tests, 20);
    ck_assert_uint_gt(valids, 20);
    ck_assert_uint_eq(d->split_lines, parts->pairs_n);
    for (uint64_t i = 0; i < parts->pairs_n; i++) {
        ck_assert_uint_eq(d->split[i].user, parts->pairs[i].user);
        ck_assert_uint_eq(d->split[i].item, parts->pairs[i].item);
        ck_assert_uint_eq(d->split[i].part, parts->pairs[i].part);
    }
}
END_TEST

START_TEST(counts_per_item_and_user_are_those_of_train)
{
    prepare();
    for (uint32_t i = 0; i < data->items_n; i++) {
        uint32_t positives = 0, graph = 0, any = 0;
        for (uint32_t u = 0; u < data->users_n; u++) {
            positives += has_event(u, i, ROLE_POSITIVE, SPLIT_TRAIN);
            graph += has_event(u, i, ROLE_GRAPH, SPLIT_TRAIN);
            any += has_event(u, i, ROLE_ALL, SPLIT_TRAIN);
        }
        ck_assert_uint_eq(d->train_positives[i], positives);
        ck_assert_uint_eq(d->train_users[i], graph);
        ck_assert_uint_eq(d->train_any[i], any);
    }
    for (uint32_t u = 0; u < data->users_n; u++) {
        uint64_t types = 0;
        for (uint64_t e = data->user_events[u]; e < data->user_events[u + 1]; e++) {
            if (parts->part[e] == SPLIT_TRAIN) types |= 1u << data->item_type[data->events[e].item];
        }
        ck_assert_uint_eq(d->user_types[u], types);
    }
}
END_TEST

START_TEST(user_rows_hold_attributes_and_events_in_order)
{
    prepare();
    ck_assert_uint_eq(m->user_attributes, 1);
    ck_assert_str_eq(m->user_attribute[0].key, "country");
    for (uint32_t u = 0; u < data->users_n; u++) {
        store_user row;
        ck_assert(store_user_get(s, d->user_number[u], &row));
        ck_assert_uint_eq(row.key, hash64_string(catalog_user_id(data, u), 0));
        ck_assert_uint_eq(row.attribute[0], data->user_attributes[0].index[u]);
        ck_assert_uint_eq(row.n, data->user_events[u + 1] - data->user_events[u]);
        for (uint32_t e = 0; e < row.n; e++) {
            uint64_t at = data->user_events[u] + e;
            ck_assert_int_eq(row.time[e], data->events[at].time);
            ck_assert_uint_eq(row.node[e], d->item_node[data->events[at].item]);
            ck_assert_uint_eq(row.part[e], parts->part[at]);
            uint8_t before = 0;
            for (uint32_t k = 0; k < e; k++) {
                if (row.node[k] == row.node[e] && row.part[k] == row.part[e]) {
                    before |= data->events[data->user_events[u] + k].roles;
                }
            }
            ck_assert_uint_eq(row.role[e], data->events[at].roles & ~before);
        }
    }
}
END_TEST

START_TEST(users_with_validation_positives_come_first_in_their_partition)
{
    uint32_t all = 0;

    prepare();
    for (uint32_t p = 0; p < m->partitions; p++) {
        for (uint32_t u = m->user_base[p]; u < m->user_base[p + 1]; u++) {
            uint32_t row = d->user_row[u];
            bool valid = d->valid.indptr[row + 1] > d->valid.indptr[row];
            ck_assert(valid == (u - m->user_base[p] < m->valid_users[p]));
        }
        all += m->valid_users[p];
    }
    ck_assert_uint_gt(all, 5);
}
END_TEST

static uint64_t positives_by_hand(uint32_t p, uint64_t cap, const char *type)
{
    uint64_t sum = 0;
    for (uint32_t u = m->user_base[p]; u < m->user_base[p + 1]; u++) {
        uint32_t row = d->user_row[u];
        uint64_t n = 0;
        for (uint64_t e = d->positive.indptr[row]; e < d->positive.indptr[row + 1]; e++) {
            n += type == NULL ||
                 strcmp(m->types.items[d->item_type[d->positive.item[e]]], type) == 0;
        }
        sum += cap > 0 && n > cap ? cap : n;
    }
    return sum;
}

static void expect_positives(const char *sets, uint64_t cap, const char *type)
{
    config *other;
    manifest *copy;
    char *text = manifest_print(m);

    ck_assert_int_eq(config_parse("x", sets, NULL, 0, &other), ERR_OK);
    ck_assert_int_eq(manifest_parse(text, &copy), ERR_OK);
    ck_assert_int_eq(manifest_count_positives(folder, other, copy), ERR_OK);
    for (uint32_t p = 0; p < m->partitions; p++) {
        ck_assert_uint_eq(copy->positives[p], positives_by_hand(p, cap, type));
    }
    manifest_free(copy);
    config_free(other);
    free(text);
}

START_TEST(positives_are_counted_under_cap_and_targets)
{
    prepare();
    expect_positives("two_tower: {positives_per_user: 3}\n", 3, NULL);
    expect_positives("two_tower: {positives_per_user: 1000}\n", 0, NULL);
    expect_positives("two_tower: {positives_per_user: 2, targets: [book]}\n", 2, "book");
    uint64_t all = 0, sum = 0;
    for (uint32_t i = 0; i < d->items; i++) all += d->train_positives[i];
    for (size_t t = 0; t < m->types.n; t++) sum += m->type_positives[t];
    ck_assert_uint_eq(all, sum);
}
END_TEST

START_TEST(an_unknown_target_type_is_named)
{
    config *other;
    manifest *mine;

    prepare();
    ck_assert_int_eq(config_parse("x", "two_tower: {targets: [shoe]}\n", NULL, 0, &other), ERR_OK);
    ck_assert_int_eq(manifest_load(folder, &mine), ERR_OK);
    testing_capture_start();
    err_code rc = manifest_count_positives(folder, other, mine);
    testing_expect_part(testing_capture_end(), "shoe");
    ck_assert_int_eq(rc, ERR_INVALID);
    manifest_free(mine);
    config_free(other);
}
END_TEST

/* Every edge, by its list, its position and the running sum of pair weights. */
static void expect_edges(uint64_t at_least)
{
    uint64_t edges = 0;

    for (uint32_t r = 0; r < m->relations; r++) {
        for (uint32_t p = 0; p < m->partitions; p++) {
            const uint32_t *range = &m->node_base[m->relation[r].destination * m->partitions + p];
            uint64_t index = 0, point = 0;
            for (uint32_t v = range[0]; v < range[1]; v++) {
                store_list l = store_neighbours(s, r, v);
                ck_assert_uint_eq(l.n == 0 ? index : l.first_edge, index);
                for (uint32_t i = 0; i < l.n; i++, index++) {
                    store_edge e;
                    ck_assert(store_edge_at(s, r, p, index, &e));
                    ck_assert(e.destination == v && e.source == l.source[i] && e.index == index);
                    ck_assert(store_edge_at_weight(s, r, p, point, &e));
                    ck_assert(e.destination == v && e.source == l.source[i] && e.index == index);
                    point += l.pair[i];
                    ck_assert(store_edge_at_weight(s, r, p, point - 1, &e));
                    ck_assert_uint_eq(e.index, index);
                    ck_assert(i == 0 || l.source[i - 1] < l.source[i]);
                    ck_assert_uint_eq(manifest_type_of(m, l.source[i]), m->relation[r].source);
                }
            }
            ck_assert_uint_eq(index, m->relation[r].partition_edges[p]);
            ck_assert_uint_eq(point, m->relation[r].partition_pair_weight[p]);
            edges += index;
        }
    }
    ck_assert_uint_gt(edges, at_least);
}

START_TEST(edges_are_found_by_position_and_by_weight)
{
    prepare();
    expect_edges(1000);
}
END_TEST

START_TEST(sections_of_several_blocks_are_one_range)
{
    testing_prepare_write(9000, 16000, 40000, 9);
    c->graph.partitions = 1;
    prepare();
    ck_assert_uint_gt(m->node_base[2] - m->node_base[1], 2 * 4096); /* movies */
    ck_assert_uint_gt(m->users, 4096);
    expect_edges(10000);
    for (uint32_t i = 0; i < data->items_n; i++) {
        store_item item;
        ck_assert(store_item_get(s, d->item_node[i], &item));
        ck_assert_uint_eq(item.key, data->item_key[i]);
        ck_assert_mem_eq(item.text_f16, dataset_text(d, i), 32);
    }
    for (uint32_t u = 0; u < data->users_n; u++) {
        store_user row;
        ck_assert(store_user_get(s, d->user_number[u], &row));
        ck_assert_uint_eq(row.key, d->user_key[u]);
        ck_assert_uint_eq(row.n, data->user_events[u + 1] - data->user_events[u]);
    }
}
END_TEST

static void expect_same_file(const char *a, const char *b, const char *name)
{
    size_t n, k;
    char *path_a = xprintf("%s/%s", a, name), *path_b = xprintf("%s/%s", b, name);
    char *x = testing_get_text(path_a, &n), *y = testing_get_text(path_b, &k);

    ck_assert_uint_eq(n, k);
    ck_assert_mem_eq(x, y, n);
    free(x);
    free(y);
    free(path_a);
    free(path_b);
}

START_TEST(the_store_is_the_same_for_every_budget_and_number_of_threads)
{
    static const struct {
        uint64_t memory;
        uint32_t threads;
    } how[] = {{1 << 10, 1}, {1 << 30, 3}};
    static const char *const files[] = {"manifest.json",   "dataset",         "positives",
                                        "part-0/data.mdb", "part-1/data.mdb", "part-2/data.mdb",
                                        "part-3/data.mdb"};
    folder = testing_prepare_run(c);
    for (size_t i = 0; i < 2; i++) {
        config *other = testing_prepare_config("");
        char work[32];
        snprintf(work, sizeof work, "work%zu", i);
        other->prepare.memory = how[i].memory;
        other->prepare.threads = how[i].threads;
        free(other->work_dir);
        other->work_dir = xstrdup(work);
        char *again = testing_prepare_run(other);
        for (size_t k = 0; k < sizeof files / sizeof *files; k++) {
            expect_same_file(folder, again, files[k]);
        }
        free(again);
        config_free(other);
    }
}
END_TEST

START_TEST(a_complete_store_is_used_again_and_a_damaged_one_is_not)
{
    prepare_stats stats;
    char *again, *path;

    folder = testing_prepare_run(c);
    ck_assert_int_eq(prepare_run(c, NULL, &again, &stats), ERR_OK);
    ck_assert(stats.reused);
    ck_assert_str_eq(folder, again);
    ck_assert_uint_eq(stats.items, ITEMS);
    free(again);
    path = xprintf("%s/part-1/data.mdb", folder);
    testing_put_text(path, "gone");
    ck_assert_int_eq(prepare_run(c, NULL, &again, &stats), ERR_OK);
    ck_assert(!stats.reused);
    ck_assert_int_eq(store_open(again, NULL, 0, VERIFY_OPEN, &s), ERR_OK);
    free(again);
    free(path);
}
END_TEST

START_TEST(other_contents_or_keys_give_another_store)
{
    uint64_t a, b, e;
    config *other = testing_prepare_config("seed: 2\n");

    ck_assert_int_eq(prepare_hash(c, &a), ERR_OK);
    ck_assert_int_eq(prepare_hash(other, &b), ERR_OK);
    testing_prepare_write(USERS, ITEMS, EVENTS, 8);
    ck_assert_int_eq(prepare_hash(c, &e), ERR_OK);
    ck_assert(a != b && a != e && b != e);
    config_free(other);
}
END_TEST

static uint32_t entries_in_store_folder(void)
{
    DIR *dir = opendir("work/store");
    uint32_t n = 0;
    while (dir != NULL && readdir(dir) != NULL) n++;
    if (dir != NULL) closedir(dir);
    return n == 0 ? 0 : n - 2;
}

typedef struct stopper {
    const char *stage;
    atomic_int stop;
} stopper;

static void stop_at(void *context, const char *stage, uint64_t done, uint64_t total)
{
    stopper *st = context;
    ck_assert_uint_le(done, total);
    if (strcmp(stage, st->stage) == 0) atomic_store(&st->stop, 1);
}

START_TEST(stopping_leaves_nothing_behind)
{
    static const char *const stages[] = {"read", "text", "partition", "store", "dataset"};

    for (size_t i = 0; i < sizeof stages / sizeof *stages; i++) {
        stopper st = {.stage = stages[i]};
        progress p = {.report = stop_at, .context = &st, .stop = &st.stop};
        char *none = (char *)c;
        ck_assert_int_eq(prepare_run(c, &p, &none, NULL), ERR_STOPPED);
        ck_assert_ptr_null(none);
        ck_assert_uint_eq(entries_in_store_folder(), 0);
    }
    folder = testing_prepare_run(c);
    ck_assert_uint_eq(entries_in_store_folder(), 1);
}
END_TEST

START_TEST(partial_folders_of_dead_processes_are_removed)
{
    folder = testing_prepare_run(c);
    ck_assert_int_eq(system("rm -rf work/store/*; mkdir -p work/store/.partial-999999999/tmp"), 0);
    free(folder);
    folder = testing_prepare_run(c);
    ck_assert_uint_eq(entries_in_store_folder(), 1);
}
END_TEST

START_TEST(metis_and_unknown_relation_types_are_refused)
{
    static const char *const says[] = {"metis", "shoe"};

    for (size_t i = 0; i < 2; i++) {
        config *other =
            testing_prepare_config(i == 0 ? "" : "graph: {relations: [[movie, shoe]]}\n");
        if (i == 0) other->graph.partitioner = PARTITION_METIS;
        char *none;
        testing_capture_start();
        err_code rc = prepare_run(other, NULL, &none, NULL);
        testing_expect_part(testing_capture_end(), says[i]);
        ck_assert_int_eq(rc, ERR_INVALID);
        ck_assert_uint_eq(entries_in_store_folder(), 0);
        config_free(other);
    }
}
END_TEST

START_TEST(relations_can_be_restricted)
{
    config_free(c);
    c = testing_prepare_config("graph: {relations: [[book, movie], [movie, movie]]}\n");
    prepare();
    ck_assert_uint_eq(m->relations, 2);
    for (uint32_t r = 0; r < 2; r++) {
        ck_assert_str_eq(m->types.items[m->relation[r].destination], "movie");
        ck_assert_uint_gt(m->relation[r].edges, 0);
    }
}
END_TEST

static json_int_t number_at(const json_t *root, const char *object, const char *key)
{
    const json_t *v = object == NULL ? root : json_object_get(root, object);
    ck_assert(json_is_integer(json_object_get(v, key)));
    return json_integer_value(json_object_get(v, key));
}

START_TEST(the_report_says_what_was_read_and_which_relations_are_empty)
{
    prepare();
    json_t *root = json_loads(m->data_json, JSON_REJECT_DUPLICATES, NULL);
    ck_assert_ptr_nonnull(root);
    ck_assert_int_eq(number_at(root, "items", "rare"), 2);
    ck_assert_int_eq(number_at(root, NULL, "users"), data->users_n);
    ck_assert_int_eq(number_at(root, "events", "listen") + number_at(root, "events", "preview"),
                     (json_int_t)data->events_n);
    ck_assert_int_eq(number_at(root, NULL, "duplicates") + (json_int_t)data->events_n, EVENTS);
    ck_assert_int_eq(number_at(root, "split", "train") + number_at(root, "split", "valid") +
                         number_at(root, "split", "test"),
                     (json_int_t)data->events_n);
    ck_assert_str_eq(json_string_value(json_object_get(root, "order")), "time");
    const json_t *relations = json_object_get(root, "relations");
    ck_assert_uint_eq(json_array_size(relations), 9);
    for (uint32_t r = 0; r < 9; r++) {
        ck_assert_int_eq(number_at(json_array_get(relations, r), NULL, "edges"),
                         (json_int_t)m->relation[r].edges);
    }
    json_decref(root);
}
END_TEST

START_TEST(relations_without_edges_are_named)
{
    testing_put_text("interactions.tsv", "user_id\titem_id\ttimestamp\tkind\n"
                                         "u1\ti0\t1\tlisten\nu1\ti4\t2\tlisten\n"
                                         "u2\ti4\t3\tlisten\nu2\ti5\t4\tlisten\n");
    c->split.method = SPLIT_NONE;
    prepare();
    testing_expect_part(m->data_json, "graph: relations without edges: rare -> rare, ");
    testing_expect_part(m->data_json, "book -> book");
    ck_assert_ptr_null(strstr(m->data_json, "rare -> movie"));
    ck_assert_ptr_null(strstr(m->data_json, "movie -> movie"));
}
END_TEST

START_TEST(int8_rows_are_exact_in_the_dataset)
{
    config_free(c);
    c = testing_prepare_config("");
    c->features.storage = STORAGE_INT8;
    prepare();
    ck_assert_int_eq(m->storage, STORAGE_INT8);
    for (uint32_t i = 0; i < d->items; i++) {
        float row[16], half[16];
        ck_assert(store_text(s, d->item_node[i], row));
        f16_decode(half, dataset_text(d, i), 16);
        for (uint32_t k = 0; k < 16; k++) ck_assert(row[k] == half[k]);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("prepare");
    TCase *t = tcase_create("prepare");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, numbers_are_a_permutation_by_type_partition_and_hash);
    tcase_add_test(t, item_rows_hold_keys_counts_attributes_and_text);
    tcase_add_test(t, lists_of_the_dataset_are_what_events_and_split_say);
    tcase_add_test(t, counts_per_item_and_user_are_those_of_train);
    tcase_add_test(t, user_rows_hold_attributes_and_events_in_order);
    tcase_add_test(t, users_with_validation_positives_come_first_in_their_partition);
    tcase_add_test(t, positives_are_counted_under_cap_and_targets);
    tcase_add_test(t, an_unknown_target_type_is_named);
    tcase_add_test(t, edges_are_found_by_position_and_by_weight);
    tcase_add_test(t, sections_of_several_blocks_are_one_range);
    tcase_add_test(t, the_store_is_the_same_for_every_budget_and_number_of_threads);
    tcase_add_test(t, a_complete_store_is_used_again_and_a_damaged_one_is_not);
    tcase_add_test(t, other_contents_or_keys_give_another_store);
    tcase_add_test(t, stopping_leaves_nothing_behind);
    tcase_add_test(t, partial_folders_of_dead_processes_are_removed);
    tcase_add_test(t, metis_and_unknown_relation_types_are_refused);
    tcase_add_test(t, relations_can_be_restricted);
    tcase_add_test(t, the_report_says_what_was_read_and_which_relations_are_empty);
    tcase_add_test(t, relations_without_edges_are_named);
    tcase_add_test(t, int8_rows_are_exact_in_the_dataset);
    suite_add_tcase(suite, t);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
