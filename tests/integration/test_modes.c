/* Proves: with pushes applied on arrival (ssp, asp) a whole job with processes, and in one process,
 * trains every slot of the plan once and says that its bits are not guaranteed. */
#include "testing_files.h"
#include "testing_run.h"

#include <check.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static void setup(void)
{
    testing_enter_folder();
    testing_run_files();
}

typedef struct mode {
    const char *name, *keys, *shape;
} mode;

static const mode modes[] = {
    {"ssp", "--set train.mode=ssp --set train.staleness=1", "--workers 3 --samplers 1 --servers 2"},
    {"asp", "--set train.mode=asp", "--workers 2 --samplers 2 --servers 2"},
    {"alone", "--set train.mode=asp", "--in-process --workers 2 --servers 2"},
};

/* The next step of training in a metrics.jsonl from *at on; NULL: none.  Owned. */
static json_t *next_step(const char **at)
{
    while (**at) {
        const char *end = strchr(*at, '\n');
        size_t n = end ? (size_t)(end - *at) : strlen(*at);
        json_t *line = json_loadb(*at, n, 0, NULL);
        ck_assert_ptr_nonnull(line);
        *at += n + (end != NULL);
        if (strcmp(json_string_value(json_object_get(line, "kind")), "step") == 0) return line;
        json_decref(line);
    }
    return NULL;
}

/* Steps, and what each trained on, are the plan's in every mode; losses are not. */
static void same_steps(const char *a_path, const char *b_path)
{
    char *a_text = testing_get_text(a_path, NULL), *b_text = testing_get_text(b_path, NULL);
    const char *a_at = a_text, *b_at = b_text;
    json_t *a, *b;
    uint32_t steps = 0;
    do {
        a = next_step(&a_at);
        b = next_step(&b_at);
        ck_assert_int_eq(a != NULL, b != NULL);
        for (uint32_t k = 0; a && k < 4; k++) {
            static const char *const keys[] = {"stage", "step", "examples", "void"};
            ck_assert(json_equal(json_object_get(a, keys[k]), json_object_get(b, keys[k])));
        }
        steps += a != NULL;
        json_decref(a);
        json_decref(b);
    } while (a);
    ck_assert_uint_ge(steps, 12);
    free(a_text);
    free(b_text);
}

static void expect_bits(const char *path, const char *bits)
{
    char *text = testing_get_text(path, NULL);
    json_t *report = json_loads(text, 0, NULL);
    ck_assert_ptr_nonnull(report);
    ck_assert_str_eq(json_string_value(json_object_get(report, "bits")), bits);
    json_decref(report);
    free(text);
}

START_TEST(every_slot_is_trained_once)
{
    const mode *m = &modes[_i];
    char metrics[64], report[64];
    snprintf(metrics, sizeof metrics, "%s/out/metrics.jsonl", m->name);
    snprintf(report, sizeof report, "%s/out/report.json", m->name);
    testing_run_must("one", "train -c job.yaml --set work_dir=one --in-process");
    testing_run_must(m->name, "train -c job.yaml --set work_dir=%s %s %s", m->name, m->keys,
                     m->shape);
    same_steps("one/out/metrics.jsonl", metrics);
    expect_bits("one/out/report.json", "guaranteed");
    expect_bits(report, "not guaranteed");
    testing_run_left_nothing(m->name);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("modes");
    TCase *c = tcase_create("modes");
    tcase_set_timeout(c, 300);
    tcase_add_checked_fixture(c, setup, testing_leave_folder);
    tcase_add_loop_test(c, every_slot_is_trained_once, 0, (int)(sizeof modes / sizeof *modes));
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
