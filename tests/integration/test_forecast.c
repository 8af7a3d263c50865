/* Proves: the memory that `weft plan` names before anything is prepared is what the processes of
 * the run then take at their highest, within a fifth. */
#include "testing_files.h"
#include "testing_run.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define SHARE 0.2

static json_t *json_of(const char *path)
{
    json_t *json = json_load_file(path, JSON_REJECT_DUPLICATES, NULL);
    ck_assert_msg(json != NULL, "%s: no JSON", path);
    return json;
}

/* The forecast's name of a role of run.json. */
static const char *role_name(const char *role)
{
    return strcmp(role, "driver") == 0 ? "weft train" : role;
}

static double forecast_of(const json_t *plan, const char *role)
{
    size_t i;
    json_t *r;
    json_array_foreach(json_object_get(plan, "roles"), i, r)
    {
        if (strcmp(json_string_value(json_object_get(r, "role")), role_name(role)) == 0)
            return (double)json_integer_value(json_object_get(r, "memory_bytes"));
    }
    ck_abort_msg("the plan does not name %s", role);
    return 0;
}

static const char *const shapes[] = {
    "",
    "--set hgnn.aggregator=max_pool --set hgnn.loss=hinge --set two_tower.batch=2048 --servers 2",
    "--set train.mode=asp --workers 2 --set train.microbatches_per_step=16 --set hgnn.max_steps=4 "
    "--set two_tower.max_steps=4",
    "--set train.mode=ssp --set train.staleness=2 --set train.microbatches_per_step=16 --set "
    "hgnn.max_steps=4 --set two_tower.max_steps=4",
};

START_TEST(every_role_takes_what_the_plan_says)
{
#if defined(WEFT_ASAN) || defined(__SANITIZE_THREAD__)
    return; /* their own memory is many times ours */
#endif
    testing_put_text("job.yaml", "work_dir: run\n"
                                 "features: {encoder: hash}\n"
                                 "hgnn: {batch: 512, max_steps: 8}\n"
                                 "two_tower: {batch: 1024, max_steps: 8}\n"
                                 "validate: {every: 3}\n"
                                 "checkpoint: {every: 500ms}\n"
                                 "evaluate: {bootstrap: 100}\n");
    testing_run_must("synth",
                     "synth --users 2500 --items 2000 --types 2 --interactions 80000 --seed 3 "
                     "--out data");
    testing_run_must("plan", "plan -c job.yaml --data data --json %s", shapes[_i]);
    testing_run_must("train", "train -c job.yaml --data data --out out %s", shapes[_i]);
    json_t *plan = json_of("plan.out"), *run = json_of("out/run.json"), *value;
    const char *role;
    size_t roles = 0;
    ck_assert(!json_is_true(json_object_get(json_object_get(plan, "data"), "prepared")));
    json_object_foreach(json_object_get(run, "peak_rss_bytes"), role, value)
    {
        double took = (double)json_integer_value(value), said = forecast_of(plan, role);
        printf("%-10s said %6.1f MB, took %6.1f MB, %+5.1f %%\n", role, said / 1e6, took / 1e6,
               100 * (said / took - 1));
        ck_assert_msg(said > took * (1 - SHARE) && said < took * (1 + SHARE),
                      "%s: %.1f MB said, %.1f MB taken", role, said / 1e6, took / 1e6);
        roles++;
    }
    ck_assert_uint_eq(roles, 5);
    json_decref(plan);
    json_decref(run);
}
END_TEST

START_TEST(a_prepared_store_gives_the_same_figures_nearly)
{
    testing_run_files();
    testing_run_must("before", "plan -c job.yaml --json");
    testing_run_must("prepare", "prepare -c job.yaml");
    testing_run_must("after", "plan -c job.yaml --json");
    testing_run_must("text", "plan -c job.yaml");
    json_t *before = json_of("before.out"), *after = json_of("after.out");
    ck_assert(json_is_true(json_object_get(json_object_get(after, "data"), "prepared")));
    for (size_t i = 0; i < 4; i++) { /* without weft train, which has nothing to prepare any more */
        static const char *const roles[] = {"scheduler", "ps", "sampler", "worker"};
        double a = forecast_of(before, roles[i]), b = forecast_of(after, roles[i]);
        ck_assert_msg(a > b * 0.95 && a < b * 1.05, "%s: %g before, %g after", roles[i], a, b);
    }
    char *text = testing_get_text("text.out", NULL);
    testing_expect_part(text, "(of the prepared store)");
    testing_expect_part(text, "measured now, on this machine");
    testing_expect_part(text, "at most");
    free(text);
    json_decref(before);
    json_decref(after);
}
END_TEST

START_TEST(rules_for_an_alert_have_the_numbers_of_the_plan)
{
    testing_run_files();
    testing_run_must("plan", "plan -c job.yaml --workers 3 --json");
    testing_run_must("rules", "plan -c job.yaml --workers 3 --rules");
    json_t *plan = json_of("plan.out");
    char *rules = testing_get_text("rules.out", NULL);
    static const char *const roles[] = {"ps", "sampler", "worker"};
    for (size_t i = 0; i < 3; i++) {
        char line[128];
        snprintf(line, sizeof line, "expr: vector(%.0f)\n        labels: {role: %s}\n",
                 forecast_of(plan, roles[i]), roles[i]);
        testing_expect_part(rules, line);
    }
    ck_assert_ptr_null(strstr(rules, "scheduler"));
    free(rules);
    json_decref(plan);
    ck_assert_int_eq(testing_run_code("both", "plan -c job.yaml --rules --json"), 2);
}
END_TEST

START_TEST(more_slots_than_one_are_what_workers_need)
{
    testing_run_files();
    testing_run_must("one",
                     "plan -c job.yaml --workers 9 --set train.microbatches_per_step=1 --json");
    json_t *plan = json_of("one.out"), *note = json_array_get(json_object_get(plan, "bounds"), 0);
    testing_expect_part(json_string_value(note), "a step has 1 slot");
    testing_expect_part(json_string_value(note), "at most 1 worker helps");
    testing_expect_part(json_string_value(note), "cluster.workers is 9");
    ck_assert_int_eq(json_integer_value(json_object_get(plan, "workers_useful")), 1);
    json_decref(plan);
    ck_assert_int_eq(testing_run_code("none", "plan -c job.yaml --set data.items.path=none.tsv"),
                     1);
    ck_assert_int_eq(testing_run_code("empty", "plan -c /dev/null"), 2);
    testing_run_said("empty", "data.items.path: is required");
}
END_TEST

int main(void)
{
    TCase *c = tcase_create("forecast");
    tcase_add_checked_fixture(c, testing_enter_folder, testing_leave_folder);
    tcase_add_loop_test(c, every_role_takes_what_the_plan_says, 0, sizeof shapes / sizeof *shapes);
    tcase_add_test(c, a_prepared_store_gives_the_same_figures_nearly);
    tcase_add_test(c, rules_for_an_alert_have_the_numbers_of_the_plan);
    tcase_add_test(c, more_slots_than_one_are_what_workers_need);
    Suite *s = suite_create("forecast");
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
