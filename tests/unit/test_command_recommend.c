/* Exported folders are read back: lists agree with naive ones, a history's vector with the one that
 * was exported, and folders that are incomplete or mixed are refused. */
#include "deploy/command_recommend.h"

#include "common/mem.h"
#include "common/npy.h"
#include "deploy/command_similar.h"
#include "deploy/result_tables.h"
#include "deploy/user_vector.h"
#include "testing_export.h"
#include "testing_files.h"

#include <check.h>
#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static testing_export e;

static void setup(void)
{
    testing_enter_folder();
    testing_export_init(&e, "two_tower: {dims: [32, 16], item_id: 8}\n", ORDER_TIME);
    testing_export_write(&e, "out");
}

static void teardown(void)
{
    testing_export_fini(&e);
    testing_leave_folder();
}

/* Runs a command with the words, up to NULL; its stdout, owned. */
static char *run(int (*command)(int, char **), int *code, ...)
{
    char *argv[16] = {0};
    int argc = 0;
    va_list words;
    va_start(words, code);
    for (char *w; (w = va_arg(words, char *)) != NULL;) argv[argc++] = w;
    va_end(words);
    fflush(stdout);
    int saved = dup(STDOUT_FILENO);
    ck_assert_ptr_nonnull(freopen("stdout.txt", "w", stdout));
    *code = command(argc, argv);
    fflush(stdout);
    dup2(saved, STDOUT_FILENO);
    close(saved);
    return testing_get_text("stdout.txt", NULL);
}

static json_t *run_json(int (*command)(int, char **), const char *option, const char *value,
                        const char *more, const char *more_value)
{
    int code;
    char *text = run(command, &code, "weft", "--model", "out", "--json", "-k", "100", option, value,
                     more, more_value, NULL);
    ck_assert_int_eq(code, 0);
    json_t *j = json_loads(text, 0, NULL);
    ck_assert_ptr_nonnull(j);
    free(text);
    return j;
}

static void expect_error(const char *part, int wanted, int (*command)(int, char **),
                         const char *option, const char *value)
{
    int code;
    testing_capture_start();
    char *text = run(command, &code, "weft", "--model", "out", option, value, NULL);
    testing_expect_part(testing_capture_end(), part);
    ck_assert_int_eq(code, wanted);
    free(text);
}

static uint32_t row_of(const char *id)
{
    for (uint32_t i = 0; i < e.data->items; i++) {
        if (strcmp(dataset_item_id(e.data, i), id) == 0) return i;
    }
    ck_abort_msg("no item %s", id);
}

static double dot(const float *a, const float *b, uint32_t n)
{
    double sum = 0;
    for (uint32_t k = 0; k < n; k++) sum += (double)a[k] * (double)b[k];
    return sum;
}

/* The list holds exactly the rows not skipped, with their scores, descending. */
static void expect_list(const json_t *list, const float *vectors, const float *query, uint32_t dim,
                        uint32_t ignored, const uint8_t *skip)
{
    uint8_t seen[64] = {0};
    size_t wanted = 0;
    double last = INFINITY;
    for (uint32_t i = 0; i < e.data->items; i++) wanted += !skip[i];
    ck_assert_uint_eq(json_array_size(list), wanted);
    for (size_t i = 0; i < wanted; i++) {
        const json_t *item = json_array_get(list, i);
        uint32_t row = row_of(json_string_value(json_object_get(item, "item_id")));
        double score = json_number_value(json_object_get(item, "score"));
        ck_assert(!skip[row] && !seen[row]++);
        ck_assert_double_eq_tol(score, dot(vectors + (size_t)row * dim, query, dim - ignored),
                                1e-6);
        ck_assert_double_le(score, last);
        ck_assert_int_eq(json_integer_value(json_object_get(item, "rank")), (int)i + 1);
        ck_assert_str_eq(json_string_value(json_object_get(item, "item_type")),
                         e.job->manifest->types.items[e.data->item_type[row]]);
        last = score;
    }
}

START_TEST(a_users_list_has_everything_but_what_the_user_has)
{
    const uint32_t dim = e.job->two_tower->output_dim, user = 4;
    uint8_t skip[64] = {0};
    for (uint64_t i = e.data->seen_train.indptr[user]; i < e.data->seen_train.indptr[user + 1]; i++)
        skip[e.data->seen_train.item[i]] = 1;
    for (uint64_t i = e.data->seen_valid.indptr[user]; i < e.data->seen_valid.indptr[user + 1]; i++)
        skip[e.data->seen_valid.item[i]] = 1;
    json_t *j = run_json(command_recommend, "--user", dataset_user_id(e.data, user), NULL, NULL);
    expect_list(json_object_get(j, "items"), e.item_vectors, e.user_vectors + (size_t)user * dim,
                dim, 0, skip);
    json_decref(j);
}
END_TEST

START_TEST(type_and_k_limit_a_list)
{
    int code;
    uint8_t skip[64] = {0};
    const uint32_t dim = e.job->two_tower->output_dim;
    json_t *j = run_json(command_similar, "--item", "i7", "--type", "book");
    ck_assert_str_eq(json_string_value(json_object_get(j, "space")), "z");
    json_decref(j);
    for (uint32_t i = 0; i < e.data->items; i++)
        skip[i] = e.data->item_type[i] != e.data->item_type[3];
    j = run_json(command_similar, "--item", "i7", "--type", "book");
    expect_list(json_object_get(j, "items"), e.z, e.z + 7 * (size_t)e.job->hgnn->z_dim,
                e.job->hgnn->z_dim, 0, skip);
    json_decref(j);
    memset(skip, 0, sizeof skip);
    skip[7] = 1;
    j = run_json(command_similar, "--item", "i7", "--space", "tower");
    expect_list(json_object_get(j, "items"), e.item_vectors, e.item_vectors + 7 * (size_t)dim, dim,
                1, skip); /* but popularity, the last coordinate */
    json_decref(j);
    char *text =
        run(command_recommend, &code, "weft", "--model", "out", "--user", "u1", "-k", "3", NULL);
    int lines = 0;
    for (const char *p = text; (p = strchr(p, '\n')) != NULL; p++) lines++;
    ck_assert_int_eq(lines, 4);
    ck_assert_ptr_eq(strstr(text, "rank  item"), text);
    free(text);
}
END_TEST

/* Every user's exported vector again, from the exported history. */
static void expect_vectors(const char *dir, const testing_export *t)
{
    const uint32_t dim = t->job->two_tower->output_dim;
    result_folder *r;
    npy_array indptr, item;
    char *path = xprintf("%s/history_indptr.npy", dir);
    ck_assert_int_eq(npy_read(path, &indptr), ERR_OK);
    free(path);
    path = xprintf("%s/history_items.npy", dir);
    ck_assert_int_eq(npy_read(path, &item), ERR_OK);
    free(path);
    ck_assert_int_eq(result_folder_open(dir, &r), ERR_OK);
    float *out = xcalloc(dim, sizeof *out);
    for (uint32_t u = 0; u < r->users; u++) {
        const int64_t *at = (const int64_t *)indptr.data + u;
        const uint32_t *history = (const uint32_t *)item.data + at[0];
        ck_assert_int_eq(user_vector_compute(r, history, (size_t)(at[1] - at[0]), out), ERR_OK);
        for (uint32_t k = 0; k < dim; k++) {
            ck_assert_float_eq_tol(out[k], t->user_vectors[(size_t)u * dim + k], 1e-5f);
        }
    }
    free(out);
    npy_fini(&indptr);
    npy_fini(&item);
    result_folder_close(r);
}

START_TEST(a_users_own_history_gives_the_exported_vector)
{
    expect_vectors("out", &e);
}
END_TEST

START_TEST(so_it_does_with_pools_per_type_and_without_skip_and_ids)
{
    testing_export t;
    testing_export_init(&t,
                        "history: {pool: both, max_items: 5}\n"
                        "two_tower: {dims: [16], item_id: 0, skip: none, attribute_embedding: 3}\n",
                        ORDER_TIME);
    testing_export_write(&t, "other");
    expect_vectors("other", &t);
    testing_export_fini(&t);
}
END_TEST

START_TEST(a_history_is_left_out_of_its_list)
{
    const char *id;
    json_t *j = run_json(command_recommend, "--history", "i3,i5,i3", NULL, NULL), *item;
    size_t i;
    ck_assert_uint_eq(json_array_size(json_object_get(j, "history")), 2);
    ck_assert_uint_eq(json_array_size(json_object_get(j, "items")), e.data->items - 2);
    json_array_foreach(json_object_get(j, "items"), i, item)
    {
        id = json_string_value(json_object_get(item, "item_id"));
        ck_assert(strcmp(id, "i3") != 0 && strcmp(id, "i5") != 0);
    }
    json_decref(j);
}
END_TEST

START_TEST(history_keys_decide_which_items_count)
{
    testing_export t;
    result_folder *r;
    testing_export_init(&t, "history: {types: [movie], max_items: 2}\ntwo_tower: {dims: [16]}\n",
                        ORDER_TIME);
    testing_export_write(&t, "other");
    ck_assert_int_eq(result_folder_open("other", &r), ERR_OK);
    float a[17], b[17];                                         /* popularity is the last */
    const uint32_t longer[] = {3, 4, 5, 6, 7}, used[] = {5, 7}; /* 3 and 6 are books */
    ck_assert_int_eq(user_vector_compute(r, longer, 5, a), ERR_OK);
    ck_assert_int_eq(user_vector_compute(r, used, 2, b), ERR_OK);
    ck_assert_mem_eq(a, b, sizeof a);
    ck_assert_int_eq(user_vector_compute(r, used, 1, b), ERR_OK);
    ck_assert_mem_ne(a, b, sizeof a);
    result_folder_close(r);
    testing_export_fini(&t);
}
END_TEST

START_TEST(text_for_z_needs_what_an_export_lacks)
{
    testing_export t;
    testing_export_init(&t, "two_tower: {use_z: false}\n", ORDER_TIME);
    testing_export_write(&t, "out");
    expect_error("two_tower.use_z: false", 2, command_recommend, "--history", "i3");
    testing_export_fini(&t);
}
END_TEST

START_TEST(unknown_names_are_reported)
{
    expect_error("user \"nobody\"", 1, command_recommend, "--user", "nobody");
    expect_error("item \"i9999\"", 1, command_recommend, "--history", "i3,i9999");
    expect_error("item \"rare/i3\"", 1, command_similar, "--item", "rare/i3");
    expect_error("is of this type; there are rare, movie, book", 1, command_similar, "--item=i3",
                 "--type=song");
}
END_TEST

START_TEST(an_id_of_two_types_wants_its_type)
{
    char *text = testing_get_text("out/items.tsv", NULL);
    char *at = strstr(text, "5\ti5\tmovie");
    ck_assert_ptr_nonnull(at);
    at[3] = '6';
    testing_put_text("out/items.tsv", text);
    free(text);
    expect_error("write TYPE/ID, e.g. movie/i6", 2, command_similar, "--item", "i6");
    json_t *j = run_json(command_similar, "--item", "book/i6", NULL, NULL);
    testing_expect_part(json_string_value(json_object_get(j, "text")), "number 6");
    json_decref(j);
    j = run_json(command_similar, "--item", "movie/i6", NULL, NULL);
    testing_expect_part(json_string_value(json_object_get(j, "text")), "number 5");
    json_decref(j);
}
END_TEST

START_TEST(incomplete_folders_are_refused)
{
    ck_assert_int_eq(unlink("out/run.json"), 0);
    expect_error("not complete", 1, command_recommend, "--user", "u1");
    ck_assert_int_eq(rename("out", "elsewhere"), 0);
    expect_error("no such folder", 1, command_recommend, "--user", "u1");
}
END_TEST

START_TEST(files_of_different_results_are_refused)
{
    const uint64_t shape[] = {3, 16};
    const float values[3 * 16] = {0};
    testing_put_text("out/report.json", "{\"z_id\": \"0000000000000001\"}");
    expect_error("z_id", 2, command_recommend, "--user", "u1");
    ck_assert_int_eq(unlink("out/report.json"), 0);
    ck_assert_int_eq(npy_write("out/users.npy", NPY_F32, shape, 2, values), ERR_OK);
    expect_error("users.npy: does not belong to users.tsv", 2, command_recommend, "--user", "u1");
}
END_TEST

START_TEST(malformed_tables_are_reported_with_the_line)
{
    static const char *const names[] = {"row", "id"};
    const char **column[1];
    char *text;
    uint32_t rows;
    const char *const bad[] = {"row\tid\n0\ta\n2\tb\n", "row\tid\n0\ta\n1\n", "row\tname\n0\ta\n",
                               ""};
    const char *const why[] = {"t.tsv:3: rows", "t.tsv:3: wrong number", "t.tsv:1: not",
                               "t.tsv:1:"};
    for (size_t i = 0; i < 4; i++) {
        testing_put_text("t.tsv", bad[i]);
        testing_capture_start();
        err_code rc = result_tables_read("t.tsv", names, 2, &text, &rows, column);
        testing_expect_part(testing_capture_end(), why[i]);
        ck_assert_int_eq(rc, ERR_INVALID);
    }
    testing_put_text("t.tsv", "row\tid\n0\ta\\tb\\\\n\n1\t\n");
    ck_assert_int_eq(result_tables_read("t.tsv", names, 2, &text, &rows, column), ERR_OK);
    ck_assert_uint_eq(rows, 2);
    ck_assert_str_eq(column[0][0], "a\tb\\n");
    ck_assert_str_eq(column[0][1], "");
    free(column[0]);
    free(text);
}
END_TEST

START_TEST(a_list_for_nobody_is_a_usage_error)
{
    int code;
    free(run(command_recommend, &code, "weft", "--model", "out", NULL));
}
END_TEST

START_TEST(an_unknown_space_is_a_usage_error)
{
    int code;
    free(run(command_similar, &code, "weft", "--model", "out", "--item", "i1", "--space", "y",
             NULL));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("command_recommend");
    TCase *t = tcase_create("command_recommend");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, a_users_list_has_everything_but_what_the_user_has);
    tcase_add_test(t, type_and_k_limit_a_list);
    tcase_add_test(t, a_users_own_history_gives_the_exported_vector);
    tcase_add_test(t, so_it_does_with_pools_per_type_and_without_skip_and_ids);
    tcase_add_test(t, a_history_is_left_out_of_its_list);
    tcase_add_test(t, history_keys_decide_which_items_count);
    tcase_add_test(t, text_for_z_needs_what_an_export_lacks);
    tcase_add_test(t, unknown_names_are_reported);
    tcase_add_test(t, an_id_of_two_types_wants_its_type);
    tcase_add_test(t, incomplete_folders_are_refused);
    tcase_add_test(t, files_of_different_results_are_refused);
    tcase_add_test(t, malformed_tables_are_reported_with_the_line);
    tcase_add_exit_test(t, a_list_for_nobody_is_a_usage_error, 2);
    tcase_add_exit_test(t, an_unknown_space_is_a_usage_error, 2);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
