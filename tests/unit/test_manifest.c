/* Proves: a manifest comes back from its text as it was, every malformed one is refused with the
 * key named, and the plan hash follows plan keys and contents. */
#include "common/manifest.h"

#include "common/mem.h"
#include "testing_files.h"
#include "testing_prepare.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static config *c;
static char *folder, *text;
static manifest *m;

static void setup(void)
{
    testing_enter_folder();
    testing_prepare_write(20, 30, 600, 3);
    c = testing_prepare_config("");
    folder = testing_prepare_run(c);
    ck_assert_int_eq(manifest_load(folder, &m), ERR_OK);
    text = manifest_print(m);
}

static void teardown(void)
{
    free(text);
    free(folder);
    manifest_free(m);
    config_free(c);
    testing_leave_folder();
}

START_TEST(printing_and_parsing_give_the_same_manifest)
{
    manifest *again;

    ck_assert_int_eq(manifest_parse(text, &again), ERR_OK);
    char *other = manifest_print(again);
    ck_assert_str_eq(text, other);
    ck_assert_uint_eq(again->content_hash, m->content_hash);
    ck_assert_uint_eq(again->partition_hash[3], m->partition_hash[3]);
    ck_assert_str_eq(again->data_json, m->data_json);
    ck_assert_str_eq(again->item_attribute[0].values.items[0], "g0");
    ck_assert_int_eq(again->order, ORDER_TIME);
    free(other);
    manifest_free(again);
}
END_TEST

/* A copy of the text with `from` replaced by `to`. */
static char *replaced(const char *from, const char *to)
{
    char *at = strstr(text, from);
    ck_assert_msg(at != NULL, "%s is not in the manifest", from);
    return xprintf("%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
}

static void expect_refused(const char *from, const char *to, const char *named)
{
    manifest *none;
    char *bad = replaced(from, to);

    testing_capture_start();
    err_code rc = manifest_parse(bad, &none);
    testing_expect_part(testing_capture_end(), named);
    ck_assert_int_eq(rc, ERR_CORRUPT);
    ck_assert_ptr_null(none);
    free(bad);
}

START_TEST(malformed_manifests_are_refused_by_name)
{
    expect_refused("\"format\":1", "\"format\":2", "format");
    expect_refused("\"partitions\":4", "\"partitions\":0", "partitions");
    expect_refused("\"partitions\":4", "\"partitions\":5", "node_base");
    expect_refused("\"partitions\":4", "\"partitions\":99999999", "partitions");
    expect_refused("\"types\":[", "\"types\":[1,", "types");
    expect_refused("\"items\":30", "\"items\":31", "node_base");
    expect_refused("\"users\":", "\"users\":-", "users");
    expect_refused("\"node_base\":[0", "\"node_base\":[1", "node_base");
    expect_refused("\"user_base\":[0", "\"user_base\":[0,0", "user_base");
    expect_refused("\"source\":1", "\"source\":77", "relations");
    expect_refused("\"edges\":", "\"edges\":1", "relations");
    expect_refused("\"partition_edges\":[", "\"partition_edges\":[\"x\",", "partition_edges");
    expect_refused("\"storage\":\"f16\"", "\"storage\":\"f17\"", "storage");
    expect_refused("\"order\":\"time\"", "\"order\":7", "order");
    expect_refused("\"valid_users\":[", "\"valid_users\":[99,", "valid_users");
    expect_refused("\"content_hash\":\"", "\"content_hash\":\"x", "content_hash");
    expect_refused("\"data\":", "\"date\":", "data");
    expect_refused("{", "[", "manifest");
    expect_refused("\"as_of\"", "\"format\":1,\"as_of\"", "format");
}
END_TEST

START_TEST(every_shortened_text_is_refused)
{
    size_t n = strlen(text);

    testing_capture_start();
    for (size_t k = 0; k < n; k += 37) {
        manifest *none;
        char *cut = xstrndup(text, k);
        ck_assert_int_eq(manifest_parse(cut, &none), ERR_CORRUPT);
        free(cut);
    }
    testing_capture_end();
}
END_TEST

START_TEST(a_missing_manifest_is_not_found)
{
    manifest *none;
    testing_capture_start();
    err_code rc = manifest_load("nowhere", &none);
    testing_expect_part(testing_capture_end(), "nowhere/manifest.json");
    ck_assert_int_eq(rc, ERR_NOT_FOUND);
}
END_TEST

START_TEST(damaged_positives_are_refused)
{
    size_t n;
    char *path = xprintf("%s/positives", folder), *data = testing_get_text(path, &n);

    data[n - 1] ^= 1;
    testing_put(path, data, n);
    testing_capture_start();
    err_code rc = manifest_count_positives(folder, c, m);
    testing_expect_part(testing_capture_end(), "positives");
    ck_assert_int_eq(rc, ERR_CORRUPT);
    free(data);
    free(path);
}
END_TEST

static void expect_check(const char *keys, const char *message)
{
    config *other;
    ck_assert_int_eq(config_parse("x", keys, NULL, 0, &other), ERR_OK);
    testing_capture_start();
    err_code rc = manifest_check_config(m, other);
    const char *said = testing_capture_end();
    ck_assert_int_eq(rc, message == NULL ? ERR_OK : ERR_INVALID);
    if (message != NULL) testing_expect_part(said, message);
    config_free(other);
}

/* Nothing of a plan is left aside in silence. */
START_TEST(names_and_windows_must_suit_the_catalogue)
{
    expect_check("history: {types: [book], window_days: 3}\ntwo_tower: {targets: [movie]}", NULL);
    expect_check("history: {types: [book, shoe]}",
                 "x:1:18: history.types: the catalogue has no type `shoe`; there are: ");
    expect_check("two_tower: {targets: [shoe]}",
                 "x:1:22: two_tower.targets: the catalogue has no type `shoe`");
    expect_check("graph: {relations: [[book, shoe]]}", "x:1:20: graph.relations: the catalogue ");
    order_kind order = m->order;
    m->order = ORDER_NONE;
    expect_check("history: {window_days: 3}",
                 "history.window_days: needs times, but data.order is none");
    expect_check("history: {max_items: 3}", NULL);
    m->order = order;
}
END_TEST

START_TEST(types_and_partitions_of_every_node_are_those_of_its_range)
{
    for (uint32_t t = 0; t < m->types.n; t++) {
        for (uint32_t p = 0; p < m->partitions; p++) {
            const uint32_t *range = &m->node_base[t * m->partitions + p];
            for (uint32_t v = range[0]; v < range[1]; v++) {
                ck_assert_uint_eq(manifest_type_of(m, v), t);
                ck_assert_uint_eq(manifest_partition_of(m, v), p);
            }
        }
    }
    for (uint32_t p = 0; p < m->partitions; p++) {
        for (uint32_t u = m->user_base[p]; u < m->user_base[p + 1]; u++) {
            ck_assert_uint_eq(manifest_user_partition(m, u), p);
        }
    }
}
END_TEST

START_TEST(the_plan_hash_follows_plan_keys_and_contents_only)
{
    uint64_t hash = manifest_plan_hash(m, c);
    config *plan = testing_prepare_config("hgnn: {batch: 128}\n");
    config *deployment = testing_prepare_config("cluster: {workers: 7}\n");

    ck_assert_uint_eq(manifest_plan_hash(m, deployment), hash);
    ck_assert(manifest_plan_hash(m, plan) != hash);
    m->content_hash++;
    ck_assert(manifest_plan_hash(m, c) != hash);
    config_free(plan);
    config_free(deployment);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("manifest");
    TCase *t = tcase_create("manifest");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, printing_and_parsing_give_the_same_manifest);
    tcase_add_test(t, malformed_manifests_are_refused_by_name);
    tcase_add_test(t, every_shortened_text_is_refused);
    tcase_add_test(t, a_missing_manifest_is_not_found);
    tcase_add_test(t, damaged_positives_are_refused);
    tcase_add_test(t, names_and_windows_must_suit_the_catalogue);
    tcase_add_test(t, types_and_partitions_of_every_node_are_those_of_its_range);
    tcase_add_test(t, the_plan_hash_follows_plan_keys_and_contents_only);
    suite_add_tcase(suite, t);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
