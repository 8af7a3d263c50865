/* Proves: a slot computed alone has the bits that the whole run exported; threads change nothing; a
 * number that is not finite is found where it is; what cannot be computed is said with the right
 * exit code. */
#include "testing_files.h"
#include "testing_run.h"

#include "common/dataset.h"
#include "common/hash.h"
#include "common/job.h"
#include "common/mem.h"
#include "common/npy.h"
#include "common/safetensors.h"
#include "common/store_path.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void setup(void)
{
    testing_enter_folder();
    testing_run_files();
    testing_run_must("train", "train -c job.yaml --in-process");
}

static json_t *replay(const char *name, const char *slot, const char *more)
{
    char file[64];
    testing_run_must(name, "replay -c job.yaml --json --slot %s %s", slot, more);
    snprintf(file, sizeof file, "%s.out", name);
    char *text = testing_get_text(file, NULL);
    json_t *o = json_loads(text, 0, NULL);
    ck_assert_msg(o != NULL, "%s", text);
    free(text);
    return o;
}

static const char *text_of(json_t *o, const char *key)
{
    return json_string_value(json_object_get(o, key));
}

/* The array of this role and name. */
static json_t *array_of(json_t *o, const char *role, const char *name)
{
    size_t i;
    json_t *a;
    json_array_foreach(json_object_get(o, "arrays"), i, a)
    {
        if (strcmp(text_of(a, "role"), role) == 0 && strcmp(text_of(a, "name"), name) == 0)
            return a;
    }
    ck_abort_msg("no %s %s", role, name);
}

typedef struct keyed {
    uint64_t key;
    uint32_t row;
} keyed;

static int compare_keyed(const void *a, const void *b)
{
    uint64_t x = ((const keyed *)a)->key, y = ((const keyed *)b)->key;
    return x < y ? -1 : x > y;
}

/* XXH3 of the exported rows of a slot of item vectors, in the order of their keys. */
static void hash_of_rows(const char *npy, slot_name name, char out[17])
{
    config *c;
    job *j;
    char *folder;
    dataset *d;
    npy_array a;
    plan_work work;
    ck_assert_int_eq(config_load("job.yaml", NULL, 0, &c), ERR_OK);
    ck_assert_int_eq(store_path_get(c, &folder), ERR_OK);
    ck_assert_int_eq(job_load(c, folder, &j), ERR_OK);
    ck_assert_int_eq(dataset_open(folder, &d), ERR_OK);
    ck_assert_int_eq(npy_read(npy, &a), ERR_OK);
    ck_assert(plan_slot(j->plan, name, &work));
    keyed *k = xcalloc(work.count, sizeof *k);
    size_t dim = a.shape[1];
    float *rows = xcalloc(work.count * dim, sizeof *rows);
    for (uint32_t i = 0; i < work.count; i++) {
        uint32_t row = d->node_item[work.first + i];
        k[i] = (keyed){d->item_key[row], row};
    }
    qsort(k, work.count, sizeof *k, compare_keyed);
    for (uint32_t i = 0; i < work.count; i++)
        memcpy(rows + i * dim, (const float *)a.data + k[i].row * dim, dim * sizeof *rows);
    snprintf(out, 17, "%016llx", (unsigned long long)hash64(rows, work.count * dim * 4, 0));
    free(rows);
    free(k);
    npy_fini(&a);
    dataset_close(d);
    job_free(j);
    free(folder);
}

START_TEST(exported_vectors_come_out_again)
{
    char hash[17];
    for (uint32_t slot = 0; slot < 3; slot++) {
        slot_name name = {STAGE_VECTORS, 1, 1, slot};
        char text[64];
        slot_format(name, text);
        json_t *o = replay("vectors", text, "--model work/out");
        hash_of_rows("work/out/items.npy", name, hash);
        ck_assert_str_eq(text_of(array_of(o, "output", "item_vectors"), "xxh3"), hash);
        ck_assert_str_eq(text_of(o, "parameters"), "model");
        json_decref(o);
    }
}
END_TEST

START_TEST(threads_and_repeats_change_nothing)
{
    json_t *one = replay("one", "hgnn/1/2/1", ""),
           *two = replay("two", "hgnn/1/2/1", "--set cluster.threads=3");
    ck_assert(json_equal(one, two));
    ck_assert_int_eq((int)json_array_size(json_object_get(one, "chunks")), 2);
    ck_assert(json_real_value(json_object_get(one, "loss")) > 0);
    ck_assert(json_is_false(json_object_get(one, "void")));
    json_t *w = array_of(one, "gradient", "hgnn.2.self.music.w");
    ck_assert_int_eq(json_integer_value(json_object_get(w, "values")), 16 * 12);
    ck_assert(json_real_value(json_object_get(w, "norm")) > 0);
    json_decref(one);
    json_decref(two);
}
END_TEST

/* The last value of the last tensor of floats: behind it are the texts' vectors alone. */
START_TEST(what_is_not_finite_is_found)
{
    size_t n;
    float bad = NAN;
    safetensors_file *f;
    ck_assert_int_eq(safetensors_open("work/out/model.safetensors", &f), ERR_OK);
    const size_t texts = safetensors_find(f, "text.vectors")->values * sizeof(uint16_t);
    safetensors_close(f);
    char *model = testing_get_text("work/out/model.safetensors", &n);
    memcpy(model + n - texts - 4, &bad, 4);
    testing_put("work/out/model.safetensors", model, n);
    free(model);
    ck_assert_int_eq(safetensors_open("work/out/model.safetensors", &f), ERR_OK);
    const safetensors_tensor *t = safetensors_at(f, safetensors_count(f) - 1);
    json_t *o = replay("nan", "two_tower/1/1/0", "--model work/out");
    ck_assert(json_is_true(json_object_get(o, "void")));
    json_t *p = array_of(o, "parameter", t->name);
    ck_assert_int_eq(json_integer_value(json_object_get(p, "not_finite")), 1);
    ck_assert_int_eq(json_integer_value(json_object_get(p, "first")), (long long)t->values - 1);
    ck_assert_str_eq(text_of(p, "first_value"), "nan");
    ck_assert_int_gt(
        json_integer_value(json_object_get(array_of(o, "gradient", t->name), "not_finite")), 0);
    json_decref(o);
    safetensors_close(f);
}
END_TEST

START_TEST(what_cannot_be_computed_is_said)
{
    ck_assert_int_eq(testing_run_code("a", "replay -c job.yaml --slot hgnn/1/999/0"), 2);
    testing_run_said("a", "hgnn has steps 1 to 12");
    ck_assert_int_eq(testing_run_code("b", "replay -c job.yaml --slot hgnn/9/1/0"), 2);
    testing_run_said("b", "step 1 is of epoch 1");
    ck_assert_int_eq(testing_run_code("c", "replay -c job.yaml --slot hgnn/1/1/99"), 2);
    ck_assert_int_eq(testing_run_code("d", "replay -c job.yaml --slot hgnn-1-1"), 2);
    ck_assert_int_eq(testing_run_code("e", "replay -c job.yaml"), 2);
    ck_assert_int_eq(testing_run_code("f", "replay -c job.yaml --slot two_tower/1/1/0"), 1);
    testing_run_said("f", "--model");
    ck_assert_int_eq(testing_run_code("g", "replay -c job.yaml --slot embed/2/2/0"), 1);
    testing_run_said("g", "only a running job has");
    ck_assert_int_eq(
        testing_run_code("h", "replay -c job.yaml --slot hgnn/1/1/0 --set work_dir=other"), 1);
    testing_run_said("h", "weft prepare");
    ck_assert_int_eq(testing_run_code("i", "replay -c job.yaml --slot hgnn/1/1/0 --model nowhere"),
                     1);
    testing_run_said("i", "nowhere");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("replay");
    TCase *c = tcase_create("all");
    tcase_add_checked_fixture(c, setup, testing_leave_folder);
    tcase_add_test(c, exported_vectors_come_out_again);
    tcase_add_test(c, threads_and_repeats_change_nothing);
    tcase_add_test(c, what_is_not_finite_is_found);
    tcase_add_test(c, what_cannot_be_computed_is_said);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
