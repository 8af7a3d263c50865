/* The exported files hold what the formats say, and their bytes depend on the input alone. */
#include "deploy/export_files.h"

#include "common/mem.h"
#include "common/npy.h"
#include "common/safetensors.h"
#include "deploy/export_lists.h"
#include "deploy/run_json.h"
#include "deploy/run_stages.h"
#include "sampler/history.h"
#include "testing_export.h"
#include "testing_files.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const names[] = {
    "items.npy",         "items.tsv",           "users.npy",      "users.tsv",
    "seen_indptr.npy",   "item_embeddings.npy", "seen_items.npy", "history_indptr.npy",
    "history_items.npy", "model.safetensors",   "config.yaml",    "metrics.jsonl",
    "split.tsv"};

static testing_export e;

static void setup(void)
{
    testing_enter_folder();
    testing_export_init(&e, "history: {max_items: 7}\n", ORDER_TIME);
}

static void teardown(void)
{
    testing_export_fini(&e);
    testing_leave_folder();
}

START_TEST(the_same_input_gives_the_same_bytes_in_any_folder)
{
    testing_export_write(&e, "a");
    testing_export_write(&e, "b/c");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t n, m;
        char *one = xprintf("a/%s", names[i]), *two = xprintf("b/c/%s", names[i]);
        char *x = testing_get_text(one, &n), *y = testing_get_text(two, &m);
        ck_assert_uint_eq(n, m);
        ck_assert_mem_eq(x, y, n);
        ck_assert_ptr_null(memmem(x, n, e.store, strlen(e.store)));
        free(one);
        free(two);
        free(x);
        free(y);
    }
}
END_TEST

START_TEST(arrays_hold_the_rows_of_the_tables)
{
    npy_array a;
    testing_export_write(&e, "a");
    ck_assert_int_eq(npy_read("a/items.npy", &a), ERR_OK);
    ck_assert_uint_eq(a.shape[0], e.data->items);
    ck_assert_mem_eq(a.data, e.item_vectors, a.values * sizeof(float));
    npy_fini(&a);
    ck_assert_int_eq(npy_read("a/users.npy", &a), ERR_OK);
    ck_assert_uint_eq(a.shape[0], e.data->users);
    ck_assert_mem_eq(a.data, e.user_vectors, a.values * sizeof(float));
    npy_fini(&a);
    ck_assert_int_eq(npy_read("a/item_embeddings.npy", &a), ERR_OK);
    ck_assert_uint_eq(a.shape[1], e.job->hgnn->z_dim);
    ck_assert_mem_eq(a.data, e.z, a.values * sizeof(float));
    npy_fini(&a);
    char *items = testing_get_text("a/items.tsv", NULL),
         *users = testing_get_text("a/users.tsv", NULL);
    ck_assert_ptr_eq(strstr(items, "row\titem_id\titem_type\ttext\n0\ti0\trare\tstory number 0 of "
                                   "rare\n1\ti1\trare\t"),
                     items);
    ck_assert_ptr_eq(strstr(users, "row\tuser_id\thistory\n0\tu0\t7\n"), users);
    free(items);
    free(users);
}
END_TEST

START_TEST(seen_is_train_and_valid_ascending)
{
    const dataset *d = e.data;
    export_lists l;
    uint64_t longer = 0;
    ck_assert_int_eq(export_lists_seen(d, &l), ERR_OK);
    for (uint32_t u = 0; u < d->users; u++) {
        uint8_t wanted[64] = {0}, got[64] = {0};
        for (uint64_t i = d->seen_train.indptr[u]; i < d->seen_train.indptr[u + 1]; i++)
            wanted[d->seen_train.item[i]] = 1;
        for (uint64_t i = d->seen_valid.indptr[u]; i < d->seen_valid.indptr[u + 1]; i++)
            wanted[d->seen_valid.item[i]] = 1;
        for (int64_t i = l.indptr[u]; i < l.indptr[u + 1]; i++) {
            ck_assert(i == l.indptr[u] || l.item[i] > l.item[i - 1]);
            got[l.item[i]] = 1;
        }
        ck_assert_mem_eq(wanted, got, sizeof got);
        longer += d->seen_valid.indptr[u + 1] > d->seen_valid.indptr[u];
    }
    ck_assert_uint_gt(longer, 0);
    export_lists_fini(&l);
}
END_TEST

static int compare(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return x < y ? -1 : x > y;
}

/* What the sampler sends for a user's vector, by the store. */
static void expect_history_of_the_store(const testing_export *t)
{
    const dataset *d = t->data;
    export_lists l;
    history_rule rule;
    node_list nodes = {0};
    store *s;
    bool cut = false;
    history_rule_init(&rule, t->job->config, t->job->manifest);
    ck_assert_int_eq(store_open(t->store, NULL, 0, VERIFY_OPEN, &s), ERR_OK);
    ck_assert_int_eq(export_lists_history(t->job, d, &l), ERR_OK);
    for (uint32_t u = 0; u < d->users; u++) {
        store_user user;
        int32_t wanted[64];
        ck_assert(store_user_get(s, d->user_number[u], &user));
        history_at_end(&nodes, &rule, t->job->manifest, d->user_number[u], &user);
        for (size_t i = 0; i < nodes.n; i++) wanted[i] = (int32_t)d->node_item[nodes.node[i]];
        if (nodes.n) qsort(wanted, nodes.n, sizeof *wanted, compare);
        ck_assert_uint_eq((uint64_t)(l.indptr[u + 1] - l.indptr[u]), nodes.n);
        if (nodes.n) ck_assert_mem_eq(l.item + l.indptr[u], wanted, nodes.n * sizeof *wanted);
        cut = cut || nodes.n < d->history.indptr[u + 1] - d->history.indptr[u];
    }
    ck_assert(cut);
    node_list_fini(&nodes);
    export_lists_fini(&l);
    store_close(s);
}

START_TEST(histories_are_those_of_the_vectors)
{
    expect_history_of_the_store(&e);
}
END_TEST

START_TEST(histories_without_times_are_those_of_the_vectors)
{
    testing_export t;
    testing_export_init(&t, "history: {max_items: 3, types: [movie]}\n", ORDER_NONE);
    ck_assert_int_eq(t.job->manifest->order, ORDER_NONE);
    expect_history_of_the_store(&t);
    testing_export_fini(&t);
}
END_TEST

START_TEST(the_model_file_has_tensors_and_metadata)
{
    safetensors_file *f;
    testing_export_write(&e, "a");
    ck_assert_int_eq(safetensors_open("a/model.safetensors", &f), ERR_OK);
    const safetensors_tensor *t = safetensors_find(f, "two_tower.user.1.w");
    const model_tensor *m = model_spec_find(e.job->two_tower, "two_tower.user.1.w");
    ck_assert_ptr_nonnull(t);
    ck_assert_uint_eq(t->dims, 2);
    ck_assert_uint_eq(t->shape[0], m->rows);
    ck_assert_uint_eq(t->shape[1], m->cols);
    ck_assert_mem_eq(t->data, e.two_tower + m->offset, m->n * sizeof(float));
    t = safetensors_find(f, "hgnn.1.self.movie.b");
    ck_assert_ptr_nonnull(t);
    ck_assert_uint_eq(t->dims, 1);
    ck_assert_ptr_nonnull(safetensors_find(f, "hgnn.2.rel.book.movie.w"));
    ck_assert_ptr_nonnull(safetensors_find(f, "two_tower.attribute.user.country"));
    t = safetensors_find(f, "two_tower.item_id");
    ck_assert_uint_eq(t->shape[0], e.data->items);
    ck_assert_mem_eq(t->data, e.item_id, t->values * sizeof(float));
    ck_assert_uint_eq(safetensors_find(f, "text.mean")->shape[0], e.data->text_dim);
    t = safetensors_find(f, "text.vectors");
    ck_assert_int_eq(t->type, SAFETENSORS_F16);
    ck_assert_uint_eq(t->values, (uint64_t)e.data->items * e.data->text_dim);
    ck_assert_mem_eq(t->data, e.data->text, t->values * sizeof(uint16_t));
    ck_assert_uint_eq(safetensors_count(f), e.job->hgnn->tensors + e.job->two_tower->tensors + 4);
    t = safetensors_find(f, "two_tower.positives");
    ck_assert_uint_eq(t->values, e.data->items);
    for (uint32_t i = 0; i < e.data->items; i++) {
        ck_assert_float_eq(((const float *)t->data)[i], (float)e.data->train_positives[i]);
    }
    ck_assert_str_eq(safetensors_metadata(f, "format"), "weft-model-1");
    ck_assert_str_eq(safetensors_metadata(f, "types"), "[\"rare\", \"movie\", \"book\"]");
    ck_assert_str_eq(safetensors_metadata(f, "numerics"), "numerics");
    ck_assert_uint_eq(strlen(safetensors_metadata(f, "z_id")), 16);
    testing_expect_part(safetensors_metadata(f, "relations"), "[\"book\", \"movie\"]");
    testing_expect_part(
        safetensors_metadata(f, "attributes"),
        "{\"user\": {\"country\": [\"c0\", \"c1\", \"c2\"]}, \"item\": {\"genre\": [\"g0\"");
    testing_expect_part(safetensors_metadata(f, "config"), "two_tower");
    safetensors_close(f);
}
END_TEST

START_TEST(without_z_and_ids_these_files_and_tensors_are_absent)
{
    safetensors_file *f;
    e.in.z = e.in.hgnn = e.in.item_id = NULL;
    testing_export_write(&e, "a");
    ck_assert_int_eq(safetensors_open("a/model.safetensors", &f), ERR_OK);
    ck_assert_ptr_null(safetensors_find(f, "two_tower.item_id"));
    ck_assert_ptr_null(safetensors_find(f, "hgnn.1.self.movie.b"));
    ck_assert_int_ne(access("a/item_embeddings.npy", F_OK), 0);
    safetensors_close(f);
}
END_TEST

START_TEST(the_split_is_listed_by_user_and_part)
{
    testing_export_write(&e, "a");
    char *text = testing_get_text("a/split.tsv", NULL);
    uint64_t lines = 0, valid = 0;
    for (const char *p = text; (p = strchr(p, '\n')) != NULL; p++) lines++;
    for (const char *p = text; (p = strstr(p, "\tvalid\n")) != NULL; p++) valid++;
    ck_assert_uint_eq(lines, e.data->split_lines + 1);
    ck_assert_uint_gt(valid, 0);
    ck_assert_uint_lt(valid, lines);
    const dataset_split_line *first = &e.data->split[0];
    char *head = xprintf("user_id\titem_id\tpart\n%s\t%s\t%s\n",
                         dataset_user_id(e.data, first->user), dataset_item_id(e.data, first->item),
                         first->part == DATASET_VALID ? "valid" : "test");
    ck_assert_ptr_eq(strstr(text, head), text);
    free(head);
    free(text);
}
END_TEST

START_TEST(the_id_of_z_depends_on_weights_and_seed)
{
    uint64_t id = export_z_id(e.job, e.hgnn);
    ck_assert_uint_eq(id, export_z_id(e.job, e.hgnn));
    e.hgnn[3] += 1.0f;
    ck_assert_uint_ne(id, export_z_id(e.job, e.hgnn));
    e.hgnn[3] -= 1.0f;
    e.job->config->seed++;
    ck_assert_uint_ne(id, export_z_id(e.job, e.hgnn));
    e.job->config->seed--;
    e.job->manifest->foundation_id++;
    ck_assert_uint_ne(id, export_z_id(e.job, e.hgnn));
    e.job->manifest->foundation_id--;
    e.job->config->hgnn.fanout_total++; /* Means take all neighbours, a maximum a sample. */
    ck_assert_uint_eq(id, export_z_id(e.job, e.hgnn));
    e.job->config->hgnn.aggregator = AGG_MAX_POOL;
    id = export_z_id(e.job, e.hgnn);
    e.job->config->hgnn.fanout_total--;
    ck_assert_uint_ne(id, export_z_id(e.job, e.hgnn));
}
END_TEST

START_TEST(missing_metrics_are_reported)
{
    out_dir *o;
    e.in.metrics_path = "nowhere";
    ck_assert_int_eq(out_dir_open("a", &o), ERR_OK);
    testing_capture_start();
    err_code rc = export_write(&e.in, o);
    testing_expect_part(testing_capture_end(), "nowhere");
    ck_assert_int_eq(rc, ERR_NOT_FOUND);
    out_dir_close(o);
}
END_TEST

START_TEST(run_json_has_counts_rates_and_events)
{
    json_t *status = json_loads("{\"servers\": [{\"repeats\": 2}, {\"repeats\": 3}], \"counters\": "
                                "{\"leases\": 9}, \"events\": [{\"event\": \"join\"}]}",
                                0, NULL);
    run_json_stage stage[] = {{"prepare", 1.5, 0}, {"hgnn", 2, 100}};
    run_json_input in = {.end_wall_s = 60,
                         .command = "weft train",
                         .numerics = "n",
                         .config = e.job->config,
                         .stage = stage,
                         .stages = 2,
                         .restarts = 1,
                         .status = status};
    in.peak_rss_bytes[WIRE_WORKER] = 12345;
    ck_assert_int_eq(run_json_write(&in, "run.json"), ERR_OK);
    json_t *run = json_load_file("run.json", 0, NULL);
    ck_assert_ptr_nonnull(run);
    ck_assert_str_eq(json_string_value(json_object_get(run, "end")), "1970-01-01T00:01:00Z");
    ck_assert_int_eq(json_integer_value(json_object_get(run, "duplicate_pushes")), 5);
    ck_assert(json_is_null(json_object_get(run, "encoder_cache_hits")));
    const json_t *stages = json_object_get(run, "stages");
    ck_assert(json_is_null(json_object_get(json_array_get(stages, 0), "examples_per_s")));
    ck_assert_int_eq(
        json_integer_value(json_object_get(json_array_get(stages, 1), "examples_per_s")), 100);
    ck_assert_int_eq(
        json_integer_value(json_object_get(json_object_get(run, "peak_rss_bytes"), "worker")),
        12345);
    ck_assert_uint_eq(json_array_size(json_object_get(run, "events")), 1);
    ck_assert_ptr_nonnull(json_object_get(json_object_get(run, "config"), "work_dir"));
    json_decref(run);
    json_decref(status);
}
END_TEST

START_TEST(stages_that_nobody_saw_come_from_their_steps)
{
    run_stages out;
    const run_json_stage seen[] = {{"prepare", 1, 0}, {"hgnn", 5, 7}, {"export", 2, 0}};
    testing_put_text("steps.jsonl", "{\"stage\":\"hgnn\",\"examples\":100,\"seconds\":60}\n"
                                    "{\"stage\":\"hgnn\",\"examples\":100,\"seconds\":2}\n"
                                    "{\"stage\":\"two_tower\",\"examples\":10,\"seconds\":9}\n"
                                    "{\"stage\":\"two_tower\",\"examples\":30,\"seconds\":0.5}\n"
                                    "{\"stage\":\"two_to");
    run_stages_merge(&out, seen, 3, "steps.jsonl");
    ck_assert_uint_eq(out.n, 4);
    ck_assert_str_eq(out.stage[1].stage, "hgnn");
    ck_assert_double_eq(out.stage[1].seconds, 5);
    ck_assert_double_eq(out.stage[1].examples_per_s, 50);
    ck_assert_str_eq(out.stage[2].stage, "two_tower");
    ck_assert_double_eq(out.stage[2].seconds, 0.5);
    ck_assert_double_eq(out.stage[2].examples_per_s, 60);
    ck_assert_str_eq(out.stage[3].stage, "export");
    run_stages_merge(&out, seen, 3, "nowhere");
    ck_assert_uint_eq(out.n, 3);
    ck_assert_double_eq(out.stage[1].examples_per_s, 7);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("export_files");
    TCase *t = tcase_create("export_files");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, the_same_input_gives_the_same_bytes_in_any_folder);
    tcase_add_test(t, arrays_hold_the_rows_of_the_tables);
    tcase_add_test(t, seen_is_train_and_valid_ascending);
    tcase_add_test(t, histories_are_those_of_the_vectors);
    tcase_add_test(t, histories_without_times_are_those_of_the_vectors);
    tcase_add_test(t, the_model_file_has_tensors_and_metadata);
    tcase_add_test(t, without_z_and_ids_these_files_and_tensors_are_absent);
    tcase_add_test(t, the_split_is_listed_by_user_and_part);
    tcase_add_test(t, the_id_of_z_depends_on_weights_and_seed);
    tcase_add_test(t, missing_metrics_are_reported);
    tcase_add_test(t, stages_that_nobody_saw_come_from_their_steps);
    tcase_add_test(t, run_json_has_counts_rates_and_events);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
